#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// These come in the order in which rustdoc shall show the methods of `Limiter`: constructors first.
mod rate_limiter;

mod limits;
mod sliding;

mod limiter;

mod acquire;
mod algorithm;
mod balance;
mod bucket_math;
mod claims;
mod fixed_keyed;
pub mod future;
mod gate;
mod gcra;
mod grant;
mod head;
mod inherit;
mod keyed;
mod ledger;
mod live_quota;
mod owned;
pub mod presets;
mod quota;
mod quota_text;
mod refunded;
mod report;
mod reservation;
mod state;
mod stats;
#[cfg(any(feature = "std", feature = "stream"))]
mod throttled;
mod time_units;
mod token_bucket;
mod wait_queue;
mod window;
mod window_counter;
mod window_log;

#[cfg(any(feature = "std", feature = "stream"))]
pub use self::throttled::Throttled;
pub use self::{
    algorithm::Algorithm,
    balance::Balance,
    fixed_keyed::{FixedCells, FixedKeyedLimiter},
    gate::{Admission, Admitted},
    grant::{Grant, Refused, secs_rounded_up},
    inherit::Inherit,
    keyed::{
        KeyBucket, KeyGate, KeyRefused, KeyedLimiter, LookupAdmission, LookupGate, Overflow,
        OwnedKeyAdmission, OwnedKeyGate,
    },
    limiter::Limiter,
    limits::{AllOf, Limits},
    owned::OwnedAdmission,
    quota::{Quota, QuotaError},
    rate_limiter::RateLimiter,
    reservation::Reservation,
    sliding::{SlidingLog, SlidingWindow},
    stats::Stats,
    token_bucket::TokenBucket,
    window::Sliding,
    window_counter::WindowCounter,
    window_log::WindowLog,
};
pub use tidegate_concurrent_map::TooManyKeys;
pub use tidegate_core::{
    BuildError, CachedClock, CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome, ParseError,
    Pass, SystemClock, TimedOut, Timer, Timestamp, Wait,
};
