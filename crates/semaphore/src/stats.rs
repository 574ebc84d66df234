//! What a semaphore has been doing.

use tidegate_core::primitive::atomic::{AtomicU64, Ordering};

/// A snapshot of a [`Semaphore`](crate::Semaphore), from [`stats`](crate::Semaphore::stats).
///
/// Every request that was tried or polled ends as exactly one of `acquired`, `refused` and `cancelled`; until then it
/// is in `waiting`, or granted and not yet polled. The counts never wrap in practice: they are 64 bits wide.
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
    /// Permits there are, in use or not.
    pub capacity: usize,
    /// Permits nobody holds. Not zero beside somebody who waits for more.
    pub available: usize,
    /// Permits that are held, or granted to somebody who has not been polled since.
    pub in_use: usize,
    /// Requests in line.
    pub waiting: usize,
    /// Requests that got their permits, be it one or many, since the semaphore was made.
    pub acquired: u64,
    /// Requests that got an error.
    pub refused: u64,
    /// Futures dropped after they had joined the line and before they learned what became of their requests.
    pub cancelled: u64,
    /// Requests that had to stand in line, whatever became of them.
    pub waited: u64,
}

/// Acquisitions between two flips of the count's highest bit in the word.
pub(crate) const HALF: u64 = 1 << 29;

/// The counts that are not in the word. Nothing here is written on the fast path.
#[derive(Debug)]
pub(crate) struct Counts {
    /// How often the highest bit of the word has flipped; may lag behind by one.
    flips: AtomicU64,
    refused: AtomicU64,
    cancelled: AtomicU64,
    /// Grants that nobody picked up. In the word they count as acquisitions.
    unclaimed: AtomicU64,
    waited: AtomicU64,
}

impl Counts {
    tidegate_core::const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                flips: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                cancelled: AtomicU64::new(0),
                unclaimed: AtomicU64::new(0),
                waited: AtomicU64::new(0),
            }
        }
    }

    #[cold]
    pub(crate) fn flip(&self) {
        // ORDERING: Release: who reads this count (Acquire in `acquired`) reads the flipped word, too.
        self.flips.fetch_add(1, Ordering::Release);
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

    pub(crate) fn wait(&self) {
        self.waited.fetch_add(1, Ordering::Relaxed);
    }

    /// Extends the count in the word to 64 bits. `acquisitions` reads it: the lowest 30 bits of the number of grants.
    ///
    /// A flip of the highest of them is counted a moment after it was made, so the parity tells whether one is missing.
    fn acquired(&self, acquisitions: impl FnOnce() -> u64) -> u64 {
        // ORDERING: Acquire: pairs with `flip`. The word is read after it, so it is never behind the flips.
        let flips = self.flips.load(Ordering::Acquire);
        let acquisitions = acquisitions();
        let missing = (flips ^ (acquisitions / HALF)) & 1;
        let granted = (flips + missing) * HALF + acquisitions % HALF;
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

    #[test]
    fn a_flip_that_is_not_counted_yet_is_not_missed() {
        let counts = Counts::new();
        assert_eq!(counts.acquired(|| HALF - 1), HALF - 1);
        assert_eq!(counts.acquired(|| HALF), HALF);
        counts.flip();
        assert_eq!(counts.acquired(|| HALF), HALF);
        assert_eq!(counts.acquired(|| 2 * HALF - 1), 2 * HALF - 1);
        assert_eq!(counts.acquired(|| 0), 2 * HALF);
        counts.flip();
        assert_eq!(counts.acquired(|| 0), 2 * HALF);
    }
}
