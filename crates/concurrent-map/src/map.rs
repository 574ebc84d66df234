//! The map, and what it is made of.

// The modules are in the order in which the docs show their methods: constructors first.
mod create;

mod access;

mod modify;

mod entry;

mod flight;

mod iterate;

mod bulk;

mod capacity;

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    mem,
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
use self::flight::Failure;
pub use self::{capacity::IntoEntries, entry::MapEntry, flight::GetOrTryInsert, modify::Op};
use crate::{
    error::SwapError, flights::Flights, hasher::DefaultHashBuilder, reserve::reserve,
    sharded_table::ShardedTable,
};

/// A hash map that many threads and tasks use at once through `&self`, with no guards to hold and
/// no deadlocks by normal use.
///
/// It is for caches and shared tables. Values come out as clones ([`get`](Self::get); wrap large
/// ones in an `Arc`), or a closure gets them in place ([`get_with`](Self::get_with),
/// [`update`](Self::update)). No operation ever waits for anything but a short critical section, so
/// the map suits tasks and threads alike; the one exception,
/// [`get_or_try_insert_async`](Self::get_or_try_insert_async), returns a future. For one thread, or
/// where everything is written once and then only read, std's map behind an `Arc` costs less.
///
/// An operation on one key hashes it once and locks one of the [shards](Self::shards). An operation
/// on many keys ([`insert_many`](Self::insert_many) and its like) locks each shard that it needs
/// once. While a small map has only a few shards (see [Memory](ConcurrentMap#memory)), it takes as
/// many locks as if all shards were there.
///
/// # Closures
///
/// A closure runs under its shard's lock where its method says so. So do `Eq`, `Clone` and
/// `PartialEq` of keys and values, and `Hash` while a shard makes room or its entries move. All of
/// these must be short: writers of that shard wait for them, and so do readers, if the operation
/// can write.
///
/// A closure that looks at values ([`get_with`](Self::get_with), [`for_each`](Self::for_each),
/// [`fold`](Self::fold) and the like) may call methods that read the same map, on any keys; such a
/// call never waits for a writer that waits for the closure. Two kinds of calls are bugs: a call
/// that writes, from any closure of the map; and any call that takes a lock (as [`len`](Self::len)
/// and [`is_empty`](Self::is_empty) do not), from a closure that can write
/// ([`update`](Self::update), [`entry`](Self::entry), [`retain`](Self::retain) and the like). With
/// std these always panic at once, even if the lock is free. Without std any call that takes a lock
/// may hang, even a read from a closure that reads; with the feature `critical-section` it may
/// panic.
///
/// A closure that looks at values may look at other maps. If one of two maps is written to, all
/// threads must enter the two in the same order, or they can wait for each other for ever. A
/// closure must not wait for another *thread* that uses the map, either. Closures of maps may be
/// nested up to eight deep (with std a ninth panics); closures of the same map that are directly
/// nested count as one.
///
/// When a closure or one of those trait methods panics, the lock is released, the map stays
/// consistent, and the panic is passed on. No entry is lost, not even if `Hash` panics while a
/// shard makes room.
///
/// # Consistency
///
/// Operations on one key are linearizable: each takes effect at one instant between its call and
/// its return, and all threads see the operations on one key in the same order. A closure of
/// `update` and its like is part of that instant. Operations on different keys have no order but
/// the one that threads give them.
///
/// A method that visits many keys ([`for_each`](Self::for_each) and its relatives,
/// [`len`](Self::len), [`clear`](Self::clear), [`get_many`](Self::get_many)) goes from shard to
/// shard, so it does not see the map at one instant: an entry that is there all the time is seen
/// exactly once, and one that comes or goes meanwhile is seen once or not at all. It holds one
/// shard's lock at a time: it blocks only writers of that shard, and readers only if it writes. A
/// call that moves all entries of a small map (see [Memory](ConcurrentMap#memory)) waits for it,
/// too.
///
/// What is replaced or removed is either returned, or dropped before the operation returns. The
/// thread that took it out drops it while it holds no lock: a value's destructor may use the map. A
/// closure that did not run is dropped in the same way, with what it has captured. Nothing is
/// dropped later, or by other threads.
///
/// There is no `==`: maps that change have no instant in common. Compare what
/// [`snapshot`](Self::snapshot) returns.
///
/// # Memory
///
/// An empty map is small, and allocates nothing before the first insertion (with std). Each shard
/// has a table, which grows alone: when it is full, its entries move to one of twice the size under
/// that shard's lock, and the other shards go on. So one insertion moves at most the entries of one
/// shard, unless a small map gets all its shards (see below);
/// [`with_capacity`](ConcurrentMap::with_capacity) and [`reserve`](Self::reserve) make room
/// beforehand. Nothing shrinks by itself: see [`shrink_to_fit`](Self::shrink_to_fit) and
/// [`clear`](Self::clear).
///
/// Besides its tables a map has 1.2 KB for eight shards at first (with std). When it has about
/// twice as many entries as [shards](Self::shards), or when threads have often waited for each
/// other in the eight, the entries move to all shards. Together these take 128 bytes for each
/// shard, and 256 bytes for each thread that can run at once. One call, be it a read or a write of
/// a key, moves all entries, under the locks of the eight, one after the other. A map [with a
/// number of shards](ConcurrentMap::with_shards) has all of them from the first insertion on; a map
/// made for at least twice as many entries as shards has all of them from the start.
///
/// # Memory ordering
///
/// Everything that a thread did before it wrote an entry happens before everything that another
/// thread does after it found that entry.
///
/// The map is `Send` if values are `Send` and keys are `Send` and `Sync`; it is `Sync` if keys and
/// values are both. The builder of hashers must be `Send` or `Sync`, too.
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
    pub(crate) entries: ShardedTable<(K, V)>,
    hasher: S,
    flights: Flights<Failure<K>>,
}

