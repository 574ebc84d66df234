//! Permits that borrow nothing. The methods that return them take an `Arc` as receiver, which needs
//! a target with compare-and-swap.

use core::{
    fmt,
    future::Future,
    ops::RangeInclusive,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{
    Gate, Outcome, Pass,
    gate::{OwnedGate, SettleBy},
    primitive::Arc,
};

use crate::{
    acquire::Request,
    error::{AcquireError, TryAcquireError},
    gate::Enter,
    permit::{Held, PoolOf},
    semaphore::Semaphore,
    word::Need,
};

/// Owned permits. They need a target with compare-and-swap.
impl Semaphore {
    /// Works as [`try_acquire`](Self::try_acquire), with permits that keep the semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(self: Arc<Self>, n: usize) -> Result<OwnedPermit, TryAcquireError> {
        let n = self.pool.try_take(Need::exactly(n))?;
        Ok(OwnedPermit { held: Held::new(PoolOf(self), n) })
    }

    /// Works as [`try_acquire_up_to`](Self::try_acquire_up_to), with permits that keep the
    /// semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_up_to`](Self::try_acquire_up_to).
    ///
    /// # Panics
    ///
    /// Panics if the range is empty.
    #[track_caller]
    #[inline]
    pub fn try_acquire_up_to_owned(
        self: Arc<Self>,
        range: RangeInclusive<usize>,
    ) -> Result<OwnedPermit, TryAcquireError> {
        let n = self.pool.try_take(range.into())?;
        Ok(OwnedPermit { held: Held::new(PoolOf(self), n) })
    }

    /// Works as [`acquire`](Self::acquire), with permits that keep the semaphore alive.
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
    /// use tidegate_semaphore::{AcquireError, Semaphore, Wait};
    ///
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// let jobs: Vec<_> = (0..3)
    ///     .map(|n| {
    ///         let permit = semaphore.clone().acquire_owned(1).wait()?;
    ///         Ok(thread::spawn(move || {
    ///             let _permit = permit;
    ///             n * n
    ///         }))
    ///     })
    ///     .collect::<Result<_, AcquireError>>()?;
    /// assert_eq!(jobs.into_iter().map(|job| job.join().unwrap()).sum::<u32>(), 5);
    /// # Ok::<(), AcquireError>(())
    /// ```
    #[inline]
    pub fn acquire_owned(self: Arc<Self>, n: usize) -> AcquireOwned {
        AcquireOwned { request: Request::new(PoolOf(self), Need::exactly(n)) }
    }

    /// Works as [`acquire_up_to`](Self::acquire_up_to), with permits that keep the semaphore alive.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire_up_to`](Self::acquire_up_to).
    ///
    /// # Panics
    ///
    /// Panics if the range is empty.
    #[track_caller]
    #[inline]
    pub fn acquire_up_to_owned(self: Arc<Self>, range: RangeInclusive<usize>) -> AcquireOwned {
        AcquireOwned { request: Request::new(PoolOf(self), range.into()) }
    }

    /// Works as [`gate`](Self::gate): returns a gate that takes `n` permits for each caller that
    /// enters. Its passes keep the semaphore alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::Arc, thread};
    /// use tidegate_semaphore::{Gate, Semaphore};
    ///
    /// let megabytes = Arc::new(Semaphore::new(64));
    /// let gate = megabytes.clone().gate_owned(16);
    /// let again = gate.clone();
    /// let pass = gate.try_enter()?;
    /// thread::spawn(move || again.run(|| Ok::<_, ()>("two of them"))).join().unwrap()?.unwrap();
    /// assert_eq!((pass.count(), megabytes.available_permits()), (16, 48));
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    pub fn gate_owned(self: Arc<Self>, n: usize) -> OwnedPermitGate {
        OwnedPermitGate { semaphore: self, count: n }
    }
}

