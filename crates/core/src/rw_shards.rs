//! Values split over shards, each behind a lock of its own that many may read at once.
//!
//! ```text
//! read   enter      is a section of these shards above us on the stack? (`inside.rs`)
//!        fast path  the shard is biased: announce it in the thread's slot, look again ─▶ section ─▶ clear the slot
//!        else       count in: CAS on the shard's word ─▶ section ─▶ count out; many in a row begin a bias
//! write  enter      as above
//!        fast path  CAS on the word, free ─▶ taken ─▶ section ─▶ subtract what was set
//!        slow path  claim the word ─▶ if it is biased, wait until no slot names the shard; after 32 writes the bias ends
//!                   ─▶ wait until none is counted in
//!        wait       for the word: spin shortly, then sleep on the event of all shards; `ASLEEP` is in the word
//!                   for a slot: spin, yield, then nap; nobody wakes
//! wake              who leaves and finds `ASLEEP` notifies all who sleep
//! ```
//!
//! A counted reader writes the shard's cache line twice, and so do all others of that shard, one after the other. An
//! announced reader writes a line of its own and only reads the shard's: readers of one shard do not slow each other down, on
//! however many cores. The price is paid by every writer that finds a bias: it looks at all slots. So a shard is biased
//! only after many reads without a write in between. The idea is BRAVO's (Dice and Kogan, "BRAVO: Biased
//! Locking for Reader-Writer Locks", USENIX ATC 2019).

#[cfg(not(feature = "std"))]
mod exclusive;
#[cfg(feature = "std")]
mod inside;
#[cfg(feature = "std")]
#[allow(unsafe_code, reason = "a lock is an UnsafeCell and a state; the argument stands there")]
mod lock;
#[cfg(feature = "std")]
mod readers;
#[cfg(feature = "std")]
mod state;

use core::{fmt, num::NonZeroUsize};

#[cfg(not(feature = "std"))]
use self::exclusive as imp;
use self::imp::{Readers, RwLock};
#[cfg(feature = "std")]
use self::lock as imp;
use crate::shard::Shards;

/// A power-of-two array of `T`s on cache lines of their own, each behind a read-write lock, with a `P` beside the lock.
///
/// The core of the concurrent map. Sections are closures: they must be short, and must not wait for another thread that enters
/// the same shards.
///
/// # Sections within sections
///
/// A reading section may read the same shards, any of them: it never waits for a writer that waits for it. Every other
/// section within one of the same shards panics at once, always, whether or not it would have found an open lock this
/// time; so does the ninth within each other, those of the same shards in a row counted once. Sections of different
/// `RwShards` may stand within each other; where one of the two is written to, all threads must enter the two in the
/// same order, or they can wait for each other for ever.
///
/// Without std, threads cannot be told apart, and any section within one of the same shard does what
/// [`Lock`](crate::lock::Lock) does: with feature `critical-section` it panics, else it hangs.
///
/// # Fairness
///
/// None. A writer that waits keeps new readers out, but for those that come from within another section: as long as such
/// readers overlap, it waits. Who is woken races with newcomers, and writers in a row may keep a reader waiting.
///
/// # Memory ordering
///
/// What was done in a writing section happens before every later section of that shard, and what was done in a reading
/// one before every later writing one.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::RwShards;
///
/// let words = RwShards::new(NonZeroUsize::new(4).unwrap(), |_| (Vec::new(), ()));
/// words.by_hash(7).write(|words| words.push("tide"));
/// assert_eq!(words.by_hash(7).read(Vec::len), 1);
/// assert_eq!(words.iter().map(|shard| shard.read(Vec::len)).sum::<usize>(), 1);
/// ```
pub struct RwShards<T, P = ()> {
    parts: Shards<Part<T, P>>,
    readers: Readers,
}

struct Part<T, P> {
    lock: RwLock<T>,
    beside: P,
}

