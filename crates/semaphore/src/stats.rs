//! The statistics of a semaphore.

use core::time::Duration;

use tidegate_core::{
    primitive::atomic::{AtomicU64, Ordering},
    report::Histogram,
};

use crate::word::{ACQUISITIONS_MODULUS, acquisitions};

/// A snapshot of a [`Semaphore`](crate::Semaphore), from [`stats`](crate::Semaphore::stats).
///
/// Every request that was tried or polled ends as exactly one of `acquired`, `refused` and
/// `cancelled`. Before that it is in `waiting`, or rejected and not polled since. A granted request
/// counts as acquired at once, but as cancelled if it is dropped before it is polled. The counts
/// never wrap in practice: they have 64 bits, and the time has 64 bits of whole seconds.
///
/// # Examples
///
/// ```
/// use tidegate_semaphore::Semaphore;
///
/// let semaphore = Semaphore::new(3);
/// let _held = semaphore.try_acquire(2)?;
/// semaphore.try_acquire(2).unwrap_err();
///
/// let stats = semaphore.stats();
/// assert_eq!((stats.capacity, stats.available, stats.in_use), (3, 1, 2));
/// assert_eq!((stats.acquired, stats.refused, stats.waiting), (1, 1, 0));
/// # Ok::<(), tidegate_semaphore::TryAcquireError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The capacity. More permits may be in use after it was lowered, until they are released.
    pub capacity: usize,
    /// Free permits. May be above zero while a request waits for more.
    pub available: usize,
    /// Permits that are held, or granted to a future that has not been polled since.
    pub in_use: usize,
    /// Requests in the queue.
    pub waiting: usize,
    /// Requests that got their permits since the semaphore was made. A request for many permits
    /// counts once.
    pub acquired: u64,
    /// Requests that got an error.
    pub refused: u64,
    /// Futures dropped after they had joined the queue and before they were ready.
    pub cancelled: u64,
    /// Requests that had to wait in the queue, whatever their outcome.
    pub waited: u64,
    /// The sum of all waits in the queue that are over. Zero without a
    /// [clock](crate::Builder::clock).
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text"))]
    pub wait_time: Duration,
    /// Those waits by their length: the buckets of
    /// [`Metric::Wait`](tidegate_core::report::Metric::bounds). Zeros without a clock.
    pub waits: Histogram,
}

/// Acquisitions in a lap: a sixteenth of what the word counts to.
const LAP: u64 = ACQUISITIONS_MODULUS / 16;

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

// ORDERING: Relaxed: a count publishes nothing but itself.
impl Counter {
    tidegate_core::const_fn! {
        fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds one without a read-modify-write: under the queue's lock no other thread writes.
    pub(crate) fn add_one_under_lock(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts that are not in the word. The fast path writes nothing here, except `laps` once in
/// 2²⁵ acquisitions.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Laps that the count in the word has made; lags behind until the thread that completed a lap
    /// has counted it.
    laps: AtomicU64,
    /// Acquisitions that the word does not know of: their permits went from a releaser straight to
    /// the next holder. Written under the queue's lock.
    pub(crate) handed_over: Counter,
    pub(crate) refused: Counter,
    pub(crate) cancelled: Counter,
    /// Grants whose futures were dropped without a poll.
    pub(crate) unclaimed: Counter,
    /// Requests that joined the queue. Written under the queue's lock.
    pub(crate) waited: Counter,
}

impl Counts {
    tidegate_core::const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                laps: AtomicU64::new(0),
                handed_over: Counter::new(),
                refused: Counter::new(),
                cancelled: Counter::new(),
                unclaimed: Counter::new(),
                waited: Counter::new(),
            }
        }
    }

    /// Counts a lap if an acquisition, which took the word from `before` to `after`, has completed
    /// one.
    #[inline]
    pub(crate) fn note_lap(&self, before: u64, after: u64) {
        if acquisitions(before ^ after) >= LAP {
            self.count_lap();
        }
    }

    #[cold]
    fn count_lap(&self) {
        // ORDERING: Release: a thread that reads this count (Acquire in `acquired`) reads the word
        // of that lap, too.
        self.laps.fetch_add(1, Ordering::Release);
    }

    /// Extends the count in the word to 64 bits. `in_word` reads it.
    ///
    /// A lap is counted a moment after it was made. The lap that the word is in, modulo 16, tells
    /// how many laps are not counted yet, as long as a thread that has completed a lap counts it
    /// before fifteen more are completed.
    fn acquired(&self, in_word: impl FnOnce() -> u64) -> u64 {
        // ORDERING: Acquire: pairs with `count_lap`. The word is read after it, so it is never
        // behind the laps.
        let laps = self.laps.load(Ordering::Acquire);
        let in_word = in_word();
        let missing = (in_word / LAP).wrapping_sub(laps) % 16;
        let granted = (laps + missing) * LAP + in_word % LAP + self.handed_over.get();
        granted.saturating_sub(self.unclaimed.get())
    }

    /// Completes a snapshot.
    pub(crate) fn fill(&self, stats: Stats, acquisitions: impl FnOnce() -> u64) -> Stats {
        Stats {
            acquired: self.acquired(acquisitions),
            refused: self.refused.get(),
            cancelled: self.cancelled.get(),
            waited: self.waited.get(),
            ..stats
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::{ACQUISITION, charged};

    #[test]
    fn laps_that_are_not_counted_yet_are_not_missed() {
        let counts = Counts::new();
        assert_eq!(counts.acquired(|| LAP - 1), LAP - 1);
        assert_eq!(counts.acquired(|| 3 * LAP + 7), 3 * LAP + 7, "three are late");
        for _ in 0..17 {
            counts.count_lap();
        }
        assert_eq!(counts.acquired(|| LAP + 7), 17 * LAP + 7);
        assert_eq!(counts.acquired(|| 2 * LAP), 18 * LAP, "one is late");
        assert_eq!(counts.acquired(|| 0), 32 * LAP, "fifteen are late");
    }

    #[test]
    fn each_lap_is_counted_once() {
        let counts = Counts::new();
        for lap in 1..=33 {
            let before = (lap * LAP - 1).wrapping_mul(ACQUISITION);
            counts.note_lap(before.wrapping_sub(ACQUISITION), before);
            counts.note_lap(before, charged(before, 0));
            assert_eq!(counts.laps.load(Ordering::Relaxed), lap);
        }
    }
}
