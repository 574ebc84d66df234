#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acquire;
mod algorithm;
mod cell;
mod gate;
mod gcra;
mod grant;
mod inherit;
mod keyed;
mod limiter;
mod line;
mod live_quota;
mod pace;
mod quota;
mod reservation;
mod sliding_log;
mod sliding_window;
mod stats;
mod terms;
mod token_bucket;
mod window;

pub use tidegate_concurrent_map::TooManyKeys;
pub use tidegate_core::{
    CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome, Pass, SystemClock, TimedOut, Timer,
    Timestamp, Wait,
};

pub use self::{
    acquire::Acquire,
    algorithm::Algorithm,
    gate::{Admission, Enter},
    grant::{Grant, Refused},
    inherit::Inherit,
    keyed::{AcquireKey, KeyBucket, KeyGate, KeyRefused, KeyedLimiter, Overflow},
    limiter::{Limiter, RateLimiter, SlidingLog, SlidingWindow},
    quota::{Quota, QuotaError},
    reservation::Reservation,
    sliding_log::Log,
    sliding_window::TwoBuckets,
    stats::Stats,
    token_bucket::TokenBucket,
    window::Sliding,
};
