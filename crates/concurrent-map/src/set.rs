//! A set: a map of nothing.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
};

use alloc::vec::Vec;

use equivalent::Equivalent;

use crate::{hasher::DefaultHashBuilder, map::ConcurrentMap};

/// A hash set that many threads and tasks use at once through `&self`.
///
/// A [`ConcurrentMap`] without values: what is said there of closures, consistency and memory ordering holds here.
///
/// # Examples
///
/// ```
/// use tidegate_concurrent_map::ConcurrentSet;
///
/// let visited = ConcurrentSet::new();
/// let firsts = std::thread::scope(|s| {
///     let crawl = || ["/", "/about", "/"].iter().filter(|page| visited.insert(**page)).count();
///     let (one, two) = (s.spawn(crawl), s.spawn(crawl));
///     one.join().unwrap() + two.join().unwrap()
/// });
/// assert_eq!(firsts, 2, "each page was new to one of them");
/// ```
pub struct ConcurrentSet<T, S = DefaultHashBuilder> {
    map: ConcurrentMap<T, (), S>,
}

impl<T> ConcurrentSet<T> {
    /// Creates an empty set with the default number of shards, as [`ConcurrentMap::new`].
    pub fn new() -> Self {
        Self { map: ConcurrentMap::new() }
    }

    /// Creates an empty set with `shards` shards, rounded up to a power of two; 0 is rounded up to 1.
    ///
    /// # Panics
    ///
    /// Panics if the power of two exceeds `usize`.
    pub fn with_shards(shards: usize) -> Self {
        Self { map: ConcurrentMap::with_shards(shards) }
    }
}

impl<T, S> ConcurrentSet<T, S> {
    /// Creates an empty set with the default number of shards that hashes by `hasher`.
    pub fn with_hasher(hasher: S) -> Self {
        Self { map: ConcurrentMap::with_hasher(hasher) }
    }

    /// Creates an empty set with `shards` shards, rounded up to a power of two (0 to 1), that hashes by `hasher`.
    ///
    /// # Panics
    ///
    /// Panics if the power of two exceeds `usize`.
    pub fn with_shards_and_hasher(shards: usize, hasher: S) -> Self {
        Self { map: ConcurrentMap::with_shards_and_hasher(shards, hasher) }
    }

    /// Returns the number of shards, a power of two.
    pub fn shards(&self) -> usize {
        self.map.shards()
    }

    /// Returns the number of elements, without taking a lock.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns whether every shard was found empty, without taking a lock.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Runs `f` on every element, in no particular order. `f` runs under a shard's lock.
    pub fn for_each(&self, mut f: impl FnMut(&T)) {
        self.map.for_each(|element, ()| f(element));
    }

    /// Returns a clone of some element for which `condition` returns true. It runs under a shard's lock.
    pub fn find(&self, mut condition: impl FnMut(&T) -> bool) -> Option<T>
    where
        T: Clone,
    {
        self.map.find(|element, ()| condition(element)).map(|(element, ())| element)
    }

    /// Returns whether `condition` returns true for some element. It runs under a shard's lock.
    pub fn any(&self, mut condition: impl FnMut(&T) -> bool) -> bool {
        self.map.any(|element, ()| condition(element))
    }

    /// Returns whether `condition` returns true for every element. It runs under a shard's lock.
    pub fn all(&self, mut condition: impl FnMut(&T) -> bool) -> bool {
        self.map.all(|element, ()| condition(element))
    }

    /// Folds every element into an accumulator. `f` runs under a shard's lock.
    pub fn fold<A>(&self, initial: A, mut f: impl FnMut(A, &T) -> A) -> A {
        self.map.fold(initial, |folded, element, ()| f(folded, element))
    }

    /// Returns clones of the elements, in no particular order. `Clone` runs under a shard's lock.
    pub fn snapshot(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.map.keys()
    }

    /// Removes the elements for which `keep` returns false. `keep` runs under a shard's lock.
    pub fn retain(&self, mut keep: impl FnMut(&T) -> bool) {
        self.map.retain(|element, ()| keep(element));
    }

    /// Removes every element and gives their memory back. What is inserted meanwhile may stay.
    pub fn clear(&self) {
        self.map.clear();
    }
}

impl<T: Hash + Eq, S: BuildHasher> ConcurrentSet<T, S> {
    /// Adds an element; returns whether it was new. One that was there stays, and `element` is dropped.
    pub fn insert(&self, element: T) -> bool {
        self.map.insert(element, ()).is_none()
    }

    /// Returns whether the element is there. It may be anything that is [`Equivalent`] to a `T`.
    pub fn contains<Q>(&self, element: &Q) -> bool
    where
        Q: Hash + Equivalent<T> + ?Sized,
    {
        self.map.contains_key(element)
    }

    /// Removes an element; returns whether it was there.
    pub fn remove<Q>(&self, element: &Q) -> bool
    where
        Q: Hash + Equivalent<T> + ?Sized,
    {
        self.map.remove(element).is_some()
    }
}

impl<T, S: Default> Default for ConcurrentSet<T, S> {
    fn default() -> Self {
        Self { map: ConcurrentMap::default() }
    }
}

impl<T: Hash + Eq, S: BuildHasher + Default> FromIterator<T> for ConcurrentSet<T, S> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self { map: elements.into_iter().map(|element| (element, ())).collect() }
    }
}

impl<T: Hash + Eq, const N: usize> From<[T; N]> for ConcurrentSet<T> {
    fn from(elements: [T; N]) -> Self {
        Self::from_iter(elements)
    }
}

impl<T: Hash + Eq, S: BuildHasher> Extend<T> for ConcurrentSet<T, S> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        self.map.extend(elements.into_iter().map(|element| (element, ())));
    }
}

impl<T, S> fmt::Debug for ConcurrentSet<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrentSet")
            .field("len", &self.len())
            .field("shards", &self.shards())
            .finish_non_exhaustive()
    }
}
