//! The statistics of a limiter.

use core::time::Duration;

#[cfg(not(feature = "std"))]
use tidegate_core::primitive::atomic::{AtomicU64, Ordering};
#[cfg(feature = "std")]
use tidegate_core::{Tally, const_fn};

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
}

/// The counters behind [`Stats`]. `COUNTERS` is their number, so `Left` has to be the last.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    Allowed,
    Refused,
    Waited,
    WaitSeconds,
    WaitNanos,
    Joined,
    Left,
}

const COUNTERS: usize = Counter::Left as usize + 1;

impl Counters {
    /// Counts a request that was granted after a wait.
    pub(crate) fn add_wait(&self, waited: Duration) {
        self.add(Counter::Waited, 1);
        // Seconds have a counter of their own: a hundred thousand waiters would fill 64 bits of
        // nanoseconds in two days.
        self.add(Counter::WaitSeconds, waited.as_secs());
        self.add(Counter::WaitNanos, waited.subsec_nanos().into());
    }

    pub(crate) fn stats(&self) -> Stats {
        // Reads `Left` first: every waiter that it counts is then counted by `Joined`, too.
        let left = self.sum(Counter::Left);
        let waiting = self.sum(Counter::Joined).saturating_sub(left);
        Stats {
            allowed: self.sum(Counter::Allowed),
            refused: self.sum(Counter::Refused),
            waiting: usize::try_from(waiting).unwrap_or(usize::MAX),
            waited: self.sum(Counter::Waited),
            wait_time: Duration::from_secs(self.sum(Counter::WaitSeconds))
                .saturating_add(Duration::from_nanos(self.sum(Counter::WaitNanos))),
        }
    }
}

/// Threads that contend get counters of their own.
#[cfg(feature = "std")]
#[derive(Debug)]
pub(crate) struct Counters {
    tally: Tally<COUNTERS>,
}

#[cfg(feature = "std")]
impl Counters {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { tally: Tally::new() }
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
}

#[cfg(not(feature = "std"))]
impl Counters {
    pub(crate) const fn new() -> Self {
        Self { counters: [const { AtomicU64::new(0) }; COUNTERS] }
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

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::Counters;

    #[test]
    fn what_many_have_waited_for_long_does_not_wrap_around() {
        let counters = Counters::new();
        let year = Duration::new(31_556_952, 999_999_999);
        for _ in 0..100_000 {
            counters.add_wait(year);
        }
        assert_eq!(counters.stats().wait_time, 100_000 * year);
    }
}
