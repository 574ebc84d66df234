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
mod chunk_size;
mod chunk_work;
mod chunked;
#[cfg(feature = "std")]
mod deterministic;
mod error;
mod exchange;
mod executor;
mod flat_map;
mod flow;
mod inline;
mod item;
mod keys;
mod map_async;
mod map_on;
mod merge;
mod meter;
mod on_error;
mod options;
mod parallel;
mod pipeline;
mod reorder;
mod retry;
mod returns;
mod run;
mod run_threads;
#[cfg(feature = "std")]
mod shared_run;
mod source;
mod split;
mod stage;
mod stats;
mod stopped;
mod stream;
#[cfg(feature = "std")]
mod threads;
mod work;

pub use tidegate_core::{
    Backoff, CancelToken, Cancelled, Clock, Closed, Gate, ManualClock, Outcome, Pass, Queue,
    Reason, SystemClock, TimedOut, Timer, Wait,
};

pub use self::{
    batch::Batch,
    chunk_work::{Apply, ApplyWith, ChunkWork, Then},
    chunked::Chunked,
    error::{BoxError, Panicked, PipelineError},
    executor::{Executor, Threads},
    flat_map::FlatMap,
    inline::{Inline, Step},
    keys::{KeyPolicy, PerKey, Unkeyed},
    merge::Merge,
    on_error::OnError,
    parallel::Parallel,
    pipeline::Pipeline,
    retry::{IntoRetryPolicy, Policy, RetryPolicy, policy},
    returns::{Plain, Returns, Try},
    run::{Collect, Run},
    source::Source,
    split::{Branch, Split},
    stage::Stage,
    stats::{Monitor, StageStats, Stats, Summary},
    stopped::{AfterStop, Stopped},
    stream::IntoStream,
    work::{Call, Work},
};
