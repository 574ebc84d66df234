//! Values split over shards, each behind a lock of its own that lets many threads read at once.
//!
//! ```text
//! read   enter      is this thread in a section of these shards already? (`inside.rs`)
//!        fast path  in no section, and the shard is biased: announce it in the thread's slot,
//!                   check again
//!                   ─▶ section ─▶ clear the slot
//!        else       count in: CAS on the shard's word ─▶ section ─▶ count out;
//!                   many in a row begin a bias
//! write  enter      as above
//!        fast path  CAS on the word, free ─▶ taken ─▶ section ─▶ subtract what was set
//!        slow path  claim the word ─▶ if it is biased, wait until no slot names the shard;
//!                   after 32 writes the bias ends ─▶ wait until none is counted in
//!        wait       for the word: spin shortly, then sleep on the event of all shards;
//!                   `ASLEEP` is in the word
//!                   for a slot: spin, yield, then nap; no notification
//! wake              a writer or the last counted reader that leaves and finds `ASLEEP` notifies
//!                   all sleepers
//! ```
//!
//! A counted reader writes the shard's cache line twice. Sections of counted readers overlap, but
//! their writes to that line take turns. An announced reader writes a line of its own and only
//! reads the shard's: such readers do not slow each other down, on any number of cores. Every
//! writer that finds a bias pays for it: it checks all slots. So a shard is biased only after many
//! reads without a write in between. The idea is BRAVO's (Dice and Kogan, "BRAVO: Biased Locking
//! for Reader-Writer Locks", USENIX ATC 2019).

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

use self::imp::{Readers, RwLock};
#[cfg(feature = "std")]
use self::lock as imp;
#[cfg(not(feature = "std"))]
use self::{exclusive as imp, exclusive as inside};
use crate::shard::Shards;

/// A power-of-two array of `T`s on cache lines of their own, each behind a read-write lock, with
/// metadata `P` that is read without the lock.
///
/// The core of the concurrent map. Sections are closures: they must be short, and must not wait for
/// another thread that enters the same shards.
///
/// # Sections within sections
///
/// Within a reading section, its thread may read any of the same shards: the inner section never
/// waits for a writer that waits for the outer one. Any other section within a section of the same
/// shards panics at once, whether or not the lock is open at that moment. So does a section at the
/// ninth level of nesting; sections of the same shards in a row count as one level. A section of
/// one `RwShards` may stand within a section of another. If one of the two is written to, all
/// threads must enter the two in the same order, or they can wait for each other for ever.
///
/// Without std, threads cannot be told apart, and any section within a section of the same shard
/// does what [`Lock`](crate::lock::Lock) does: with feature `critical-section` it panics, else it
/// hangs.
///
/// # Fairness
///
/// There is none. A writer that waits keeps new readers out, except those that come from within
/// another section: as long as such readers overlap, the writer waits. A woken thread races with
/// newcomers, and writers in a row may keep a reader waiting.
///
/// # Memory ordering
///
/// A writing section happens before every later section of that shard, and a reading section before
/// every later writing one.
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
    parts: Shards<RwLock<T, P>>,
    readers: Readers,
}

impl<T, P> RwShards<T, P> {
    /// Creates at least `count` shards, rounded up to a power of two, each made by `make` from its
    /// index.
    ///
    /// # Panics
    ///
    /// Panics if the power of two exceeds `usize`, or its memory cannot be allocated.
    pub fn new(count: NonZeroUsize, make: impl FnMut(usize) -> (T, P)) -> Self {
        Self::with(count, Readers::new(), make)
    }

    /// Does what [`new`](Self::new) does, but readers are always counted: without slots for them
    /// the shards take about 256 bytes less for each thread that can run at once. For shards that
    /// few threads read at a time.
    ///
    /// # Panics
    ///
    /// As `new`.
    pub fn counted(count: NonZeroUsize, make: impl FnMut(usize) -> (T, P)) -> Self {
        Self::with(count, Readers::counted(), make)
    }

