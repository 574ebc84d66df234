//! Waiting for a permit, and the semaphore as a gate.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{Clock, Gate, SystemClock};

use super::{
    algorithm::LimitAlgorithm,
    permit::{InFlight, Permit},
    semaphore::AdaptiveSemaphore,
};
use crate::{
    acquire::Request,
    error::{AcquireError, TryAcquireError},
    gate::Enter,
    permit::{Held, PoolOf},
    word::Need,
};

impl<A: LimitAlgorithm, C: Clock> AdaptiveSemaphore<A, C> {
    /// Takes a permit if one is free. A caller is refused while requests wait, unless the
    /// [fairness](super::Builder::fairness) lets it overtake them.
    ///
    /// # Errors
    ///
    /// [`Closed`](TryAcquireError::Closed), else [`NoPermits`](TryAcquireError::NoPermits).
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_, A, C>, TryAcquireError> {
        let n = self.semaphore.pool.try_take(Need::exactly(1))?;
        Ok(Permit { in_flight: InFlight::begin(Held::new(PoolOf(self), n)) })
    }

    /// Waits for a permit.
    ///
    /// The measured latency does not include the time in the queue nor, in a row of gates, the time
    /// in the queue of a later gate.
    ///
    /// # Cancel safety
    ///
    /// As [`Semaphore::acquire`](crate::Semaphore::acquire).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::AcquireError::Closed), else [`QueueFull`](crate::AcquireError::QueueFull)
    /// if the request would have to wait, and [`max_waiters`](super::Builder::max_waiters) wait
    /// already.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_semaphore::{Wait, adaptive::{AdaptiveSemaphore, Vegas}};
    ///
    /// let limit = AdaptiveSemaphore::builder(Vegas::new()).initial(1).build()?;
    /// let permit = limit.acquire().wait()?;
    /// assert!(limit.acquire().wait_timeout(Duration::from_millis(1)).is_err());
    /// permit.success();
    /// assert!(limit.acquire().wait().is_ok());
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[inline]
    pub fn acquire(&self) -> Acquire<'_, A, C> {
        Acquire { request: Request::new(PoolOf(self), Need::exactly(1)) }
    }
}

/// Future of [`AdaptiveSemaphore::acquire`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Acquire<'a, A: LimitAlgorithm, C = SystemClock> {
    request: Request<PoolOf<&'a AdaptiveSemaphore<A, C>>>,
}

impl<'a, A: LimitAlgorithm, C: Clock> Future for Acquire<'a, A, C> {
    type Output = Result<Permit<'a, A, C>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|held| Permit { in_flight: InFlight::begin(held) })
    }
}

impl<A: LimitAlgorithm, C> fmt::Debug for Acquire<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acquire").field(&self.request).finish()
    }
}

/// The passes are permits, settled by the outcome of the request. In a row of gates this gate may
/// stand anywhere: the wait at a later gate does not count as the server's latency.
///
/// # Examples
///
/// ```
/// use tidegate_semaphore::{Gate, adaptive::{AdaptiveSemaphore, Aimd}};
///
/// let limit = AdaptiveSemaphore::builder(Aimd::new()).initial(8).build()?;
/// assert_eq!(limit.run(|| Ok::<_, ()>("200 OK"))?, Ok("200 OK"));
/// assert_eq!(limit.run(|| Err::<(), _>("timed out"))?, Err("timed out"));
/// assert_eq!((limit.stats().succeeded, limit.stats().dropped, limit.limit()), (1, 1, 7));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
impl<'a, A: LimitAlgorithm, C: Clock> Gate for &'a AdaptiveSemaphore<A, C> {
    type Pass = Permit<'a, A, C>;
    type Refused = TryAcquireError;
    type Enter = Enter<Acquire<'a, A, C>>;

    fn try_enter(self) -> Result<Permit<'a, A, C>, TryAcquireError> {
        self.try_acquire()
    }

    fn enter(self) -> Self::Enter {
        Enter { acquire: self.acquire() }
    }
}
