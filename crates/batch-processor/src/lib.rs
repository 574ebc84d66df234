#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod batcher;
#[cfg(feature = "stream")]
mod batches;
mod builder;
mod dedupe;
mod drain;
mod driver;
mod error;
mod gatherer;
mod gatherers;
mod handler;
mod in_flight;
mod key_index;
mod keyed;
mod leader;
mod limits;
mod outcome;
mod policy;
mod recovery;
mod report;
mod results;
mod set_limits;
mod settings;
mod shared;
mod stats;
mod steps;
mod submit;
#[cfg(feature = "std")]
mod thread;
mod unwind;

#[cfg(feature = "stream")]
pub use self::batches::IntoBatches;
#[cfg(feature = "std")]
pub use self::thread::DriverThread;
pub use self::{
    batcher::Batcher,
    builder::{Builder, Built},
    dedupe::Deduped,
    driver::Driver,
    error::{BatchError, DriverDropped, PushError, SubmitError, Unprocessed},
    handler::{Async, Blocking, Handler},
    keyed::KeyedBatcher,
    leader::LeaderBatcher,
    policy::{OnFull, Policy},
    recovery::OnError,
    results::Reply,
    settings::BatcherSettings,
    stats::Stats,
};
pub use tidegate_core::{
    Backoff, BuildError, CancelToken, Cancelled, Clock, ManualClock, SystemClock, TimedOut, Timer,
    Timestamp, Wait,
};

/// The futures and streams of the batcher's methods.
pub mod future {
    #[cfg(feature = "stream")]
    pub use crate::batches::Batches;
    pub use crate::{
        dedupe::RunDeduped,
        drain::{Flush, Shutdown},
        leader::Leader,
        submit::{Enqueue, Push, Submit},
    };
}
