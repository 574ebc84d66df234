//! The stages, as types. Their names are seldom needed: `impl Stage<Item = T>` is enough for most
//! signatures.

mod source;

mod inline;

mod flat_map;

mod batch;

mod split;

mod merge;

pub use self::{
    batch::Batch,
    flat_map::FlatMap,
    inline::{Inline, Step},
    merge::Merge,
    source::Source,
    split::{Branch, Split},
};
pub use crate::{
    concurrent::{Call, KeyPolicy, Parallel, PerKey, Unkeyed, Work},
    flow::{Plain, Returns, Try},
    offload::{Apply, ApplyWith, ChunkWork, Chunked, Then, Workers},
};
