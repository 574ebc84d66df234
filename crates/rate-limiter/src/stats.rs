//! What a limiter has done.

use core::time::Duration;

/// What a limiter, or all keys of a keyed limiter together, has done so far. A snapshot, whose numbers are not of one
/// instant. Counters wrap around.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(1)?, ManualClock::new());
/// for _ in 0..3 {
///     let _ = limiter.try_acquire(1);
/// }
/// let stats = limiter.stats();
/// assert_eq!((stats.allowed, stats.refused, stats.waited), (1, 2, 0));
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests granted, at once or after a wait.
    pub allowed: u64,
    /// Requests refused for lack of tokens. Requests for more than can ever be granted are not counted.
    pub refused: u64,
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that had to wait and were granted.
    pub waited: u64,
    /// How long those waited, all together.
    pub wait_time: Duration,
}

/// The counters behind [`Stats`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Allowed,
    Refused,
    Waited,
    WaitSeconds,
    WaitNanos,
    Joined,
    Left,
}

const COUNTERS: usize = Count::Left as usize + 1;

impl Counters {
    /// Counts a request that was granted after a wait.
    pub(crate) fn add_wait(&self, waited: Duration) {
        self.add(Count::Waited, 1);
        // Apart: in nanoseconds, a hundred thousand waiters would fill 64 bits in two days.
        self.add(Count::WaitSeconds, waited.as_secs());
        self.add(Count::WaitNanos, waited.subsec_nanos().into());
    }

    pub(crate) fn stats(&self) -> Stats {
        // Left first: whoever is seen to have left is then seen to have joined.
        let left = self.sum(Count::Left);
        let waiting = self.sum(Count::Joined).saturating_sub(left);
        Stats {
            allowed: self.sum(Count::Allowed),
            refused: self.sum(Count::Refused),
            waiting: usize::try_from(waiting).unwrap_or(usize::MAX),
            waited: self.sum(Count::Waited),
            wait_time: Duration::from_secs(self.sum(Count::WaitSeconds))
                .saturating_add(Duration::from_nanos(self.sum(Count::WaitNanos))),
        }
    }
}

#[cfg(not(feature = "std"))]
pub(crate) use self::plain::Counters;
#[cfg(feature = "std")]
pub(crate) use self::striped::Counters;

/// Threads can be told apart, so those that meet get counters of their own.
#[cfg(feature = "std")]
mod striped {
    use tidegate_core::{Tally, const_fn};

    use super::{COUNTERS, Count};

    #[derive(Debug)]
    pub(crate) struct Counters {
        tally: Tally<COUNTERS>,
    }

    impl Counters {
        const_fn! {
            pub(crate) fn new() -> Self {
                Self { tally: Tally::new() }
            }
        }

        #[inline]
        pub(crate) fn add(&self, counter: Count, n: u64) {
            self.tally.add(counter as usize, n);
        }

        pub(super) fn sum(&self, counter: Count) -> u64 {
            self.tally.sum(counter as usize)
        }
    }
}

#[cfg(not(feature = "std"))]
mod plain {
    use tidegate_core::primitive::atomic::{AtomicU64, Ordering};

    use super::{COUNTERS, Count};

    #[derive(Debug)]
    pub(crate) struct Counters {
        counters: [AtomicU64; COUNTERS],
    }

    impl Counters {
        pub(crate) const fn new() -> Self {
            Self { counters: [const { AtomicU64::new(0) }; COUNTERS] }
        }

        #[inline]
        pub(crate) fn add(&self, counter: Count, n: u64) {
            // ORDERING: Relaxed: a counter publishes nothing but itself.
            self.counters[counter as usize].fetch_add(n, Ordering::Relaxed);
        }

        pub(super) fn sum(&self, counter: Count) -> u64 {
            // ORDERING: Relaxed: as above.
            self.counters[counter as usize].load(Ordering::Relaxed)
        }
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
