//! Operations on many keys, shard by shard.

use core::{
    hash::{BuildHasher, Hash},
    mem,
};

use alloc::{vec, vec::Vec};

use tidegate_core::unwind::DropEach;

use super::{ConcurrentMap, Equivalent, drop_entries, value_of};
use crate::{reserve::reserve, sharded_table::ShardedTable};

/// How many entries of an iterator are inserted at once: enough for each shard to get some, unless
/// there are hundreds of shards.
pub(crate) const BATCH: usize = 512;

/// Operations on many keys at once. The keys are hashed first, all of them, with nothing locked;
/// then each shard that holds some of them is locked once, for as long as its part takes. (The few
/// shards of a small map are locked more often.)
///
/// A batch is not one step: other callers may see a part of it, and their operations may come in
/// between. Equal keys are processed in the order in which they are given. A batch pays from a few
/// keys per shard on. With fewer, one call per key costs no more; it costs less for reads of shards
/// that are seldom written to.
impl<K: Hash + Eq, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Returns clones of the values of `keys`, in their order; `None` for a key without a value.
    /// Cloning runs under a shard's lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let ages = ConcurrentMap::new();
    /// ages.insert_many([("ann".to_owned(), 41), ("bob".to_owned(), 17)]);
    /// assert_eq!(ages.get_many(["bob", "cid", "ann"]), [Some(17), None, Some(41)]);
    /// ```
    pub fn get_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized + 'q,
        V: Clone,
    {
        let keys: Vec<&Q> = keys.into_iter().collect();
        let by_shard = ByShard::new(&self.entries, keys.iter().map(|key| self.hash(*key)));
        // If a comparison or a clone panics, the values are dropped one by one.
        let mut found = DropEach::new(none(keys.len()));
        for batch_keys in by_shard.shards() {
            let shard = self.entries.index_of(batch_keys[0].hash);
            self.entries.read_at(shard, |table| {
                for &BatchKey { hash, position } in batch_keys {
                    let entry = table.find(hash, |(k, _)| keys[position].equivalent(k));
                    found[position] = entry.map(|(_, value)| value.clone());
                }
            });
        }
        found.into_inner()
    }

    /// Sets the values of many keys and returns the values that they had, in the order of
    /// `entries`, with `None` for a key that was new: as if each entry were
    /// [inserted](Self::insert) in turn. Of equal keys the last one's value stays.
    ///
    /// `entries` is collected before the first lock is taken, so an endless iterator must be given
    /// in parts.
    ///
    /// # Panics
    ///
    /// Panics of `Hash` and `Eq` are passed on: what is inserted until then stays, the rest is
    /// dropped. A `Hash` that panics before the first lock is taken leaves everything as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let stock = ConcurrentMap::from([("pears", 1)]);
    /// let before = stock.insert_many([("apples", 3), ("pears", 5), ("apples", 4)]);
    /// assert_eq!(before, [None, Some(1), Some(3)]);
    /// assert_eq!(stock.get_many(["apples", "pears"]), [Some(4), Some(5)]);
    /// ```
    pub fn insert_many(&self, entries: impl IntoIterator<Item = (K, V)>) -> Vec<Option<V>> {
        let mut batch = Unused(entries.into_iter().map(Some).collect());
        self.insert_batch(&mut batch.0);
        batch.into_values()
    }

    /// Removes `keys` and returns the values that they had, in their order; `None` for a key
    /// without one.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let ages = ConcurrentMap::from([("ann", 41), ("bob", 17)]);
    /// assert_eq!(ages.remove_many(["bob", "cid"]), [Some(17), None]);
    /// assert_eq!(ages.keys(), ["ann"]);
    /// ```
    pub fn remove_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized + 'q,
    {
        let keys: Vec<&Q> = keys.into_iter().collect();
        let by_shard = ByShard::new(&self.entries, keys.iter().map(|key| self.hash(*key)));
        let mut removed = Unused(none(keys.len()));
        for batch_keys in by_shard.shards() {
            self.entries.write_existing(batch_keys[0].hash, self.rehash(), |table| {
                for &BatchKey { hash, position } in batch_keys {
                    let entry = table.find_entry(hash, |(k, _)| keys[position].equivalent(k));
                    removed.0[position] = entry.ok().map(|entry| entry.remove().0);
                }
            });
        }
        removed.into_values()
    }

    /// Inserts a batch, each element of which is `Some`. What is not in the map afterwards stays in
    /// the batch: unused keys with the values that were replaced. So nothing is dropped under a
    /// lock, not even in a panic.
    pub(crate) fn insert_batch(&self, batch: &mut [Option<(K, V)>]) {
        let hashes = batch.iter().flatten().map(|(key, _)| self.hash(key));
        let by_shard = ByShard::new(&self.entries, hashes);
        for batch_keys in by_shard.shards() {
            self.entries.write(batch_keys[0].hash, self.rehash(), |table| {
                // An empty table gets room for all of them at once; in another, where some may be
                // there already, room is made for half of those left.
                let share = if table.is_empty() { 1 } else { 2 };
                for (done, &BatchKey { hash, position }) in batch_keys.iter().enumerate() {
                    let entry = &mut batch[position];
                    let Some((key, value)) = entry else { continue };
                    if let Some((_, held)) = table.find_mut(hash, |(k, _)| k == key) {
                        mem::swap(held, value);
                        continue;
                    }
                    let left = (batch_keys.len() - done).div_ceil(share);
                    if table.len() == table.capacity() {
                        reserve(table, left, self.rehash());
                    }
                    if let Some(new) = entry.take() {
                        table.insert_unique(hash, new, |_| unreachable!("there is room"));
                    }
                }
            });
        }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Extend<(K, V)> for ConcurrentMap<K, V, S> {
    /// Inserts entries; of equal keys the last one's value stays. They go from the iterator to the
    /// map in batches of some hundred: if the iterator panics, the entries of the batch that is not
    /// full yet are dropped.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        let mut entries = entries.into_iter().fuse();
        self.reserve_for(entries.size_hint().0);
        let mut batch = Unused(Vec::new());
        loop {
            batch.0.extend(entries.by_ref().take(BATCH).map(Some));
            if batch.0.is_empty() {
                return;
            }
            self.insert_batch(&mut batch.0);
            batch.clear();
        }
    }
}

