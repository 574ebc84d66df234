//! The semaphore's public methods. How it works is in `pool.rs`.

use core::{fmt, future::Future, ops::RangeInclusive};

#[cfg(feature = "std")]
use crate::error::AcquireError;
use crate::{
    acquire::Acquire,
    builder::Builder,
    error::TryAcquireError,
    idle::Idle,
    permit::{HasPool, Permit},
    pool::{PermitPool, Settings},
    stats::Stats,
    with_async::WithAsync,
    word::{self, Need},
};

/// The most permits that one semaphore can have: 2³² − 1.
pub const MAX_PERMITS: usize = word::MAX_PERMITS;

/// Hands out a number of permits to tasks and threads, in the order in which they ask.
///
/// Use it to bound how much happens at once: requests, open files, bytes in memory (a permit for
/// each byte or kilobyte, of which a request takes as many as it needs). To guard a value for one
/// caller at a time, a mutex is simpler. A semaphore bounds how many, not how often: for a number
/// per second use a rate limiter.
///
/// Taking free permits is one compare-and-swap, releasing them one addition. Both take the lock of
/// the queue only while a request or a caller of [`idle`](Self::idle) waits, or while permits are
/// owed since the [capacity was lowered](Self::set_capacity); a release may take it once more after
/// that.
///
/// # Fairness
///
/// By default requests are served strictly first in, first out, in the order in which their futures
/// are first polled; [`.wait()`](crate::Wait::wait) polls at once. [`Fairness`](crate::Fairness)
/// lists the alternatives, and why this is the default. No request overtakes another: each is
/// served when those before it have been, even a small one behind large ones, and
/// [`try_acquire`](Self::try_acquire) refuses while any request waits. The exception is a request
/// for 0 permits: it takes no permits from any waiter and is ready at once.
///
/// Released permits that suffice for the head of the queue belong to the head before it runs. They
/// stay its own for as long as its future is kept, polled or not: so poll a future in the queue
/// when it is woken, or drop it. [`Fairness`](crate::Fairness) says what the other orders do about
/// a waiter that is not polled.
///
/// # Memory ordering
///
/// Everything before the release of a permit happens before what its next holder does with it.
/// Everything before [`close`](Self::close) happens before whatever follows an
/// [`AcquireError::Closed`].
///
/// # Examples
///
/// A task and a thread in one wait queue:
///
/// ```
/// use std::thread;
/// use tidegate_semaphore::{AcquireError, Semaphore, Wait};
///
/// static CONNECTIONS: Semaphore = Semaphore::new(2);
///
/// let thread = thread::spawn(|| CONNECTIONS.with(1, || "by a thread"));
/// let task = async {
///     let both = CONNECTIONS.acquire(2).await?;
///     Ok::<usize, AcquireError>(both.count())
/// };
/// assert_eq!(task.wait(), Ok(2));
/// assert_eq!(thread.join().unwrap(), Ok("by a thread"));
/// ```
pub struct Semaphore {
    pub(crate) pool: PermitPool,
}

impl Semaphore {
    tidegate_core::const_fn! {
        /// Creates an open semaphore with `permits` free permits. Does not allocate.
        ///
        /// `permits` may be 0: the caller can [add](Self::add_permits) some later. Until then every
        /// request for one permit or more is refused with [`TooMany`](AcquireError::TooMany),
        /// unless the semaphore lets it [wait for the capacity](crate::Builder::wait_for_capacity).
        ///
        /// # Panics
        ///
        /// Panics if `permits` is above [`MAX_PERMITS`].
        #[track_caller]
        pub fn new(permits: usize) -> Self {
            Self::check(permits);
            Self { pool: PermitPool::new(permits, Settings::DEFAULT) }
        }
    }

    #[track_caller]
    pub(crate) const fn check(permits: usize) {
        assert!(permits <= MAX_PERMITS, "a semaphore has at most MAX_PERMITS = 4294967295 permits");
    }