/// A gate that takes the same number of permits for each caller that enters. Its passes keep the
/// semaphore alive. Made by [`Semaphore::gate_owned`]. A clone is another handle of the same gate.
#[derive(Debug, Clone)]
#[must_use = "a gate does nothing until it is entered"]
pub struct OwnedPermitGate {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl Gate for OwnedPermitGate {
    type Pass = OwnedPermit;
    type Refused = TryAcquireError;
    type Enter = Enter<AcquireOwned>;

    #[inline]
    fn try_enter(self) -> Result<OwnedPermit, TryAcquireError> {
        self.semaphore.try_acquire_owned(self.count)
    }

    #[inline]
    fn enter(self) -> Self::Enter {
        Enter { acquire: self.semaphore.acquire_owned(self.count) }
    }
}

/// Future of [`Semaphore::acquire_owned`] and [`Semaphore::acquire_up_to_owned`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct AcquireOwned {
    request: Request<PoolOf<Arc<Semaphore>>>,
}

impl Future for AcquireOwned {
    type Output = Result<OwnedPermit, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|held| OwnedPermit { held })
    }
}

/// Permits that keep their [`Semaphore`] alive and borrow nothing; released when dropped.
///
/// Use it where the permits move into a task or a thread. The [`Permit<'static>`](crate::Permit) of
/// a `static` semaphore does the same without counting references.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_semaphore::{Semaphore, Wait};
///
/// let semaphore = Arc::new(Semaphore::new(1));
/// let permit = semaphore.clone().try_acquire_owned(1)?;
/// let thread = thread::spawn(move || drop(permit));
/// assert_eq!(semaphore.acquire(1).wait().unwrap().count(), 1);
/// # thread.join().unwrap();
/// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
/// ```
#[must_use = "dropping it releases the permits at once"]
pub struct OwnedPermit {
    held: Held<PoolOf<Arc<Semaphore>>>,
}

impl OwnedPermit {
    /// Returns how many permits it holds.
    pub fn count(&self) -> usize {
        self.held.count()
    }

    /// Takes `n` of the permits out, as [`Permit::split`](crate::Permit::split).
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.held.split(n).map(|held| Self { held })
    }

    /// Adds the permits of `other`, as [`Permit::merge`](crate::Permit::merge).
    ///
    /// # Panics
    ///
    /// Panics if `other` is of another semaphore.
    #[track_caller]
    pub fn merge(&mut self, other: Self) {
        self.held.merge(other.held);
    }

    /// Removes the permits from the semaphore for good, as
    /// [`Permit::forget`](crate::Permit::forget).
    pub fn forget(self) {
        self.held.forget();
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A semaphore ignores the outcome: settling releases the permits.
impl Pass for OwnedPermit {
    type Refused = TryAcquireError;

    #[inline]
    fn settle(self, _outcome: Outcome) {}
}

/// Takes results of every type: settling releases the permits, whatever the result is.
impl<R: ?Sized> SettleBy<R> for OwnedPermit {
    #[inline]
    fn outcome(&self, _result: &R) -> Outcome {
        Outcome::Success
    }

    #[inline]
    fn settle_by(self, _result: &R) {}
}

/// Entering takes one permit that keeps the semaphore alive.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_semaphore::{Gate, Semaphore};
///
/// let semaphore = Arc::new(Semaphore::new(1));
/// let gate = semaphore.clone();
/// let inside = thread::spawn(move || gate.run(|| Ok::<_, ()>("inside")));
/// assert_eq!(inside.join().unwrap()?, Ok("inside"));
/// assert_eq!(semaphore.available_permits(), 1);
/// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
/// ```
impl OwnedGate for Semaphore {
    type Pass = OwnedPermit;
    type Refused = TryAcquireError;
    type Enter = Enter<AcquireOwned>;

    #[inline]
    fn try_enter_owned(gate: Arc<Self>) -> Result<OwnedPermit, TryAcquireError> {
        gate.try_acquire_owned(1)
    }

    #[inline]
    fn enter_owned(gate: Arc<Self>) -> Self::Enter {
        Enter { acquire: gate.acquire_owned(1) }
    }
}
