//! Many small tables instead of one, each behind a lock of its own.

use core::{convert::Infallible, fmt, num::NonZeroUsize, ops::ControlFlow};

use hashbrown::HashTable;
use tidegate_core::{
    RwShards,
    primitive::{
        atomic::{AtomicUsize, Ordering},
        parallelism,
    },
    rw_shards, shard,
};

use crate::lazy::Lazy;

/// Tables of `E`s, made when the first of them is written to.
///
/// Hashes, keys and what an entry is are its user's business.
pub(crate) struct Striped<E> {
    shards: Lazy<RwShards<HashTable<E>, Len>>,
    // INVARIANT: a power of two.
    count: NonZeroUsize,
}

/// A table behind its lock, with its length beside it.
type Shard<'a, E> = rw_shards::Shard<'a, HashTable<E>, Len>;

impl<E> Striped<E> {
    /// Creates `count` empty shards, rounded up to a power of two, at most [`MOST_SHARDS`].
    pub(crate) fn new(count: NonZeroUsize) -> Self {
        let count = power_of_two(count);
        Self { shards: Lazy::new(|| empty(count)), count }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// Looks into the table that `hash` belongs to; `None` if nothing was ever written to any.
    #[inline]
    pub(crate) fn read<R>(&self, hash: u64, section: impl FnOnce(&HashTable<E>) -> R) -> Option<R> {
        Some(self.existing(hash)?.read(section))
    }

    /// Works on the table that `hash` belongs to.
    #[inline]
    pub(crate) fn write<R>(&self, hash: u64, section: impl FnOnce(&mut HashTable<E>) -> R) -> R {
        let shards = self.shards.get_or_make(|| empty(self.count));
        write(shards.by_hash(spread(hash)), section)
    }

    /// Works on the table that `hash` belongs to; `None` if nothing was ever written to any. For sections that do not
    /// insert.
    #[inline]
    pub(crate) fn write_existing<R>(
        &self,
        hash: u64,
        section: impl FnOnce(&mut HashTable<E>) -> R,
    ) -> Option<R> {
        Some(write(self.existing(hash)?, section))
    }

    /// Works on an entry of the table that `hash` belongs to; `None` if nothing was ever written to any. For sections that
    /// neither insert nor remove.
    #[inline]
    pub(crate) fn edit<R>(
        &self,
        hash: u64,
        section: impl FnOnce(&mut HashTable<E>) -> R,
    ) -> Option<R> {
        Some(self.existing(hash)?.write(section))
    }

    /// Looks at every entry, one lock at a time, until `look` breaks.
    pub(crate) fn read_each<B>(
        &self,
        mut look: impl FnMut(&E) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.each(|shard| shard.scan(|table| table.iter().try_for_each(&mut look)))
    }

    /// Looks at every entry, one lock at a time.
    pub(crate) fn read_all(&self, mut look: impl FnMut(&E)) {
        let ControlFlow::Continue(()) = self.read_each(|entry| {
            look(entry);
            ControlFlow::<Infallible>::Continue(())
        });
    }

    /// Works on every table, one lock at a time.
    pub(crate) fn write_all(&self, mut section: impl FnMut(&mut HashTable<E>)) {
        let ControlFlow::Continue(()) = self.each(|shard| {
            write(shard, &mut section);
            ControlFlow::<Infallible>::Continue(())
        });
    }

    fn each<B>(&self, visit: impl FnMut(Shard<'_, E>) -> ControlFlow<B>) -> ControlFlow<B> {
        self.shards
            .get()
            .map_or(ControlFlow::Continue(()), |shards| shards.iter().try_for_each(visit))
    }

    /// Returns the number of entries without taking a lock: the sum of the tables' lengths, not all of one instant.
    pub(crate) fn len(&self) -> usize {
        self.shards.get().map_or(0, |shards| shards.iter().map(|shard| shard.beside().get()).sum())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.get().is_none_or(|shards| shards.iter().all(|shard| shard.beside().get() == 0))
    }

    /// Panics with std if the calling thread is in a section.
    #[cfg(feature = "rayon")]
    pub(crate) fn assert_outside(&self) {
        if let Some(shards) = self.shards.get() {
            shards.assert_outside();
        }
    }

    #[inline]
    fn existing(&self, hash: u64) -> Option<Shard<'_, E>> {
        Some(self.shards.get()?.by_hash(spread(hash)))
    }

    /// Returns the index, below `count`, of the table that `hash` belongs to.
    #[inline]
    pub(crate) fn index_of(&self, hash: u64) -> usize {
        shard::index_of(spread(hash), self.count.get())
    }

    /// As [`read`](Self::read), by the table's index, and for as long as it takes.
    pub(crate) fn read_at<R>(
        &self,
        index: usize,
        section: impl FnOnce(&HashTable<E>) -> R,
    ) -> Option<R> {
        Some(self.shards.get()?.get(index)?.scan(section))
    }

    /// As [`write`](Self::write), by the table's index.
    pub(crate) fn write_at<R>(
        &self,
        index: usize,
        section: impl FnOnce(&mut HashTable<E>) -> R,
    ) -> R {
        let shards = self.shards.get_or_make(|| empty(self.count));
        write(shards.get(index).expect("the index is below the count"), section)
    }

    /// As [`write_existing`](Self::write_existing), by the table's index.
    pub(crate) fn write_existing_at<R>(
        &self,
        index: usize,
        section: impl FnOnce(&mut HashTable<E>) -> R,
    ) -> Option<R> {
        Some(write(self.shards.get()?.get(index)?, section))
    }
}

impl<E> fmt::Debug for Striped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Striped").field("count", &self.count).finish_non_exhaustive()
    }
}

