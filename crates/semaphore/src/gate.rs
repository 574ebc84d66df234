//! The semaphore as a gate, whose passes are permits.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::Gate;

use crate::{
    acquire::Acquire,
    error::{AcquireError, TryAcquireError},
    permit::Permit,
    pool::PermitPool,
    semaphore::Semaphore,
    word::Need,
};

/// Entering takes one permit. [`Semaphore::gate`] returns a gate that takes another number. An
/// `Arc<Semaphore>` is a gate, too; its passes keep the semaphore alive, so they can move into a
/// task or a thread.
///
/// # Examples
///
/// ```
/// use tidegate_semaphore::{Gate, Semaphore};
///
/// let (workers, sockets) = (Semaphore::new(4), Semaphore::new(100));
/// let gate = (&workers, &sockets);
/// gate.run(|| assert_eq!((workers.available_permits(), sockets.available_permits()), (3, 99)))?;
/// assert_eq!((workers.available_permits(), sockets.available_permits()), (4, 100));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
impl<'a> Gate for &'a Semaphore {
    type Pass = Permit<'a>;
    type Refused = TryAcquireError;
    type Enter = Enter<Acquire<'a>>;

    #[inline]
    fn try_enter(self) -> Result<Permit<'a>, TryAcquireError> {
        self.try_acquire(1)
    }

    #[inline]
    fn enter(self) -> Self::Enter {
        Enter { acquire: self.acquire(1) }
    }
}

impl Semaphore {
    /// Returns a gate that takes `n` permits for each caller that enters. Its passes borrow the
    /// semaphore; those of [`gate_owned`](Self::gate_owned) do not.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{Gate, Semaphore};
    ///
    /// let megabytes = Semaphore::new(64);
    /// let gate = megabytes.gate(16);
    /// let pass = gate.try_enter()?;
    /// assert_eq!(pass.count(), 16);
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    pub fn gate(&self, n: usize) -> PermitGate<'_> {
        PermitGate { pool: &self.pool, count: n }
    }
}

/// A gate that takes the same number of permits for each caller that enters. Made by
/// [`Semaphore::gate`].
#[derive(Debug, Clone, Copy)]
#[must_use = "a gate does nothing until it is entered"]
pub struct PermitGate<'s> {
    pool: &'s PermitPool,
    count: usize,
}

impl<'s> Gate for PermitGate<'s> {
    type Pass = Permit<'s>;
    type Refused = TryAcquireError;
    type Enter = Enter<Acquire<'s>>;

    #[inline]
    fn try_enter(self) -> Result<Permit<'s>, TryAcquireError> {
        self.pool.try_take(Need::exactly(self.count)).map(|n| Permit::new(self.pool, n))
    }

    #[inline]
    fn enter(self) -> Self::Enter {
        Enter { acquire: Acquire::new(self.pool, Need::exactly(self.count)) }
    }
}

/// Future of the [`enter`](Gate::enter) of every gate of this crate: `F` is the future that waits
/// for the permits. The error is never [`NoPermits`](TryAcquireError::NoPermits).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Enter<F> {
    pub(crate) acquire: F,
}

impl<P, F: Future<Output = Result<P, AcquireError>> + Unpin> Future for Enter<F> {
    type Output = Result<P, TryAcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.acquire).poll(cx).map_err(TryAcquireError::from)
    }
}
