//! What decides how long a worker on a thread sleeps, and when it ends.

use core::time::Duration;

use tidegate_core::primitive::Arc;

use crate::state::Shared;

/// What a worker on a thread tells its pool, and asks it.
pub(super) trait LoopHooks {
    /// Called when the worker has a job, before the job runs: another thread must be able to begin
    /// the next job.
    #[inline]
    fn before_job(&mut self, _shared: &Arc<Shared>) {}
    /// Called before the worker sleeps.
    fn before_sleep(&mut self) {}
    /// Returns how long the worker may sleep, or `None` for no limit. A worker that sleeps without
    /// a limit asks again whenever it is woken, as by a resize.
    fn keep_alive(&self) -> Option<Duration> {
        None
    }
    /// Called when the worker has slept for that long; returns whether the worker ends. If so, its
    /// thread is no longer counted.
    fn retires(&self) -> bool {
        false
    }
    /// Returns whether the worker ends because the pool has more threads than it may have. If so,
    /// the worker's thread is no longer counted.
    #[inline]
    fn is_surplus(&self) -> bool {
        false
    }
}

/// For a worker on a thread that the pool has not started: it sleeps without a limit, and never
/// retires.
impl LoopHooks for () {}
