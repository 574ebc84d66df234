//! What decides how long a worker on a thread sleeps, and when it ends.

use core::time::Duration;

use tidegate_core::primitive::Arc;

use crate::state::Shared;

/// What a worker on a thread tells its pool, and asks it.
pub(super) trait LoopHooks {
    /// The worker has a job: another thread must be able to begin the next one.
    #[inline]
    fn before_job(&mut self, _shared: &Arc<Shared>) {}
    /// The worker goes to sleep; returns how long it may sleep, if not for ever.
    fn before_sleep(&mut self) -> Option<Duration> {
        None
    }
    /// Returns whether the worker ends after it has slept as long as it may.
    fn retires(&self) -> bool {
        false
    }
    /// Returns whether the worker ends because the pool has more workers than it may have.
    #[inline]
    fn is_surplus(&self) -> bool {
        false
    }
}

/// For a worker on a thread that the pool has not started: it sleeps without a limit, and never
/// retires.
impl LoopHooks for () {}