fn empty<E>(count: NonZeroUsize) -> RwShards<HashTable<E>, Len> {
    RwShards::new(count, |_| (HashTable::new(), Len(AtomicUsize::new(0))))
}

/// Works on a table and publishes its new length, also when the section panics.
#[inline]
fn write<E, R>(shard: Shard<'_, E>, section: impl FnOnce(&mut HashTable<E>) -> R) -> R {
    shard.write(|table| {
        let counted = Counted { table, len: shard.beside() };
        section(&mut *counted.table)
    })
}

/// The length of a table while nobody writes to it, to be had without its lock.
struct Len(AtomicUsize);

impl Len {
    #[inline]
    fn get(&self) -> usize {
        // ORDERING: Relaxed: a snapshot. A thread sees its own writes, and those that happened before.
        self.0.load(Ordering::Relaxed)
    }
}

/// A table that is being written to.
struct Counted<'a, E> {
    table: &'a mut HashTable<E>,
    len: &'a Len,
}

impl<E> Drop for Counted<'_, E> {
    #[inline]
    fn drop(&mut self) {
        let len = self.table.len();
        if len != self.len.get() {
            // ORDERING: Relaxed: as in `Len::get`; the lock is still held, so the stores are in the order of the writes.
            self.len.0.store(len, Ordering::Relaxed);
        }
    }
}

/// Turns a hash into one whose high bits pick a shard.
///
/// They must say nothing about the bits that the table in the shard goes by (the lowest, and the seven highest for its
/// tags), else every entry of a shard would have the same; and they must depend on all bits, for hashers that leave
/// the high ones empty. Multiplying by 2⁶⁴ divided by the golden ratio does both (Knuth, The Art of Computer
/// Programming, vol. 3, section 6.4).
#[inline]
pub(crate) fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// More shards than this are of no use to anybody: sixteen for each of a thousand threads that run at once. They weigh 2 MB.
pub(crate) const MOST_SHARDS: NonZeroUsize = NonZeroUsize::new(1 << 14).expect("not zero");

/// Returns how many shards there are if so many are asked for.
pub(crate) fn power_of_two(count: NonZeroUsize) -> NonZeroUsize {
    count.min(MOST_SHARDS).checked_next_power_of_two().unwrap_or(MOST_SHARDS)
}

/// The default number of shards: sixteen for each thread that can run at once.
pub(crate) fn default_shards() -> NonZeroUsize {
    SIXTEEN.saturating_mul(NonZeroUsize::new(parallelism()).unwrap_or(NonZeroUsize::MIN))
}

const SIXTEEN: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");

#[cfg(test)]
mod tests {
    use tidegate_core::Shards;

    use super::*;

    /// Counts how many of the shards the hashes of `numbers` fall into, and how unevenly.
    fn fullest(hashes: impl Iterator<Item = u64>) -> usize {
        let shards = Shards::new(SIXTEEN, |_| core::cell::Cell::new(0));
        hashes.for_each(|hash| {
            let shard = shards.by_hash(spread(hash));
            shard.set(shard.get() + 1);
        });
        shards.iter().map(core::cell::Cell::get).max().unwrap_or(0)
    }

    #[test]
    fn an_identity_hash_still_uses_every_shard() {
        assert!(fullest(0..8000) < 600);
        assert!(fullest((0..8000).map(|n| n << 32)) < 600);
    }

    #[test]
    fn a_table_is_the_same_by_index_and_by_hash() {
        for count in [1, 2, 8, 64] {
            let striped = Striped::<u64>::new(NonZeroUsize::new(count).expect("not zero"));
            for hash in (0..200_u64).map(|n| n.wrapping_mul(0xBF58_476D_1CE4_E5B9)) {
                striped.write(hash, |table| _ = table.insert_unique(hash, hash, |hash| *hash));
                let found = striped.read_at(striped.index_of(hash), |table| {
                    table.find(hash, |held| *held == hash).copied()
                });
                assert_eq!(found, Some(Some(hash)));
            }
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn nothing_is_allocated_before_the_first_write() {
        let striped = Striped::<u8>::new(SIXTEEN);
        assert_eq!(striped.read(0, HashTable::len), None);
        assert_eq!(striped.write_existing(0, |table| table.len()), None);
        assert!(striped.is_empty());
        striped.write(0, |table| _ = table.insert_unique(0, 1, |_| 0));
        assert_eq!(striped.len(), 1);
    }
}
