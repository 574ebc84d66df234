#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![allow(
    clippy::type_complexity,
    reason = "a flow's type nests its stages; each method spells one layer out"
)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// The modules are in the order in which the docs of `Pipeline` show their methods: sources and
// stages, settings, ways to run.
pub mod stage;

mod concurrent;

mod offload;

mod pipeline;

mod run;

mod debug;
mod error;
mod flow;
mod report;

pub use tidegate_core::{
    Backoff, CancelToken, Cancelled, Clock, Closed, Gate, ManualClock, Outcome, Pass, Queue,
    Reason, SystemClock, TimedOut, Timer, Wait,
};

pub use self::{
    concurrent::{IntoRetryPolicy, Policy, RetryPolicy, policy},
    error::{BoxError, Panicked, PipelineError},
    flow::{AfterStop, Monitor, OnError, Stage, StageStats, Stats, Stopped, Summary},
    offload::Threads,
    pipeline::Pipeline,
};

/// The futures of a flow, and its stream.
pub mod future {
    pub use crate::run::{Collect, IntoStream, Run};
}
