//! Adaptive permits that borrow nothing. The methods that return them take an `Arc` as receiver,
//! which needs a target with compare-and-swap.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{
    Clock, Outcome, Pass, SystemClock,
    gate::{Classify, OwnedGate, SettleBy},
    primitive::Arc,
};

use super::{algorithm::LimitAlgorithm, permit::InFlight, semaphore::AdaptiveSemaphore};
use crate::{
    acquire::Request,
    error::{AcquireError, TryAcquireError},
    gate::Enter,
    permit::{Held, PoolOf},
    word::Need,
};

/// Owned permits. They need a target with compare-and-swap.
impl<A: LimitAlgorithm, C: Clock> AdaptiveSemaphore<A, C> {
    /// Works as [`try_acquire`](Self::try_acquire), with a permit that keeps the semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedPermit<A, C>, TryAcquireError> {
        let n = self.semaphore.pool.try_take(Need::exactly(1))?;
        Ok(OwnedPermit { in_flight: InFlight::begin(Held::new(PoolOf(self), n)) })
    }

    /// Works as [`acquire`](Self::acquire), with a permit that keeps the semaphore alive.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use tidegate_semaphore::{Wait, adaptive::{AdaptiveSemaphore, Vegas}};
    ///
    /// let limit = Arc::new(AdaptiveSemaphore::builder(Vegas::new()).build()?);
    /// let permit = limit.clone().acquire_owned().wait()?;
    /// thread::spawn(move || permit.success()).join().unwrap();
    /// assert_eq!((limit.stats().succeeded, limit.stats().in_flight), (1, 0));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    pub fn acquire_owned(self: Arc<Self>) -> AcquireOwned<A, C> {
        AcquireOwned { request: Request::new(PoolOf(self), Need::exactly(1)) }
    }
}

/// A permit for one request that keeps its [`AdaptiveSemaphore`] alive and borrows nothing. It is
/// settled like a [`Permit`](super::Permit); if it is dropped unsettled, it counts as ignored.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tidegate_semaphore::adaptive::{AdaptiveSemaphore, Aimd};
///
/// let limit = Arc::new(AdaptiveSemaphore::builder(Aimd::new()).initial(10).build()?);
/// limit.clone().try_acquire_owned()?.ignore();
/// limit.clone().try_acquire_owned()?.dropped();
/// assert_eq!((limit.limit(), limit.stats().dropped), (9, 1));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "dropping it unsettled says nothing about the request"]
pub struct OwnedPermit<A: LimitAlgorithm, C = SystemClock> {
    in_flight: InFlight<PoolOf<Arc<AdaptiveSemaphore<A, C>>>>,
}

impl<A: LimitAlgorithm, C: Clock> OwnedPermit<A, C> {
    /// Settles the permit as a success, as [`Permit::success`](super::Permit::success).
    pub fn success(self) {
        self.in_flight.learn(false);
    }

    /// Settles the permit as dropped, as [`Permit::dropped`](super::Permit::dropped).
    pub fn dropped(self) {
        self.in_flight.learn(true);
    }

    /// Settles the permit as ignored, as [`Permit::ignore`](super::Permit::ignore).
    pub fn ignore(self) {}
}

/// Works as the pass of `&AdaptiveSemaphore`.
impl<A: LimitAlgorithm, C: Clock> Pass for OwnedPermit<A, C> {
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
impl<R, A, C> SettleBy<R> for OwnedPermit<A, C>
where
    R: Classify + ?Sized,
    A: LimitAlgorithm,
    C: Clock,
{
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

impl<A: LimitAlgorithm, C> fmt::Debug for OwnedPermit<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = self.in_flight.grant.started;
        f.debug_struct("OwnedPermit").field("started", &started).finish_non_exhaustive()
    }
}

/// Future of [`AdaptiveSemaphore::acquire_owned`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct AcquireOwned<A: LimitAlgorithm, C = SystemClock> {
    request: Request<PoolOf<Arc<AdaptiveSemaphore<A, C>>>>,
}

impl<A: LimitAlgorithm, C: Clock> Future for AcquireOwned<A, C> {
    type Output = Result<OwnedPermit<A, C>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|held| OwnedPermit { in_flight: InFlight::begin(held) })
    }
}

impl<A: LimitAlgorithm, C> fmt::Debug for AcquireOwned<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcquireOwned").field(&self.request).finish()
    }
}

/// Works as the gate of `&AdaptiveSemaphore`, with passes that keep the semaphore alive.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_semaphore::{Gate, adaptive::{AdaptiveSemaphore, Aimd}};
///
/// let limit = Arc::new(AdaptiveSemaphore::builder(Aimd::new()).initial(8).build()?);
/// let gate = limit.clone();
/// let refused = thread::spawn(move || gate.run(|| Err::<(), _>("503"))).join().unwrap()?;
/// assert_eq!((refused, limit.limit()), (Err("503"), 7));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
impl<A: LimitAlgorithm, C: Clock> OwnedGate for AdaptiveSemaphore<A, C> {
    type Pass = OwnedPermit<A, C>;
    type Refused = TryAcquireError;
    type Enter = Enter<AcquireOwned<A, C>>;

    fn try_enter_owned(gate: Arc<Self>) -> Result<OwnedPermit<A, C>, TryAcquireError> {
        gate.try_acquire_owned()
    }

    fn enter_owned(gate: Arc<Self>) -> Self::Enter {
        Enter { acquire: gate.acquire_owned() }
    }
}
