//! The right to one request, and the measurement of it.

use core::fmt;

use tidegate_core::{Clock, Outcome, Pass, SystemClock, Timestamp};

use super::{AdaptiveSemaphore, LimitAlgorithm};
use crate::error::TryAcquireError;

/// A permit for one request of an [`AdaptiveSemaphore`], to be settled by how that went. Dropped unsettled, it counts as
/// ignored. Either way it is given back.
///
/// # Examples
///
/// ```
/// use tidegate_semaphore::adaptive::{AdaptiveSemaphore, Aimd};
///
/// let limit = AdaptiveSemaphore::builder(Aimd::new()).initial(10).build()?;
/// limit.try_acquire()?.ignore();
/// drop(limit.try_acquire()?);
/// assert_eq!((limit.limit(), limit.stats().dropped), (10, 0));
/// limit.try_acquire()?.dropped();
/// assert_eq!((limit.limit(), limit.stats().dropped), (9, 1));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "dropping it unsettled says nothing about the request"]
pub struct Permit<'a, A: LimitAlgorithm, C = SystemClock> {
    semaphore: &'a AdaptiveSemaphore<A, C>,
    permit: crate::Permit<'a>,
    in_flight: usize,
    started: Timestamp,
}

impl<'a, A: LimitAlgorithm, C: Clock> Permit<'a, A, C> {
    #[inline]
    pub(super) fn new(
        semaphore: &'a AdaptiveSemaphore<A, C>,
        permit: crate::Permit<'a>,
        in_flight: usize,
        started: Timestamp,
    ) -> Self {
        Self { semaphore, permit, in_flight, started }
    }

    /// The request was answered; the time it took counts.
    pub fn success(self) {
        self.learn(false);
    }

    /// The request was refused for overload, or it timed out: the limit shrinks, unless it has since the request began.
    /// The time it took does not count.
    pub fn dropped(self) {
        self.learn(true);
    }

    /// The request says nothing about the server: it was cancelled, wrong, or answered from a cache.
    pub fn ignore(self) {}

    fn learn(self, is_dropped: bool) {
        self.semaphore.learn(self.started, self.in_flight, is_dropped);
        drop(self.permit);
    }
}

/// A success is a [`success`](Permit::success), a failure is [`dropped`](Permit::dropped). Where a failure is no sign of
/// overload, tell so by [`Judged`](tidegate_core::gate::Judged) or by hand.
impl<A: LimitAlgorithm, C: Clock> Pass for Permit<'_, A, C> {
    type Refused = TryAcquireError;

    fn settle(self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.success(),
            Outcome::Failure => self.dropped(),
            Outcome::Ignored => self.ignore(),
        }
    }
}

impl<A: LimitAlgorithm, C> fmt::Debug for Permit<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("started", &self.started).finish_non_exhaustive()
    }
}
