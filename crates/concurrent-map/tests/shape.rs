//! How the map grows and shrinks, and the forms it is turned into.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    cell::Cell,
    hash::{BuildHasherDefault, Hash, Hasher},
    panic::{self, AssertUnwindSafe, catch_unwind},
};

use tidegate_concurrent_map::ConcurrentMap;

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

/// Hashes a number to itself, so that keys in a row lie in a row.
#[derive(Debug, Clone, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Map = ConcurrentMap<Key, Box<u64>, BuildHasherDefault<Identity>>;

fn one_shard(keys: u64) -> Map {
    let map = Map::with_shards_and_hasher(1, BuildHasherDefault::default());
    (0..keys).for_each(|n| _ = map.insert(Key(n), Box::new(n)));
    map
}

/// Lets `make_room` panic at each key that it hashes; nothing of `fill`'s entries may be missing then. Returns how many
/// keys it hashes.
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
    // A table of 128 places takes 112 entries.
    let full = || one_shard(112);
    let hollow = || {
        let map = full();
        map.retain(|key, _| key.0 < 10);
        map
    };
    let insert = |map: &Map| assert!(map.insert(Key(500), Box::new(500)).is_none());
    assert_eq!(blow_everywhere(full, insert), 1 + 112, "the table grows");
    assert_eq!(blow_everywhere(hollow, insert), 1 + 10, "blocked places are freed");
}
