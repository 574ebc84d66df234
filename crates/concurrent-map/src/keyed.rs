//! State per key, for no more keys than agreed.
//!
//! ```text
//! hit:   lock the key's shard ─▶ found
//! miss:  lock the key's shard ─▶ take a place ─▶ make ─▶ insert
//!        no place ─▶ unlock ─▶ shard by shard: an idle entry? take it out and keep its place ─▶ once more from the top
//!                                              none at all? ─▶ once more from the top, then refuse
//! ```
//!
//! A place is taken before the entry is there and given back after it is gone, so there are never more entries than
//! places. No two locks are held at once.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    mem,
    num::NonZeroUsize,
    ops::ControlFlow,
};

use alloc::{borrow::ToOwned, vec::Vec};

use equivalent::Equivalent;
use hashbrown::HashTable;
use tidegate_core::primitive::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    hasher::DefaultHashBuilder,
    striped::{Striped, default_shards},
};

/// A bounded registry of per-key state that cleans itself: one `T` per key, made on first use.
///
/// For state that is equal to "never seen" most of the time: a rate limiter's bucket that has refilled, a circuit
/// breaker without failures. When the registry is full, a new key takes the place of an *idle* entry: one that nobody
/// else holds (no other [`Arc`] and no `Weak` of its state) and of which the caller says that it equals a new one.
/// So a million passing keys cost no more memory than `max_keys` of them, no key in use is ever forgotten, and no helper
/// task is needed.
///
/// Use a [`ConcurrentMap`](crate::ConcurrentMap) for values that must stay until they are removed.
///
/// A hit costs one lock and no allocation. A new key in a full registry looks at entries, from a random one on, until
/// it finds an idle one: about `max_keys / idle` looks. A refusal has looked at all of them, one shard's lock at a time.
///
/// # Examples
///
/// ```
/// use core::{num::NonZeroUsize, sync::atomic::{AtomicU32, Ordering}};
/// use tidegate_concurrent_map::Keyed;
///
/// // Requests in flight, per client.
/// let in_flight = Keyed::<String, AtomicU32>::new(NonZeroUsize::new(2).unwrap());
/// let client = |name: &str| {
///     in_flight.get_or_insert_with(name, || AtomicU32::new(0), |n| n.load(Ordering::Relaxed) == 0)
/// };
/// client("ann")?.fetch_add(1, Ordering::Relaxed);
/// client("bob")?;
/// client("cid")?; // in bob's place: nothing of his is in flight
/// assert!(in_flight.get("bob").is_none());
/// assert_eq!(in_flight.get("ann").unwrap().load(Ordering::Relaxed), 1);
///
/// client("cid")?.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(client("dan").unwrap_err().to_string(), "too many keys: 2 of 2 in use");
/// # Ok::<(), tidegate_concurrent_map::TooManyKeys>(())
/// ```
pub struct Keyed<K, T, S = DefaultHashBuilder> {
    entries: Striped<Entry<K, T>>,
    // INVARIANT: entries in the tables + `Place`s alive ≤ `max_keys`.
    taken: AtomicUsize,
    max_keys: NonZeroUsize,
    hasher: S,
}

struct Entry<K, T> {
    // Kept, so that a growing table runs no foreign code, which might panic half-way.
    hash: u64,
    key: K,
    state: Arc<T>,
}

impl<K: Hash + Eq, T> Keyed<K, T> {
    /// Creates an empty registry for at most `max_keys` keys.
    pub fn new(max_keys: NonZeroUsize) -> Self {
        Self::with_hasher(max_keys, DefaultHashBuilder::default())
    }
}

impl<K: Hash + Eq, T, S: BuildHasher> Keyed<K, T, S> {
    /// Creates an empty registry for at most `max_keys` keys that hashes them by `hasher`.
    pub fn with_hasher(max_keys: NonZeroUsize, hasher: S) -> Self {
        let shards = default_shards().min(max_keys);
        Self { entries: Striped::new(shards), taken: AtomicUsize::new(0), max_keys, hasher }
    }

