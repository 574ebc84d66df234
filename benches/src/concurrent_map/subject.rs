//! The maps behind two traits, and those made of std's. A method is what a user would write.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    sync::{Mutex, MutexGuard, RwLock},
};

use crossbeam_utils::CachePadded;
use tidegate_concurrent_map::DefaultHashBuilder;

/// The hasher of all maps.
pub(super) type Hasher = DefaultHashBuilder;

/// What every map takes as a key.
pub(super) trait Key: Clone + Hash + Ord + Send + Sync + 'static {}

impl<K: Clone + Hash + Ord + Send + Sync + 'static> Key for K {}

/// What every map takes as a value.
pub(super) trait Value: Clone + Send + Sync + 'static {}

impl<V: Clone + Send + Sync + 'static> Value for V {}

/// A map for one thread.
pub(super) trait Single {
    type Key;
    type Value;

    /// Reads a value in place.
    fn get_with<R>(&mut self, key: &Self::Key, f: impl FnOnce(&Self::Value) -> R) -> Option<R>;

    /// Returns a copy of a value.
    fn get(&mut self, key: &Self::Key) -> Option<Self::Value>
    where
        Self::Value: Copy;

    /// Sets a value, and returns whether there was one.
    fn insert(&mut self, key: Self::Key, value: Self::Value) -> bool;

    /// Removes a value, and returns whether there was one.
    fn remove(&mut self, key: &Self::Key) -> bool;

    /// Returns a copy of a value, which is set to `value` if there is none.
    fn get_or_insert(&mut self, key: Self::Key, value: Self::Value) -> Self::Value
    where
        Self::Value: Copy;

    /// Changes a value, or sets it to `first`.
    fn upsert(
        &mut self,
        key: Self::Key,
        first: Self::Value,
        change: impl Fn(Self::Value) -> Self::Value,
    ) where
        Self::Value: Copy;

    /// Looks at every entry.
    fn for_each(&mut self, f: impl FnMut(&Self::Key, &Self::Value));
}

/// A map for many threads. Its methods are those of [`Single`].
pub(super) trait Subject: Default + Send + Sync + 'static {
    type Key: Key;
    type Value: Value;

    fn get_with<R>(&self, key: &Self::Key, f: impl FnOnce(&Self::Value) -> R) -> Option<R>;

    #[inline]
    fn get(&self, key: &Self::Key) -> Option<Self::Value>
    where
        Self::Value: Copy,
    {
        self.get_with(key, |value| *value)
    }

    fn insert(&self, key: Self::Key, value: Self::Value) -> bool;

    fn remove(&self, key: &Self::Key) -> bool;

    fn get_or_insert(&self, key: Self::Key, value: Self::Value) -> Self::Value
    where
        Self::Value: Copy;

    fn upsert(
        &self,
        key: Self::Key,
        first: Self::Value,
        change: impl Fn(Self::Value) -> Self::Value,
    ) where
        Self::Value: Copy;

    fn for_each(&self, f: impl FnMut(&Self::Key, &Self::Value));
}

impl<M: Subject> Single for M {
    type Key = M::Key;
    type Value = M::Value;

    #[inline]
    fn get_with<R>(&mut self, key: &M::Key, f: impl FnOnce(&M::Value) -> R) -> Option<R> {
        Subject::get_with(self, key, f)
    }

    #[inline]
    fn get(&mut self, key: &M::Key) -> Option<M::Value>
    where
        M::Value: Copy,
    {
        Subject::get(self, key)
    }

    #[inline]
    fn insert(&mut self, key: M::Key, value: M::Value) -> bool {
        Subject::insert(self, key, value)
    }

    #[inline]
    fn remove(&mut self, key: &M::Key) -> bool {
        Subject::remove(self, key)
    }

    #[inline]
    fn get_or_insert(&mut self, key: M::Key, value: M::Value) -> M::Value
    where
        M::Value: Copy,
    {
        Subject::get_or_insert(self, key, value)
    }

    #[inline]
    fn upsert(&mut self, key: M::Key, first: M::Value, change: impl Fn(M::Value) -> M::Value)
    where
        M::Value: Copy,
    {
        Subject::upsert(self, key, first, change);
    }

    #[inline]
    fn for_each(&mut self, f: impl FnMut(&M::Key, &M::Value)) {
        Subject::for_each(self, f);
    }
}

/// Std's map, which every row with one thread is compared with.
pub(super) type Bare<K, V> = HashMap<K, V, Hasher>;

impl<K: Key, V: Value> Single for Bare<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        HashMap::get(self, key).map(f)
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V>
    where
        V: Copy,
    {
        HashMap::get(self, key).copied()
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) -> bool {
        HashMap::insert(self, key, value).is_some()
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        HashMap::remove(self, key).is_some()
    }

    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> V
    where
        V: Copy,
    {
        *self.entry(key).or_insert(value)
    }

    #[inline]
    fn upsert(&mut self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        self.entry(key).and_modify(|value| *value = change(*value)).or_insert(first);
    }

    #[inline]
    fn for_each(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|(key, value)| f(key, value));
    }
}

/// Std's map behind std's lock.
pub(super) type Locked<K, V> = RwLock<Bare<K, V>>;

impl<K: Key, V: Value> Subject for Locked<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.read().unwrap().get(key).map(f)
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        HashMap::insert(&mut self.write().unwrap(), key, value).is_some()
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        HashMap::remove(&mut *self.write().unwrap(), key).is_some()
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        Single::get_or_insert(&mut *self.write().unwrap(), key, value)
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        Single::upsert(&mut *self.write().unwrap(), key, first, change);
    }

    #[inline]
    fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.read().unwrap().iter().for_each(|(key, value)| f(key, value));
    }
}

/// Std's maps behind std's locks, on cache lines of their own: what one writes without a crate.
pub(super) struct Sharded<K, V> {
    shards: Vec<CachePadded<Mutex<Bare<K, V>>>>,
    hasher: Hasher,
}

const SHARDS: usize = 64;

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        let hasher = Hasher::default();
        let shard = || CachePadded::new(Mutex::new(HashMap::with_hasher(hasher.clone())));
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher }
    }
}

impl<K: Key, V: Value> Sharded<K, V> {
    #[inline]
    fn of(&self, key: &K) -> MutexGuard<'_, Bare<K, V>> {
        // Not the table's bits: its place is of the lowest ones, its tag of the highest ones.
        let shard = (self.hasher.hash_one(key) >> 32) as usize % SHARDS;
        self.shards[shard].lock().unwrap()
    }
}

impl<K: Key, V: Value> Subject for Sharded<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        HashMap::get(&self.of(key), key).map(f)
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        HashMap::insert(&mut self.of(&key), key, value).is_some()
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        HashMap::remove(&mut *self.of(key), key).is_some()
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        Single::get_or_insert(&mut *self.of(&key), key, value)
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        Single::upsert(&mut *self.of(&key), key, first, change);
    }

    #[inline]
    fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            shard.lock().unwrap().iter().for_each(|(key, value)| f(key, value));
        }
    }
}
