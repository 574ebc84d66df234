//! State per key, for a bounded number of keys.
//!
//! ```text
//! hit:   lock the key's shard ─▶ found
//! miss:  unlock ─▶ lock again ─▶ take a slot (`Place`) ─▶ make ─▶ insert
//!        no slot ─▶ unlock ─▶ search: an idle entry? remove it and keep its slot ─▶ once more
//!                                     none? ─▶ once more, then refuse
//! search, shard by shard:
//!        has the time come from which an entry may be idle (`idle_times.rs`)? check it
//!        check the next 64, from where the last search has ended
//! ```
//!
//! A search checks a bounded number of entries; otherwise each key that a client makes up would
//! cost a check of all slots.
//!
//! A slot is taken before the entry is there and released after the entry is gone, so there are
//! never more entries than slots. No two locks are held at once, except while shards grow
//! (`growing.rs`).

mod idle_times;
mod key_table;
mod key_tables;
mod occupancy;

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    iter, mem,
    num::NonZeroUsize,
    panic::{RefUnwindSafe, UnwindSafe},
};

use alloc::{borrow::ToOwned, vec::Vec};

use equivalent::Equivalent;
use tidegate_core::primitive::atomic::{AtomicUsize, Ordering};

use self::key_tables::KeyTables;
pub use self::occupancy::Occupancy;
use crate::{
    hasher::DefaultHashBuilder,
    map::{Unused, drop_entries, value_of},
};

/// A bounded registry of per-key state that cleans itself: one `V` per key, made on first use.
///
/// It is for state that most of the time equals that of a key never seen before: a rate limiter's
/// bucket that has refilled, a circuit breaker without failures. When the registry is full, a new
/// key takes the place of an *idle* entry: the caller says whether an entry equals a new one. So a
/// million passing keys cost no more memory than `max_keys` of them, no key in use is ever
/// forgotten, and no background task is needed.
///
/// A value lives in the table itself, and is changed [in place](Self::with). Values that callers
/// keep are `Arc`s, returned by [`get_or_insert_with`](Self::get_or_insert_with): while a caller
/// holds one, it is not idle.
///
/// Use a [`ConcurrentMap`](crate::ConcurrentMap) for values that must stay until they are removed.
///
/// A hit costs one lock and no allocation. A new key in a full registry costs no more than a
/// bounded search, however many keys there are and whatever they do: it checks 64 entries at most,
/// from where the last search has ended. So with up to 64 keys the only idle one is found at once.
/// With more, an entry that became idle is found by the `max_keys / 64`th new key (rounded up) at
/// the latest, and the new keys before that one may be refused. Values that know until when they
/// are busy are found at once: see [`with_until`](Self::with_until).
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_concurrent_map::Keyed;
///
/// // Requests in flight, per client.
/// let in_flight = Keyed::<String, u32>::new(NonZeroUsize::new(2).unwrap());
/// let begin = |name: &str| {
///     in_flight.with(name, || 0, |n| *n == 0, |n| {
///         *n += 1;
///         *n
///     })
/// };
/// let end = |name: &str| in_flight.get_with(name, |n| *n -= 1);
/// assert_eq!((begin("ann")?, begin("ann")?, begin("bob")?), (1, 2, 1));
/// end("bob");
/// begin("cid")?; // in bob's place: nothing of his is in flight
/// assert_eq!(in_flight.get("bob"), None);
/// assert_eq!(in_flight.get("ann"), Some(2));
/// let refused = begin("dan").unwrap_err();
/// assert_eq!(refused.to_string(), "too many keys: 2 of 2 in use");
/// # Ok::<(), tidegate_concurrent_map::TooManyKeys>(())
/// ```
pub struct Keyed<K, V, S = DefaultHashBuilder> {
    entries: KeyTables<Entry<K, V>>,
    // INVARIANT: entries in the tables + `Place`s alive ≤ `max_keys`.
    taken: AtomicUsize,
    max_keys: NonZeroUsize,
    hasher: S,
}

struct Entry<K, V> {
    key: K,
    value: V,
}

