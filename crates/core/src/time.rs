//! Points in time, the clocks that read them, and the timers that wait for them.
//!
//! No pattern reads the time by itself: an object that needs it is given a [`Clock`], and one that
//! has to wait for a point in time is given a [`Timer`]. Tests give a [`ManualClock`] and turn it
//! by hand, so that every time-dependent test is instant and deterministic; firmware gives a clock
//! over its own hardware. Only a thread that blocks in [`Wait`](crate::Wait) reads the system's
//! clock for its own timeout.

#[cfg(feature = "async-io")]
mod async_io_clock;
mod cached;
mod due_watch;
#[cfg(feature = "embassy-time")]
mod embassy_clock;
mod manual;
#[cfg(feature = "std")]
mod os;
#[cfg(feature = "std")]
mod system;
mod timers;
#[cfg(feature = "tokio")]
mod tokio_clock;
#[cfg(feature = "quanta")]
mod tsc;

use core::{fmt, future::Future, time::Duration};

#[cfg(feature = "async-io")]
pub use self::async_io_clock::{AsyncIoClock, AsyncIoSleep};
pub use self::cached::{CachedClock, CachedSleep, KeepFresh};
pub use self::due_watch::DueWatch;
#[cfg(feature = "embassy-time")]
pub use self::embassy_clock::{EmbassyClock, EmbassySleep};
pub use self::manual::{ManualClock, ManualSleep};
#[cfg(feature = "std")]
pub use self::os::SystemSleep;
#[cfg(feature = "std")]
pub(crate) use self::timers::Timers;
#[cfg(feature = "tokio")]
pub use self::tokio_clock::{TokioClock, TokioSleep};
#[cfg(feature = "quanta")]
pub use self::tsc::{TscClock, TscSleep};
#[cfg(feature = "std")]
pub(crate) use self::{os::keep_deadlines, system::driven};

/// Does nothing: without std no process forks.
#[cfg(not(feature = "std"))]
pub(crate) const fn keep_deadlines() {}

/// A point in time: nanoseconds since the origin of the clock that gave it.
///
/// Timestamps of different clocks must not be compared. Sums saturate: the latest timestamp, 584
/// years after the origin, means *never*.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::time::Timestamp;
///
/// let start = Timestamp::from_nanos(5);
/// let later = start + Duration::from_nanos(10);
/// assert_eq!(later.since(start), Duration::from_nanos(10));
/// assert_eq!(start.since(later), Duration::ZERO);
/// assert_eq!(start + Duration::MAX, Timestamp::NEVER);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The origin of a clock.
    pub const ORIGIN: Self = Self(0);

    /// A point in time that does not come.
    pub const NEVER: Self = Self(u64::MAX);

    /// Creates the timestamp `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`; zero if `earlier` is later. So a clock that goes
    /// backward adds no time.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl core::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// Reads the time.
///
/// A clock should not go backward; if it does, the patterns treat it as standing still.
pub trait Clock {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns the current time, even where [`now`](Self::now) may lag behind it. A duration that
    /// begins with a call is measured from this time.
    ///
    /// A clock whose `now` returns an earlier reading, such as a [`CachedClock`], takes a new one
    /// here.
    #[inline]
    fn fresh_now(&self) -> Timestamp {
        self.now()
    }

    /// Returns when `duration` will have passed since this call, however far [`now`](Self::now)
    /// lags behind: [`fresh_now`](Self::fresh_now) plus `duration`.
    ///
    /// Every timeout, sleep and open time is computed with it; a sum with `now` would include time
    /// that had passed before the call.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{CachedClock, Clock, ManualClock, Timestamp};
    ///
    /// let hand = ManualClock::new();
    /// let clock = CachedClock::new(hand.clone());
    /// hand.advance(Duration::from_secs(60));
    /// assert_eq!(clock.now(), Timestamp::ORIGIN);
    /// let deadline = clock.deadline_after(Duration::from_secs(5));
    /// assert_eq!(deadline, Timestamp::ORIGIN + Duration::from_secs(65));
    /// ```
    #[inline]
    fn deadline_after(&self, duration: Duration) -> Timestamp {
        self.fresh_now() + duration
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NEVER => f.write_str("Timestamp(never)"),
            Self(nanos) => f.debug_tuple("Timestamp").field(&Duration::from_nanos(nanos)).finish(),
        }
    }
}

/// A clock on which callers can also wait for a point in time.
pub trait Timer: Clock {
    /// Future of [`sleep_until`](Self::sleep_until). Dropping it cancels the sleep.
    type Sleep: Future<Output = ()> + Send + 'static;

    /// Waits until `time` has come.
    ///
    /// The future wakes the waker of its latest poll once `time` has come, and may wake it before
    /// that, too. When the future is ready, the clock shows `time` or later.
    fn sleep_until(&self, time: Timestamp) -> Self::Sleep;

    /// Waits for `duration`, measured from this call.
    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.sleep_until(self.deadline_after(duration))
    }
}

impl<C: Clock + ?Sized> Clock for &C {
    #[inline]
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    #[inline]
    fn fresh_now(&self) -> Timestamp {
        (**self).fresh_now()
    }

    #[inline]
    fn deadline_after(&self, duration: Duration) -> Timestamp {
        (**self).deadline_after(duration)
    }
}

impl<T: Timer + ?Sized> Timer for &T {
    type Sleep = T::Sleep;

    fn sleep_until(&self, time: Timestamp) -> T::Sleep {
        (**self).sleep_until(time)
    }

    fn sleep(&self, duration: Duration) -> T::Sleep {
        (**self).sleep(duration)
    }
}

impl<C: Clock + ?Sized> Clock for crate::primitive::Arc<C> {
    #[inline]
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    #[inline]
    fn fresh_now(&self) -> Timestamp {
        (**self).fresh_now()
    }

    #[inline]
    fn deadline_after(&self, duration: Duration) -> Timestamp {
        (**self).deadline_after(duration)
    }
}

impl<T: Timer + ?Sized> Timer for crate::primitive::Arc<T> {
    type Sleep = T::Sleep;

    fn sleep_until(&self, time: Timestamp) -> T::Sleep {
        (**self).sleep_until(time)
    }

    fn sleep(&self, duration: Duration) -> T::Sleep {
        (**self).sleep(duration)
    }
}

/// The operating system's monotonic clock. Its origin is the process's first reading of it.
///
/// It is the default clock of every pattern: right on every machine, at some 20 to 30 ns a reading.
/// [`CachedClock`] is read in less than 1 ns, at the price of its resolution; the feature `quanta`
/// adds a clock in between.
///
/// The type exists everywhere, so that it can be the default clock of the patterns; it is a
/// [`Clock`] and a [`Timer`] with the feature `std`.
///
/// A sleep that is waited for with [`Wait::wait`](crate::Wait::wait) is timed by the waiting thread
/// itself. A sleep polled by an executor uses one thread per process, started by the first such
/// sleep. A forked child process starts its own thread with the first such sleep that it polls, or
/// with a wait for a token that has a deadline. That thread serves the sleeps from before the fork,
/// too.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Clock, SystemClock, Timer, Wait};
///
/// let start = SystemClock.now();
/// SystemClock.sleep(Duration::from_millis(2)).wait();
/// assert!(SystemClock.now().since(start) >= Duration::from_millis(2));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;
