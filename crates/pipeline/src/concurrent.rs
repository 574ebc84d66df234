//! Stages that work on several items at once, in the flow's own task.

mod map_async;

mod options;

mod keys;
mod parallel;
mod retry;
mod work;

pub use self::{
    keys::{KeyPolicy, PerKey, Unkeyed},
    parallel::Parallel,
    retry::{IntoRetryPolicy, Policy, RetryPolicy, policy},
    work::{Call, Work},
};