impl<K: Hash + Eq, V> Keyed<K, V> {
    /// Creates an empty registry for at most `max_keys` keys.
    pub fn new(max_keys: NonZeroUsize) -> Self {
        Self::with_hasher(max_keys, DefaultHashBuilder::default())
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Keyed<K, V, S> {
    /// Creates an empty registry for at most `max_keys` keys that hashes them by `hasher`.
    pub fn with_hasher(max_keys: NonZeroUsize, hasher: S) -> Self {
        Self { entries: KeyTables::new(max_keys), taken: AtomicUsize::new(0), max_keys, hasher }
    }

    /// Runs `f` on the value of `key`, made by `make` if there is none.
    ///
    /// `is_idle` says whether a value equals a new one and is not needed; it runs only when a new
    /// key finds the registry full.
    ///
    /// The closures run under a shard's lock: they must be short and must not call the registry.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`] if `key` is new, the registry is full and every entry that the search
    /// checked was busy: all of them if there are no more than 64, else the next 64. Neither `make`
    /// nor `f` has run then. A slot that another thread is about to fill counts as busy.
    ///
    /// # Panics
    ///
    /// Panics with std if one of the closures calls the registry. Panics of the closures are passed
    /// on; the registry stays as it was, with three exceptions: a value already made stays if `f`
    /// panics, an idle entry that was removed to make room stays removed, and the next search
    /// begins behind a value at which `is_idle` panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_concurrent_map::Keyed;
    ///
    /// let visits = Keyed::<u64, u32>::new(NonZeroUsize::MIN);
    /// for expected in 0..3 {
    ///     let add = |n: &mut u32| core::mem::replace(n, *n + 1);
    ///     let before = visits.with(&7, || 0, |_| false, add);
    ///     assert_eq!(before, Ok(expected));
    /// }
    /// ```
    #[inline]
    pub fn with<Q, R>(
        &self,
        key: &Q,
        make: impl FnOnce() -> V,
        is_idle: impl Fn(&mut V) -> bool,
        f: impl FnOnce(&mut V) -> R,
    ) -> Result<R, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let is_idle = move |value: &mut V| match is_idle(value) {
            true => Occupancy::Idle,
            false => Occupancy::Busy,
        };
        self.find_or_insert(key, None, make, is_idle, f)
    }

    /// Does what [`with`](Self::with) does, for values that know until when they are busy: an idle
    /// value is then found wherever it is.
    ///
    /// `occupancy` says whether a value equals a new one at the time `now` and is not needed; of a
    /// value that is needed it also says until when, if that is known. It runs when a value is new,
    /// when the value's table makes room, and when the search for a new key's slot checks the
    /// value, but not on a hit. A value that becomes busy for longer need not report that. For a
    /// change that may let a value be idle earlier than reported, use
    /// [`get_with_until`](Self::get_with_until).
    ///
    /// A search first checks values whose time has come, each together with up to 15 neighbours, at
    /// most 79 in all. Some of those whose time has come are still busy, because they were used
    /// meanwhile; over time this costs a bounded number of checks for each use. Then the search
    /// goes on as that of `with` does, and so finds idle values that had reported no time.
    ///
    /// All calls for one registry must count time in the same way. `with` may be used for the same
    /// registry; a value that `with` inserts has reported no time.
    ///
    /// # Errors
    ///
    /// As `with`.
    ///
    /// # Panics
    ///
    /// As `with`; a value already made also stays if `occupancy` panics.
    ///
    /// # Examples
    ///
    /// See [`Occupancy`].
    #[inline]
    pub fn with_until<Q, R>(
        &self,
        key: &Q,
        now: u64,
        make: impl FnOnce() -> V,
        occupancy: impl Fn(&mut V) -> Occupancy,
        f: impl FnOnce(&mut V) -> R,
    ) -> Result<R, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.find_or_insert(key, Some(now), make, occupancy, f)
    }