impl<T, P> RwShards<T, P> {
    /// Creates at least `count` shards, rounded up to a power of two, each made by `make` from its index.
    ///
    /// # Panics
    ///
    /// Panics if the power of two exceeds `usize`, or its memory cannot be allocated.
    pub fn new(count: NonZeroUsize, mut make: impl FnMut(usize) -> (T, P)) -> Self {
        let part = |index| {
            let (value, beside) = make(index);
            Part { lock: RwLock::new(value), beside }
        };
        Self { parts: Shards::new(count, part), readers: Readers::new() }
    }

    /// Returns the shard that the *high* bits of `hash` choose. The low bits are left to what is in the shard.
    #[inline]
    pub fn by_hash(&self, hash: u64) -> Shard<'_, T, P> {
        self.shard(self.parts.by_hash(hash))
    }

    /// Returns a shard by its index.
    pub fn get(&self, index: usize) -> Option<Shard<'_, T, P>> {
        self.parts.get(index).map(|part| self.shard(part))
    }

    /// Returns the number of shards, a power of two.
    #[allow(clippy::len_without_is_empty, reason = "there is always at least one shard")]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Returns the shards in the order of their indices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Shard<'_, T, P>> + '_ {
        self.parts.iter().map(|part| self.shard(part))
    }

    /// Panics if the calling thread is in a section of these shards. Call it before you wait for other threads that enter
    /// them: they might wait for a writer that waits for your section.
    ///
    /// # Panics
    ///
    /// With std, as said. Without, never.
    pub fn assert_outside(&self) {
        self.readers.assert_outside();
    }

    /// Takes the values out, in the order of their indices.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.parts.into_values().map(|part| part.lock.into_inner())
    }

    #[inline]
    fn shard<'a>(&'a self, part: &'a Part<T, P>) -> Shard<'a, T, P> {
        Shard { part, readers: &self.readers }
    }
}

impl<T, P> fmt::Debug for RwShards<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values are not shown: printing must neither wait nor run foreign code in a section.
        f.debug_struct("RwShards").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// One shard of [`RwShards`], borrowed.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::RwShards;
///
/// let shards = RwShards::new(NonZeroUsize::MIN, |index| (index, "first"));
/// let shard = shards.get(0).unwrap();
/// shard.write(|number| *number += 5);
/// assert_eq!((shard.read(|number| *number), *shard.beside()), (5, "first"));
/// ```
pub struct Shard<'a, T, P = ()> {
    part: &'a Part<T, P>,
    readers: &'a Readers,
}

impl<'a, T, P> Shard<'a, T, P> {
    /// Looks at the value while nobody writes to it.
    ///
    /// For sections of at most some microseconds: a writer waits for them awake at first, and then looks for their end every
    /// 100 µs.
    ///
    /// # Panics
    ///
    /// Panics with std if the calling thread is in a writing section of the same shards, or if it is the ninth within
    /// each other.
    #[inline]
    pub fn read<R>(self, section: impl FnOnce(&T) -> R) -> R {
        self.part.lock.read(self.readers, section)
    }

    /// Looks at the value while nobody writes to it, for as long as it takes: a writer sleeps until the end. It writes to the
    /// shard's line twice, as other readers do not have to.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn scan<R>(self, section: impl FnOnce(&T) -> R) -> R {
        self.part.lock.scan(self.readers, section)
    }

    /// Works on the value while nobody else looks at it.
    ///
    /// # Panics
    ///
    /// Panics with std if the calling thread is in any section of the same shards, or if it is the ninth within each other.
    #[inline]
    pub fn write<R>(self, section: impl FnOnce(&mut T) -> R) -> R {
        self.part.lock.write(self.readers, section)
    }

    /// Returns what lies beside the lock.
    #[inline]
    pub fn beside(&self) -> &'a P {
        &self.part.beside
    }
}

impl<T, P> Clone for Shard<'_, T, P> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, P> Copy for Shard<'_, T, P> {}

impl<T, P: fmt::Debug> fmt::Debug for Shard<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { lock, beside } = self.part;
        f.debug_struct("Shard").field("lock", lock).field("beside", beside).finish_non_exhaustive()
    }
}
