#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod breaker;
mod builder;
mod call;
mod changes;
mod classifier;
mod enter;
mod fail_fast;
mod in_flight;
mod keyed;
mod machine;
mod observer;
mod open_for;
mod open_share;
mod owned_pass;
mod pass;
mod probe_starts;
mod refused;
mod rule;
mod state;
mod stats;
mod throttle;
mod turn_to_look;
mod unwinding;
mod window;
mod word;

pub use tidegate_concurrent_map::TooManyKeys;
pub use tidegate_core::{
    CachedClock, CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome, SystemClock, TimedOut,
    Timer, Timestamp, Wait,
    gate::{self, TryEnter},
};

pub use self::{
    breaker::Breaker,
    builder::{BuildError, Builder},
    call::{CallAsync, CallAsyncOwned, RunClassified},
    changes::{Closed, NextChange, StateChange, StateChanges},
    classifier::{ByError, ByVerdict, Classifier},
    enter::{Enter, EnterOwned},
    fail_fast::{FailFast, OwnedFailFast},
    keyed::KeyedBreaker,
    observer::{Observer, Transition},
    open_for::OpenFor,
    owned_pass::OwnedPass,
    pass::Pass,
    refused::{Refused, RefusedReason},
    rule::TripRule,
    state::State,
    stats::{Snapshot, Stats},
    throttle::{OwnedThrottlePass, Throttle, ThrottlePass, ThrottleStats, Throttled},
    window::Window,
};
