//! A set: a map without values.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    iter::FusedIterator,
};

use alloc::vec::Vec;

use equivalent::Equivalent;

use crate::{
    hasher::DefaultHashBuilder,
    map::{ConcurrentMap, IntoEntries},
};

/// A hash set that many threads and tasks use at once through `&self`.
///
/// It is a [`ConcurrentMap`] without values: what is said there of closures, consistency and memory
/// ordering holds here, too.
///
/// # Examples
///
/// ```
/// use tidegate_concurrent_map::ConcurrentSet;
///
/// let visited = ConcurrentSet::new();
/// let pages = ["/", "/about", "/"];
/// let firsts = std::thread::scope(|s| {
///     let crawl = || pages.iter().filter(|page| visited.insert(**page)).count();
///     let (one, two) = (s.spawn(crawl), s.spawn(crawl));
///     one.join().unwrap() + two.join().unwrap()
/// });
/// assert_eq!(firsts, 2, "each page was new to one of them");
/// ```
pub struct ConcurrentSet<T, S = DefaultHashBuilder> {
    pub(crate) map: ConcurrentMap<T, (), S>,
}

impl<T> ConcurrentSet<T> {
    /// Creates an empty set with the default number of shards, as [`ConcurrentMap::new`].
    pub fn new() -> Self {
        Self { map: ConcurrentMap::new() }
    }

    /// Creates an empty set with `shards` shards, rounded up to a power of two. 0 is rounded up to
    /// 1, and a number above 16,384 is lowered to 16,384; so many shards take 2 MB.
    pub fn with_shards(shards: usize) -> Self {
        Self { map: ConcurrentMap::with_shards(shards) }
    }

    /// Creates a set with the default number of shards that has room for `capacity` elements, as
    /// [`ConcurrentMap::with_capacity`].
    ///
    /// # Panics
    ///
    /// Panics if there is no memory for so many elements. The process does not abort.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { map: ConcurrentMap::with_capacity(capacity) }
    }
}

impl<T, S> ConcurrentSet<T, S> {
    /// Creates an empty set with the default number of shards that hashes by `hasher`.
    pub fn with_hasher(hasher: S) -> Self {
        Self { map: ConcurrentMap::with_hasher(hasher) }
    }

    /// Creates an empty set with `shards` shards, from 1 to 16,384 and rounded up to a power of
    /// two, that hashes by `hasher`.
    pub fn with_shards_and_hasher(shards: usize, hasher: S) -> Self {
        Self { map: ConcurrentMap::with_shards_and_hasher(shards, hasher) }
    }

    /// Creates a set that has room for `capacity` elements, as [`ConcurrentMap::with_capacity`],
    /// and hashes by `hasher`.
    ///
    /// # Panics
    ///
    /// Panics if there is no memory for so many elements. The process does not abort.
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        Self { map: ConcurrentMap::with_capacity_and_hasher(capacity, hasher) }
    }

    /// Returns the number of shards, as [`ConcurrentMap::shards`].
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

    /// Returns for how many elements there is room, as [`ConcurrentMap::capacity`].
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// Runs `f` on every element, in no particular order. `f` runs under a shard's lock.
    pub fn for_each(&self, mut f: impl FnMut(&T)) {
        self.map.for_each(|element, ()| f(element));
    }

    /// Returns a clone of some element for which `condition` returns true. `condition` runs under a
    /// shard's lock.
    pub fn find(&self, mut condition: impl FnMut(&T) -> bool) -> Option<T>
    where
        T: Clone,
    {
        self.map.find(|element, ()| condition(element)).map(|(element, ())| element)
    }

    /// Returns whether `condition` returns true for some element. `condition` runs under a shard's
    /// lock.
    pub fn any(&self, mut condition: impl FnMut(&T) -> bool) -> bool {
        self.map.any(|element, ()| condition(element))
    }

    /// Returns whether `condition` returns true for every element. `condition` runs under a shard's
    /// lock.
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

    /// Removes every element and frees their memory. What is inserted meanwhile may stay.
    pub fn clear(&self) {
        self.map.clear();
    }
}

