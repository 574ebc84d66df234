//! The adaptive semaphore.

use core::{fmt, ops::RangeInclusive};

use tidegate_core::{
    BuildError, Clock, SystemClock,
    lock::Lock,
    primitive::atomic::{AtomicU64, Ordering},
};

use super::{
    algorithm::LimitAlgorithm,
    builder::{Builder, check_range},
    control::Control,
    round::{Grant, Sample, Version},
    stats::Stats,
};
use crate::{idle::Idle, permit::HasPool, pool::PermitPool, semaphore::Semaphore};

/// A [`Semaphore`] whose number of permits follows the latency and the drops of the requests that
/// hold them.
///
/// Use it in front of a server (or a database, a disk, a pool) whose capacity is unknown or
/// changes. A request that comes when the limit is reached waits, in the order of the
/// [fairness](Builder::fairness). It is refused if it comes by [`try_acquire`](Self::try_acquire),
/// or if [`max_waiters`](Builder::max_waiters) wait already. Where the right number is known, a
/// [`Semaphore`] costs less; where calls must be spaced in time, use a rate limiter. An adaptive
/// semaphore does not help where latency says nothing about load, as with long polls.
///
/// A request takes one permit. The caller tells how it went by [`success`](super::Permit::success),
/// [`dropped`](super::Permit::dropped) or [`ignore`](super::Permit::ignore);
/// [`Gate::run`](crate::Gate::run) does so by the result. A request costs as much as a permit of a
/// [`Semaphore`] and, in addition, two loads, two clock reads, and a short lock when it is settled.
/// An ignored request saves the second clock read and the lock.
///
/// # Memory ordering
///
/// The same as that of [`Semaphore`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_semaphore::{Gate, ManualClock, adaptive::{AdaptiveSemaphore, Aimd}};
///
/// let clock = ManualClock::new();
/// let limit = AdaptiveSemaphore::builder(Aimd::new()).initial(10).max(50).clock(clock.clone()).build()?;
///
/// // Ten at once, and all went well: there may be more.
/// let permits: Vec<_> = (0..10).map(|_| limit.try_acquire()).collect::<Result<_, _>>()?;
/// assert!(limit.try_acquire().is_err());
/// clock.advance(Duration::from_millis(20));
/// permits.into_iter().for_each(|permit| permit.success());
/// assert_eq!(limit.limit(), 11);
///
/// // One was refused by the server: there may be fewer.
/// let result = limit.run(|| Err::<(), _>("503 service unavailable"))?;
/// assert!(result.is_err());
/// assert_eq!(limit.limit(), 9);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct AdaptiveSemaphore<A: LimitAlgorithm, C = SystemClock> {
    pub(super) semaphore: Semaphore,
    clock: C,
    /// A [`LimitWord`]: what `control` has decided last; the semaphore's capacity follows it.
    // INVARIANT: within the range of `control`; written under its lock only.
    limit: AtomicU64,
    control: Lock<Control<A>>,
}

impl<A: LimitAlgorithm> AdaptiveSemaphore<A> {
    /// Returns a builder of a semaphore whose limit is moved by `algorithm`.
    pub fn builder(algorithm: A) -> Builder<A> {
        Builder::new(algorithm)
    }
}

impl<A: LimitAlgorithm, C> AdaptiveSemaphore<A, C> {
    pub(super) fn from_parts(semaphore: Semaphore, clock: C, control: Control<A>) -> Self {
        let limit = AtomicU64::new(LimitWord::new(control.limit(), control.version()).0);
        Self { semaphore, clock, limit, control: Lock::new(control) }
    }

    /// Returns how many requests may be in flight. A snapshot.
    ///
    /// After the limit has shrunk, more may be in flight for some time: requests in flight are not
    /// stopped.
    pub fn limit(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        LimitWord(self.limit.load(Ordering::Relaxed)).limit()
    }