impl<K, V, S> ConcurrentMap<K, V, S> {
    fn of(entries: ShardedTable<(K, V)>, hasher: S) -> Self {
        Self { entries, hasher, flights: Flights::new() }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Finds the entry of a key in its table, or a place for it. Takes no key, but a closure that
    /// compares with it: as an argument the key would be passed through memory.
    #[inline]
    fn entry_in<'a>(
        &self,
        table: &'a mut HashTable<(K, V)>,
        hash: u64,
        is_it: impl Fn(&K) -> bool,
    ) -> Entry<'a, (K, V)> {
        if table.len() == table.capacity() {
            // A key that is there needs no room.
            if let Some(bucket) = table.find_bucket_index(hash, |(k, _)| is_it(k)) {
                match table.get_bucket_entry(bucket) {
                    Ok(entry) => return Entry::Occupied(entry),
                    Err(_) => unreachable!("an entry was found there"),
                }
            }
            // The crate's own `reserve` makes room, not hashbrown's `entry`: if a hash panics in
            // `reserve`, nothing has changed.
            reserve(table, 1, self.rehash());
        }
        table.entry(hash, |(k, _)| is_it(k), |_| unreachable!("there is room"))
    }
}

impl<K: Hash, V, S: BuildHasher> ConcurrentMap<K, V, S> {
    /// Returns a closure that hashes the key of an entry again, when the entry moves.
    #[inline]
    fn rehash(&self) -> impl Fn(&(K, V)) -> u64 {
        |(key, _)| self.hash(key)
    }

    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }
}

/// Drops entries, each key and each value on its own; the first panic is passed on when all are
/// gone.
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

/// Drops the key of a removed entry and returns the value. A panic of the key's destructor does not
/// leak the value.
#[inline]
pub(crate) fn value_of<K, V>(entry: Option<(K, V)>) -> Option<V> {
    let (key, value) = entry?;
    drop(DropEach::new(Some(key)));
    Some(value)
}

// The map stays consistent whatever panics. Later callers see a value as a closure has left it,
// even if half changed, as they would behind a reference.
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
        // The entries are not shown: printing must neither wait nor run foreign code under a lock.
        f.debug_struct("ConcurrentMap")
            .field("len", &self.len())
            .field("shards", &self.shards())
            .finish_non_exhaustive()
    }
}
