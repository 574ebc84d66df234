//! A value split into parts that live on cache lines of their own.

use core::{fmt, num::NonZeroUsize};

use alloc::boxed::Box;

use crossbeam_utils::CachePadded;

use crate::primitive::{parallelism, thread_number};

/// A power-of-two array of `T`s, each padded to a cache line of its own, so that writers of
/// different shards do not slow each other down.
///
/// The shared core of the concurrent map (a shard by key), the keyed limiters and breakers, and
/// [`Tally`](crate::Tally) (a shard by thread).
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::Shards;
///
/// let shards = Shards::new(NonZeroUsize::new(5).unwrap(), |index| index);
/// assert_eq!(shards.len(), 8);
/// assert_eq!(*shards.by_hash(u64::MAX), 7);
/// assert_eq!(shards.iter().sum::<usize>(), 28);
/// ```
pub struct Shards<T> {
    // INVARIANT: the length is a power of two.
    parts: Box<[CachePadded<T>]>,
}

impl<T> Shards<T> {
    /// Creates at least `count` shards, rounded up to a power of two, each made by `make` from its
    /// index.
    ///
    /// # Panics
    ///
    /// Panics if the power of two exceeds `usize`, or its memory cannot be allocated.
    pub fn new(count: NonZeroUsize, mut make: impl FnMut(usize) -> T) -> Self {
        let count =
            count.get().checked_next_power_of_two().expect("the number of shards fits a usize");
        Self { parts: (0..count).map(|index| CachePadded::new(make(index))).collect() }
    }

    /// Creates one shard per thread that can run at once, rounded up to a power of two.
    pub fn per_thread(make: impl FnMut(usize) -> T) -> Self {
        Self::new(NonZeroUsize::new(parallelism()).unwrap_or(NonZeroUsize::MIN), make)
    }

    /// Returns the shard that the *high* bits of `hash` choose. The low bits are left to the table
    /// in the shard.
    #[allow(unsafe_code, reason = "the compiler cannot see that the index is below the length")]
    #[inline]
    pub fn by_hash(&self, hash: u64) -> &T {
        let index = index_of(hash, self.parts.len());
        debug_assert!(index < self.parts.len(), "there is at least one shard");
        // SAFETY: the index is below the length: `index_of` multiplies the length, which is not
        // zero, by a fraction below one.
        unsafe { self.parts.get_unchecked(index) }
    }

    /// Returns the shard of the calling thread, the same at each call. Threads are spread over the
    /// shards in turn. A thread that has no [number](thread_number) gets the first shard.
    #[inline]
    pub fn by_thread(&self) -> &T {
        self.get_wrapped(thread_number().unwrap_or(0))
    }

    /// Returns a shard by its index, modulo the number of shards.
    #[inline]
    pub fn get_wrapped(&self, index: usize) -> &T {
        &self.parts[index & (self.parts.len() - 1)]
    }

    /// Returns a shard by its index; `None` if there is no such shard.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.parts.get(index).map(|part| &**part)
    }

    /// Returns the number of shards, a power of two.
    #[allow(clippy::len_without_is_empty, reason = "there is always at least one shard")]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Returns the shards in the order of their indices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + '_ {
        self.parts.iter().map(|part| &**part)
    }

    /// Takes the values out, in the order of their indices.
    pub fn into_values(self) -> impl ExactSizeIterator<Item = T> {
        self.parts.into_iter().map(CachePadded::into_inner)
    }
}

impl<T: fmt::Debug> fmt::Debug for Shards<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Returns the index, below `count`, of the shard that [`Shards::by_hash`] returns for `hash` if
/// there are `count`.
#[allow(clippy::cast_possible_truncation, reason = "the product's high half is below the count")]
#[inline]
pub fn index_of(hash: u64, count: usize) -> usize {
    // The hash as a fraction of 2⁶⁴, times the count. If the count is a power of two, that is the
    // high bits of the hash.
    ((u128::from(hash) * count as u128) >> 64) as usize
}