impl<T: Hash + Eq, S: BuildHasher> ConcurrentSet<T, S> {
    /// Adds an element; returns whether it was new. If an equal one is there, that one stays, and
    /// `element` is dropped.
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

    /// Adds many elements as one batch, as [`ConcurrentMap::insert_many`]; returns for each, in
    /// their order, whether it was new.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentSet;
    ///
    /// let visited = ConcurrentSet::from(["/"]);
    /// let were_new = visited.insert_many(["/", "/about", "/about"]);
    /// assert_eq!(were_new, [false, true, false]);
    /// assert_eq!(visited.contains_many(["/", "/no"]), [true, false]);
    /// assert_eq!(visited.remove_many(["/", "/no"]), [true, false]);
    /// ```
    pub fn insert_many(&self, elements: impl IntoIterator<Item = T>) -> Vec<bool> {
        let old = self.map.insert_many(elements.into_iter().map(|element| (element, ())));
        old.iter().map(Option::is_none).collect()
    }

    /// Returns for each of many elements, in their order, whether it is there; looks them up as one
    /// batch, as [`ConcurrentMap::get_many`].
    pub fn contains_many<'q, Q>(&self, elements: impl IntoIterator<Item = &'q Q>) -> Vec<bool>
    where
        Q: Hash + Equivalent<T> + ?Sized + 'q,
    {
        self.map.get_many(elements).iter().map(Option::is_some).collect()
    }

    /// Removes many elements as one batch, as [`ConcurrentMap::remove_many`]; returns for each, in
    /// their order, whether it was there.
    pub fn remove_many<'q, Q>(&self, elements: impl IntoIterator<Item = &'q Q>) -> Vec<bool>
    where
        Q: Hash + Equivalent<T> + ?Sized + 'q,
    {
        self.map.remove_many(elements).iter().map(Option::is_some).collect()
    }
}

impl<T: Hash, S: BuildHasher> ConcurrentSet<T, S> {
    /// Makes room for `additional` more elements, as [`ConcurrentMap::reserve`].
    ///
    /// # Panics
    ///
    /// Panics if there is no memory for so many elements. The process does not abort.
    pub fn reserve(&self, additional: usize) {
        self.map.reserve(additional);
    }

    /// Frees the room that is left over, as [`ConcurrentMap::shrink_to_fit`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentSet;
    ///
    /// let set = ConcurrentSet::from([1, 2, 3]);
    /// set.reserve(1000);
    /// assert!(set.capacity() >= 1003);
    /// set.shrink_to_fit();
    /// assert!((3..100).contains(&set.capacity()));
    /// ```
    pub fn shrink_to_fit(&self) {
        self.map.shrink_to_fit();
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

impl<T: Clone, S: Clone> Clone for ConcurrentSet<T, S> {
    /// Copies the set, shard by shard: while other threads write, the copy is not of one instant.
    fn clone(&self) -> Self {
        Self { map: self.map.clone() }
    }
}

impl<T, S> IntoIterator for ConcurrentSet<T, S> {
    type Item = T;
    type IntoIter = IntoElements<T>;

    fn into_iter(self) -> IntoElements<T> {
        IntoElements { entries: self.map.into_iter() }
    }
}

/// The elements of a consumed set, in no particular order: what its `into_iter` returns.
///
/// # Examples
///
/// ```
/// use tidegate_concurrent_map::ConcurrentSet;
///
/// let mut elements = ConcurrentSet::from(["ann"]).into_iter();
/// assert_eq!(elements.len(), 1);
/// assert_eq!((elements.next(), elements.next()), (Some("ann"), None));
/// ```
pub struct IntoElements<T> {
    entries: IntoEntries<T, ()>,
}

impl<T> Iterator for IntoElements<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.entries.next().map(|(element, ())| element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl<T> ExactSizeIterator for IntoElements<T> {}

impl<T> FusedIterator for IntoElements<T> {}

impl<T> fmt::Debug for IntoElements<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoElements").field("left", &self.len()).finish_non_exhaustive()
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
