//! Permits that are held.

use core::{fmt, mem, ops::Deref, ptr};

use tidegate_core::{Outcome, Pass, gate::SettleBy};

use crate::{error::TryAcquireError, pool::PermitPool};

/// A semaphore, fixed or adaptive, as the owner of a pool.
pub(crate) trait HasPool {
    fn pool(&self) -> &PermitPool;
}

/// Dereferences to the pool of the semaphore that `S` points to. `S` is a reference or an `Arc`.
#[derive(Clone)]
pub(crate) struct PoolOf<S>(pub(crate) S);

impl<S: Deref<Target: HasPool>> Deref for PoolOf<S> {
    type Target = PermitPool;

    #[inline]
    fn deref(&self) -> &PermitPool {
        (*self.0).pool()
    }
}

/// Permits taken from the pool that `P` points to. Dropping releases them.
pub(crate) struct Held<P: Deref<Target = PermitPool>> {
    pool: P,
    count: usize,
}

impl<P: Deref<Target = PermitPool> + Clone> Held<P> {
    pub(crate) fn split(&mut self, n: usize) -> Option<Self> {
        self.count = self.count.checked_sub(n)?;
        Some(Self { pool: self.pool.clone(), count: n })
    }
}

impl<P: Deref<Target = PermitPool>> Held<P> {
    #[inline]
    pub(crate) fn new(pool: P, count: usize) -> Self {
        Self { pool, count }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns the pointer to the pool that the permits were taken from.
    #[inline]
    pub(crate) fn pool(&self) -> &P {
        &self.pool
    }

    #[track_caller]
    pub(crate) fn merge(&mut self, mut other: Self) {
        assert!(ptr::eq(&*self.pool, &*other.pool), "permits of different semaphores are merged");
        self.count += mem::take(&mut other.count);
    }

    pub(crate) fn forget(mut self) {
        match mem::take(&mut self.count) {
            0 => {}
            n => self.pool.forget(n),
        }
    }
}

impl<P: Deref<Target = PermitPool>> Drop for Held<P> {
    #[inline]
    fn drop(&mut self) {
        if self.count != 0 {
            self.pool.release(self.count);
        }
    }
}

/// Permits of a [`Semaphore`](crate::Semaphore), released when dropped.
///
/// They can be split and merged: a caller can acquire the permits of a batch in one request and
/// release them item by item.
///
/// # Examples
///
/// ```
/// use tidegate_semaphore::Semaphore;
///
/// let semaphore = Semaphore::new(3);
/// let mut batch = semaphore.try_acquire(3)?;
/// let item = batch.split(1).expect("it holds three");
/// drop(batch);
/// assert_eq!(semaphore.available_permits(), 2);
///
/// let mut both = semaphore.try_acquire(1)?;
/// both.merge(item);
/// assert_eq!(both.count(), 2);
/// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
/// ```
#[must_use = "dropping it releases the permits at once"]
pub struct Permit<'a> {
    pub(crate) held: Held<&'a PermitPool>,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(crate) fn new(pool: &'a PermitPool, count: usize) -> Self {
        Self { held: Held::new(pool, count) }
    }

    /// Returns how many permits it holds.
    pub fn count(&self) -> usize {
        self.held.count()
    }

    /// Takes `n` of the permits out and returns them; `None`, without effect, if it holds fewer.
    /// Either part may be left with 0 permits.
    pub fn split(&mut self, n: usize) -> Option<Self> {
        self.held.split(n).map(|held| Self { held })
    }

    /// Adds the permits of `other`.
    ///
    /// # Panics
    ///
    /// Panics if `other` is of another semaphore. `other` is then released to its own semaphore,
    /// and this permit stays as it was.
    #[track_caller]
    pub fn merge(&mut self, other: Self) {
        self.held.merge(other.held);
    }

    /// Removes the permits from the semaphore for good. They first pay what is owed since the
    /// [capacity was lowered](crate::Semaphore::set_capacity); the capacity shrinks by the rest.
    ///
    /// See [`Semaphore::forget_permits`](crate::Semaphore::forget_permits) for its effect on
    /// waiters.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let semaphore = Semaphore::new(3);
    /// semaphore.try_acquire(1)?.forget();
    /// assert_eq!((semaphore.capacity(), semaphore.available_permits()), (2, 2));
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    pub fn forget(self) {
        self.held.forget();
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A semaphore ignores the outcome: settling releases the permits.
impl Pass for Permit<'_> {
    type Refused = TryAcquireError;

    #[inline]
    fn settle(self, _outcome: Outcome) {}
}

/// Takes results of every type: settling releases the permits, whatever the result is.
impl<R: ?Sized> SettleBy<R> for Permit<'_> {
    #[inline]
    fn outcome(&self, _result: &R) -> Outcome {
        Outcome::Success
    }
}
