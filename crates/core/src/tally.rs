//! Counters that many threads increment and few read.

use core::{array, fmt};

use self::imp::Stripes;
use crate::primitive::{
    atomic::{AtomicU64, AtomicUsize, Ordering},
    thread_number, zeros,
};

/// How far the threads other than the owner count before they get stripes.
const COUNTS_BEFORE_STRIPES: u64 = 64;

/// `N` counters that threads increment without slowing each other down.
///
/// For statistics that must not slow a fast path down. A reading adds the parts up: the sum
/// contains all additions that happened before the reading, and may or may not contain those during
/// it. Counters wrap around.
///
/// A tally is two sets of counters of 8 bytes each. One set is for the owner, the thread that
/// counts first: it needs no read-modify-write, as no other thread writes there. The other set is
/// for all other threads. When two of these meet in a counter, or one of their sums reaches 64, the
/// tally allocates stripes: a cache line or more for each thread that can run at once. From then on
/// each thread counts in its stripe. So a million tallies that are hardly used stay small, and a
/// new one costs nothing and can be a static. Without std there are no stripes, and no thread owns
/// a set. The idea of stripes on demand is that of Java's `LongAdder` (Doug Lea's `Striped64`).
///
/// # Examples
///
/// ```
/// use tidegate_core::Tally;
///
/// static CALLS: Tally<2> = Tally::new();
///
/// std::thread::scope(|s| {
///     for _ in 0..4 {
///         s.spawn(|| CALLS.add(1, 10));
///     }
/// });
/// assert_eq!(CALLS.snapshot(), [0, 40]);
/// ```
pub struct Tally<const N: usize> {
    /// One more than the number of the thread that writes `own`; 0 while there is none.
    owner: AtomicUsize,
    // INVARIANT: written by the owner only.
    own: [AtomicU64; N],
    // The counts of the other threads from before the stripes were made, and those that were on
    // their way here at that time.
    first: [AtomicU64; N],
    stripes: Stripes<N>,
}

impl<const N: usize> Tally<N> {
    crate::const_fn! {
        /// Creates counters at zero. Does not allocate.
        pub fn new() -> Self {
            Self { owner: AtomicUsize::new(0), own: zeros(), first: zeros(), stripes: Stripes::new() }
        }
    }

    /// Adds `n` to a counter.
    ///
    /// # Panics
    ///
    /// Panics if `counter` is not below `N`.
    #[inline]
    pub fn add(&self, counter: usize, n: u64) {
        // ORDERING: Relaxed, here and below: a counter publishes nothing but itself.
        match self.stripes.of_thread() {
            Some(stripe) => {
                stripe[counter].fetch_add(n, Ordering::Relaxed);
            }
            None => self.add_unstriped(counter, n),
        }
    }

    #[inline]
    fn add_unstriped(&self, counter: usize, n: u64) {
        let Some(thread) = thread_number() else { return self.add_first(counter, n) };
        if self.owner.load(Ordering::Relaxed) == thread + 1 {
            let count = &self.own[counter];
            count.store(count.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        } else {
            self.add_by_number(thread, counter, n);
        }
    }

    /// Counts for a thread that does not own `own`, and makes it the owner if there is none.
    #[cold]
    fn add_by_number(&self, thread: usize, counter: usize, n: u64) {
        let owned =
            self.owner.compare_exchange(0, thread + 1, Ordering::Relaxed, Ordering::Relaxed);
        match owned {
            Ok(_) => self.add_unstriped(counter, n),
            Err(_) => self.add_first(counter, n),
        }
    }

    fn add_first(&self, counter: usize, n: u64) {
        let count = &self.first[counter];
        let old = count.load(Ordering::Relaxed);
        let new = old.wrapping_add(n);
        // A failure says that threads meet here; `_weak` can fail without a meeting. If only one
        // thread besides the owner counts, it meets no other here. Still it slows the owner down,
        // as the two sets are neighbours in memory. So counting often makes stripes, too.
        let is_counting_often =
            new / COUNTS_BEFORE_STRIPES != old / COUNTS_BEFORE_STRIPES && thread_number().is_some();
        if is_counting_often
            || count.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            self.add_met(counter, n);
        }
    }

