//! The map and the set on all threads of a rayon pool: shards are the parts that are shared out.
//!
//! While a thread waits for a part of its work it takes up other jobs of the pool. Nothing here
//! waits under a lock, so no such job enters a map that its thread is inside of, unless a closure
//! calls rayon.

use core::{
    hash::{BuildHasher, Hash},
    ops::{
        ControlFlow::{Break, Continue},
        Range,
    },
};

use alloc::vec::Vec;

use rayon::iter::{FromParallelIterator, IntoParallelIterator, ParallelExtend, ParallelIterator};

use crate::{
    map::{BATCH, ConcurrentMap, Unused},
    set::ConcurrentSet,
};

/// Operations on every entry, in no particular order, on the threads of the current rayon pool:
/// each thread takes one shard after the other, so more than [`shards`](Self::shards) threads are
/// of no use. With feature `rayon`.
///
/// They see what their namesakes without `par_` see, and their closures run under a shard's lock,
/// too. Such a closure must not call rayon, not even for other data: a thread that waits in `join`
/// or for a parallel iterator takes up other jobs. If one of these enters this map, that is a call
/// from inside the closure: it panics if the closure or the job can write.
///
/// # Panics
///
/// Panics if called from a closure of the same map, or if a closure calls the map where that is a
/// bug (see [Closures](ConcurrentMap#closures)). Panics of the closures are passed on when all
/// threads have stopped.
impl<K: Send + Sync, V: Send + Sync, S: Sync> ConcurrentMap<K, V, S> {
    /// Runs `f` on every entry.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let squares: ConcurrentMap<u64, u64> = (0..1000).map(|n| (n, n * n)).collect();
    /// let sum = AtomicU64::new(0);
    /// squares.par_for_each(|_, square| { sum.fetch_add(*square, Relaxed); });
    /// assert_eq!(sum.into_inner(), 332_833_500);
    /// ```
    pub fn par_for_each(&self, f: impl Fn(&K, &V) + Send + Sync) {
        self.par_ranges().for_each(|range| {
            self.entries
                .scan_range(range, |table| table.iter().for_each(|(key, value)| f(key, value)));
        });
    }

    /// Returns whether `condition` returns true for some entry. When it does, the other threads
    /// stop at the end of their shards.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let squares: ConcurrentMap<u64, u64> = (0..1000).map(|n| (n, n * n)).collect();
    /// assert!(squares.par_any(|_, square| *square == 49));
    /// assert!(!squares.par_any(|_, square| *square == 50));
    /// ```
    pub fn par_any(&self, condition: impl Fn(&K, &V) -> bool + Send + Sync) -> bool {
        self.par_ranges().any(|range| {
            let visit = |(key, value): &(K, V)| match condition(key, value) {
                true => Break(()),
                false => Continue(()),
            };
            self.entries.scan(range, |table| table.iter().try_for_each(visit)).is_break()
        })
    }

    /// Folds the entries by `fold` into accumulators, each of which begins as `identity()`, and
    /// these by `reduce` into one. Only `fold` runs under a lock. The number of accumulators is
    /// unspecified, so `identity()` must be neutral: `reduce(identity(), a)` is `a`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let squares: ConcurrentMap<u64, u64> = (0..1000).map(|n| (n, n * n)).collect();
    /// let largest =
    ///     squares.par_fold(|| 0, |max, _, square| max.max(*square), u64::max);
    /// assert_eq!(largest, 998_001);
    /// ```
    pub fn par_fold<A: Send>(
        &self,
        identity: impl Fn() -> A + Send + Sync,
        fold: impl Fn(A, &K, &V) -> A + Send + Sync,
        reduce: impl Fn(A, A) -> A + Send + Sync,
    ) -> A {
        let fold_range = |folded: A, range| {
            // Kept here: if `fold` does not take it, it is dropped after the lock is released.
            let mut folded = Some(folded);
            self.entries.scan_range(range, |table| {
                for (key, value) in table {
                    folded = folded.take().map(|folded| fold(folded, key, value));
                }
            });
            folded.expect("a panic of `fold` does not come here")
        };
        self.par_ranges().fold(&identity, fold_range).reduce(&identity, reduce)
    }

