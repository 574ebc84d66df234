//! The statistics of a semaphore.

use core::time::Duration;

use tidegate_core::{
    lock::Lock,
    primitive::atomic::{AtomicU64, Ordering},
};

use crate::word::{ACQUISITIONS, acquisitions};

/// A snapshot of a [`Semaphore`](crate::Semaphore), from [`stats`](crate::Semaphore::stats).
///
/// Every request that was tried or polled ends as exactly one of `acquired`, `refused` and
/// `cancelled`; until then it is in `waiting`, or granted and not yet polled. The counts never wrap
/// in practice: they are 64 bits wide, and the time is counted in whole seconds of as many.
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
#[non_exhaustive]
pub struct Stats {
    /// The capacity. More permits may be in use for a while after it was lowered.
    pub capacity: usize,
    /// Free permits. May be above zero while a request waits for more.
    pub available: usize,
    /// Permits that are held, or granted to a future that has not been polled since.
    pub in_use: usize,
    /// Requests in the queue.
    pub waiting: usize,
    /// Requests that got their permits, be it one or many, since the semaphore was made.
    pub acquired: u64,
    /// Requests that got an error.
    pub refused: u64,
    /// Futures dropped after they had joined the queue and before they were polled to an end.
    pub cancelled: u64,
    /// Requests that had to wait in the queue, whatever their outcome.
    pub waited: u64,
    /// Total time that requests spent in the queue, of the waits that are over. Zero without a
    /// [clock](crate::Builder::clock).
    pub wait_time: Duration,
}

/// Acquisitions in a lap: a sixteenth of what the word counts to.
const LAP: u64 = ACQUISITIONS / 16;

/// The counts that are not in the word. Nothing here is written on the fast path.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Laps that the count in the word has made; lags behind until the thread that completed one
    /// has run on.
    laps: AtomicU64,
    /// Acquisitions of permits that never came back to the word.
    handed_over: AtomicU64,
    refused: AtomicU64,
    cancelled: AtomicU64,
    /// Grants whose futures were dropped without a poll.
    unclaimed: AtomicU64,
    waited: AtomicU64,
    /// Nanoseconds would not do: a hundred thousand that wait for two days exceed 64 bits of them.
    /// Locked only where waits are measured.
    wait_time: Lock<Duration>,
}

impl Counts {
    tidegate_core::const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                laps: AtomicU64::new(0),
                handed_over: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                cancelled: AtomicU64::new(0),
                unclaimed: AtomicU64::new(0),
                waited: AtomicU64::new(0),
                wait_time: Lock::new(Duration::ZERO),
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

    #[cold]
    pub(crate) fn refuse(&self) {
        // ORDERING: Relaxed, here and below: a count publishes nothing but itself.
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave_unclaimed(&self) {
        self.unclaimed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a waiter that joins the queue. Under the queue's lock, so without a
    /// read-modify-write.
    pub(crate) fn wait(&self) {
        self.waited.store(self.waited.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Counts an acquisition that the word does not know of. Under the queue's lock.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(self.handed_over.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Adds the time of a wait that is over.
    pub(crate) fn wait_is_over(&self, duration: Duration) {
        self.wait_time.with(|sum| *sum = sum.saturating_add(duration));
    }

    /// Returns the time of all waits that are over.
    pub(crate) fn wait_time(&self) -> Duration {
        self.wait_time.with(|sum| *sum)
    }

    /// Extends the count in the word to 64 bits. `in_word` reads it.
    ///
    /// A lap is counted a moment after it was made. The lap that the word says it is in, modulo 16,
    /// tells how many are missing, as long as the threads that made them run on within the next
    /// fifteen.
    fn acquired(&self, in_word: impl FnOnce() -> u64) -> u64 {
        // ORDERING: Acquire: pairs with `count_lap`. The word is read after it, so it is never
        // behind the laps.
        let laps = self.laps.load(Ordering::Acquire);
        let in_word = in_word();
        let missing = (in_word / LAP).wrapping_sub(laps) % 16;
        let granted =
            (laps + missing) * LAP + in_word % LAP + self.handed_over.load(Ordering::Relaxed);
        granted.saturating_sub(self.unclaimed.load(Ordering::Relaxed))
    }

    /// Completes a snapshot.
    pub(crate) fn fill(&self, stats: Stats, acquisitions: impl FnOnce() -> u64) -> Stats {
        Stats {
            acquired: self.acquired(acquisitions),
            refused: self.refused.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
            waited: self.waited.load(Ordering::Relaxed),
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
