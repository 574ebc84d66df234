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

mod batch;
mod bell;
mod error;
mod figures;
mod flat_map;
mod flow;
mod inline;
mod lanes;
mod map_async;
mod map_on;
mod meter;
mod on_error;
mod parallel;
mod parcel;
mod pipeline;
mod reorder;
mod retry;
mod run;
mod source;
mod stage;
mod stopped;
mod stream;
mod work;

pub use tidegate_core::{
    CancelToken, Cancelled, Clock, Closed, Gate, ManualClock, Outcome, Pass, Queue, Reason,
    SystemClock, TimedOut, Timer, Wait,
};

pub use self::{
    batch::Batch,
    error::{BoxError, Panicked, PipelineError},
    figures::{Monitor, StageFigures, Summary},
    flat_map::FlatMap,
    inline::{Inline, Step},
    on_error::OnError,
    parallel::Parallel,
    pipeline::Pipeline,
    retry::backoff,
    run::{Collect, Run},
    source::Source,
    stage::Stage,
    stopped::{AfterStop, Stopped},
    stream::IntoStream,
    work::{Call, Work},
};
