//! Counters that many threads increment and few read.

use core::array;

use crate::{
    primitive::atomic::{AtomicU64, Ordering},
    shard::Shards,
};

/// `N` counters, striped so that an increment writes a cache line that few other threads write.
///
/// For statistics that must not slow a fast path down. Reading sums the stripes: the sum is exact for everything that
/// happened before the reading, and may or may not contain what happens during it. Counters wrap around.
///
/// # Examples
///
/// ```
/// use tidegate_core::Tally;
///
/// let calls = Tally::<2>::new();
/// std::thread::scope(|s| {
///     for _ in 0..4 {
///         s.spawn(|| calls.add(1, 10));
///     }
/// });
/// assert_eq!(calls.snapshot(), [0, 40]);
/// ```
#[derive(Debug)]
pub struct Tally<const N: usize> {
    stripes: Shards<[AtomicU64; N]>,
}

impl<const N: usize> Tally<N> {
    /// Creates counters at zero, one stripe per thread that can run at once.
    pub fn new() -> Self {
        Self { stripes: Shards::per_thread(|_| array::from_fn(|_| AtomicU64::new(0))) }
    }

    /// Adds `n` to a counter.
    ///
    /// # Panics
    ///
    /// Panics if `counter` is not below `N`.
    #[inline]
    pub fn add(&self, counter: usize, n: u64) {
        // ORDERING: Relaxed: a counter publishes nothing but itself.
        self.stripes.by_thread()[counter].fetch_add(n, Ordering::Relaxed);
    }

    /// Returns a counter's sum.
    ///
    /// # Panics
    ///
    /// Panics if `counter` is not below `N`.
    pub fn sum(&self, counter: usize) -> u64 {
        // ORDERING: Relaxed: as above.
        let stripes = self.stripes.iter().map(|stripe| stripe[counter].load(Ordering::Relaxed));
        stripes.fold(0, u64::wrapping_add)
    }

    /// Returns every counter's sum. The sums are not of one instant.
    pub fn snapshot(&self) -> [u64; N] {
        array::from_fn(|counter| self.sum(counter))
    }
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self::new()
    }
}