    /// Returns the state of `key`, made by `make` if there is none.
    ///
    /// `is_idle` says whether a state equals a new one; it is asked only about states that nobody else holds, and only
    /// when a new key finds the registry full. While the returned `Arc` lives, its entry stays.
    ///
    /// `make` and `is_idle` run under a shard's lock: they must be short and must not call the registry.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`] if `key` is new, the registry is full and every entry was found busy. `make` has not run then. A
    /// place that another thread is about to fill counts as busy.
    ///
    /// # Panics
    ///
    /// Panics with std if `make` or `is_idle` calls the registry. Panics of theirs are passed on; the registry stays as
    /// it was.
    pub fn get_or_insert_with<Q>(
        &self,
        key: &Q,
        make: impl FnOnce() -> T,
        is_idle: impl Fn(&T) -> bool,
    ) -> Result<Arc<T>, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.with(key, make, is_idle, Arc::clone)
    }

    /// Runs `f` on the state of `key`, made by `make` if there is none.
    ///
    /// The same as [`get_or_insert_with`](Self::get_or_insert_with) without counting another owner of the state. `f` runs
    /// under the shard's lock, too: it must be short and must not call the registry.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`] if `key` is new, the registry is full and every entry was found busy. Neither `make` nor `f` has
    /// run then.
    ///
    /// # Panics
    ///
    /// Panics with std if one of the closures calls the registry. Panics of theirs are passed on; the registry stays
    /// as it was, except that a state already made stays if `f` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{num::NonZeroUsize, sync::atomic::{AtomicU32, Ordering}};
    /// use tidegate_concurrent_map::Keyed;
    ///
    /// let visits = Keyed::<u64, AtomicU32>::new(NonZeroUsize::MIN);
    /// for expected in 0..3 {
    ///     let before = visits.with(&7, AtomicU32::default, |_| false, |n| n.fetch_add(1, Ordering::Relaxed));
    ///     assert_eq!(before, Ok(expected));
    /// }
    /// ```
    pub fn with<Q, R>(
        &self,
        key: &Q,
        make: impl FnOnce() -> T,
        is_idle: impl Fn(&T) -> bool,
        f: impl FnOnce(&Arc<T>) -> R,
    ) -> Result<R, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        // Here the one that does not run is dropped when the lock is open.
        let (mut make, mut f) = (Some(make), Some(f));
        let mut place = None;
        let mut has_searched = false;
        loop {
            let outcome = self.entries.write(hash, |table| {
                if let Some(entry) = table.find(hash, |entry| key.equivalent(&entry.key)) {
                    return f.take().map(|f| f(&entry.state));
                }
                let place = place.take().or_else(|| self.take_place())?;
                let make = make.take()?;
                let entry = Entry { hash, key: key.to_owned(), state: Arc::new(make()) };
                let entry = table.insert_unique(hash, entry, |entry| entry.hash);
                place.fill();
                f.take().map(|f| f(&entry.get().state))
            });
            match outcome {
                Some(result) => return Ok(result),
                None if has_searched => return Err(TooManyKeys { max_keys: self.max_keys.get() }),
                None => {
                    has_searched = true;
                    place = self.evict_one(hash, &is_idle);
                }
            }
        }
    }

    /// Returns the state of `key` if there is one.
    pub fn get<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let found = self.entries.read(hash, |table| {
            table.find(hash, |entry| key.equivalent(&entry.key)).map(|entry| entry.state.clone())
        });
        found.flatten()
    }

    /// Forgets `key`, idle or not, and returns its state if there was one. Who holds the state can go on using it.
    pub fn remove<Q>(&self, key: &Q) -> Option<Arc<T>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let removed = self.entries.write_existing(hash, |table| {
            let found = table.find_entry(hash, |entry| key.equivalent(&entry.key)).ok()?;
            Some((found.remove().0, self.vacated()))
        });
        removed.flatten().map(|(entry, _place)| entry.state)
    }

    /// Keeps only the entries for which `keep` returns true.
    ///
    /// One shard at a time is locked; `keep` runs under that lock, must be short and must not call the registry. Keys
    /// that come meanwhile may or may not be seen.
    ///
    /// # Panics
    ///
    /// Panics with std if `keep` calls the registry. A panic of its own is passed on; what was refused until then is
    /// gone.
    pub fn retain(&self, mut keep: impl FnMut(&K, &Arc<T>) -> bool) {
        // What is removed is dropped when no lock is held.
        let mut removed = Vec::new();
        self.entries.write_all(|table| {
            let refused = table.extract_if(|entry| !keep(&entry.key, &entry.state));
            removed.extend(refused.map(|entry| (entry, self.vacated())));
        });
    }

    /// Takes an idle entry out and drops it; its place is left to the caller.
    #[cold]
    fn evict_one(&self, hash: u64, is_idle: impl Fn(&T) -> bool) -> Option<Place<'_>> {
        // Some bits of the hash choose where to begin, so that the search does not always pass the same busy entries.
        #[allow(clippy::cast_possible_truncation, reason = "any bits will do")]
        let start = (hash >> 7) as usize;
        let evicted =
            self.entries.write_each(start, |table| match take_idle(table, start, &is_idle) {
                Some(entry) => ControlFlow::Break((entry, self.vacated())),
                None => ControlFlow::Continue(()),
            });
        evicted.break_value().map(|(_entry, place)| place)
    }
}