    #[cold]
    fn add_met(&self, counter: usize, n: u64) {
        let stripe = self.stripes.of_thread_or_make().unwrap_or(&self.first);
        stripe[counter].fetch_add(n, Ordering::Relaxed);
    }

    /// Returns a counter's sum.
    ///
    /// # Panics
    ///
    /// Panics if `counter` is not below `N`.
    pub fn sum(&self, counter: usize) -> u64 {
        let load = |stripe: &[AtomicU64; N]| stripe[counter].load(Ordering::Relaxed);
        let unstriped = load(&self.own).wrapping_add(load(&self.first));
        self.stripes.iter().map(load).fold(unstriped, u64::wrapping_add)
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

impl<const N: usize> fmt::Debug for Tally<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tally").field(&self.snapshot()).finish()
    }
}

#[cfg(not(feature = "std"))]
use self::single as imp;
#[cfg(feature = "std")]
use self::striped as imp;

#[cfg(feature = "std")]
mod striped {
    use crate::{
        primitive::{OnceLock, atomic::AtomicU64, zeros},
        shard::Shards,
    };

    pub(super) struct Stripes<const N: usize> {
        made: OnceLock<Shards<[AtomicU64; N]>>,
    }

    impl<const N: usize> Stripes<N> {
        crate::const_fn! {
            pub(super) fn new() -> Self {
                Self { made: OnceLock::new() }
            }
        }

        #[inline]
        pub(super) fn of_thread(&self) -> Option<&[AtomicU64; N]> {
            self.made.get().map(Shards::by_thread)
        }

        pub(super) fn of_thread_or_make(&self) -> Option<&[AtomicU64; N]> {
            Some(self.made.get_or_init(|| Shards::per_thread(|_| zeros())).by_thread())
        }

        pub(super) fn iter(&self) -> impl Iterator<Item = &[AtomicU64; N]> {
            self.made.get().into_iter().flat_map(Shards::iter)
        }
    }
}

/// Without std threads cannot be told apart: all of them count in `first`.
#[cfg(not(feature = "std"))]
mod single {
    use crate::primitive::atomic::AtomicU64;

    pub(super) struct Stripes<const N: usize>;

    impl<const N: usize> Stripes<N> {
        pub(super) const fn new() -> Self {
            Self
        }

        #[inline]
        pub(super) fn of_thread(&self) -> Option<&[AtomicU64; N]> {
            None
        }

        pub(super) fn of_thread_or_make(&self) -> Option<&[AtomicU64; N]> {
            None
        }

        pub(super) fn iter(&self) -> impl Iterator<Item = &[AtomicU64; N]> {
            core::iter::empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn counts_from_before_and_after_a_meeting_add_up() {
        let tally = Tally::<2>::new();
        tally.add(1, 5);
        tally.add_first(1, 6);
        tally.add_met(1, 7);
        tally.add(1, u64::MAX);
        assert_eq!(tally.snapshot(), [0, 17]);
    }

    #[cfg(feature = "std")]
    #[test]
    fn the_owner_and_others_lose_no_count_before_and_after_there_are_stripes() {
        use std::thread;

        use super::COUNTS_BEFORE_STRIPES;

        for rounds in [COUNTS_BEFORE_STRIPES / 2, 10 * COUNTS_BEFORE_STRIPES] {
            let tally = Tally::<1>::new();
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| (0..rounds).for_each(|_| tally.add(0, 1)));
                }
            });
            assert_eq!(tally.sum(0), 3 * rounds);
            let owned = tally.own[0].load(super::Ordering::Relaxed);
            assert!((1..=rounds).contains(&owned), "{owned} of {rounds}");
        }
    }
}
