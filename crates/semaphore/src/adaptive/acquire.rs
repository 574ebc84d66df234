//! Waiting for a permit, and the semaphore as a gate.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{Clock, Gate, SystemClock};

use super::{
    AdaptiveSemaphore, LimitAlgorithm, Permit,
    permit::{Borrowed, InFlight},
};
use crate::{
    acquire::Request,
    error::{AcquireError, TryAcquireError},
    word::Need,
};

/// Future of [`AdaptiveSemaphore::acquire`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Acquire<'a, A: LimitAlgorithm, C = SystemClock> {
    request: Request<Borrowed<'a, A, C>>,
}

impl<'a, A: LimitAlgorithm, C: Clock> Acquire<'a, A, C> {
    #[inline]
    pub(super) fn new(semaphore: &'a AdaptiveSemaphore<A, C>) -> Self {
        Self { request: Request::new(Borrowed(semaphore), Need::exactly(1)) }
    }
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

/// Who is inside holds a permit; the outcome of a pass is how the request went. In a row, put it where it likes: what is waited
/// for at a later gate is not taken for the server's time.
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
    type Enter = Enter<'a, A, C>;

    fn try_enter(self) -> Result<Permit<'a, A, C>, TryAcquireError> {
        self.try_acquire()
    }

    fn enter(self) -> Enter<'a, A, C> {
        Enter { acquire: self.acquire() }
    }
}

/// Future of the [`enter`](Gate::enter) of an [`AdaptiveSemaphore`]. Never refuses with
/// [`NoPermits`](TryAcquireError::NoPermits).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Enter<'a, A: LimitAlgorithm, C = SystemClock> {
    acquire: Acquire<'a, A, C>,
}

impl<'a, A: LimitAlgorithm, C: Clock> Future for Enter<'a, A, C> {
    type Output = Result<Permit<'a, A, C>, TryAcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.acquire).poll(cx).map_err(TryAcquireError::from)
    }
}

impl<A: LimitAlgorithm, C> fmt::Debug for Enter<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Enter").field(&self.acquire).finish()
    }
}
