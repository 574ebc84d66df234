//! The map: what it is made of, and its operations on one key.

mod bulk;
mod entry;
mod flight;
mod modify;
mod shape;
mod whole;

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    mem,
    num::NonZeroUsize,
    panic::{RefUnwindSafe, UnwindSafe},
};

use equivalent::Equivalent;
use hashbrown::{HashTable, hash_table::Entry};
use tidegate_core::{
    unwind::{DropEach, Foreign},
    wake_list::each,
};

#[cfg(feature = "rayon")]
pub(crate) use self::bulk::BATCH;
pub(crate) use self::bulk::Unused;
use self::flight::Flights;
pub use self::{entry::MapEntry, flight::GetOrTryInsert, modify::Op, shape::IntoEntries};
use crate::{
    error::{Occupied, SwapError},
    hasher::DefaultHashBuilder,
    room::make_room,
    striped::{Striped, default_shards, power_of_two},
};

/// A hash map that many threads and tasks use at once through `&self`, with no guards to hold and no deadlocks by
/// normal use.
///
/// For caches and shared tables. Values come out as clones ([`get`](Self::get); wrap large ones in an `Arc`) or are
/// looked at in place by a closure ([`get_with`](Self::get_with), [`update`](Self::update)). No operation ever waits for
/// anything but a short critical section, so it suits tasks and threads alike; the one exception,
/// [`get_or_try_insert_async`](Self::get_or_try_insert_async), returns a future. For one thread, or where everything is
/// written once and then only read, std's map behind an `Arc` costs less.
///
/// An operation hashes its key once and locks one of the [shards](Self::shards). One on many keys
/// ([`insert_many`](Self::insert_many) and its like) locks each shard once.
///
/// # Closures
///
/// A closure runs under its shard's lock where its method says so; the same holds for `Eq`, `Clone` and `PartialEq` of
/// keys and values, and for `Hash` while a shard grows. They must be short: who writes to that shard waits for them, and
/// if they write, who reads does too.
///
/// A closure that looks at values ([`get_with`](Self::get_with), [`for_each`](Self::for_each), [`fold`](Self::fold) and the
/// like) may call what reads the same map, on whichever keys; it never waits for a writer that waits for it. All other calls of
/// the same map from one of its closures, those that write and all from a closure that can write
/// ([`update`](Self::update), [`entry`](Self::entry), [`retain`](Self::retain) and the like), are bugs. With std such a call panics at once,
/// always, whether or not it would have met a lock; without std even a read may hang (or panic, with the feature
/// `critical-section`).
///
/// Closures that look may look at other maps. Where one of two maps is written to, all threads must enter the two in the
/// same order, or they can wait for each other for ever. Nor must a closure wait for another *thread* that uses the map.
/// Closures of maps may stand within each other up to eight deep, those of the same map in a row counted once.
///
/// When a closure or one of those methods panics, the lock is opened, the map stays consistent, and the panic is passed
/// on. Nothing is lost, also if `Hash` panics while a shard makes room.
///
/// # Consistency
///
/// Operations on one key are linearizable: each takes effect at one instant between its call and its return, and all
/// threads see those of one key in the same order. A closure of `update` and its like is part of that instant. Operations on
/// different keys have no order but the one that threads give them.
///
/// What visits many keys ([`for_each`](Self::for_each) and its relatives, [`len`](Self::len), [`clear`](Self::clear),
/// [`get_many`](Self::get_many)) goes from shard to shard and is not of one instant: an entry that is there all the time is seen
/// exactly once, one that comes or goes meanwhile once or not at all. It holds one shard's lock at a time, so it
/// blocks writers of that shard only, and readers not at all unless it writes; but whoever is about to move all entries
/// of a small map (see [Memory](ConcurrentMap#memory)) waits for it.
///
/// What is replaced or removed is returned, or dropped by the caller's thread before the operation returns, when no
/// lock is held: a value's destructor may use the map. So is a closure that did not run, with what it has captured.
/// Nothing is dropped later, or by other threads.
///
/// There is no `==`: maps that change have no instant in common. Compare what [`snapshot`](Self::snapshot) returns.
///
/// # Memory
///
/// An empty map is small, and allocates nothing before the first insertion (with std). Each shard has a table, which grows
/// alone: when it is full, its entries move to one of twice the size under that shard's lock, and the other shards go on.
/// So one insertion moves a shard's part of the entries at most; [`with_capacity`](ConcurrentMap::with_capacity) and
/// [`reserve`](Self::reserve) do so beforehand. Nothing shrinks by itself: see [`shrink_to_fit`](Self::shrink_to_fit)
/// and [`clear`](Self::clear).
///
/// Beside its tables a map has 1.2 KB for eight shards at first (with std). When it has twice as many entries as
/// [shards](Self::shards), or when threads have often waited for each other in the eight, all entries move to all shards, which
/// weigh 128 bytes each, and twice as many for each thread that can run at once. One call, of whichever operation, moves them,
/// under the lock of one of the eight after the other. A map [with a number of shards](ConcurrentMap::with_shards) has
/// them from the first insertion on, as has one made for so many entries.
///
/// # Memory ordering
///
/// What a thread did before it wrote an entry happens before what another does after it has found that entry.
///
/// The map is `Send` if values are `Send` and keys both `Send` and `Sync`, and `Sync` if both are both.
///
/// ```compile_fail
/// # fn shared<T: Sync>() {}
/// shared::<tidegate_concurrent_map::ConcurrentMap<u32, core::cell::Cell<u32>>>();
/// ```
///
/// # Examples
///
/// ```
/// use tidegate_concurrent_map::ConcurrentMap;
///
/// let words = ConcurrentMap::new();
/// std::thread::scope(|s| {
///     for line in ["the cat and the hat", "the end"] {
///         let words = &words;
///         s.spawn(move || {
///             for word in line.split(' ') {
///                 words.upsert(word, || 1, |count| *count += 1);
///             }
///         });
///     }
/// });
/// assert_eq!(words.get("the"), Some(3));
/// assert_eq!(words.len(), 5);
/// ```
pub struct ConcurrentMap<K, V, S = DefaultHashBuilder> {
    entries: Striped<(K, V)>,
    hasher: S,
    flights: Flights<K>,
}

