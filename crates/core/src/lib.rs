#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod backoff;
pub mod cancel;
pub mod duration_text;
pub mod error;
pub mod event;
pub mod future_slots;
pub mod gate;
pub mod hedge;
pub mod lock;
pub mod primitive;
#[cfg(target_has_atomic = "ptr")]
pub mod queue;
pub mod random;
pub mod report;
pub mod retry;
#[cfg(target_has_atomic = "ptr")]
#[allow(unsafe_code, reason = "its slots are UnsafeCells; the argument stands there")]
pub mod ring;
pub mod rw_shards;
pub mod shard;
pub mod tally;
pub mod time;
pub mod turnstile;
pub mod unwind;
pub mod wait;
pub mod wait_list;
pub mod wake_list;

#[cfg(target_has_atomic = "ptr")]
pub use self::queue::Queue;
pub use self::{
    backoff::Backoff,
    cancel::CancelToken,
    duration_text::{DurationText, ParseError},
    error::{BuildError, Cancelled, Closed, Reason, TimedOut},
    event::Event,
    gate::{Gate, Outcome, Pass},
    hedge::hedge,
    retry::retry,
    rw_shards::RwShards,
    shard::Shards,
    tally::Tally,
    time::{CachedClock, Clock, ManualClock, SystemClock, Timer, Timestamp},
    turnstile::Turnstile,
    wait::Wait,
    wait_list::WaitList,
};