impl<K, T, S> Keyed<K, T, S> {
    /// Returns the number of keys. A snapshot; a key on its way in counts.
    pub fn len(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns whether there are no keys. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the largest number of keys.
    pub fn max_keys(&self) -> usize {
        self.max_keys.get()
    }

    /// Runs `f` on every key and its state, in no particular order.
    ///
    /// One shard at a time is locked; `f` runs under that lock, must be short and must not call the registry. Keys that
    /// come or go meanwhile may or may not be seen.
    ///
    /// # Panics
    ///
    /// Panics with std if `f` calls the registry.
    pub fn for_each(&self, mut f: impl FnMut(&K, &Arc<T>)) {
        self.entries.read_all(|entry| f(&entry.key, &entry.state));
    }

    /// Takes one of the places that are left.
    fn take_place(&self) -> Option<Place<'_>> {
        let max_keys = self.max_keys.get();
        // ORDERING: Relaxed: the number alone counts; entries are published by their shards' locks.
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < max_keys).then_some(taken + 1)
            })
            .ok()
            .map(|_| self.vacated())
    }

    /// Returns the place of an entry that was just taken out of its table.
    fn vacated(&self) -> Place<'_> {
        Place { taken: &self.taken }
    }
}

impl<K, T, S> fmt::Debug for Keyed<K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("len", &self.len())
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

/// One of `max_keys` places that no entry fills; dropping it gives it back.
struct Place<'a> {
    taken: &'a AtomicUsize,
}

impl Place<'_> {
    /// Leaves the place to an entry.
    fn fill(self) {
        mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: as in `take_place`.
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Removes the first idle entry of a table, looking once around from `start`.
fn take_idle<K, T>(
    table: &mut HashTable<Entry<K, T>>,
    start: usize,
    is_idle: impl Fn(&T) -> bool,
) -> Option<Entry<K, T>> {
    let buckets = table.num_buckets();
    let start = start % buckets;
    for index in (start..buckets).chain(0..start) {
        let Ok(mut entry) = table.get_bucket_entry(index) else { continue };
        // `get_mut` is exact: nobody else has the state, nobody can get it while the shard is locked, and what was
        // done by those who had it is seen.
        if Arc::get_mut(&mut entry.get_mut().state).is_some_and(|state| is_idle(state)) {
            return Some(entry.remove().0);
        }
    }
    None
}

/// A new key was refused: the registry is full of keys in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TooManyKeys {
    max_keys: usize,
}

impl TooManyKeys {
    /// Returns how many keys are in use, which is how many there may be.
    pub fn max_keys(&self) -> usize {
        self.max_keys
    }
}

impl fmt::Display for TooManyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many keys: {0} of {0} in use", self.max_keys)
    }
}

impl core::error::Error for TooManyKeys {}
