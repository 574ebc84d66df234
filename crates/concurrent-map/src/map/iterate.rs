//! Operations on every entry.

#[cfg(feature = "rayon")]
use core::ops::Range;
use core::{
    mem,
    ops::ControlFlow::{self, Break, Continue},
};

use alloc::vec::Vec;

use tidegate_core::unwind::DropEach;

use super::{ConcurrentMap, Unused, drop_entries};

/// Operations on every entry, in no particular order, one shard's lock at a time. See
/// [Consistency](ConcurrentMap#consistency) for what they see. Their closures run under that lock.
///
/// Those that return many entries return a `Vec`: it can be sorted, searched and collected into any
/// other container.
impl<K, V, S> ConcurrentMap<K, V, S> {
    /// Runs `f` on every entry. `f` runs under a shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if `f` calls the map to write. The same holds for the closures of all
    /// methods below, but the closure of [`retain`](Self::retain) must not call the map at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let ages = ConcurrentMap::from([("ann", 41), ("bob", 17)]);
    /// let mut lines = Vec::new();
    /// ages.for_each(|name, age| lines.push(format!("{name}: {age}")));
    /// lines.sort();
    /// assert_eq!(lines, ["ann: 41", "bob: 17"]);
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.entries.read_all(|(key, value)| f(key, value));
    }

    /// Returns a clone of some entry for which `condition` returns true. `condition` runs under a
    /// shard's lock.
    pub fn find(&self, mut condition: impl FnMut(&K, &V) -> bool) -> Option<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        let mut pair = Pair(None);
        self.visit(|key, value| match condition(key, value) {
            true => Break(pair.of(key, || value.clone())),
            false => Continue(()),
        })
        .break_value()
    }

    /// Returns whether `condition` returns true for some entry. `condition` runs under a shard's
    /// lock, up to that entry.
    pub fn any(&self, mut condition: impl FnMut(&K, &V) -> bool) -> bool {
        let visit =
            |key: &K, value: &V| if condition(key, value) { Break(()) } else { Continue(()) };
        self.visit(visit).is_break()
    }

    /// Returns whether `condition` returns true for every entry. `condition` runs under a shard's
    /// lock, up to the first entry for which it returns false.
    pub fn all(&self, mut condition: impl FnMut(&K, &V) -> bool) -> bool {
        !self.any(|key, value| !condition(key, value))
    }

    /// Folds every entry into an accumulator. `f` runs under a shard's lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let sizes = ConcurrentMap::from([("a", 3), ("b", 4)]);
    /// assert_eq!(sizes.fold(0, |sum, _, size| sum + size), 7);
    /// ```
    pub fn fold<A>(&self, initial: A, mut f: impl FnMut(A, &K, &V) -> A) -> A {
        let mut folded = Some(initial);
        self.for_each(|key, value| folded = folded.take().map(|folded| f(folded, key, value)));
        folded.expect("a panic of `f` does not come here")
    }

    /// Returns clones of the entries for which `condition` returns true. `condition` and `Clone`
    /// run under a shard's lock.
    pub fn filter(&self, mut condition: impl FnMut(&K, &V) -> bool) -> Vec<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        let mut pair = Pair(None);
        self.collect(|key, value| condition(key, value).then(|| pair.of(key, || value.clone())))
    }

    /// Returns every key with what `f` makes of its value. `f` and `Clone` run under a shard's
    /// lock.
    pub fn map_values<R>(&self, mut f: impl FnMut(&K, &V) -> R) -> Vec<(K, R)>
    where
        K: Clone,
    {
        let mut pair = Pair(None);
        self.collect(|key, value| Some(pair.of(key, || f(key, value))))
    }

    /// Returns clones of the keys. `Clone` runs under a shard's lock.
    pub fn keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        self.collect(|key, _| Some(key.clone()))
    }

    /// Returns clones of the values. `Clone` runs under a shard's lock.
    pub fn values(&self) -> Vec<V>
    where
        V: Clone,
    {
        self.collect(|_, value| Some(value.clone()))
    }

    /// Returns clones of the entries. `Clone` runs under a shard's lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let ages = ConcurrentMap::from([("ann", 41), ("bob", 17)]);
    /// let copy: HashMap<_, _> = ages.snapshot().into_iter().collect();
    /// assert_eq!(copy, HashMap::from([("ann", 41), ("bob", 17)]));
    /// ```
    pub fn snapshot(&self) -> Vec<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        self.filter(|_, _| true)
    }

    /// Removes the entries for which `keep` returns false. `keep` runs under a shard's lock; what
    /// is removed is dropped at the end.
    ///
    /// If `keep` panics, the entries for which it has returned false until then are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let scores = ConcurrentMap::from([("ann", 3), ("bob", 8)]);
    /// scores.retain(|_, score| { *score -= 5; *score > 0 });
    /// assert_eq!(scores.snapshot(), [("bob", 3)]);
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let mut removed = Unused(Vec::new());
        self.entries.write_all(|table, _| {
            removed.0.extend(table.extract_if(|(key, value)| !keep(key, value)).map(Some));
        });
    }

    /// Removes every entry and frees their memory. What is inserted meanwhile may stay.
    pub fn clear(&self) {
        let mut emptied = Vec::new();
        self.entries.write_all(|table, _| emptied.push(mem::take(table)));
        drop_entries(emptied.into_iter().flatten());
    }

    /// Shows every entry to `f` until `f` breaks.
    fn visit<B>(&self, mut f: impl FnMut(&K, &V) -> ControlFlow<B>) -> ControlFlow<B> {
        self.entries.read_each(|(key, value)| f(key, value))
    }

    /// Does what [`retain`](Self::retain) does, in a range of shards.
    #[cfg(feature = "rayon")]
    pub(crate) fn retain_in(&self, range: Range<usize>, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let mut removed = Unused(Vec::new());
        self.entries.write_range(range, |table, _| {
            removed.0.extend(table.extract_if(|(key, value)| !keep(key, value)).map(Some));
        });
    }

    /// Returns what `f` makes of the entries, without the `None`s.
    fn collect<R>(&self, mut f: impl FnMut(&K, &V) -> Option<R>) -> Vec<R> {
        // If a closure or a clone panics, what was collected is dropped one by one.
        let mut collected = DropEach::new(Vec::new());
        self.for_each(|key, value| collected.extend(f(key, value)));
        collected.into_inner()
    }
}

/// Holds the clone of a key while its value is cloned or computed: if that panics, the key's clone
/// is dropped after the lock is released.
struct Pair<K>(Option<K>);

impl<K: Clone> Pair<K> {
    fn of<R>(&mut self, key: &K, make: impl FnOnce() -> R) -> (K, R) {
        self.0 = Some(key.clone());
        let made = make();
        (self.0.take().expect("it was cloned"), made)
    }
}
