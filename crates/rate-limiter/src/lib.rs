#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod acquire;
mod algorithm;
mod balance;
mod cell;
mod claims;
mod fixed_keyed;
mod gate;
mod gcra;
mod grant;
mod inherit;
mod keyed;
mod ledger;
mod limiter;
mod limits;
mod line;
mod live_quota;
mod owned;
mod pace;
pub mod presets;
mod quota;
mod reservation;
mod returned;
mod sliding_log;
mod sliding_window;
mod stats;
mod terms;
#[cfg(any(feature = "std", feature = "stream"))]
mod throttled;
mod token_bucket;
mod window;

pub use tidegate_concurrent_map::TooManyKeys;
pub use tidegate_core::{
    CachedClock, CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome, Pass, SystemClock,
    TimedOut, Timer, Timestamp, Wait,
};

#[cfg(any(feature = "std", feature = "stream"))]
pub use self::throttled::Throttled;
pub use self::{
    acquire::Acquire,
    algorithm::Algorithm,
    balance::{Balance, secs_rounded_up},
    fixed_keyed::{FixedCells, FixedKeyed},
    gate::{Admission, Enter},
    grant::{Grant, Refused},
    inherit::Inherit,
    keyed::{
        AcquireKey, EnterKeyOwned, KeyBucket, KeyGate, KeyRefused, KeyedLimiter, Overflow,
        OwnedKeyAdmission, OwnedKeyGate,
    },
    limiter::{Limiter, Limits, RateLimiter, SlidingLog, SlidingWindow},
    limits::AllOf,
    owned::{EnterOwned, OwnedAdmission},
    quota::{Quota, QuotaError},
    reservation::Reservation,
    sliding_log::Log,
    sliding_window::TwoBuckets,
    stats::Stats,
    token_bucket::TokenBucket,
    window::Sliding,
};
