//! Constructors, and what is known of a map without a lock.

use core::num::NonZeroUsize;

use super::{ConcurrentMap, capacity::share};
use crate::{
    hasher::DefaultHashBuilder,
    reserve::with_capacity,
    sharded_table::{ShardedTable, default_shards, power_of_two},
};

impl<K, V> ConcurrentMap<K, V> {
    /// Creates an empty map that grows to the default number of shards: sixteen for each thread
    /// that can run at once (sixteen in all without std), rounded up to a power of two.
    pub fn new() -> Self {
        Self::with_hasher(DefaultHashBuilder::default())
    }

    /// Creates an empty map that has `shards` shards from the first insertion on, rounded up to a
    /// power of two. 0 is rounded up to 1, and a number above 16,384 is lowered to 16,384; so many
    /// shards take 2 MB.
    pub fn with_shards(shards: usize) -> Self {
        Self::with_shards_and_hasher(shards, DefaultHashBuilder::default())
    }

    /// Creates a map with the default number of shards that has room for `capacity` entries. With
    /// std, 0 allocates nothing.
    ///
    /// Entries do not spread evenly, so each shard gets room for more than its share: that it grows
    /// before `capacity` is reached is unlikely, but not impossible.
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
    /// let map = ConcurrentMap::with_capacity(1000);
    /// assert!(map.capacity() >= 1000);
    /// assert_eq!(map.insert("a", 1), None);
    /// ```
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_capacity_and_hasher(capacity, DefaultHashBuilder::default())
    }
}

impl<K, V, S> ConcurrentMap<K, V, S> {
    /// Creates an empty map with the default number of shards that hashes keys by `hasher`.
    ///
    /// ```
    /// use std::hash::RandomState;
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// // Slower, and safe also against an opponent that can measure single operations.
    /// let sessions = ConcurrentMap::with_hasher(RandomState::new());
    /// assert_eq!(sessions.insert("ann", 1), None);
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        Self::of(ShardedTable::growing(power_of_two(default_shards()), 0), hasher)
    }

    /// Creates an empty map with `shards` shards, from 1 to 16,384 and rounded up to a power of
    /// two, that hashes keys by `hasher`.
    pub fn with_shards_and_hasher(shards: usize, hasher: S) -> Self {
        let shards = NonZeroUsize::new(shards).unwrap_or(NonZeroUsize::MIN);
        Self::of(ShardedTable::fixed(power_of_two(shards)), hasher)
    }

    /// Creates a map that has room for `capacity` entries, as
    /// [`with_capacity`](ConcurrentMap::with_capacity), and hashes keys by `hasher`. To choose the
    /// number of shards, too, create the map by
    /// [`with_shards_and_hasher`](Self::with_shards_and_hasher) and then
    /// [`reserve`](Self::reserve).
    ///
    /// # Panics
    ///
    /// Panics if there is no memory for so many entries. The process does not abort.
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        let shards = power_of_two(default_shards());
        let map = Self::of(ShardedTable::growing(shards, capacity), hasher);
        if capacity > 0 {
            let no_entries = |_: &(K, V)| unreachable!("it is empty");
            map.entries.prepare(0, &no_entries, |table, shards| {
                *table = with_capacity(share(capacity, shards));
            });
        }
        map
    }

    /// Returns the number of shards, a power of two; for a map that is still small, the number that
    /// it grows to.
    pub fn shards(&self) -> usize {
        self.entries.count()
    }

    /// Returns the builder of the hashers that hash the keys.
    pub fn hasher(&self) -> &S {
        &self.hasher
    }

    /// Returns the number of entries, without taking a lock: the sum of the shards' lengths.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether every shard was found empty, without taking a lock.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
