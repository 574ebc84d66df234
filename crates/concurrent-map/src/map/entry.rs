//! Several steps on one key that other callers see as one. A closure borrows the entry, so no
//! caller keeps a guard.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    mem,
};

use hashbrown::hash_table::{Entry, OccupiedEntry, VacantEntry};

use super::ConcurrentMap;

/// What holds whenever no method of the entry runs.
const THERE: &str = "the place of the key is known";

impl<K: Hash + Eq, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Lends the entry of `key` to `f`, which may look at its value, change, set, or remove it, in
    /// any number of steps; other callers see them as one step. Returns what `f` returns.
    ///
    /// `f` runs under the shard's lock: it must be short and must not call the map. Return what you
    /// take out of the entry: what `f` drops is dropped under the lock, where a destructor must not
    /// call the map, either. Where one of these steps is enough, there are shorter methods:
    /// [`update`](Self::update), [`upsert`](Self::upsert), [`remove_if_mut`](Self::remove_if_mut),
    /// [`compute`](Self::compute).
    ///
    /// # Panics
    ///
    /// Panics with std if `f` calls the map. If `f` panics, what it has done until then stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// // Pays from a balance, of which nothing is kept when it is empty.
    /// let balances = ConcurrentMap::from([("ann", 5)]);
    /// let pay = |name, sum| balances.entry(name, |entry| {
    ///     let balance = entry.get_mut().filter(|balance| **balance >= sum)?;
    ///     *balance -= sum;
    ///     let left = *balance;
    ///     if left == 0 {
    ///         entry.remove();
    ///     }
    ///     Some(left)
    /// });
    /// let left = [pay("ann", 3), pay("ann", 3), pay("ann", 2), pay("bob", 1)];
    /// assert_eq!(left, [Some(2), None, Some(0), None]);
    /// assert!(balances.is_empty());
    /// ```
    pub fn entry<R>(&self, key: K, f: impl FnOnce(&mut MapEntry<'_, K, V>) -> R) -> R {
        let hash = self.hash(&key);
        // These are dropped after the lock is released, also if `f` or `Eq` panics.
        let (mut key, mut removed, mut f) = (Some(key), None, Some(f));
        self.entries.write(hash, self.rehash(), |table| {
            let place = match self.entry_in(table, hash, |k| Some(k) == key.as_ref()) {
                Entry::Occupied(found) => Place::Occupied(found),
                Entry::Vacant(absent) => Place::Vacant(absent),
            };
            let mut entry = MapEntry { place: Some(place), key: &mut key, removed: &mut removed };
            f.take().expect("a closure runs once")(&mut entry)
        })
    }
}

/// The entry of one key, lent to a closure by [`ConcurrentMap::entry`].
///
/// # Examples
///
/// ```
/// use tidegate_concurrent_map::ConcurrentMap;
///
/// let map = ConcurrentMap::new();
/// let old = map.entry("a", |entry| {
///     assert_eq!((entry.key(), entry.get()), (&"a", None));
///     *entry.or_insert_with(|| 1) += 1;
///     entry.insert(7)
/// });
/// assert_eq!((old, map.get("a")), (Some(2), Some(7)));
/// ```
pub struct MapEntry<'a, K, V> {
    // `None` only while a method runs.
    place: Option<Place<'a, K, V>>,
    // INVARIANT: `Some` unless it is this very key that occupies the place.
    key: &'a mut Option<K>,
    /// A removed key that is not needed any more.
    removed: &'a mut Option<K>,
}

enum Place<'a, K, V> {
    Occupied(OccupiedEntry<'a, (K, V)>),
    Vacant(VacantEntry<'a, (K, V)>),
}

impl<'a, K, V> MapEntry<'a, K, V> {
    /// Returns the key: the map's own, if the map has the key, else the caller's.
    pub fn key(&self) -> &K {
        match &self.place {
            Some(Place::Occupied(found)) => &found.get().0,
            _ => self.key.as_ref().expect(THERE),
        }
    }

    /// Returns the value; `None` if there is none.
    pub fn get(&self) -> Option<&V> {
        match &self.place {
            Some(Place::Occupied(found)) => Some(&found.get().1),
            _ => None,
        }
    }

    /// Returns the value, to be changed; `None` if there is none.
    pub fn get_mut(&mut self) -> Option<&mut V> {
        match &mut self.place {
            Some(Place::Occupied(found)) => Some(&mut found.get_mut().1),
            _ => None,
        }
    }

    /// Sets the value and returns the one that was there.
    pub fn insert(&mut self, value: V) -> Option<V> {
        match self.get_mut() {
            Some(held) => Some(mem::replace(held, value)),
            None => {
                self.fill(value);
                None
            }
        }
    }

    /// Returns the value, set to what `make` returns if there is none.
    pub fn or_insert_with(&mut self, make: impl FnOnce() -> V) -> &mut V {
        if self.get().is_none() {
            self.fill(make());
        }
        self.get_mut().expect(THERE)
    }

    /// Removes the value and returns it. The entry can be filled again.
    pub fn remove(&mut self) -> Option<V> {
        match self.place.take() {
            Some(Place::Occupied(found)) => {
                let ((key, value), absent) = found.remove();
                self.place = Some(Place::Vacant(absent));
                // Keys are dropped after the lock is released.
                let unneeded = if self.key.is_none() { &mut *self.key } else { &mut *self.removed };
                *unneeded = Some(key);
                Some(value)
            }
            place => {
                self.place = place;
                None
            }
        }
    }

    /// Sets the value of an entry that has none; does nothing to another entry.
    fn fill(&mut self, value: V) {
        if let Some(Place::Vacant(absent)) = self.place.take() {
            let key = self.key.take().expect(THERE);
            self.place = Some(Place::Occupied(absent.insert((key, value))));
        }
    }
}

impl<K, V> fmt::Debug for MapEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapEntry").field("is_there", &self.get().is_some()).finish_non_exhaustive()
    }
}
