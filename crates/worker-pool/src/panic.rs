//! Where a job's panic stops.

pub use tidegate_core::panic::Payload;
pub(crate) use tidegate_core::panic::{attempt, bury, catch, contain};
