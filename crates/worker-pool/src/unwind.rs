//! The catcher of panics of foreign code, which is core's. `catch` is called in `state/run.rs`,
//! `state/scopes.rs`, `job/job_cell.rs`, `job/future_job.rs` and `workers/threads.rs`.

pub use tidegate_core::unwind::Payload;
pub(crate) use tidegate_core::unwind::{
    Contained, DropEach, Foreign, attempt, bury, catch, contain,
};
