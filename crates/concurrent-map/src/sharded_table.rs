//! Many small tables instead of one, each behind a lock of its own.

use core::{
    convert::Infallible,
    mem,
    num::NonZeroUsize,
    ops::ControlFlow::{self, Break, Continue},
};

use alloc::{vec, vec::Vec};

use hashbrown::HashTable;
use tidegate_core::primitive::{
    atomic::{AtomicUsize, Ordering},
    parallelism, tuned,
};

use crate::{
    growing::{GrowingShards, Table},
    reserve::with_capacity,
};

/// Tables of `E`s. Their user decides what an entry is, and how it is hashed.
pub(crate) type ShardedTable<E> = GrowingShards<HashTable<E>>;

impl<E> ShardedTable<E> {
    /// Looks at every entry, one lock at a time, until `look` breaks.
    pub(crate) fn read_each<B>(
        &self,
        mut look: impl FnMut(&E) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.ranges()
            .try_for_each(|range| self.scan(range, |table| table.iter().try_for_each(&mut look)))
    }

    /// Looks at every entry, one lock at a time.
    pub(crate) fn read_all(&self, mut look: impl FnMut(&E)) {
        self.scan_all(|table| table.iter().for_each(&mut look));
    }

    /// Returns the number of entries without taking a lock: the sum of the tables' lengths, not all
    /// of one instant.
    pub(crate) fn len(&self) -> usize {
        let mut sum = 0;
        let Continue(()) = self.each_meta(|len| {
            sum += len.get();
            ControlFlow::<Infallible>::Continue(())
        });
        sum
    }

    pub(crate) fn is_empty(&self) -> bool {
        let look = |len: &Len| if len.get() == 0 { Continue(()) } else { Break(()) };
        self.each_meta(look).is_continue()
    }
}

/// The length of a table after the last section that wrote to it, read without its lock.
pub(crate) struct Len(AtomicUsize);

impl Len {
    #[inline]
    fn get(&self) -> usize {
        // ORDERING: Relaxed: a snapshot. A thread sees its own writes, and those that happened
        // before.
        self.0.load(Ordering::Relaxed)
    }
}

impl<E> Table for HashTable<E> {
    type Entry = E;
    type Meta = Len;

    fn empty() -> (Self, Len) {
        (Self::new(), Len(AtomicUsize::new(0)))
    }

    #[inline]
    fn publish(&self, meta: &Len) {
        let len = self.len();
        if len != meta.get() {
            // ORDERING: Relaxed: as in `Len::get`; the lock is still held, so the stores are in the
            // order of the writes.
            meta.0.store(len, Ordering::Relaxed);
        }
    }

    fn entries(meta: &Len) -> usize {
        meta.get()
    }

    fn split(
        &mut self,
        parts: usize,
        hash_of: impl Fn(&E) -> u64,
        part_of: impl Fn(u64) -> usize,
    ) -> Vec<Self> {
        let hashes: Vec<u64> = self.iter().map(hash_of).collect();
        let mut lens = vec![0; parts];
        hashes.iter().for_each(|hash| lens[part_of(*hash)] += 1);
        let mut tables: Vec<Self> = lens.into_iter().map(with_capacity).collect();
        for (hash, entry) in hashes.into_iter().zip(mem::take(self)) {
            tables[part_of(hash)].insert_unique(hash, entry, |_| unreachable!("there is room"));
        }
        tables
    }
}

/// More shards than this are of no use: sixteen for each of a thousand threads that run at once.
/// They weigh 2 MB.
pub(crate) const MOST_SHARDS: NonZeroUsize = NonZeroUsize::new(1 << 14).expect("not zero");

/// Returns how many shards there are if `count` are asked for: the next power of two, at most
/// [`MOST_SHARDS`].
pub(crate) fn power_of_two(count: NonZeroUsize) -> NonZeroUsize {
    count.min(MOST_SHARDS).checked_next_power_of_two().unwrap_or(MOST_SHARDS)
}

/// The default number of shards: sixteen for each thread that can run at once.
pub(crate) fn default_shards() -> NonZeroUsize {
    SIXTEEN.saturating_mul(NonZeroUsize::new(parallelism()).unwrap_or(NonZeroUsize::MIN))
}

const SIXTEEN: NonZeroUsize = NonZeroUsize::new(tuned(16, 2) as usize).expect("not zero");

#[cfg(test)]
mod tests {
    use tidegate_core::Shards;

    use super::*;
    use crate::growing::spread;

    /// Returns how many of `hashes` the fullest of sixteen shards gets.
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
}
