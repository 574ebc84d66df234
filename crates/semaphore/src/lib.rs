#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

// First, so that its constructors are the first on the page of `Semaphore`.
mod semaphore;

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
mod report;
mod settings;
mod stats;
mod stopwatch;
mod with_async;
mod word;

pub use tidegate_core::{
    BuildError, CancelToken, Cancelled, Clock, Gate, ManualClock, Outcome, Pass, Reason,
    SystemClock, TimedOut, Timer, Wait,
};

#[cfg(target_has_atomic = "ptr")]
pub use self::owned::{OwnedPermit, OwnedPermitGate};
pub use self::{
    adaptive::AdaptiveSemaphore,
    builder::Builder,
    error::{AcquireError, TryAcquireError},
    fairness::Fairness,
    gate::PermitGate,
    permit::Permit,
    semaphore::{MAX_PERMITS, Semaphore},
    settings::SemaphoreSettings,
    stats::Stats,
};

/// The futures of the semaphore's methods.
pub mod future {
    #[cfg(target_has_atomic = "ptr")]
    pub use crate::owned::AcquireOwned;
    pub use crate::{acquire::Acquire, gate::Enter, idle::Idle, with_async::WithAsync};
}