    fn with(count: NonZeroUsize, readers: Readers, mut make: impl FnMut(usize) -> (T, P)) -> Self {
        let lock = |index| {
            let (value, meta) = make(index);
            RwLock::new(value, meta)
        };
        Self { parts: Shards::new(count, lock), readers }
    }

    /// Returns whether threads have met in these shards often, some 64 times, since this method
    /// last returned true. Threads meet when a writer, or a reader that is in no other section,
    /// finds a writer or a counted reader in the shard, or when a reader finds its slot taken.
    /// Always false without std.
    #[inline]
    pub fn take_contention(&self) -> bool {
        self.readers.take_contention()
    }

    /// Returns the shard that the *high* bits of `hash` choose. The low bits are left to the table
    /// in the shard.
    #[inline]
    pub fn by_hash(&self, hash: u64) -> Shard<'_, T, P> {
        self.shard(self.parts.by_hash(hash))
    }

    /// Returns a shard by its index; `None` if there is no such shard.
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

    /// Panics if the calling thread is in a section of these shards; a section with another
    /// [owner](Shard::owned_by) does not count. Call it before you wait for threads that enter
    /// these shards: such a thread might wait for a writer, and the writer for your section.
    ///
    /// # Panics
    ///
    /// With std, if the thread is in such a section. Without std, never.
    pub fn assert_outside(&self) {
        inside::assert_outside(self.readers.address());
    }

    /// Takes the values out, in the order of their indices.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.parts.into_values().map(RwLock::into_inner)
    }

    #[inline]
    fn shard<'a>(&'a self, lock: &'a RwLock<T, P>) -> Shard<'a, T, P> {
        Shard { lock, readers: &self.readers, owner: self.readers.address() }
    }
}

impl<T, P> fmt::Debug for RwShards<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values are not shown: printing must neither wait nor run foreign code in a section.
        f.debug_struct("RwShards").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Panics if the calling thread is in a section of shards that are [owned by](Shard::owned_by)
/// `owner`. Does not compile if an `O` is not larger than a `usize`.
///
/// # Panics
///
/// With std, if the thread is in such a section. Without std, never.
pub fn assert_outside_of<O>(owner: &O) {
    inside::assert_outside(address(owner));
}

/// Returns how many sections the calling thread is in, those of the same shards in a row counted
/// once; 0 without std. A thread may be in [`MOST_SECTIONS`] at most.
pub fn sections_around() -> usize {
    inside::depth()
}

/// How many sections may stand within each other, those of the same shards in a row counted once.
pub const MOST_SECTIONS: usize = 8;

/// Returns the address of `owner`. The address one word above it marks writing sections. Both lie
/// within `owner`, which is larger than a word, so no owner outside it has either.
#[inline]
fn address<O>(owner: &O) -> usize {
    const { assert!(size_of::<O>() > size_of::<usize>(), "two addresses of its own") };
    core::ptr::from_ref(owner).addr()
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
/// assert_eq!((shard.read(|number| *number), *shard.meta()), (5, "first"));
/// ```
pub struct Shard<'a, T, P = ()> {
    lock: &'a RwLock<T, P>,
    readers: &'a Readers,
    // The address of the owner: shards of one owner count as "the same shards".
    owner: usize,
}

impl<'a, T, P> Shard<'a, T, P> {
    /// Returns a handle whose sections belong to `owner`: in the rules on sections within sections,
    /// all shards with one owner are "the same", however many [`RwShards`] they belong to. Other
    /// handles of the shard are not changed, so all callers must name the same owner.
    ///
    /// Does not compile if an `O` is not larger than a `usize`.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_core::{RwShards, rw_shards};
    ///
    /// let pair = [(); 2].map(|()| RwShards::new(NonZeroUsize::MIN, |_| (7_u64, ())));
    /// let [first, second] =
    ///     pair.each_ref().map(|shards| shards.get(0).unwrap().owned_by(&pair));
    /// // A reading section within a reading one of the same shards.
    /// let sum = |a: &u64, b: &u64| (a + b, rw_shards::sections_around());
    /// assert_eq!(first.read(|a| second.read(|b| sum(a, b))), (14, 1));
    /// ```
    #[inline]
    #[must_use = "it is a shard, on which nothing was done"]
    pub fn owned_by<O>(self, owner: &'a O) -> Self {
        Self { owner: address(owner), ..self }
    }

