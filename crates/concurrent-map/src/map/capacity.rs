//! For how many entries a map has room, its clone, and the iterator that consumes it.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    iter::{Flatten, FusedIterator},
    mem,
};

use alloc::vec::{self, Vec};

use hashbrown::HashTable;

use super::{ConcurrentMap, drop_entries};
use crate::reserve::reserve;

/// Room is reserved for at most so many entries, whatever a size hint announces.
const BELIEVED: usize = 1 << 16;

impl<K, V, S> ConcurrentMap<K, V, S> {
    /// Returns for how many entries there is room: the sum of the shards' capacities, each read
    /// under its lock. Since entries do not spread evenly, some shard may grow before so many are
    /// there.
    pub fn capacity(&self) -> usize {
        let mut sum = 0_usize;
        self.entries.scan_all(|table| sum = sum.saturating_add(table.capacity()));
        sum
    }
}

/// Returns for how many entries each of `shards` shards must have room to hold `entries` together.
pub(super) fn share(entries: usize, shards: usize) -> usize {
    let mean = entries.div_ceil(shards);
    match shards {
        1 => mean,
        // Hashing distributes at random: the number in a shard is hardly ever more than four
        // standard deviations above the mean.
        _ => mean.saturating_add(4 * mean.isqrt()),
    }
}

impl<K: Hash, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Makes room for `additional` more entries, shard by shard, as
    /// [`with_capacity`](ConcurrentMap::with_capacity) does. Keys are hashed under a shard's lock.
    ///
    /// # Panics
    ///
    /// Panics if there is no memory for so many entries. The process does not abort.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let map = ConcurrentMap::<u32, u32>::with_shards(4);
    /// map.reserve(1000);
    /// assert!(map.capacity() >= 1000);
    /// ```
    pub fn reserve(&self, additional: usize) {
        if additional > 0 {
            let rehash = self.rehash();
            self.entries.prepare(additional, &rehash, |table, shards| {
                reserve(table, share(additional, shards), &rehash);
            });
        }
    }

    /// Frees unused room, shard by shard, where a smaller table can hold the entries. Keys are
    /// hashed under a shard's lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let map = ConcurrentMap::with_capacity(1000);
    /// map.insert("a", 1);
    /// map.shrink_to_fit();
    /// assert!((1..100).contains(&map.capacity()));
    /// ```
    pub fn shrink_to_fit(&self) {
        self.entries.write_all(|table, _| table.shrink_to_fit(self.rehash()));
    }

    /// Makes room for an iterator of `at_least` entries, where that pays.
    pub(crate) fn reserve_for(&self, at_least: usize) {
        // Some of the keys may be there already: half of them are assumed to be new, as std's map
        // does. A handful is not worth touching every shard. A size hint may be wrong, so at most
        // `BELIEVED` entries are believed.
        let at_least = at_least.min(BELIEVED);
        let new = if self.is_empty() { at_least } else { at_least.div_ceil(2) };
        if new / self.shards() >= 4 {
            self.reserve(new);
        }
    }
}

impl<K: Clone, V: Clone, S: Clone> Clone for ConcurrentMap<K, V, S> {
    /// Copies the map, shard by shard: while other threads write, the copy is not of one instant
    /// (see [Consistency](ConcurrentMap#consistency)). `Clone` of keys and values runs under a
    /// shard's lock, no key is hashed, and the copy has the same room.
    fn clone(&self) -> Self {
        // The copy is a map from the start: if a clone panics, the copy drops each of the other
        // clones on its own.
        let copied = Self::of(self.entries.for_copies(), self.hasher.clone());
        self.entries.copy_to(&copied.entries, HashTable::clone);
        copied
    }
}

impl<K, V, S> IntoIterator for ConcurrentMap<K, V, S> {
    type Item = (K, V);
    type IntoIter = IntoEntries<K, V>;

    fn into_iter(self) -> IntoEntries<K, V> {
        let mut tables = Vec::new();
        self.entries.write_all(|table, _| tables.push(mem::take(table)));
        let left = tables.iter().map(HashTable::len).sum();
        IntoEntries { entries: tables.into_iter().flatten(), left }
    }
}

/// The entries of a consumed map, in no particular order: what its `into_iter` returns.
///
/// # Examples
///
/// ```
/// use tidegate_concurrent_map::ConcurrentMap;
///
/// let mut entries = ConcurrentMap::from([("ann", 41)]).into_iter();
/// assert_eq!(entries.len(), 1);
/// assert_eq!((entries.next(), entries.next()), (Some(("ann", 41)), None));
/// ```
pub struct IntoEntries<K, V> {
    entries: Flatten<vec::IntoIter<HashTable<(K, V)>>>,
    // INVARIANT: how many `entries` has yet to give.
    left: usize,
}

impl<K, V> Drop for IntoEntries<K, V> {
    fn drop(&mut self) {
        drop_entries(&mut self.entries);
    }
}

impl<K, V> Iterator for IntoEntries<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let entry = self.entries.next()?;
        self.left -= 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> ExactSizeIterator for IntoEntries<K, V> {}

impl<K, V> FusedIterator for IntoEntries<K, V> {}

impl<K, V> fmt::Debug for IntoEntries<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoEntries").field("left", &self.left).finish_non_exhaustive()
    }
}
