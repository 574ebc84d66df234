//! The statistics of a limiter.

use core::time::Duration;

#[cfg(feature = "std")]
use alloc::boxed::Box;

#[cfg(not(feature = "std"))]
use tidegate_core::primitive::atomic::{AtomicU64, Ordering};
use tidegate_core::report::{Histogram, WaitTimes};
#[cfg(feature = "std")]
use tidegate_core::{Tally, const_fn, primitive::OnceLock};

/// The statistics of a limiter, or of all keys of a keyed limiter together. A snapshot, whose
/// numbers are not all of one instant. Counters wrap around.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
///
/// let quota = Quota::per_second(1);
/// let limiter = RateLimiter::with_clock(quota, ManualClock::new());
/// for _ in 0..3 {
///     let _ = limiter.try_acquire(1);
/// }
/// let stats = limiter.stats();
/// assert_eq!((stats.allowed, stats.refused, stats.waited), (1, 2, 0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Requests granted, at once or after a wait. A reservation and a call of
    /// [`consume_now`](crate::Limiter::consume_now) count as one each.
    pub allowed: u64,
    /// Requests refused for lack of tokens, or because other callers wait. Those for more than can
    /// ever be granted are not counted.
    pub refused: u64,
    /// Requests that wait.
    pub waiting: usize,
    /// Requests granted after a wait.
    pub waited: u64,
    /// The sum of the waits of those requests.
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text"))]
    pub wait_time: Duration,
    /// Those waits by their length: the buckets of
    /// [`Metric::Wait`](tidegate_core::report::Metric::bounds).
    pub waits: Histogram,
}

/// The counters behind [`Stats`]. `COUNTERS` is their number, so `Left` has to be the last.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    Allowed,
    Refused,
    Joined,
    Left,
}

const COUNTERS: usize = Counter::Left as usize + 1;

impl Counters {
    /// Counts a request that was granted after a wait.
    pub(crate) fn add_wait(&self, waited: Duration) {
        self.waits.get_or_make().add(waited);
    }

    pub(crate) fn stats(&self) -> Stats {
        // Reads `Left` first: every waiter that it counts is then counted by `Joined`, too.
        let left = self.sum(Counter::Left);
        let waiting = self.sum(Counter::Joined).saturating_sub(left);
        let (wait_time, waits) = self.waits.get().map(WaitTimes::snapshot).unwrap_or_default();
        Stats {
            allowed: self.sum(Counter::Allowed),
            refused: self.sum(Counter::Refused),
            waiting: usize::try_from(waiting).unwrap_or(usize::MAX),
            waited: waits.total(),
            wait_time,
            waits,
        }
    }
}

/// Threads that contend get counters of their own.
#[cfg(feature = "std")]
#[derive(Debug)]
pub(crate) struct Counters {
    tally: Tally<COUNTERS>,
    waits: LazyWaitTimes,
}

#[cfg(feature = "std")]
impl Counters {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { tally: Tally::new(), waits: LazyWaitTimes::new() }
        }
    }

    #[inline]
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        self.tally.add(counter as usize, n);
    }

    fn sum(&self, counter: Counter) -> u64 {
        self.tally.sum(counter as usize)
    }
}

#[cfg(not(feature = "std"))]
#[derive(Debug)]
pub(crate) struct Counters {
    counters: [AtomicU64; COUNTERS],
    waits: LazyWaitTimes,
}

#[cfg(not(feature = "std"))]
impl Counters {
    pub(crate) const fn new() -> Self {
        let counters = [const { AtomicU64::new(0) }; COUNTERS];
        Self { counters, waits: LazyWaitTimes::new() }
    }

    #[inline]
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        // ORDERING: Relaxed: a counter publishes nothing but itself.
        self.counters[counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    fn sum(&self, counter: Counter) -> u64 {
        // ORDERING: Relaxed: as above.
        self.counters[counter as usize].load(Ordering::Relaxed)
    }
}

/// Most limiters are never waited for, so the first wait that is over allocates what counts them.
#[cfg(feature = "std")]
#[derive(Debug)]
struct LazyWaitTimes {
    waits: OnceLock<Box<WaitTimes>>,
}

#[cfg(feature = "std")]
impl LazyWaitTimes {
    const_fn! {
        fn new() -> Self {
            Self { waits: OnceLock::new() }
        }
    }

    fn get(&self) -> Option<&WaitTimes> {
        self.waits.get().map(|waits| &**waits)
    }

    fn get_or_make(&self) -> &WaitTimes {
        self.waits.get_or_init(Box::default)
    }
}

/// Without std there is no `OnceLock`, so it is there from the start.
#[cfg(not(feature = "std"))]
#[derive(Debug)]
struct LazyWaitTimes {
    waits: WaitTimes,
}

#[cfg(not(feature = "std"))]
impl LazyWaitTimes {
    const fn new() -> Self {
        Self { waits: WaitTimes::new() }
    }

    #[allow(clippy::unnecessary_wraps, reason = "the allocated one may be missing")]
    const fn get(&self) -> Option<&WaitTimes> {
        Some(&self.waits)
    }

    const fn get_or_make(&self) -> &WaitTimes {
        &self.waits
    }
}
