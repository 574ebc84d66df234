//! Operations on one key that read, set, or remove its value.

use core::{
    hash::{BuildHasher, Hash},
    mem,
};

use equivalent::Equivalent;
use hashbrown::hash_table::Entry;
use tidegate_core::unwind::DropEach;

use super::{ConcurrentMap, modify::Op, value_of};
use crate::error::Occupied;

impl<K: Hash + Eq, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Returns a clone of the value of `key`, if there is one. Cloning runs under the shard's lock.
    ///
    /// `key` may be anything that is [`Equivalent`] to a `K`, such as `&str` for `String`.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.get_with(key, V::clone)
    }

    /// Runs `f` on the value of `key`, if there is one, and returns what `f` returns. `f` runs
    /// under the shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if `f` calls the map to write.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let pages = ConcurrentMap::new();
    /// pages.insert("/", vec![0_u8; 1000]);
    /// assert_eq!(pages.get_with("/", Vec::len), Some(1000));
    /// assert_eq!(pages.get_with("/no", Vec::len), None);
    /// ```
    #[inline]
    pub fn get_with<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        // Kept here: if it does not run, it is dropped after the lock is released.
        let mut f = Some(f);
        let found = self.entries.read(hash, self.rehash(), |table| {
            let (_, value) = table.find(hash, |(k, _)| key.equivalent(k))?;
            f.take().map(|f| f(value))
        });
        found.flatten()
    }

    /// Returns whether there is a value for `key`.
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.get_with(key, |_| ()).is_some()
    }

    /// Sets the value of `key` and returns the value that it had, if any. A key that is already
    /// there stays, and the new key is dropped.
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Option<V> {
        let hash = self.hash(&key);
        // Key and value are still here if `Eq` or `Hash` panics, and the key also if it is not
        // inserted: they are dropped after the lock is released. A panic of the key's destructor
        // does not leak the value.
        let (mut key, mut value) = (DropEach::new(Some(key)), Some(value));
        self.entries.write(hash, self.rehash(), |table| {
            match self.entry_in(table, hash, |k| Some(k) == key.as_ref()) {
                Entry::Occupied(found) => {
                    value.take().map(|value| mem::replace(&mut found.into_mut().1, value))
                }
                Entry::Vacant(absent) => {
                    absent.insert(key.take().zip(value.take())?);
                    None
                }
            }
        })
    }

    /// Sets the value of `key` if there is none.
    ///
    /// # Errors
    ///
    /// [`Occupied`] gives key and value back if there is a value already.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let owners = ConcurrentMap::new();
    /// assert!(owners.try_insert("job 1", "ann").is_ok());
    /// let occupied = owners.try_insert("job 1", "bob").unwrap_err();
    /// assert_eq!(occupied.into_inner(), ("job 1", "bob"));
    /// ```
    pub fn try_insert(&self, key: K, value: V) -> Result<(), Occupied<K, V>> {
        let altered = self.alter(key, |found| match found {
            Some(_) => (Op::Keep, Some(value)),
            None => (Op::Put(value), None),
        });
        match (altered.unused_key.into_inner(), altered.result) {
            (Some(key), Some(value)) => Err(Occupied::new(key, value)),
            _ => Ok(()),
        }
    }

    /// Removes `key` and returns its value, if there was one.
    #[inline]
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.remove_if(key, |_, _| true)
    }

    /// Removes `key` if there is a value for which `condition` returns true, and returns that
    /// value. `condition` runs under the shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if `condition` calls the map.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let stock = ConcurrentMap::from([("apples", 3), ("pears", 0)]);
    /// assert_eq!(stock.remove_if("apples", |_, count| *count == 0), None);
    /// assert_eq!(stock.remove_if("pears", |_, count| *count == 0), Some(0));
    /// assert_eq!(stock.keys(), ["apples"]);
    /// ```
    #[inline]
    pub fn remove_if<Q>(&self, key: &Q, condition: impl FnOnce(&K, &V) -> bool) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.remove_if_mut(key, |k, v| condition(k, v))
    }

    /// Calls `condition` on the entry of `key`, if there is one; removes the entry and returns its
    /// value if `condition` returns true. `condition` may change the value: changing and removing
    /// are one step. `condition` runs under the shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if `condition` calls the map. If `condition` panics, the value stays as
    /// `condition` has left it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// // The last visitor to leave removes the count.
    /// let visitors = ConcurrentMap::from([("hall".to_owned(), 2)]);
    /// let leave = || {
    ///     visitors.remove_if_mut("hall", |_, count| { *count -= 1; *count == 0 })
    /// };
    /// assert_eq!((leave(), leave(), leave()), (None, Some(0), None));
    /// ```
    #[inline]
    pub fn remove_if_mut<Q>(&self, key: &Q, condition: impl FnOnce(&K, &mut V) -> bool) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        // Kept here: if it does not run, it is dropped after the lock is released.
        let mut condition = Some(condition);
        let removed = self.entries.write_existing(hash, self.rehash(), |table| {
            let mut found = table.find_entry(hash, |(k, _)| key.equivalent(k)).ok()?;
            let (k, v) = found.get_mut();
            condition.take()?(k, v).then(|| found.remove().0)
        });
        value_of(removed.flatten())
    }
}
