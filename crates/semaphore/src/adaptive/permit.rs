//! The right to one request, and the measurement of it.

use core::{fmt, ops::Deref};

use tidegate_core::{
    Clock, Outcome, Pass, SystemClock,
    gate::{Classify, SettleBy},
};

use super::{algorithm::LimitAlgorithm, round::Grant, semaphore::AdaptiveSemaphore};
use crate::{
    error::TryAcquireError,
    permit::{Held, PoolOf},
    pool::PermitPool,
};

/// A request that was let in. Dropping it releases the permit.
pub(super) struct InFlight<P: Deref<Target = PermitPool>> {
    held: Held<P>,
    pub(super) grant: Grant,
}

impl<S, A, C> InFlight<PoolOf<S>>
where
    S: Deref<Target = AdaptiveSemaphore<A, C>>,
    A: LimitAlgorithm,
    C: Clock,
{
    /// Starts the measurement of a request that was let in.
    #[inline]
    pub(super) fn begin(held: Held<PoolOf<S>>) -> Self {
        let grant = held.pool().0.begin();
        Self { held, grant }
    }

    /// Starts the measurement anew.
    pub(super) fn begin_again(&mut self) {
        self.grant = self.held.pool().0.begin();
    }

    /// Records the outcome. The permit is released after that, so that a cut of the limit comes
    /// before the next grant.
    pub(super) fn learn(self, is_dropped: bool) {
        self.held.pool().0.learn(self.grant, is_dropped);
    }

    pub(super) fn settle(self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.learn(false),
            Outcome::Failure => self.learn(true),
            Outcome::Ignored => {}
        }
    }
}

/// A permit for one request of an [`AdaptiveSemaphore`], to be settled by how the request went. A
/// permit that is dropped unsettled counts as ignored. Either way it is released.
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
    pub(super) in_flight: InFlight<PoolOf<&'a AdaptiveSemaphore<A, C>>>,
}

impl<A: LimitAlgorithm, C: Clock> Permit<'_, A, C> {
    /// Settles the permit as a success: the request was answered, and the time that it took counts.
    pub fn success(self) {
        self.in_flight.learn(false);
    }

    /// Settles the permit as dropped: the request was refused for overload, or it timed out. The
    /// limit shrinks, unless it is at its minimum or a drop has cut it since the request began. The
    /// time that the request took does not count.
    pub fn dropped(self) {
        self.in_flight.learn(true);
    }

    /// Settles the permit as ignored: the request says nothing about the server, because it was
    /// cancelled, wrong, or answered from a cache.
    pub fn ignore(self) {}
}

/// A success settles as a [`success`](Permit::success), a failure as [`dropped`](Permit::dropped).
/// Where a failure is no sign of overload, the caller says so by
/// [`Classified`](tidegate_core::gate::Classified) or settles by hand. When the pass is
/// [renewed](Pass::renew), the measurement begins anew: a wait since the grant does not count as
/// the server's latency.
impl<A: LimitAlgorithm, C: Clock> Pass for Permit<'_, A, C> {
    type Refused = TryAcquireError;

    fn renew(&mut self) -> Result<(), TryAcquireError> {
        self.in_flight.begin_again();
        Ok(())
    }

    fn settle(self, outcome: Outcome) {
        self.in_flight.settle(outcome);
    }
}

/// The result says whether the request succeeded.
impl<R, A, C> SettleBy<R> for Permit<'_, A, C>
where
    R: Classify + ?Sized,
    A: LimitAlgorithm,
    C: Clock,
{
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

impl<A: LimitAlgorithm, C> fmt::Debug for Permit<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("started", &self.in_flight.grant.started)
            .finish_non_exhaustive()
    }
}
