#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acquire;
mod algorithm;
mod cell;
mod gate;
mod grant;
mod keyed;
mod limiter;
mod pace;
mod quota;
mod sliding_log;
mod sliding_window;
mod stats;
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
    keyed::{AcquireKey, KeyGate, KeyRefused, KeyedLimiter},
    limiter::{Limiter, RateLimiter, SlidingLog, SlidingWindow},
    quota::{Quota, QuotaError},
    sliding_log::Log,
    sliding_window::TwoBuckets,
    stats::Stats,
    token_bucket::TokenBucket,
    window::Sliding,
};
