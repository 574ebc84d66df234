//! The maps of crates. Each method is the crate's cheapest way to do it in safe code.

use dashmap::DashMap;
use papaya::{HashMapRef, LocalGuard};
use scc::{Guard, hash_index};
use tidegate_concurrent_map::ConcurrentMap;

use super::subject::{Hasher, Key, Single, Subject, Value};

pub(super) type Tidegate<K, V> = ConcurrentMap<K, V, Hasher>;

impl<K: Key, V: Value> Subject for Tidegate<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get_with(key, f)
    }

    #[inline]
    fn get(&self, key: &K) -> Option<V>
    where
        V: Copy,
    {
        self.get(key)
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        self.insert(key, value).is_some()
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.remove(key).is_some()
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        self.get_or_insert_with(key, || value)
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        self.upsert(key, || first, |value| *value = change(*value));
    }

    #[inline]
    fn for_each(&self, f: impl FnMut(&K, &V)) {
        self.for_each(f);
    }
}

pub(super) type Dashmap<K, V> = DashMap<K, V, Hasher>;

impl<K: Key, V: Value> Subject for Dashmap<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|value| f(&value))
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        self.insert(key, value).is_some()
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.remove(key).is_some()
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        *self.entry(key).or_insert(value)
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        self.entry(key).and_modify(|value| *value = change(*value)).or_insert(first);
    }

    #[inline]
    fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|entry| f(entry.key(), entry.value()));
    }
}

pub(super) type SccMap<K, V> = scc::HashMap<K, V, Hasher>;

impl<K: Key, V: Value> Subject for SccMap<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.read_sync(key, |_, value| f(value))
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        self.upsert_sync(key, value).is_some()
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.remove_sync(key).is_some()
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        *self.entry_sync(key).or_insert(value).get()
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        self.entry_sync(key).and_modify(|value| *value = change(*value)).or_insert(first);
    }

    #[inline]
    fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.iter_sync(|key, value| {
            f(key, value);
            true
        });
    }
}

pub(super) type SccIndex<K, V> = scc::HashIndex<K, V, Hasher>;

impl<K: Key, V: Value> Subject for SccIndex<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.peek_with(key, |_, value| f(value))
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        match self.entry_sync(key) {
            hash_index::Entry::Occupied(mut entry) => {
                entry.update(value);
                true
            }
            hash_index::Entry::Vacant(entry) => {
                entry.insert_entry(value);
                false
            }
        }
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.remove_sync(key)
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        // This takes no lock if the key is there.
        self.peek_with(&key, |_, found| *found)
            .unwrap_or_else(|| *self.entry_sync(key).or_insert(value).get())
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        match self.entry_sync(key) {
            hash_index::Entry::Occupied(mut entry) => entry.update(change(*entry.get())),
            hash_index::Entry::Vacant(entry) => drop(entry.insert_entry(first)),
        }
    }

    #[inline]
    fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.iter(&Guard::new()).for_each(|(key, value)| f(key, value));
    }
}

pub(super) type Papaya<K, V> = papaya::HashMap<K, V, Hasher>;

/// A pin for each call.
impl<K: Key, V: Value> Subject for Papaya<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.pin().get(key).map(f)
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        self.pin().insert(key, value).is_some()
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.pin().remove(key).is_some()
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        *self.pin().get_or_insert(key, value)
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        self.pin().update_or_insert(key, |value| change(*value), first);
    }

    #[inline]
    fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.pin().iter().for_each(|(key, value)| f(key, value));
    }
}

/// One pin for many calls, which keeps all garbage meanwhile.
impl<K: Key, V: Value> Single for HashMapRef<'_, K, V, Hasher, LocalGuard<'_>> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        HashMapRef::get(self, key).map(f)
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V>
    where
        V: Copy,
    {
        HashMapRef::get(self, key).copied()
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) -> bool {
        HashMapRef::insert(self, key, value).is_some()
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        HashMapRef::remove(self, key).is_some()
    }

    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> V
    where
        V: Copy,
    {
        *HashMapRef::get_or_insert(self, key, value)
    }

    #[inline]
    fn upsert(&mut self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        self.update_or_insert(key, |value| change(*value), first);
    }

    #[inline]
    fn for_each(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|(key, value)| f(key, value));
    }
}

pub(super) type Flurry<K, V> = flurry::HashMap<K, V, Hasher>;

/// A pin for each call.
impl<K: Key, V: Value> Subject for Flurry<K, V> {
    type Key = K;
    type Value = V;

    #[inline]
    fn get_with<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.pin().get(key).map(f)
    }

    #[inline]
    fn insert(&self, key: K, value: V) -> bool {
        self.pin().insert(key, value).is_some()
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.pin().remove(key).is_some()
    }

    #[inline]
    fn get_or_insert(&self, key: K, value: V) -> V
    where
        V: Copy,
    {
        let map = self.pin();
        map.get(&key).copied().unwrap_or_else(|| match map.try_insert(key, value) {
            Ok(inserted) => *inserted,
            Err(occupied) => *occupied.current,
        })
    }

    #[inline]
    fn upsert(&self, key: K, first: V, change: impl Fn(V) -> V)
    where
        V: Copy,
    {
        let map = self.pin();
        while map.compute_if_present(&key, |_, value| Some(change(*value))).is_none()
            && map.try_insert(key.clone(), first).is_err()
        {}
    }

    #[inline]
    fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.pin().iter().for_each(|(key, value)| f(key, value));
    }
}
