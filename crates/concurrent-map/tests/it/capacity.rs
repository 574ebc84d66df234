//! How the map grows and shrinks, is cloned, and is consumed by an iterator.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    cell::Cell,
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet};

use crate::hashers::Identity;

thread_local! {
    /// How many more keys are hashed before one panics.
    static FUSE: Cell<u32> = const { Cell::new(u32::MAX) };
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match FUSE.get().checked_sub(1) {
            Some(left) => FUSE.set(left),
            None => panic::resume_unwind(Box::new("the fuse has blown")),
        }
        state.write_u64(self.0);
    }
}

type Map = ConcurrentMap<Key, Box<u64>, BuildHasherDefault<Identity>>;

fn one_shard(keys: u64) -> Map {
    let map = Map::with_shards_and_hasher(1, BuildHasherDefault::default());
    (0..keys).for_each(|n| _ = map.insert(Key(n), Box::new(n)));
    map
}

/// Lets `make_room` panic at each key that it hashes; none of `fill`'s entries may be missing then.
/// Returns how many keys `make_room` hashes.
fn blow_everywhere(fill: impl Fn() -> Map, make_room: impl Fn(&Map)) -> u32 {
    for fuse in 0.. {
        let (map, kept) = (fill(), fill().keys());
        FUSE.set(fuse);
        let result = catch_unwind(AssertUnwindSafe(|| make_room(&map)));
        FUSE.set(u32::MAX);
        for key in kept {
            assert_eq!(map.get(&key), Some(Box::new(key.0)), "found after {fuse} hashes");
        }
        if result.is_ok() {
            return fuse;
        }
    }
    unreachable!("it ends well with fuse enough")
}

#[test]
fn a_hash_that_panics_while_a_shard_makes_room_loses_nothing() {
    // A table of 128 buckets takes 112 entries. Removals from its midst free no bucket until the
    // table is rebuilt: with the same size for up to 56 entries, else with a larger one.
    for kept in [10, 55, 56, 57, 111, 112] {
        let map = || {
            let map = one_shard(112);
            map.retain(|key, _| key.0 < kept);
            map
        };
        let insert = |map: &Map| assert!(map.insert(Key(500), Box::new(500)).is_none());
        let batch = |map: &Map| assert_eq!(map.insert_many([(Key(500), Box::new(500))]), [None]);
        for insert in [insert, batch] {
            assert_eq!(u64::from(blow_everywhere(map, insert)), 1 + kept, "all are hashed anew");
        }
    }
}

#[test]
fn a_hash_that_panics_while_room_is_reserved_or_given_back_loses_nothing() {
    let hollow = || {
        let map = one_shard(112);
        map.retain(|key, _| key.0 < 10);
        map
    };
    assert_eq!(blow_everywhere(|| one_shard(112), |map| map.reserve(500)), 112);
    assert_eq!(blow_everywhere(hollow, |map| map.reserve(500)), 10);
    assert_eq!(blow_everywhere(hollow, Map::shrink_to_fit), 10);
}

#[test]
fn reserved_room_is_enough_for_entries_spread_by_chance() {
    for entries in [1, 10, 100, 1000, 10_000] {
        // The hash is fixed, so that every run distributes the entries in the same way.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let map = ConcurrentMap::<u32, u32, _>::with_shards_and_hasher(16, hasher);
        map.reserve(entries as usize);
        let capacity = map.capacity();
        assert!(capacity >= entries as usize);
        (0..entries).for_each(|n| _ = map.insert(n, n));
        assert_eq!(map.capacity(), capacity, "no shard has grown");
    }
}

#[test]
fn a_map_with_capacity_has_it_and_one_without_allocates_nothing() {
    let map = ConcurrentMap::<u32, u32>::with_capacity(1000);
    assert!((1000..100_000).contains(&map.capacity()) && map.is_empty());
    assert_eq!(ConcurrentMap::<u32, u32>::with_capacity(0).capacity(), 0);
    assert!(ConcurrentSet::<u32>::with_capacity(1000).capacity() >= 1000);
}

#[test]
#[should_panic(expected = "capacity overflow")]
fn a_capacity_that_overflows_panics() {
    ConcurrentMap::<u32, u32>::new().reserve(usize::MAX);
}

#[test]
fn growing_and_shrinking_keep_every_entry() {
    let map: ConcurrentMap<u32, u32> = (0..5000).map(|n| (n, n)).collect();
    map.retain(|_, n| *n < 50);
    let before = map.capacity();
    map.shrink_to_fit();
    assert!(map.capacity() < before / 4, "{} of {before}", map.capacity());
    map.reserve(5000);
    assert!(map.capacity() >= 5050);
    assert!((0..50).all(|n| map.get(&n) == Some(n)) && map.len() == 50);
}

#[test]
fn a_handful_of_entries_makes_room_in_no_other_shard() {
    let mut map = ConcurrentMap::<u32, u32>::with_shards(64);
    map.extend([(1, 1)]);
    assert!(map.capacity() < 10);
    map.extend((0..10_000).map(|n| (n, n)));
    assert_eq!(map.len(), 10_000);
}

#[test]
fn a_clone_holds_the_same_and_goes_its_own_way() {
    let map = ConcurrentMap::from([("a", 1), ("b", 2)]);
    let copy = map.clone();
    map.insert("a", 7);
    copy.remove("b");
    assert_eq!((copy.snapshot(), map.len(), map.get("a")), (vec![("a", 1)], 2, Some(7)));
    assert_eq!((copy.shards(), copy.capacity()), (map.shards(), map.capacity()));
    let set = ConcurrentSet::from([1]);
    assert!(set.clone().remove(&1) && set.contains(&1));
    assert_eq!(ConcurrentMap::<u8, u8>::new().clone().capacity(), 0);
}

#[test]
fn an_entry_that_stays_is_in_every_clone() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    let is_done = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            for n in (100..5000).cycle() {
                map.insert(n, n);
                map.remove(&(n - 50).max(100));
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..200 {
            let copy = map.clone();
            assert!((0..100).all(|n| copy.get(&n) == Some(n)));
            assert_eq!(copy.len(), copy.into_iter().count());
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn into_iter_gives_each_entry_once_and_says_how_many_are_left() {
    let map: ConcurrentMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    let mut entries = map.into_iter();
    let mut keys = Vec::new();
    keys.extend(entries.by_ref().take(500).map(|(key, _)| key));
    assert_eq!((keys.len(), entries.size_hint()), (500, (500, Some(500))));
    keys.extend(entries.by_ref().map(|(key, _)| key));
    assert_eq!((entries.next(), entries.len()), (None, 0));
    keys.sort_unstable();
    assert_eq!(keys, (0..1000).collect::<Vec<_>>());
    assert_eq!(ConcurrentMap::<u8, u8>::new().into_iter().next(), None);
    assert_eq!(ConcurrentSet::from([3]).into_iter().collect::<Vec<_>>(), [3]);
}

#[test]
fn one_shard_reserves_as_std_does_and_many_reserve_for_a_random_distribution() {
    for entries in [1, 50, 56, 1700, 1790] {
        let map = ConcurrentMap::<u64, u64>::with_shards(1);
        map.reserve(entries);
        let std = std::collections::HashMap::<u64, u64>::with_capacity(entries);
        assert_eq!(map.capacity(), std.capacity(), "for {entries}");
    }
    let map = ConcurrentMap::with_shards(256);
    map.reserve(256 * 46);
    let capacity = map.capacity();
    (0..256 * 46_u64).for_each(|n| _ = map.insert(n, n));
    assert_eq!(map.capacity(), capacity);
}
