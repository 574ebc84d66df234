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
mod chunked;
mod crew;
#[cfg(feature = "std")]
mod deterministic;
mod error;
mod figures;
mod flat_map;
mod flow;
mod hatch;
mod inline;
mod labour;
mod map_async;
mod map_on;
mod merge;
mod meter;
mod on_error;
mod options;
mod pace;
mod parallel;
mod parcel;
mod pipeline;
mod place;
mod reorder;
mod retry;
mod run;
mod source;
mod split;
mod stage;
mod stopped;
mod stream;
#[cfg(feature = "std")]
mod team;
#[cfg(feature = "std")]
mod threads;
mod turns;
mod work;

pub use tidegate_core::{
    Backoff, CancelToken, Cancelled, Clock, Closed, Gate, ManualClock, Outcome, Pass, Queue,
    Reason, SystemClock, TimedOut, Timer, Wait,
};

pub use self::{
    batch::Batch,
    chunked::Chunked,
    error::{BoxError, Panicked, PipelineError},
    figures::{Monitor, StageFigures, Summary},
    flat_map::FlatMap,
    inline::{Inline, Step},
    labour::{Apply, ApplyWith, Labour, Then},
    merge::Merge,
    on_error::OnError,
    parallel::Parallel,
    pipeline::Pipeline,
    place::{Place, Threads},
    retry::{IntoRetryPolicy, Policy, RetryPolicy, policy},
    run::{Collect, Run},
    source::Source,
    split::{Split, Way},
    stage::Stage,
    stopped::{AfterStop, Stopped},
    stream::IntoStream,
    turns::{AtOnce, ByKey, Turns},
    work::{Call, Work},
};