    /// Returns a builder for a semaphore of `permits` permits.
    ///
    /// # Panics
    ///
    /// Panics if `permits` is above [`MAX_PERMITS`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{Fairness, Semaphore};
    ///
    /// let semaphore = Semaphore::builder(4).fairness(Fairness::eventual()).build();
    /// assert_eq!(semaphore.available_permits(), 4);
    /// ```
    #[track_caller]
    pub fn builder(permits: usize) -> Builder {
        Builder::new(permits)
    }

    /// Takes `n` permits if so many are free. A caller is refused while other requests wait, unless
    /// `n` is 0 or the [`Fairness`](crate::Fairness) lets it overtake them.
    ///
    /// # Errors
    ///
    /// [`Closed`](TryAcquireError::Closed), also for `n` = 0; else
    /// [`TooMany`](TryAcquireError::TooMany) if `n` is above the [`capacity`](Self::capacity) (or,
    /// where requests [wait for it](crate::Builder::wait_for_capacity), above [`MAX_PERMITS`]);
    /// else [`NoPermits`](TryAcquireError::NoPermits).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let semaphore = Semaphore::new(2);
    /// let permit = semaphore.try_acquire(2)?;
    /// assert!(semaphore.try_acquire(1).is_err());
    /// drop(permit);
    /// assert!(semaphore.try_acquire(1).is_ok());
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self, n: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.pool.try_take(Need::exactly(n)).map(|n| Permit::new(&self.pool, n))
    }

    /// Takes as many free permits as the range allows, if [`try_acquire`](Self::try_acquire) would
    /// succeed for the start of the range. If that start is 0, only a closed semaphore refuses: the
    /// caller gets 0 permits if none is free, or if a waiter comes first.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire) for the start of the range.
    ///
    /// # Panics
    ///
    /// Panics if the range is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let connections = Semaphore::new(5);
    /// let most = connections.try_acquire_up_to(1..=3)?;
    /// let rest = connections.try_acquire_up_to(1..=3)?;
    /// assert_eq!((most.count(), rest.count()), (3, 2));
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    #[track_caller]
    #[inline]
    pub fn try_acquire_up_to(
        &self,
        range: RangeInclusive<usize>,
    ) -> Result<Permit<'_>, TryAcquireError> {
        self.pool.try_take(range.into()).map(|n| Permit::new(&self.pool, n))
    }

    /// Waits for `n` permits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes its request out of the wait queue, and those behind it move up at
    /// once. If it had been granted its permits already, they go to the next waiter.
    ///
    /// # Errors
    ///
    /// [`Closed`](AcquireError::Closed), also for `n` = 0; else [`TooMany`](AcquireError::TooMany)
    /// if `n` is above the [`capacity`](Self::capacity) (or, where requests [wait for
    /// it](crate::Builder::wait_for_capacity), above [`MAX_PERMITS`]); else
    /// [`QueueFull`](AcquireError::QueueFull) if the request would have to wait, and
    /// [`max_waiters`](crate::Builder::max_waiters) requests wait already. The first poll returns
    /// these errors at once. A request in the queue gets `Closed` when the semaphore is closed, and
    /// `TooMany` when it is at the head and the capacity has shrunk below `n`.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it was ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_semaphore::{AcquireError, CancelToken, Semaphore, Wait};
    ///
    /// let semaphore = Semaphore::new(2);
    /// let token = CancelToken::new();
    /// let permit = async { semaphore.acquire(2).await }.wait()?;
    /// assert!(semaphore.acquire(1).wait_timeout(Duration::from_millis(1)).is_err());
    /// token.cancel();
    /// assert!(semaphore.acquire(1).or_cancelled(&token).wait().is_err());
    /// drop(permit);
    /// assert_eq!(semaphore.acquire(1).wait()?.count(), 1);
    /// # Ok::<(), AcquireError>(())
    /// ```
    #[inline]
    pub fn acquire(&self, n: usize) -> Acquire<'_> {
        Acquire::new(&self.pool, Need::exactly(n))
    }

    /// Waits until as many permits as the start of the range are free, then takes as many as the
    /// range allows. If the start is 0, it never waits: the caller gets 0 permits if none is free,
    /// or if a waiter comes first.
    ///
    /// The request waits in the queue like one for the start of the range. When its turn comes, it
    /// takes what is free then, even if the waiters behind it then wait longer.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire) for the start of the range.
    ///
    /// # Panics
    ///
    /// Panics if the range is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{AcquireError, Semaphore, Wait};
    ///
    /// let idle_cores = Semaphore::new(6);
    /// let job = idle_cores.acquire_up_to(2..=4).wait()?;
    /// assert_eq!(job.count(), 4);
    /// assert_eq!(idle_cores.acquire_up_to(1..=usize::MAX).wait()?.count(), 2);
    /// # Ok::<(), AcquireError>(())
    /// ```
    #[track_caller]
    #[inline]
    pub fn acquire_up_to(&self, range: RangeInclusive<usize>) -> Acquire<'_> {
        Acquire::new(&self.pool, range.into())
    }

    /// Waits on this thread for `n` permits, then runs `act` with the permits held. The permits are
    /// released even if `act` panics.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); then `act` was not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let semaphore = Semaphore::new(2);
    /// assert_eq!(semaphore.with(2, || semaphore.available_permits()), Ok(0));
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    #[cfg(feature = "std")]
    pub fn with<R>(&self, n: usize, act: impl FnOnce() -> R) -> Result<R, AcquireError> {
        use tidegate_core::Wait;
        let _permit = self.acquire(n).wait()?;
        Ok(act())
    }

    /// Waits for `n` permits, then runs `future` with the permits held. The permits are released
    /// even if `future` panics.
    ///
    /// # Cancel safety
    ///
    /// If the returned future is dropped while it waits for permits, the same holds as for
    /// [`acquire`](Self::acquire), and `future` was not polled. If it is dropped later, the permits
    /// are released once `future` has been dropped.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); then `future` was not polled.
    ///
    /// # Panics
    ///
    /// The returned future panics if it is polled after it was ready, or after `future` has
    /// panicked; it runs nothing then.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{Semaphore, Wait};
    ///
    /// let semaphore = Semaphore::new(2);
    /// let available = semaphore.with_async(1, async { semaphore.available_permits() });
    /// assert_eq!(available.wait(), Ok(1));
    /// ```
    pub fn with_async<F: Future>(&self, n: usize, future: F) -> WithAsync<'_, F> {
        WithAsync::new(self.acquire(n), future)
    }

    /// Refuses every request from now on, for ever, and rejects all waiters, with
    /// [`AcquireError::Closed`].
    ///
    /// Granted permits stay valid, also those of a request that has not been polled since its
    /// grant. Returns false if the semaphore was closed already.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{AcquireError, Semaphore, Wait};
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire(1)?;
    /// assert!(semaphore.close());
    /// assert_eq!(semaphore.acquire(1).wait().unwrap_err(), AcquireError::Closed);
    /// drop(permit);
    /// assert_eq!(semaphore.available_permits(), 1);
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    pub fn close(&self) -> bool {
        self.pool.close()
    }

    /// Returns whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Returns how many permits are free. A snapshot.
    pub fn available_permits(&self) -> usize {
        self.pool.free()
    }

    /// Returns the capacity: the permits that are free, held or granted, less those still owed
    /// after it was lowered. A snapshot.
    pub fn capacity(&self) -> usize {
        self.pool.capacity()
    }

    /// Adds `n` permits. They first pay what is owed since the [capacity was
    /// lowered](Self::set_capacity); the rest goes to the waiters first.
    ///
    /// # Panics
    ///
    /// Panics, without effect, if the capacity would exceed [`MAX_PERMITS`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// semaphore.add_permits(2);
    /// assert_eq!((semaphore.capacity(), semaphore.available_permits()), (3, 3));
    /// ```
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        let grown = self.pool.resize(|capacity| capacity.checked_add(n));
        assert!(grown, "a semaphore has at most MAX_PERMITS = {MAX_PERMITS} permits");
    }

    /// Sets the number of permits, in use or not, to `n`. Never waits.
    ///
    /// New permits go to the waiters first. If `n` is lower, free permits are removed at once;
    /// permits in use beyond `n` are a debt that the next releases pay. A request in the queue for
    /// more than `n` gets [`AcquireError::TooMany`] as soon as it is at the head, unless the
    /// semaphore lets it [wait for the capacity](crate::Builder::wait_for_capacity).
    ///
    /// # Panics
    ///
    /// Panics, without effect, if `n` is above [`MAX_PERMITS`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let semaphore = Semaphore::new(4);
    /// let mut held = semaphore.try_acquire(3)?;
    /// semaphore.set_capacity(2);
    /// assert_eq!((semaphore.available_permits(), semaphore.stats().in_use), (0, 3));
    /// drop(held.split(1));
    /// assert_eq!((semaphore.available_permits(), semaphore.stats().in_use), (0, 2));
    /// drop(held);
    /// assert_eq!((semaphore.available_permits(), semaphore.capacity()), (2, 2));
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    #[track_caller]
    pub fn set_capacity(&self, n: usize) {
        let set = self.pool.resize(|_| Some(n));
        assert!(set, "a semaphore has at most MAX_PERMITS = {MAX_PERMITS} permits, not {n}");
    }

    /// Waits until every permit is released: none is held, and none is granted to a future that has
    /// not been polled since.
    ///
    /// Everything before the release of the last permit happens before the future is ready. If
    /// permits are taken again before the waiter polls, it misses that moment of idleness and waits
    /// for the next. Permits may be taken again at once, unless the semaphore is
    /// [closed](Self::close): `close` and then `idle` is an orderly end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no trace.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{Semaphore, Wait};
    ///
    /// let semaphore = Semaphore::new(2);
    /// std::thread::scope(|scope| {
    ///     let permit = semaphore.try_acquire(1).unwrap();
    ///     scope.spawn(move || drop(permit));
    ///     semaphore.close();
    ///     semaphore.idle().wait();
    /// });
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    pub fn idle(&self) -> Idle<'_> {
        Idle::new(&self.pool)
    }

    /// Removes up to `n` of the free permits for good and returns how many. Never waits.
    ///
    /// Permits released before this call go to the waiters first, unless newcomers [may
    /// overtake](crate::Fairness) the waiters. Free permits that do not suffice for the head of the
    /// queue may be removed.
    ///
    /// The capacity shrinks by as many. A request in the queue for more than the new capacity gets
    /// [`AcquireError::TooMany`] as soon as it is at the head, unless the semaphore lets it [wait
    /// for the capacity](crate::Builder::wait_for_capacity).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::Semaphore;
    ///
    /// let semaphore = Semaphore::new(3);
    /// let _held = semaphore.try_acquire(1)?;
    /// assert_eq!(semaphore.forget_permits(5), 2);
    /// assert_eq!((semaphore.capacity(), semaphore.available_permits()), (1, 0));
    /// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
    /// ```
    pub fn forget_permits(&self, n: usize) -> usize {
        self.pool.forget_free(n)
    }

    /// Returns the statistics: permits and the queue as of one instant, the counts as of about that
    /// instant. Takes the lock of the queue.
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }
}

impl HasPool for Semaphore {
    #[inline]
    fn pool(&self) -> &PermitPool {
        &self.pool
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("capacity", &self.capacity())
            .field("available_permits", &self.available_permits())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