    /// Runs `section` on the value, to which no thread writes meanwhile.
    ///
    /// For sections of at most some microseconds: a writer spins and yields for them at first, and
    /// then checks for their end every 100 µs.
    ///
    /// # Panics
    ///
    /// Panics if the shard is [closed](Self::close). With std, also panics if the calling thread is
    /// in a writing section of the same shards, or if this section would be at the ninth level of
    /// nesting.
    #[inline]
    pub fn read<R>(self, section: impl FnOnce(&T) -> R) -> R {
        self.begin_read().unwrap_or_else(refuse_closed).run(section)
    }

    /// Does what [`read`](Self::read) does, for sections of any length: a writer sleeps until the
    /// end. The reader always writes to the shard's cache line twice, which [`read`](Self::read)
    /// often need not do.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn scan<R>(self, section: impl FnOnce(&T) -> R) -> R {
        Reading::from(self.begin_scan().unwrap_or_else(refuse_closed)).run(section)
    }

    /// Runs `section` on the value while no other thread is in a section of the shard.
    ///
    /// # Panics
    ///
    /// Panics if the shard is [closed](Self::close). With std, also panics if the calling thread is
    /// in any section of the same shards, or if this section would be at the ninth level of
    /// nesting.
    #[inline]
    pub fn write<R>(self, section: impl FnOnce(&mut T) -> R) -> R {
        self.begin_write().unwrap_or_else(refuse_closed).run(|value, _| section(value))
    }

    /// Begins what [`read`](Self::read) does; `None` if the shard is [closed](Self::close).
    ///
    /// So a caller can begin a section of this shard or, if it is closed, of another one, and run
    /// either with the same code. Sections that a thread has begun must end in the reverse order:
    /// else the checks of nesting may panic without reason, or miss a section that waits for ever.
    /// Without std a section that has begun keeps no thread out until it runs.
    ///
    /// # Panics
    ///
    /// As `read`, but not if the shard is closed.
    #[inline]
    pub fn begin_read(self) -> Option<Reading<'a, T, P>> {
        self.lock.read(self.readers, self.owner).map(|inner| Reading { inner })
    }

    /// Begins what [`scan`](Self::scan) does; `None` if the shard is [closed](Self::close). The
    /// rules of [`begin_read`](Self::begin_read) hold.
    ///
    /// # Panics
    ///
    /// As [`begin_read`](Self::begin_read).
    pub fn begin_scan(self) -> Option<Scanning<'a, T, P>> {
        self.lock.scan(self.readers, self.owner).map(|inner| Scanning { inner })
    }

    /// Begins what [`write`](Self::write) does; `None` if the shard is [closed](Self::close). The
    /// rules of [`begin_read`](Self::begin_read) hold.
    ///
    /// # Panics
    ///
    /// As `write`, but not if the shard is closed.
    #[inline]
    pub fn begin_write(self) -> Option<Writing<'a, T, P>> {
        self.lock.write(self.readers, self.owner).map(|inner| Writing { inner })
    }

    /// Runs `section` on the value for the last time: when `section` has returned, the shard is
    /// closed, and no thread enters it any more. What `section` has done happens before everything
    /// that a thread does after it has found the shard closed. If `section` panics, the shard stays
    /// open. Returns `None` if the shard is closed already. Without std no shard can be closed, and
    /// this is a write.
    ///
    /// # Panics
    ///
    /// As [`begin_write`](Self::begin_write).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_core::RwShards;
    ///
    /// let shards = RwShards::new(NonZeroUsize::MIN, |_| (vec![1], ()));
    /// let shard = shards.get(0).unwrap();
    /// assert_eq!(shard.close(std::mem::take), Some(vec![1]));
    /// assert!(shard.is_closed() && shard.begin_read().is_none());
    /// ```
    pub fn close<R>(self, section: impl FnOnce(&mut T) -> R) -> Option<R> {
        let writing = self.lock.write(self.readers, self.owner)?;
        Some(writing.run_and_close(section))
    }

    /// Returns whether the shard is [closed](Self::close). Once it is, it stays so.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.lock.is_closed()
    }

    /// Returns the metadata, which is not behind the lock.
    #[inline]
    pub fn meta(&self) -> &'a P {
        &self.lock.meta
    }
}