/// Entries that are in no table: to be inserted, or removed, or an unused key with the value that
/// was replaced. They are dropped one by one.
pub(crate) struct Unused<K, V>(pub(crate) Vec<Option<(K, V)>>);

impl<K, V> Unused<K, V> {
    /// Drops all, and keeps the room.
    pub(crate) fn clear(&mut self) {
        drop_entries(self.0.drain(..).flatten());
    }

    fn into_values(mut self) -> Vec<Option<V>> {
        let mut values = DropEach::new(Vec::with_capacity(self.0.len()));
        values.extend(self.0.drain(..).map(value_of));
        values.into_inner()
    }
}

impl<K, V> Drop for Unused<K, V> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Which keys of a batch belong to which shard.
struct ByShard {
    /// Sorted by shard; those of one shard in the order in which they were given.
    batch_keys: Vec<BatchKey>,
    /// For each shard, where its keys end and those of the next shard begin.
    ends: Vec<usize>,
}

/// A key of a batch.
#[derive(Clone, Copy)]
struct BatchKey {
    hash: u64,
    /// Its position in the batch.
    position: usize,
}

impl ByShard {
    /// Sorts by counting: two passes, and no comparison.
    fn new<E>(entries: &ShardedTable<E>, hashes: impl Iterator<Item = u64>) -> Self {
        let given: Vec<u64> = hashes.collect();
        // `ends` holds first the number of keys of each shard, then where they begin, then where
        // they end.
        let mut ends = vec![0; entries.count()];
        for &hash in &given {
            ends[entries.index_of(hash)] += 1;
        }
        let mut begin = 0;
        for end in &mut ends {
            begin += mem::replace(end, begin);
        }
        let mut batch_keys = vec![BatchKey { hash: 0, position: 0 }; given.len()];
        for (position, hash) in given.into_iter().enumerate() {
            let end = &mut ends[entries.index_of(hash)];
            batch_keys[*end] = BatchKey { hash, position };
            *end += 1;
        }
        Self { batch_keys, ends }
    }

    /// Returns the keys of each shard that has any.
    fn shards(&self) -> impl Iterator<Item = &[BatchKey]> {
        let mut begin = 0;
        let keys = self.ends.iter().map(move |&end| mem::replace(&mut begin, end)..end);
        keys.filter(|keys| !keys.is_empty()).map(|keys| &self.batch_keys[keys])
    }
}

/// Returns `len` times `None`.
fn none<T>(len: usize) -> Vec<Option<T>> {
    core::iter::repeat_with(|| None).take(len).collect()
}