impl<K, V> ConcurrentMap<K, V> {
    /// Creates an empty map that grows to the default number of shards: sixteen for each thread that can run at once (one,
    /// without std), rounded up to a power of two.
    pub fn new() -> Self {
        Self::with_hasher(DefaultHashBuilder::default())
    }

    /// Creates an empty map with `shards` shards from the first insertion on, rounded up to a power of two; 0 is rounded up to 1, and
    /// more than 16,384 (2 MB) are 16,384.
    pub fn with_shards(shards: usize) -> Self {
        Self::with_shards_and_hasher(shards, DefaultHashBuilder::default())
    }
}

impl<K, V, S> ConcurrentMap<K, V, S> {
    /// Creates an empty map with the default number of shards that hashes keys by `hasher`.
    ///
    /// ```
    /// use std::hash::RandomState;
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// // Slower, and safe also against an opponent who can measure single operations.
    /// let sessions = ConcurrentMap::with_hasher(RandomState::new());
    /// assert_eq!(sessions.insert("ann", 1), None);
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        Self::of(Striped::growing(power_of_two(default_shards())), hasher)
    }

    /// Creates an empty map with `shards` shards, from 1 to 16,384 and rounded up to a power of two, that hashes keys
    /// by `hasher`.
    pub fn with_shards_and_hasher(shards: usize, hasher: S) -> Self {
        let shards = NonZeroUsize::new(shards).unwrap_or(NonZeroUsize::MIN);
        Self::of(Striped::fixed(power_of_two(shards)), hasher)
    }

    fn of(entries: Striped<(K, V)>, hasher: S) -> Self {
        Self { entries, hasher, flights: Flights::new() }
    }

    /// Returns the number of shards, a power of two: of a map that is small yet, how many it grows to.
    pub fn shards(&self) -> usize {
        self.entries.count()
    }

    /// Returns what hashes the keys.
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