#[cold]
fn refuse_closed<S>() -> S {
    panic!("the shard is closed")
}

/// A reading section that has begun, see [`Shard::begin_read`]. It ends when it has run, or when
/// this is dropped.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::RwShards;
///
/// let shards = RwShards::new(NonZeroUsize::MIN, |_| (7, ()));
/// let reading = shards.by_hash(0).begin_read();
/// assert_eq!(reading.map(|reading| reading.run(|n| *n)), Some(7));
/// ```
#[must_use = "no writer comes in until it is dropped"]
pub struct Reading<'a, T, P = ()> {
    inner: imp::Reading<'a, T, P>,
}

impl<T, P> Reading<'_, T, P> {
    /// Runs `section` on the value, and ends.
    #[inline]
    pub fn run<R>(self, section: impl FnOnce(&T) -> R) -> R {
        self.inner.run(section)
    }
}

impl<'a, T, P> From<Scanning<'a, T, P>> for Reading<'a, T, P> {
    #[inline]
    fn from(scanning: Scanning<'a, T, P>) -> Self {
        Self { inner: scanning.inner.into() }
    }
}

impl<T, P> fmt::Debug for Reading<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

/// A long reading section that has begun, see [`Shard::begin_scan`]. It ends when this is dropped.
/// To run it, turn it into a [`Reading`].
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::{RwShards, rw_shards::Reading};
///
/// let shards = RwShards::new(NonZeroUsize::MIN, |_| (7, ()));
/// let scanning = shards.by_hash(0).begin_scan().unwrap();
/// assert_eq!(Reading::from(scanning).run(|n| *n), 7);
/// ```
#[must_use = "no writer comes in until it is dropped"]
pub struct Scanning<'a, T, P = ()> {
    inner: imp::Counted<'a, T, P>,
}

impl<T, P> fmt::Debug for Scanning<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanning").finish_non_exhaustive()
    }
}

/// A writing section that has begun, see [`Shard::begin_write`]. It ends when it has run, or when
/// this is dropped.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::RwShards;
///
/// let shards = RwShards::new(NonZeroUsize::MIN, |_| (7, "meta"));
/// let writing = shards.by_hash(0).begin_write().unwrap();
/// assert_eq!(writing.run(|n, meta| { *n += 1; (*n, *meta) }), (8, "meta"));
/// ```
#[must_use = "no other thread comes in until it is dropped"]
pub struct Writing<'a, T, P = ()> {
    inner: imp::Writing<'a, T, P>,
}

impl<T, P> Writing<'_, T, P> {
    /// Runs `section` on the value and the metadata, and ends.
    #[inline]
    pub fn run<R>(self, section: impl FnOnce(&mut T, &P) -> R) -> R {
        self.inner.run(section)
    }
}

impl<T, P> fmt::Debug for Writing<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
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
        let Self { lock, .. } = self;
        f.debug_struct("Shard")
            .field("lock", lock)
            .field("meta", &lock.meta)
            .finish_non_exhaustive()
    }
}
