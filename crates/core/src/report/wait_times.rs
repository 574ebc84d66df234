//! Counts waits by their length, from any thread.

use core::{array, time::Duration};

use super::{BUCKETS, Histogram};
use crate::primitive::{
    atomic::{AtomicU64, Ordering},
    zeros,
};

/// Waits that are over: how many took how long, and how long all took.
///
/// Counting takes no lock. What is counted is of any thread; a reading contains every wait that was
/// counted before it, and may or may not contain those that are counted during it. A pattern keeps
/// one where it measures waits, and nothing where it does not.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::report::WaitTimes;
///
/// let waits = WaitTimes::new();
/// waits.add(Duration::from_millis(1500));
/// waits.add(Duration::from_millis(500));
/// let (sum, histogram) = waits.snapshot();
/// assert_eq!((sum, histogram.total()), (Duration::from_secs(2), 2));
/// ```
#[derive(Debug)]
pub struct WaitTimes {
    counts: [AtomicU64; BUCKETS],
    seconds: AtomicU64,
    /// The parts of the times that are no whole seconds, and less than `CARRY`.
    nanos: AtomicU64,
}

/// So many nanoseconds are moved into `seconds` as whole ones: a hundred thousand waiters would
/// fill 64 bits of nanoseconds in two days.
const CARRY: u64 = 4_000_000_000 * NANOS_PER_SEC;

const NANOS_PER_SEC: u64 = 1_000_000_000;

// ORDERING: Relaxed: a count publishes nothing but itself.
impl WaitTimes {
    crate::const_fn! {
        /// Creates it without waits.
        pub fn new() -> Self {
            Self { counts: zeros(), seconds: AtomicU64::new(0), nanos: AtomicU64::new(0) }
        }
    }

    /// Counts a wait.
    pub fn add(&self, waited: Duration) {
        self.counts[Histogram::bucket_of_wait(waited)].fetch_add(1, Ordering::Relaxed);
        if waited.as_secs() > 0 {
            self.seconds.fetch_add(waited.as_secs(), Ordering::Relaxed);
        }
        let part = u64::from(waited.subsec_nanos());
        let before = self.nanos.fetch_add(part, Ordering::Relaxed);
        // Of the waits that are counted at the same time, one crosses the line, and carries.
        if before < CARRY && before + part >= CARRY {
            self.seconds.fetch_add(CARRY / NANOS_PER_SEC, Ordering::Relaxed);
            self.nanos.fetch_sub(CARRY, Ordering::Relaxed);
        }
    }

    /// Returns how long all waits took together, and how many took how long.
    pub fn snapshot(&self) -> (Duration, Histogram) {
        let seconds = Duration::from_secs(self.seconds.load(Ordering::Relaxed));
        let nanos = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        let load = |bucket: usize| self.counts[bucket].load(Ordering::Relaxed);
        (seconds.saturating_add(nanos), Histogram::from_counts(array::from_fn(load)))
    }
}

impl Default for WaitTimes {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_have_waited_for_long_does_not_wrap_around() {
        let waits = WaitTimes::default();
        let year = Duration::new(31_556_952, 999_999_999);
        for _ in 0..100_000 {
            waits.add(year);
        }
        let (sum, histogram) = waits.snapshot();
        assert_eq!((sum, histogram.counts()[BUCKETS - 1]), (100_000 * year, 100_000));
    }

    #[test]
    fn nanoseconds_that_have_added_up_are_carried_into_seconds() {
        let waits = WaitTimes::new();
        waits.nanos.store(CARRY - 1, Ordering::Relaxed);
        waits.add(Duration::ZERO);
        assert_eq!((waits.seconds.load(Ordering::Relaxed), waits.snapshot().1.total()), (0, 1));
        waits.add(Duration::from_nanos(2));
        waits.add(Duration::from_nanos(3));
        assert_eq!(waits.nanos.load(Ordering::Relaxed), 4);
        assert_eq!(waits.snapshot().0, Duration::new(4_000_000_000, 4));
    }

    #[cfg(feature = "std")]
    #[test]
    fn no_wait_is_lost_between_threads() {
        let waits = WaitTimes::new();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let waits = &waits;
                scope.spawn(move || {
                    (0..1000).for_each(|_| waits.add(Duration::from_millis(400 * thread)));
                });
            }
        });
        let mut counts = [0; BUCKETS];
        (counts[0], counts[10], counts[11]) = (1000, 1000, 1000);
        assert_eq!(waits.snapshot(), (Duration::from_secs(1200), Histogram::from_counts(counts)));
    }
}