    /// Removes the entries for which `keep` returns false; they are dropped by the threads that
    /// have removed them, when these hold no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// let squares: ConcurrentMap<u64, u64> = (0..1000).map(|n| (n, n * n)).collect();
    /// squares.par_retain(|_, square| *square % 2 == 0);
    /// assert_eq!(squares.len(), 500);
    /// ```
    pub fn par_retain(&self, keep: impl Fn(&K, &mut V) -> bool + Send + Sync) {
        self.par_ranges().for_each(|range| self.retain_in(range, &keep));
    }

    /// Returns the ranges of shards, to be shared out.
    fn par_ranges(&self) -> impl ParallelIterator<Item = Range<usize>> + use<K, V, S> {
        // A thread of the pool might wait for a lock that the calling thread holds, or for a writer
        // that waits for that lock.
        self.entries.assert_outside();
        self.entries.ranges().collect::<Vec<_>>().into_par_iter()
    }
}

impl<K, V, S> ParallelExtend<(K, V)> for ConcurrentMap<K, V, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    S: BuildHasher + Sync,
{
    /// Inserts entries from all threads, in batches. Of equal keys, it is unspecified which one's
    /// value stays.
    fn par_extend<I: IntoParallelIterator<Item = (K, V)>>(&mut self, entries: I) {
        let map = &*self;
        let entries = entries.into_par_iter();
        map.reserve_for(entries.opt_len().unwrap_or(0));
        let batches = entries.fold(
            || Unused(Vec::new()),
            |mut batch, entry| {
                batch.0.push(Some(entry));
                if batch.0.len() == BATCH {
                    map.insert_batch(&mut batch.0);
                    batch.clear();
                }
                batch
            },
        );
        batches.for_each(|mut rest| map.insert_batch(&mut rest.0));
    }
}

impl<K, V, S> FromParallelIterator<(K, V)> for ConcurrentMap<K, V, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    S: BuildHasher + Default + Sync,
{
    /// Collects entries on all threads. Of equal keys, it is unspecified which one's value stays.
    fn from_par_iter<I: IntoParallelIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.par_extend(entries);
        map
    }
}

/// Operations on every element on the threads of the current rayon pool, like the operations of
/// [`ConcurrentMap`]; what is said there of closures and panics holds here. With feature `rayon`.
impl<T: Send + Sync, S: Sync> ConcurrentSet<T, S> {
    /// Runs `f` on every element, under a shard's lock.
    pub fn par_for_each(&self, f: impl Fn(&T) + Send + Sync) {
        self.map.par_for_each(|element, ()| f(element));
    }

    /// Returns whether `condition` returns true for some element. `condition` runs under a shard's
    /// lock.
    pub fn par_any(&self, condition: impl Fn(&T) -> bool + Send + Sync) -> bool {
        self.map.par_any(|element, ()| condition(element))
    }

    /// Folds the elements by `fold` into accumulators, each of which begins as `identity()`, and
    /// these by `reduce` into one. `identity()` must be neutral. Only `fold` runs under a lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentSet;
    ///
    /// let odd: ConcurrentSet<u64> = (0..1000).map(|n| 2 * n + 1).collect();
    /// assert_eq!(odd.par_fold(|| 0, |sum, n| sum + n, |a, b| a + b), 1_000_000);
    /// ```
    pub fn par_fold<A: Send>(
        &self,
        identity: impl Fn() -> A + Send + Sync,
        fold: impl Fn(A, &T) -> A + Send + Sync,
        reduce: impl Fn(A, A) -> A + Send + Sync,
    ) -> A {
        self.map.par_fold(identity, |folded, element, ()| fold(folded, element), reduce)
    }

    /// Removes the elements for which `keep` returns false. `keep` runs under a shard's lock.
    pub fn par_retain(&self, keep: impl Fn(&T) -> bool + Send + Sync) {
        self.map.par_retain(|element, ()| keep(element));
    }
}

impl<T: Hash + Eq + Send + Sync, S: BuildHasher + Sync> ParallelExtend<T> for ConcurrentSet<T, S> {
    fn par_extend<I: IntoParallelIterator<Item = T>>(&mut self, elements: I) {
        self.map.par_extend(elements.into_par_iter().map(|element| (element, ())));
    }
}

impl<T, S> FromParallelIterator<T> for ConcurrentSet<T, S>
where
    T: Hash + Eq + Send + Sync,
    S: BuildHasher + Default + Sync,
{
    fn from_par_iter<I: IntoParallelIterator<Item = T>>(elements: I) -> Self {
        Self { map: elements.into_par_iter().map(|element| (element, ())).collect() }
    }
}
