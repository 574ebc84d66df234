//! The semaphore as its users see it. How it works is in `pool.rs`.

use core::{fmt, future::Future};

use crate::{
    acquire::Acquire,
    error::{AcquireError, TryAcquireError},
    gate::PermitGate,
    permit::Permit,
    pool::{self, Pool},
    stats::Stats,
};

/// The most permits that one semaphore can have: 2³² − 1.
pub const MAX_PERMITS: usize = pool::MAX_PERMITS;

/// Hands out a number of permits to tasks and threads, in the order in which they ask.
///
/// Use it to bound how much happens at once: requests, open files, bytes in memory (a permit per byte or kilobyte, and
/// requests by weight). For one at a time and a value to guard, a mutex is simpler. A semaphore bounds how many, not how
/// often: for a number per second use a rate limiter.
///
/// Taking free permits is one compare-and-swap, giving them back one addition. The lock of the line is taken only where
/// somebody waits.
///
/// # Fairness
///
/// Strictly first in, first out, by the first poll of the futures; [`.wait()`](crate::Wait::wait) polls at once. Nobody
/// overtakes: a request is served when those before it have been, also if it is small and they are large, and
/// [`try_acquire`](Self::try_acquire) refuses while anybody waits. The exception is a request for 0 permits: it takes
/// nothing from anybody and is ready at once, whoever waits.
///
/// A permit given back belongs to the head of the line before the head runs.
///
/// # Memory ordering
///
/// Everything before a permit is given back happens before what is done with it by the next holder. Everything before
/// [`close`](Self::close) happens before what follows an error that says so.
///
/// # Examples
///
/// A task and a thread in one line:
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
    pub(crate) pool: Pool,
}

impl Semaphore {
    tidegate_core::const_fn! {
        /// Creates an open semaphore with `permits` free permits. Does not allocate.
        ///
        /// There may be none, to be [added](Self::add_permits) later. Until then every request but one for 0 is one for
        /// too many, and is refused.
        ///
        /// # Panics
        ///
        /// Panics if `permits` is above [`MAX_PERMITS`].
        #[track_caller]
        pub fn new(permits: usize) -> Self {
            assert!(permits <= MAX_PERMITS, "a semaphore has at most MAX_PERMITS = 4294967295 permits");
            Self { pool: Pool::new(permits) }
        }
    }

    /// Takes `n` permits if that is possible without waiting and without overtaking.
    ///
    /// # Errors
    ///
    /// [`Closed`](TryAcquireError::Closed), also for `n` = 0; else [`TooMany`](TryAcquireError::TooMany) if `n` is above
    /// the [`capacity`](Self::capacity); else [`NoPermits`](TryAcquireError::NoPermits).
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
        self.pool.try_take(n).map(|()| Permit::new(&self.pool, n))
    }

    /// Waits for `n` permits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in line up, and those behind move up at once. If it had been granted its
    /// permits already, they go to the next in line.
    ///
    /// # Errors
    ///
    /// [`Closed`](AcquireError::Closed), also for `n` = 0; else [`TooMany`](AcquireError::TooMany) if `n` is above the
    /// [`capacity`](Self::capacity): nobody waits for permits that do not exist. Both come at once.
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
        Acquire::new(&self.pool, n)
    }

    /// Waits on this thread for `n` permits and runs `act` with them held. They are given back also if `act` panics.
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

    /// Waits for `n` permits and then for `future` with them held. They are given back also if `future` panics.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for permits: as [`acquire`](Self::acquire), and `future` was not polled. Dropped later: the
    /// permits are given back once `future` has been dropped.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); then `future` was not polled.
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
    pub async fn with_async<F: Future>(
        &self,
        n: usize,
        future: F,
    ) -> Result<F::Output, AcquireError> {
        let _permit = self.acquire(n).await?;
        Ok(future.await)
    }

    /// Returns a gate that takes `n` permits from each who enters.
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
        PermitGate::new(&self.pool, n)
    }

    /// Refuses every request from now on and sends everybody in line away with [`AcquireError::Closed`], for ever.
    ///
    /// Permits that were given stay valid, also those of a request that was granted and not polled since. Returns false
    /// if it was closed already.
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

    /// Returns how many permits nobody holds. A snapshot.
    pub fn available_permits(&self) -> usize {
        self.pool.free()
    }

    /// Returns how many permits there are, in use or not. A snapshot.
    pub fn capacity(&self) -> usize {
        self.pool.capacity()
    }

    /// Adds `n` permits, which go to those who wait first.
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
        assert!(self.pool.grow(n), "a semaphore has at most MAX_PERMITS = {MAX_PERMITS} permits");
    }

    /// Removes up to `n` of the free permits for good and returns how many. Never waits.
    ///
    /// Permits given back before go to those in line first. Free ones beside a head that waits for more may be removed.
    ///
    /// The capacity shrinks by as many. A request in line that now asks for more than there is gets
    /// [`AcquireError::TooMany`] as soon as it is at the head: it would never be served.
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
        self.pool.shrink_free(n)
    }

    /// Returns what it has been doing: a snapshot of one instant as far as permits and the line are concerned, and of
    /// about that instant for the counts. Takes the lock of the line.
    pub fn stats(&self) -> Stats {
        self.pool.stats()
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