    /// Does what [`with`](Self::with) does; `now` is `None` if values know no time.
    #[inline]
    fn find_or_insert<Q, R>(
        &self,
        key: &Q,
        now: Option<u64>,
        make: impl FnOnce() -> V,
        occupancy: impl Fn(&mut V) -> Occupancy,
        f: impl FnOnce(&mut V) -> R,
    ) -> Result<R, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        // Kept here: if it does not run, it is dropped after the lock is released.
        let mut f = Some(f);
        let found = self.entries.shards.edit(hash, self.rehash(), |table| {
            let entry = table.table.find_mut(hash, |entry| key.equivalent(&entry.key))?;
            f.take().map(|f| f(&mut entry.value))
        });
        match found {
            Some(Some(result)) => Ok(result),
            _ => self.insert(hash, key, now, make, occupancy, f),
        }
    }

    /// Goes on with a key that was not found.
    #[cold]
    #[inline(never)]
    fn insert<Q, R, F: FnOnce(&mut V) -> R>(
        &self,
        hash: u64,
        key: &Q,
        now: Option<u64>,
        make: impl FnOnce() -> V,
        occupancy: impl Fn(&mut V) -> Occupancy,
        mut f: Option<F>,
    ) -> Result<R, TooManyKeys>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let look = |entry: &mut Entry<K, V>| occupancy(&mut entry.value);
        let mut make = Some(make);
        let mut place = None;
        let mut has_searched = false;
        loop {
            let outcome = self.entries.shards.write(hash, self.rehash(), |table| {
                if let Some(entry) = table.table.find_mut(hash, |entry| key.equivalent(&entry.key))
                {
                    return f.take().map(|f| f(&mut entry.value));
                }
                let place = place.take().or_else(|| self.take_place())?;
                table.reserve(self.rehash(), now.and(Some(&look)));
                let make = make.take()?;
                let entry = Entry { key: key.to_owned(), value: make() };
                let mut entry =
                    table.table.insert_unique(hash, entry, |_| unreachable!("there is room"));
                // The place is the entry's now.
                mem::forget(place);
                let result = f.take().map(|f| f(&mut entry.get_mut().value));
                if now.is_some() {
                    let (bucket, occupancy) = (entry.bucket_index(), look(entry.get_mut()));
                    table.note(bucket, occupancy);
                }
                result
            });
            match outcome {
                Some(result) => return Ok(result),
                None if has_searched => return Err(TooManyKeys { max_keys: self.max_keys.get() }),
                None => {
                    has_searched = true;
                    place = self.evict_one(now, look);
                }
            }
        }
    }

    /// Returns a clone of the value of `key` if there is one. `Clone` runs under a shard's lock.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        let hash = self.hasher.hash_one(key);
        let found = self.entries.shards.read(hash, self.rehash(), |table| {
            let entry = table.table.find(hash, |entry| key.equivalent(&entry.key))?;
            Some(entry.value.clone())
        });
        found.flatten()
    }

    /// Runs `f` on the value of `key` if there is one, and returns its result.
    ///
    /// `f` runs under a shard's lock: it must be short and must not call the registry.
    ///
    /// # Panics
    ///
    /// Panics with std if `f` calls the registry. A panic of `f` itself is passed on.
    pub fn get_with<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        // As in `find_or_insert`.
        let mut f = Some(f);
        let found = self.entries.shards.edit(hash, self.rehash(), |table| {
            let entry = table.table.find_mut(hash, |entry| key.equivalent(&entry.key))?;
            f.take().map(|f| f(&mut entry.value))
        });
        found.flatten()
    }

    /// Does what [`get_with`](Self::get_with) does, for an `f` that may let the value be idle
    /// earlier than was reported: afterwards `occupancy` reports again, as in
    /// [`with_until`](Self::with_until).
    ///
    /// # Panics
    ///
    /// As `get_with`.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::num::NonZeroUsize;
    /// use tidegate_concurrent_map::{Keyed, Occupancy};
    ///
    /// // The time until which each client is blocked.
    /// let blocked = Keyed::<u32, u64>::new(NonZeroUsize::MIN);
    /// let occupancy = |end: &mut u64| match *end {
    ///     end if end <= 5 => Occupancy::Idle,
    ///     end => Occupancy::BusyUntil(end),
    /// };
    /// blocked.with_until(&1, 5, || 1000, occupancy, |_| ())?;
    /// assert!(blocked.with_until(&2, 5, || 0, occupancy, |_| ()).is_err());
    /// blocked.get_with_until(&1, occupancy, |end| *end = 0); // a pardon
    /// assert!(blocked.with_until(&2, 5, || 0, occupancy, |_| ()).is_ok());
    /// # Ok::<(), tidegate_concurrent_map::TooManyKeys>(())
    /// ```
    pub fn get_with_until<Q, R>(
        &self,
        key: &Q,
        occupancy: impl Fn(&mut V) -> Occupancy,
        f: impl FnOnce(&mut V) -> R,
    ) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        // As in `find_or_insert`.
        let mut f = Some(f);
        let found = self.entries.shards.write_existing(hash, self.rehash(), |table| {
            let is_it = |entry: &Entry<K, V>| key.equivalent(&entry.key);
            let mut entry = table.table.find_entry(hash, is_it).ok()?;
            let result = f.take().map(|f| f(&mut entry.get_mut().value));
            let (bucket, occupancy) = (entry.bucket_index(), occupancy(&mut entry.get_mut().value));
            table.note(bucket, occupancy);
            result
        });
        found.flatten()
    }

    /// Forgets `key`, idle or not, and returns its value if there was one.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let removed = self.entries.shards.edit(hash, self.rehash(), |table| {
            let found = table.table.find_entry(hash, |entry| key.equivalent(&entry.key)).ok()?;
            Some((found.remove().0, self.vacated()))
        });
        let (entry, place) = removed??;
        // The place is given back even if the key's drop panics.
        drop(place);
        value_of(Some((entry.key, entry.value)))
    }

    /// Keeps only the entries for which `keep` returns true.
    ///
    /// One shard at a time is locked; `keep` runs under that lock, must be short and must not call
    /// the registry. Keys that come meanwhile may or may not be seen.
    ///
    /// # Panics
    ///
    /// Panics with std if `keep` calls the registry. A panic of `keep` itself is passed on; the
    /// entries for which it has returned false until then are gone.
    pub fn retain(&self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.keep(keep);
    }

    /// Returns a closure that hashes the key of an entry again, when the entry moves.
    #[inline]
    fn rehash(&self) -> impl Fn(&Entry<K, V>) -> u64 {
        |entry| self.hasher.hash_one(&entry.key)
    }

    /// Removes an idle entry, drops it, and returns its place; `None` if the search has found none.
    #[cold]
    fn evict_one(
        &self,
        now: Option<u64>,
        look: impl Fn(&mut Entry<K, V>) -> Occupancy,
    ) -> Option<Place<'_>> {
        let removed = |entry| (entry, self.vacated());
        let (entry, place) = self.entries.take_idle(now, look, removed)?;
        // Dropped while this function still holds the place, which is given back if the drop
        // panics.
        drop_entries(iter::once((entry.key, entry.value)));
        Some(place)
    }
}