    /// Changes the range of the limit while the semaphore is used: [`min`](Builder::min) and
    /// [`max`](Builder::max) are those of `range` from now on.
    ///
    /// A limit outside of `range` is set to the nearest end. If it grows, waiting requests are
    /// served at once; if it shrinks, requests in flight go on, as after any change of the limit.
    /// What was measured under the limit before does not count for the new one, and a probe of
    /// [`Vegas`](super::Vegas) that runs is left out. The latencies that the algorithm has learned,
    /// and the statistics, stay.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `range` is empty or not within 1 to
    /// [`MAX_PERMITS`](crate::MAX_PERMITS), as from the builder; then nothing changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::adaptive::{AdaptiveSemaphore, Vegas};
    ///
    /// let limit = AdaptiveSemaphore::builder(Vegas::new()).initial(20).build()?;
    /// limit.set_range(32..=64)?;
    /// assert_eq!(limit.limit(), 32);
    ///
    /// let error = limit.set_range(0..=64).unwrap_err();
    /// assert_eq!(error.to_string(), "min is 0, but must be in 1..=64");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn set_range(&self, range: RangeInclusive<usize>) -> Result<(), BuildError> {
        let (min, max) = range.into_inner();
        check_range(min, max)?;
        self.update(|control| control.set_range(min, max));
        Ok(())
    }

    /// Refuses every request from now on and rejects all waiters, as [`Semaphore::close`]. Granted
    /// permits stay valid. Returns false if the semaphore was closed already.
    pub fn close(&self) -> bool {
        self.semaphore.close()
    }

    /// Returns whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.semaphore.is_closed()
    }

    /// Waits until nothing is in flight, as [`Semaphore::idle`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no trace.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{Wait, adaptive::{AdaptiveSemaphore, Vegas}};
    ///
    /// let limit = AdaptiveSemaphore::builder(Vegas::new()).build()?;
    /// let permit = limit.try_acquire()?;
    /// limit.close();
    /// permit.success();
    /// limit.idle().wait();
    /// assert_eq!(limit.stats().in_flight, 0);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn idle(&self) -> Idle<'_> {
        self.semaphore.idle()
    }

    /// Returns the statistics. Takes the lock of the queue and that of the limit, one after the
    /// other.
    pub fn stats(&self) -> Stats {
        let permits = self.semaphore.stats();
        self.control.with(|control| control.stats(permits))
    }

    /// Lets `act` move the limit, which the number of permits then follows.
    fn update(&self, act: impl FnOnce(&mut Control<A>)) {
        let has_changed = self.control.with(|control| {
            act(control);
            let word = LimitWord::new(control.limit(), control.version());
            // ORDERING: Relaxed, both: under the lock.
            let before = LimitWord(self.limit.load(Ordering::Relaxed));
            self.limit.store(word.0, Ordering::Relaxed);
            before.limit() != word.limit()
        });
        if has_changed {
            // The limit is read under the lock of the queue. Of two callers that change the
            // capacity, each has stored its limit before it took that lock, so the later one reads
            // the latest limit.
            let is_set = self.semaphore.pool.resize(|_| Some(self.limit()));
            debug_assert!(is_set, "a limit is at most MAX_PERMITS");
        }
    }
}

impl<A: LimitAlgorithm, C: Clock> AdaptiveSemaphore<A, C> {
    /// Returns the record of a request that begins now.
    #[inline]
    pub(super) fn begin(&self) -> Grant {
        // ORDERING: Relaxed: an estimate.
        let word = LimitWord(self.limit.load(Ordering::Relaxed));
        // While permits are owed, more requests are in flight than this says: it says `limit` then.
        // That is enough for an algorithm, which asks only whether half of the limit was in flight
        // when a request began.
        let in_flight = word.limit().saturating_sub(self.semaphore.available_permits());
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        // The clock's reading is fresh, here and at the end: the lag of a cached reading would
        // count as the server's latency.
        Grant { started: self.clock.fresh_now(), in_flight, version: word.version() }
    }

    /// Records the outcome of a request and moves the limit by it.
    pub(super) fn learn(&self, grant: Grant, is_dropped: bool) {
        let ended = self.clock.fresh_now();
        self.update(|control| control.learn(Sample { grant, ended, is_dropped }));
    }
}

impl<A: LimitAlgorithm, C> HasPool for AdaptiveSemaphore<A, C> {
    #[inline]
    fn pool(&self) -> &PermitPool {
        &self.semaphore.pool
    }
}

/// | bits | meaning |
/// | --- | --- |
/// | 0–31 | the limit |
/// | 32–63 | its [`Version`] |
#[derive(Clone, Copy)]
struct LimitWord(u64);

impl LimitWord {
    fn new(limit: usize, version: Version) -> Self {
        Self(u64::from(version.0) << 32 | (limit as u64 & u64::from(u32::MAX)))
    }

    #[allow(clippy::cast_possible_truncation, reason = "masked to 32 bits")]
    #[inline]
    const fn limit(self) -> usize {
        (self.0 & u32::MAX as u64) as usize
    }

    #[inline]
    const fn version(self) -> Version {
        Version((self.0 >> 32) as u32)
    }
}

impl<A: LimitAlgorithm, C> fmt::Debug for AdaptiveSemaphore<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveSemaphore")
            .field("limit", &self.limit())
            .field("available_permits", &self.semaphore.available_permits())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
