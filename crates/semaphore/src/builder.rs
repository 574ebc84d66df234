//! A semaphore's settings.

use core::fmt;

use tidegate_core::Clock;

use crate::{
    fairness::Fairness,
    pool::{PermitPool, Settings},
    semaphore::Semaphore,
    stopwatch::Stopwatch,
};

/// Sets a [`Semaphore`] up. Made by [`Semaphore::builder`].
///
/// # Examples
///
/// A semaphore that sheds load early under overload, and measures how long the other requests
/// waited:
///
/// ```
/// use core::time::Duration;
/// use tidegate_semaphore::{AcquireError, ManualClock, Semaphore, Wait};
///
/// let clock = ManualClock::new();
/// let semaphore = Semaphore::builder(1).max_waiters(1).clock(clock.clone()).build();
/// let held = semaphore.try_acquire(1)?;
/// std::thread::scope(|scope| {
///     let waits = scope.spawn(|| semaphore.acquire(1).wait().map(drop));
///     while semaphore.stats().waiting == 0 {}
///     assert_eq!(semaphore.acquire(1).wait().unwrap_err(), AcquireError::QueueFull);
///     clock.advance(Duration::from_millis(7));
///     drop(held);
///     assert_eq!(waits.join().unwrap(), Ok(()));
/// });
/// assert_eq!(semaphore.stats().wait_time, Duration::from_millis(7));
/// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    permits: usize,
    settings: Settings,
}

impl Builder {
    #[track_caller]
    pub(crate) fn new(permits: usize) -> Self {
        Semaphore::check(permits);
        Self { permits, settings: Settings::DEFAULT }
    }

    /// Sets the order in which waiters are served, and whether newcomers may overtake. Default:
    /// [`Fairness::Fifo`].
    pub fn fairness(mut self, fairness: Fairness) -> Self {
        (self.settings.fairness, self.settings.bound) = (fairness, fairness.bound());
        self
    }

    /// Sets how many requests may wait in the queue; with 0 no request waits. A request that finds
    /// the queue full is refused with [`QueueFull`](crate::AcquireError::QueueFull). Default: no
    /// limit.
    pub fn max_waiters(mut self, n: usize) -> Self {
        self.settings.max_waiters = n;
        self
    }

    /// Sets whether a request for more permits than the capacity waits until enough permits were
    /// [added](Semaphore::add_permits). Default: false; such a request is refused with
    /// [`TooMany`](crate::AcquireError::TooMany) at once.
    ///
    /// Use it for a semaphore that begins with no permits and gets one for each item that is
    /// produced. A large request waits in the queue like any other: under [`Fairness::Fifo`] the
    /// requests behind it wait until it has been served. A request for more than
    /// [`MAX_PERMITS`](crate::MAX_PERMITS) is refused in any case. [`Semaphore::try_acquire`]
    /// returns [`NoPermits`](crate::TryAcquireError::NoPermits) for a request that could be served
    /// later. Removing permits rejects no waiter.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::{Semaphore, Wait};
    ///
    /// let produced = Semaphore::builder(0).wait_for_capacity(true).build();
    /// std::thread::scope(|scope| {
    ///     let consumer = scope.spawn(|| produced.acquire(3).wait().map(|permit| permit.count()));
    ///     produced.add_permits(1);
    ///     produced.add_permits(2);
    ///     assert_eq!(consumer.join().unwrap(), Ok(3));
    /// });
    /// ```
    pub fn wait_for_capacity(mut self, waits: bool) -> Self {
        self.settings.waits_for_capacity = waits;
        self
    }

    /// Measures with `clock` how long requests wait in the queue, for
    /// [`Stats::wait_time`](crate::Stats::wait_time) and [`Stats::waits`](crate::Stats::waits).
    /// Default: nothing is measured.
    ///
    /// The clock is read before a request joins the queue, even if the request is then refused or
    /// served without a wait, and again when the wait is over. A request that takes permits without
    /// the queue does not read it.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.settings.stopwatch = Some(Stopwatch::boxed(clock));
        self
    }

    /// Builds the semaphore, open, with all its permits free.
    pub fn build(self) -> Semaphore {
        Semaphore { pool: PermitPool::new(self.permits, self.settings) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("permits", &self.permits)
            .field("fairness", &self.settings.fairness)
            .field("max_waiters", &self.settings.max_waiters)
            .field("wait_for_capacity", &self.settings.waits_for_capacity)
            .finish_non_exhaustive()
    }
}