impl<K, V, S> Drop for Keyed<K, V, S> {
    fn drop(&mut self) {
        if mem::needs_drop::<(K, V)>() {
            self.keep(|_, _| false);
        }
    }
}

impl<K, V, S> Keyed<K, V, S> {
    /// Keeps only the entries for which `keep` returns true. The others are dropped when no lock is
    /// held, each key and each value on its own.
    fn keep(&self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        // Declared first, so given back last, even if a drop panics.
        let mut places = Vec::new();
        let mut removed = Unused(Vec::new());
        self.entries.shards.write_all(|table, _| {
            let refused = table.table.extract_if(|entry| !keep(&entry.key, &mut entry.value));
            removed.0.extend(refused.map(|Entry { key, value }| {
                places.push(self.vacated());
                Some((key, value))
            }));
        });
    }

    /// Returns the number of keys. A snapshot; a key that is being inserted counts.
    pub fn len(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns whether there are no keys. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many keys there may be at most.
    pub fn max_keys(&self) -> usize {
        self.max_keys.get()
    }

    /// Runs `f` on every key and its value, in no particular order.
    ///
    /// One shard at a time is locked; `f` runs under that lock, must be short and must not call the
    /// registry. Keys that come or go meanwhile may or may not be seen.
    ///
    /// # Panics
    ///
    /// Panics with std if `f` calls the registry to write; [`get_with`](Self::get_with) writes,
    /// too.
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.entries.shards.scan_all(|table| {
            table.table.iter().for_each(|entry| f(&entry.key, &entry.value));
        });
    }

    /// Takes one of the places that are left; `None` if there is none.
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

    /// Returns a place that is counted in `taken` and filled by no entry: the caller has just taken
    /// it, or removed the entry that filled it.
    fn vacated(&self) -> Place<'_> {
        Place { taken: &self.taken }
    }
}

// As for `ConcurrentMap`: the registry stays consistent whatever panics, and later callers see a
// value as a closure has left it.
impl<K: RefUnwindSafe, V: RefUnwindSafe, S: RefUnwindSafe> RefUnwindSafe for Keyed<K, V, S> {}
impl<K: UnwindSafe, V: UnwindSafe, S: UnwindSafe> UnwindSafe for Keyed<K, V, S> {}

impl<K, V, S> fmt::Debug for Keyed<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("len", &self.len())
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

/// One of the `max_keys` places, taken but filled by no entry; dropping it gives it back.
struct Place<'a> {
    taken: &'a AtomicUsize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: as in `take_place`.
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A new key was refused: the registry is full, and the search found only keys in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TooManyKeys {
    max_keys: usize,
}

impl TooManyKeys {
    /// Returns how many keys the registry holds, which is how many it may hold.
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
