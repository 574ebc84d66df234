//! A semaphore's settings.

use core::fmt;

use alloc::boxed::Box;

use tidegate_core::Clock;

use crate::{
    fairness::Fairness,
    pool::{Pool, Settings},
    semaphore::Semaphore,
};

/// Sets a [`Semaphore`] up. Made by [`Semaphore::builder`].
///
/// # Examples
///
/// Under overload it sheds load early, and says how long the others waited:
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
/// assert_eq!(semaphore.stats().waited_for, Duration::from_millis(7));
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

    /// Who is served first, and whether newcomers may overtake. Default: [`Fairness::Fifo`].
    pub fn fairness(mut self, fairness: Fairness) -> Self {
        (self.settings.fairness, self.settings.bound) = (fairness, fairness.bound());
        self
    }

    /// How many may stand in line; 0 means that nobody waits. Who comes when the line is full is refused with
    /// [`QueueFull`](crate::AcquireError::QueueFull). Default: no limit.
    pub fn max_waiters(mut self, n: usize) -> Self {
        self.settings.max_waiters = n;
        self
    }

    /// Whether a request for more permits than there are waits until enough of them were
    /// [added](Semaphore::add_permits). Default: false, it is refused with
    /// [`TooMany`](crate::AcquireError::TooMany) at once.
    ///
    /// For a semaphore that begins with none and is filled by what is produced. A large request is in line as any other is:
    /// by [`Fairness::Fifo`] those behind it wait until it has been served. One for more than
    /// [`MAX_PERMITS`](crate::MAX_PERMITS) is refused in any case, and [`Semaphore::try_acquire`] refuses with
    /// [`NoPermits`](crate::TryAcquireError::NoPermits) what could be served later. Removing permits sends nobody away.
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

    /// Measures with `clock` how long requests stand in line, for
    /// [`Stats::waited_for`](crate::Stats::waited_for). Default: nothing is measured.
    ///
    /// The clock is read when a request joins the line and when its wait is over; never for one that need not wait.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.settings.clock = Some(Box::new(clock));
        self
    }

    /// Builds the semaphore, open, with all its permits free.
    pub fn build(self) -> Semaphore {
        Semaphore { pool: Pool::new(self.permits, self.settings) }
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
