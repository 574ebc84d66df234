//! Operations that read a value and write it in one step.

use core::{
    hash::{BuildHasher, Hash},
    mem,
};

use hashbrown::hash_table::Entry;
use tidegate_core::unwind::DropEach;

use super::{ConcurrentMap, Equivalent, SwapError};

/// Why a section finds its closure in the `Option`. A closure that did not run is dropped after the
/// lock is released.
const ONCE: &str = "a closure runs once";

/// What [`ConcurrentMap::compute`] does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it is a decision, which the caller has to carry out"]
pub enum Op<V> {
    /// Sets the value.
    Put(V),
    /// Removes the key, if it is there.
    Remove,
    /// Leaves everything as it is.
    Keep,
}

/// What came of an [`alter`](ConcurrentMap::alter). Dropped by the caller, outside of the lock.
pub(super) struct Altered<K, V, R> {
    pub(super) result: R,
    /// The key, if it was not inserted.
    pub(super) unused_key: DropEach<Option<K>>,
    /// The value that was replaced or removed by the decision.
    old: Option<V>,
    _removed_key: DropEach<Option<K>>,
}

impl<K: Hash + Eq, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Runs `f` on the value of `key`, if there is one, and returns what `f` returns. `f` runs
    /// under the shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if `f` calls the map. If `f` panics, the value stays as `f` has left it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let balance = ConcurrentMap::from([("ann", 5)]);
    /// assert_eq!(balance.update("ann", |n| { *n += 2; *n }), Some(7));
    /// assert_eq!(balance.update("bob", |n| { *n += 2; *n }), None);
    /// ```
    #[inline]
    pub fn update<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        // Kept here: if it does not run, it is dropped after the lock is released.
        let mut f = Some(f);
        let found = self.entries.edit(hash, self.rehash(), |table| {
            let (_, value) = table.find_mut(hash, |(k, _)| key.equivalent(k))?;
            f.take().map(|f| f(value))
        });
        found.flatten()
    }

    /// Changes the value of `key` by `update`, or sets it to what `insert` returns if there is
    /// none; returns whether it was inserted. Exactly one of the two runs, under the shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if a closure calls the map. If `insert` panics, nothing is inserted; if
    /// `update` panics, the value stays as `update` has left it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let hits = ConcurrentMap::new();
    /// assert!(hits.upsert("/", || 1, |n| *n += 1));
    /// assert!(!hits.upsert("/", || 1, |n| *n += 1));
    /// assert_eq!(hits.get("/"), Some(2));
    /// ```
    #[inline]
    pub fn upsert(&self, key: K, insert: impl FnOnce() -> V, update: impl FnOnce(&mut V)) -> bool {
        // Kept here: the one that does not run is dropped after the lock is released.
        let (mut insert, mut update) = (Some(insert), Some(update));
        self.alter(key, |found| match found {
            Some(held) => {
                update.take().expect(ONCE)(held);
                (Op::Keep, false)
            }
            None => (Op::Put(insert.take().expect(ONCE)()), true),
        })
        .result
    }

    /// Does what [`upsert`](Self::upsert) does, and returns a clone of the value that is there
    /// afterwards. `Clone` runs under the shard's lock.
    ///
    /// # Panics
    ///
    /// As `upsert`. If `Clone` panics, what was changed or inserted stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let hits = ConcurrentMap::new();
    /// let hit = || hits.upsert_and_get("/", || 1, |n| *n += 1);
    /// assert_eq!((hit(), hit()), (1, 2));
    /// ```
    #[inline]
    pub fn upsert_and_get(
        &self,
        key: K,
        insert: impl FnOnce() -> V,
        update: impl FnOnce(&mut V),
    ) -> V
    where
        V: Clone,
    {
        // Kept here: the one that does not run is dropped after the lock is released.
        let (mut insert, mut update) = (Some(insert), Some(update));
        self.entry(key, |entry| {
            match entry.get_mut() {
                Some(held) => update.take().expect(ONCE)(held),
                None => _ = entry.insert(insert.take().expect(ONCE)()),
            }
            entry.get().cloned().expect("it was updated or inserted")
        })
    }

    /// Returns a clone of the value of `key`, set to what `make` returns if there is none.
    ///
    /// `make` runs under the shard's lock, so it runs once, however many callers ask at once; the
    /// others wait for it. A long computation blocks the keys of the same shard.
    ///
    /// # Panics
    ///
    /// Panics with std if `make` calls the map. If `make` or the clone of what it made panics,
    /// nothing is inserted and the next caller tries again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let parsed = ConcurrentMap::new();
    /// let parse = || -> Arc<Vec<&str>> { Arc::new("a b".split(' ').collect()) };
    /// let first = parsed.get_or_insert_with("a b", parse);
    /// let again = parsed.get_or_insert_with("a b", || unreachable!("it is there"));
    /// assert!(Arc::ptr_eq(&first, &again));
    /// ```
    #[inline]
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        // These are dropped after the lock is released: `make` if it does not run, and what it made
        // if the clone of that panics.
        let (mut make, mut made) = (Some(make), None);
        self.alter(key, |found| match found {
            Some(held) => (Op::Keep, held.clone()),
            None => {
                let clone = made.insert(make.take().expect(ONCE)()).clone();
                (made.take().map_or(Op::Keep, Op::Put), clone)
            }
        })
        .result
    }

    /// Shows the value of `key` to `decide` and does what `decide` returns, in one step; returns
    /// the value that was replaced or removed. `decide` runs under the shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if `decide` calls the map. If `decide` panics, nothing changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::{ConcurrentMap, Op};
    ///
    /// // A countdown that removes itself.
    /// let lives = ConcurrentMap::from([("cat", 2)]);
    /// let lose = |name| lives.compute(name, |left| match left {
    ///     None => Op::Keep,
    ///     Some(1) => Op::Remove,
    ///     Some(n) => Op::Put(n - 1),
    /// });
    /// assert_eq!((lose("cat"), lose("cat"), lose("cat")), (Some(2), Some(1), None));
    /// assert!(lives.is_empty());
    /// ```
    pub fn compute(&self, key: K, decide: impl FnOnce(Option<&V>) -> Op<V>) -> Option<V> {
        self.alter(key, |found| (decide(found.map(|value| &*value)), ())).old
    }

    /// Does what [`compute`](Self::compute) does, and returns a clone of the value that is there
    /// afterwards (the new one, or with [`Op::Keep`] the old); `None` if there is none. `Clone`
    /// runs under the shard's lock.
    ///
    /// # Panics
    ///
    /// As `compute`. If `Clone` panics, what was decided stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::{ConcurrentMap, Op};
    ///
    /// let best = ConcurrentMap::new();
    /// let record = |time: u32| best.compute_and_get("ann", |best| match best {
    ///     Some(best) if *best <= time => Op::Keep,
    ///     _ => Op::Put(time),
    /// });
    /// assert_eq!([record(12), record(15), record(9)], [Some(12), Some(12), Some(9)]);
    /// ```
    pub fn compute_and_get(&self, key: K, decide: impl FnOnce(Option<&V>) -> Op<V>) -> Option<V>
    where
        V: Clone,
    {
        // What is replaced or removed is dropped after the lock is released.
        let mut old = None;
        self.entry(key, |entry| {
            match decide(entry.get()) {
                Op::Put(value) => old = entry.insert(value),
                Op::Remove => old = entry.remove(),
                Op::Keep => {}
            }
            entry.get().cloned()
        })
    }

    /// Sets the value of `key` to `new` if the value there equals `expected`, and returns the old
    /// one. `PartialEq` runs under the shard's lock.
    ///
    /// # Errors
    ///
    /// [`SwapError`] gives `new` back if there is no value or a different one.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let state = ConcurrentMap::from([("door", "open")]);
    /// assert_eq!(state.compare_and_swap("door", &"open", "shut"), Ok("open"));
    /// let shut = |name| state.compare_and_swap(name, &"open", "shut").unwrap_err();
    /// assert!(shut("door").is_different() && shut("gate").is_absent());
    /// ```
    pub fn compare_and_swap<Q>(&self, key: &Q, expected: &V, new: V) -> Result<V, SwapError<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: PartialEq,
    {
        let mut value = new;
        let is_swapped = self.update(key, |held| {
            let is_expected = held == expected;
            if is_expected {
                mem::swap(held, &mut value);
            }
            is_expected
        });
        match is_swapped {
            Some(true) => Ok(value),
            Some(false) => Err(SwapError::Different(value)),
            None => Err(SwapError::Absent(value)),
        }
    }

    /// Finds the value of `key` and does what `decide` returns.
    #[inline]
    pub(super) fn alter<R>(
        &self,
        key: K,
        decide: impl FnOnce(Option<&mut V>) -> (Op<V>, R),
    ) -> Altered<K, V, R> {
        let hash = self.hash(&key);
        // Both are still here if `Eq` or `Hash` panics, so they are dropped after the lock is
        // released. A panic of the key's destructor does not leak the value.
        let (mut key, mut decide) = (DropEach::new(Some(key)), Some(decide));
        self.entries.write(hash, self.rehash(), |table| {
            let mut decide = |found: Option<&mut V>| decide.take().expect(ONCE)(found);
            match self.entry_in(table, hash, |k| Some(k) == key.as_ref()) {
                Entry::Occupied(mut found) => {
                    let held = &mut found.get_mut().1;
                    let (op, result) = decide(Some(held));
                    let (removed_key, old) = match op {
                        Op::Put(value) => (None, Some(mem::replace(held, value))),
                        Op::Remove => {
                            let ((key, value), _) = found.remove();
                            (Some(key), Some(value))
                        }
                        Op::Keep => (None, None),
                    };
                    let _removed_key = DropEach::new(removed_key);
                    Altered { result, unused_key: mem::take(&mut key), old, _removed_key }
                }
                Entry::Vacant(absent) => {
                    let (op, result) = decide(None);
                    if let Op::Put(value) = op {
                        absent.insert((key.take().expect("the key is inserted once"), value));
                    }
                    let (unused_key, _removed_key) = (mem::take(&mut key), DropEach::default());
                    Altered { result, unused_key, old: None, _removed_key }
                }
            }
        })
    }
}
