#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod answers;
mod batcher;
#[cfg(feature = "stream")]
mod batches;
mod builder;
mod dedupe;
mod desk;
mod drain;
mod driver;
mod error;
mod gatherer;
mod handler;
mod key_index;
mod keyed;
mod leader;
mod line;
mod outcome;
mod policy;
mod recovery;
mod shared;
mod stats;
mod steps;
mod submit;
#[cfg(feature = "std")]
mod thread;
mod unwind;

#[cfg(feature = "stream")]
pub use self::batches::{Batches, IntoBatches};
#[cfg(feature = "std")]
pub use self::thread::DriverThread;
pub use self::{
    answers::Reply,
    batcher::Batcher,
    builder::{Builder, Built},
    dedupe::{Deduped, RunDeduped},
    drain::{Flush, Shutdown},
    driver::Driver,
    error::{BatchError, DriverDropped, PushError, SubmitError, Unprocessed},
    handler::{Async, Blocking, Handler},
    keyed::KeyedBatcher,
    leader::{Lead, LeaderBatcher},
    policy::{OnFull, Policy},
    recovery::OnError,
    stats::Stats,
    submit::{Enqueue, Push, Submit},
};
pub use tidegate_core::{
    Backoff, BuildError, CancelToken, Cancelled, Clock, ManualClock, SystemClock, TimedOut, Timer,
    Timestamp, Wait,
};
