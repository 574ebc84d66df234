//! The catcher of panics of foreign code, which is core's.

pub use tidegate_core::unwind::Payload;
pub(crate) use tidegate_core::unwind::{
    Contained, DropEach, Foreign, attempt, bury, catch, contain, drop_each,
};
