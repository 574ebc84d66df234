#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod breaker;
mod breaker_settings;
mod builder;
mod call;
mod changes;
mod check_interval;
mod classifier;
mod enter;
mod error;
mod fail_fast;
mod hook;
mod in_flight;
mod keyed;
mod machine;
mod observer;
mod open_for;
mod open_limit;
mod owned;
mod owned_pass;
mod pass;
mod probe_starts;
mod report;
mod rule;
mod settings;
mod state;
mod stats;
mod throttle;
#[cfg(feature = "tracing")]
mod tracing;
mod unwind;
mod window;
mod word;

pub use tidegate_concurrent_map::TooManyKeys;
pub use tidegate_core::{
    BuildError, CachedClock, CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome,
    SystemClock, TimedOut, Timer, Timestamp, Wait,
    gate::{self, TryEnter},
};

#[cfg(feature = "tracing")]
pub use self::tracing::TracingObserver;
pub use self::{
    breaker::Breaker,
    breaker_settings::BreakerSettings,
    builder::Builder,
    changes::{StateChange, StateChanges},
    classifier::{ByError, ByResult, Classifier},
    error::{KeyRefused, Refused, RefusedReason},
    fail_fast::FailFast,
    keyed::KeyedBreaker,
    observer::{Observer, Transition},
    open_for::OpenFor,
    owned::OwnedFailFast,
    owned_pass::OwnedPass,
    pass::Pass,
    rule::TripRule,
    state::State,
    stats::{Snapshot, Stats},
    throttle::{OwnedThrottlePass, Throttle, ThrottlePass, ThrottleRefused, ThrottleStats},
    window::Window,
};

/// The futures of the breaker's methods.
pub mod future {
    pub use crate::{
        call::{CallAsync, CallAsyncOwned, RunClassified},
        changes::{NextChange, UntilClosed},
        enter::Enter,
        owned::EnterOwned,
    };
}
