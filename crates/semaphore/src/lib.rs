#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acquire;
pub mod adaptive;
mod builder;
mod error;
mod fairness;
mod gate;
mod idle;
#[cfg(target_has_atomic = "ptr")]
mod owned;
mod permit;
mod pool;
mod semaphore;
mod stats;
mod with_async;
mod word;

pub use tidegate_core::{
    CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome, Pass, Reason, SystemClock, TimedOut,
    Timer, Wait,
};

#[cfg(target_has_atomic = "ptr")]
pub use self::owned::{AcquireOwned, EnterOwned, OwnedPermit, OwnedPermitGate};
pub use self::{
    acquire::Acquire,
    adaptive::AdaptiveSemaphore,
    builder::Builder,
    error::{AcquireError, TryAcquireError},
    fairness::Fairness,
    gate::{Enter, PermitGate},
    idle::Idle,
    permit::Permit,
    semaphore::{MAX_PERMITS, Semaphore},
    stats::Stats,
    with_async::WithAsync,
};