impl<K: Hash + Eq, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Returns a clone of the value of `key`. Cloning runs under the shard's lock.
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

    /// Runs `f` on the value of `key`, if there is one, and returns what it returns. `f` runs under the shard's lock.
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
        // Here it is dropped when the lock is open, if it does not run.
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

    /// Sets the value of `key` and returns the value it had. A key that is there already stays; the new one is dropped.
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Option<V> {
        let hash = self.hash(&key);
        // Both are still here if `Eq` or `Hash` panics, and the key if it is not inserted, so they are dropped when the lock
        // is open.
        // A key's panic takes no value along.
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
    /// assert_eq!(owners.try_insert("job 1", "bob").unwrap_err().into_inner(), ("job 1", "bob"));
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

    /// Removes `key` and returns its value.
    #[inline]
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.remove_if(key, |_, _| true)
    }

    /// Removes `key` if `condition` says so, and returns its value then. `condition` runs under the shard's lock.
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
        let hash = self.hash(key);
        // Here it is dropped when the lock is open, if it does not run.
        let mut condition = Some(condition);
        let removed = self.entries.write_existing(hash, self.rehash(), |table| {
            let found = table.find_entry(hash, |(k, _)| key.equivalent(k)).ok()?;
            let (k, v) = found.get();
            condition.take()?(k, v).then(|| found.remove().0)
        });
        value_of(removed.flatten())
    }

    /// Removes `key` if `condition`, which may change the value, says so, and returns the value then: to modify in place or to
    /// remove is one step. `condition` runs under the shard's lock.
    ///
    /// # Panics
    ///
    /// Panics with std if `condition` calls the map. If it panics, the value stays as far as it has got.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_concurrent_map::ConcurrentMap;
    ///
    /// // The last one to leave takes the count along.
    /// let visitors = ConcurrentMap::from([("hall".to_owned(), 2)]);
    /// let leave = || visitors.remove_if_mut("hall", |_, count| { *count -= 1; *count == 0 });
    /// assert_eq!((leave(), leave(), leave()), (None, Some(0), None));
    /// ```
    #[inline]
    pub fn remove_if_mut<Q>(&self, key: &Q, condition: impl FnOnce(&K, &mut V) -> bool) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        // Here it is dropped when the lock is open, if it does not run.
        let mut condition = Some(condition);
        let removed = self.entries.write_existing(hash, self.rehash(), |table| {
            let mut found = table.find_entry(hash, |(k, _)| key.equivalent(k)).ok()?;
            let (k, v) = found.get_mut();
            condition.take()?(k, v).then(|| found.remove().0)
        });
        value_of(removed.flatten())
    }

    /// Finds the entry of a key in its table, or a place for it. A closure compares: the key itself, as an argument, would go
    /// through memory.
    #[inline]
    fn entry_in<'a>(
        &self,
        table: &'a mut HashTable<(K, V)>,
        hash: u64,
        is_it: impl Fn(&K) -> bool,
    ) -> Entry<'a, (K, V)> {
        // Room first, in our way: what can fail fails before anything has changed.
        make_room(table, 1, self.rehash());
        table.entry(hash, |(k, _)| is_it(k), |_| unreachable!("there is room"))
    }

    /// Returns what hashes an entry anew that moves.
    #[inline]
    fn rehash(&self) -> impl Fn(&(K, V)) -> u64 {
        |(key, _)| self.hash(key)
    }

    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }
}

/// Drops entries, each key and each value on its own: the first panic goes on when all are gone.
pub(crate) fn drop_entries<K, V>(entries: impl Iterator<Item = (K, V)>) {
    each(entries, |(key, value)| drop((Foreign::new(key), Foreign::new(value))));
}

impl<K, V, S> Drop for ConcurrentMap<K, V, S> {
    fn drop(&mut self) {
        if mem::needs_drop::<(K, V)>() {
            self.clear();
        }
    }
}

/// Drops the key of an entry that was removed, whose panic takes no value along.
#[inline]
fn value_of<K, V>(entry: Option<(K, V)>) -> Option<V> {
    let (key, value) = entry?;
    drop(DropEach::new(Some(key)));
    Some(value)
}

// The map stays whole whatever panics; of a value, what a closure has left half done is seen, as behind a reference.
impl<K: RefUnwindSafe, V: RefUnwindSafe, S: RefUnwindSafe> RefUnwindSafe
    for ConcurrentMap<K, V, S>
{
}
impl<K: UnwindSafe, V: UnwindSafe, S: UnwindSafe> UnwindSafe for ConcurrentMap<K, V, S> {}

impl<K, V, S: Default> Default for ConcurrentMap<K, V, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + Default> FromIterator<(K, V)> for ConcurrentMap<K, V, S> {
    /// Collects entries; of equal keys the last one's value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K: Hash + Eq, V, const N: usize> From<[(K, V); N]> for ConcurrentMap<K, V> {
    /// Collects entries; of equal keys the last one's value stays.
    fn from(entries: [(K, V); N]) -> Self {
        Self::from_iter(entries)
    }
}

impl<K, V, S> fmt::Debug for ConcurrentMap<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The entries are not shown: printing must neither wait nor run foreign code in a section.
        f.debug_struct("ConcurrentMap")
            .field("len", &self.len())
            .field("shards", &self.shards())
            .finish_non_exhaustive()
    }
}
