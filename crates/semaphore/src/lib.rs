#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

mod acquire;
mod error;
mod gate;
#[cfg(target_has_atomic = "ptr")]
mod owned;
mod permit;
mod pool;
mod semaphore;
mod stats;

pub use tidegate_core::{
    CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome, Pass, Reason, SystemClock, TimedOut,
    Timer, Wait,
};

#[cfg(target_has_atomic = "ptr")]
pub use self::owned::{AcquireOwned, OwnedPermit};
pub use self::{
    acquire::Acquire,
    error::{AcquireError, TryAcquireError},
    gate::{Enter, PermitGate},
    permit::Permit,
    semaphore::{MAX_PERMITS, Semaphore},
    stats::Stats,
};
