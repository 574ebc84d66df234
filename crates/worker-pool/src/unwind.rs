//! The catcher of panics of foreign code, which is core's. It is called in `state/run.rs`,
//! `state/scopes.rs`, `job/job_cell.rs` and `job/future_job.rs`.

pub use tidegate_core::unwind::Payload;
pub(crate) use tidegate_core::unwind::{
    Contained, DropEach, Foreign, attempt, bury, catch, contain,
};
