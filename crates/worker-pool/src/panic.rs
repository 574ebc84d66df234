//! Where a job's panic stops.

pub use tidegate_core::unwind::Payload;
pub(crate) use tidegate_core::unwind::{
    Contained, DropEach, Foreign, attempt, bury, catch, contain, drop_each,
};
