//! A map grows from a few shards to all of them: nothing is lost, nothing is doubled, whatever is
//! done meanwhile and whatever panics. Every test assumes 64 processors, whatever the machine has.
#![allow(clippy::cast_possible_truncation, reason = "the numbers are small")]

#[path = "it/hashers.rs"]
mod hashers;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasherDefault, Hash, Hasher},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, Keyed, Occupancy, Op};
use tidegate_core::primitive::assume_parallelism;

use self::hashers::{Constant, Identity};

thread_local! {
    /// How many more keys are hashed before one panics.
    static FUSE: Cell<u32> = const { Cell::new(u32::MAX) };
    static HASHED: Cell<u32> = const { Cell::new(0) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        HASHED.set(HASHED.get() + 1);
        match FUSE.get().checked_sub(1) {
            Some(left) => FUSE.set(left),
            None => resume_unwind(Box::new("the fuse has blown")),
        }
        state.write_u64(self.0);
    }
}

type Fixed = BuildHasherDefault<Identity>;
type Map = ConcurrentMap<Key, u64, Fixed>;

/// With so many entries a map has all its shards.
const MANY: u64 = 4000;

/// An empty map that grows to 1024 shards.
fn map() -> Map {
    assert!(assume_parallelism(64), "each test begins with this");
    let map = Map::default();
    assert_eq!(map.shards(), 1024);
    map
}

/// A map with `entries` entries, each of which maps a number to itself.
fn filled(entries: u64) -> Map {
    let map = map();
    (0..entries).for_each(|n| assert_eq!(map.insert(Key(n), n), None));
    map
}

/// Inserts numbers from `from` on until one insertion hashes more than half of the keys; returns
/// how many numbers there were before, and how many keys it hashed.
fn until_it_grows(map: &Map, from: u64) -> (u64, u32) {
    (from..)
        .find_map(|n| {
            // A table that only doubles has no more than an eighth of the entries.
            let before = HASHED.get();
            map.insert(Key(n), n);
            let hashed = HASHED.get() - before;
            (u64::from(hashed) > n / 2 && n > 100).then_some((n, hashed))
        })
        .expect("it grows")
}

/// A map that began to grow, until a hash panicked after `fuse` others: a part of its entries has
/// moved. `None` if no hash panicked, so that the map has grown.
fn half_grown(fuse: u32) -> Option<(Map, u64)> {
    let last = until_it_grows(&map(), 0).0;
    let map = filled(last);
    FUSE.set(fuse);
    let result = catch_unwind(AssertUnwindSafe(|| map.insert(Key(last), last)));
    FUSE.set(u32::MAX);
    result.is_err().then_some((map, last))
}

/// Asserts that the map contains the numbers below `entries`, each once, whichever way one looks.
fn assert_contains(map: &Map, entries: u64) {
    let all: Vec<u64> = (0..entries).collect();
    let mut keys: Vec<u64> = map.keys().into_iter().map(|key| key.0).collect();
    keys.sort_unstable();
    assert_eq!(keys, all);
    assert_eq!((map.len(), map.is_empty()), (all.len(), all.is_empty()));
    assert!(map.capacity() >= all.len());
    assert!(all.iter().all(|n| map.get(&Key(*n)) == Some(*n)));
    let keys: Vec<Key> = (0..entries + 1).map(Key).collect();
    let many = map.get_many(&keys);
    assert!(many.iter().zip(0..).all(|(found, n)| *found == (n < entries).then_some(n)));
}

#[test]
fn a_map_contains_what_is_inserted_before_while_and_after_it_grows() {
    let map = map();
    for n in 0..MANY {
        assert_eq!(map.insert(Key(n), n), None);
        assert_eq!((map.get(&Key(n)), map.get(&Key(n + 1))), (Some(n), None));
        assert_eq!(map.len() as u64, n + 1);
        if n % 97 == 0 || n < 20 {
            assert_contains(&map, n + 1);
        }
    }
    for n in (0..MANY).rev() {
        assert_eq!(map.remove(&Key(n)), Some(n));
        if n % 97 == 0 {
            assert_contains(&map, n);
        }
    }
}

#[test]
fn an_entry_moves_once_when_its_map_grows() {
    let map = map();
    let (last, hashed) = until_it_grows(&map, 0);
    assert!((1000..3000).contains(&last), "{last} entries");
    // Hashed are the key itself, each key that moves, and those of the key's new table, if that is
    // full.
    assert!((last..last + 20).contains(&u64::from(hashed - 1)), "{hashed} of {last}");
    let before = HASHED.get();
    (last + 1..last + 101).for_each(|n| assert_eq!(map.insert(Key(n), n), None));
    assert!(HASHED.get() - before < 100 * 5, "tables of some entries double");
}

/// The map grows, and only once, even if the hash sends all keys to one shard.
#[test]
fn keys_of_one_hash_are_found_before_and_after_their_map_grows() {
    assert!(assume_parallelism(64), "each test begins with this");
    let map = ConcurrentMap::<u64, u64, BuildHasherDefault<Constant>>::default();
    for n in 0..600 {
        assert_eq!(map.insert(n, n), None);
    }
    assert!((0..600).all(|n| map.get(&n) == Some(n)));
    assert_eq!(map.len(), 600);
}

#[test]
fn a_hash_that_panics_while_a_map_grows_loses_nothing() {
    let mut halves = 0;
    for fuse in (0..MANY as u32).step_by(71) {
        let Some((map, entries)) = half_grown(fuse) else { break };
        halves += 1;
        assert_contains(&map, entries);
        // The map works as it is, and a later insertion lets it grow.
        assert_eq!(map.remove(&Key(3)), Some(3));
        assert_eq!(map.insert(Key(3), 3), None);
        assert_contains(&map, entries);
        (entries..entries + 500).for_each(|n| assert_eq!(map.insert(Key(n), n), None));
        assert_contains(&map, entries + 500);
    }
    assert!(halves > 10, "{halves}");
}

/// Everything that visits all entries, in a map of which a part has moved.
#[test]
fn a_map_of_which_a_part_has_moved_is_whole() {
    let half = || half_grown(900).expect("more than so many are hashed");
    let (map, entries) = half();
    let copy = map.clone();
    assert_contains(&copy, entries);
    drop(map);
    (entries..MANY).for_each(|n| assert_eq!(copy.insert(Key(n), n), None));
    assert_contains(&copy, MANY);
    assert_contains(&copy.clone(), MANY);

    let (map, entries) = half();
    map.retain(|key, _| key.0 < 700);
    assert_contains(&map, 700);
    map.reserve(10);
    assert_contains(&map, 700);
    map.shrink_to_fit();
    assert_contains(&map, 700);
    map.reserve(50_000);
    assert!(map.capacity() >= 50_700);
    assert_contains(&map, 700);
    map.clear();
    assert_contains(&map, 0);
    assert_eq!(map.capacity(), 0);
    assert_eq!(map.insert_many((0..entries).map(|n| (Key(n), n))).len() as u64, entries);
    assert_contains(&map, entries);

    let (mut map, entries) = half();
    map.extend((entries..entries + 300).map(|n| (Key(n), n)));
    assert_contains(&map, entries + 300);

    let (map, entries) = half();
    let removed = map.remove_many(&(0..entries).map(Key).collect::<Vec<_>>());
    assert!(removed.into_iter().eq((0..entries).map(Some)));
    assert_contains(&map, 0);

    let (map, entries) = half();
    assert_eq!(map.fold(0, |sum, _, n| sum + n), entries * (entries - 1) / 2);
    assert_eq!(map.par_fold(|| 0, |sum, _, n| sum + n, |a, b| a + b), entries * (entries - 1) / 2);
    assert!(map.par_any(|_, n| *n == 5) && !map.par_any(|_, n| *n == entries));
    map.par_retain(|_, n| *n < 900);
    assert_contains(&map, 900);
    let all: BTreeMap<Key, u64> = map.into_iter().collect();
    assert!(all.into_iter().eq((0..900).map(|n| (Key(n), n))));
}

#[test]
fn a_closure_that_writes_its_map_panics_whichever_part_has_moved() {
    let (map, entries) = half_grown(900).expect("more than so many are hashed");
    let insert = |n: u64| catch_unwind(AssertUnwindSafe(|| map.insert(Key(n), n)));
    let update = |n: u64| catch_unwind(AssertUnwindSafe(|| map.update(&Key(n), |_| ())));
    for outer in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55] {
        map.get_with(&Key(outer), |_| {
            assert!((0..200).all(|n| insert(n).is_err() && update(n).is_err()));
            assert!((0..200).all(|n| map.get(&Key(n)) == Some(n)), "it may read");
        });
        map.update(&Key(outer), |_| {
            assert!((0..200).all(|n| catch_unwind(AssertUnwindSafe(|| map.get(&Key(n)))).is_err()));
        });
    }
    assert_contains(&map, entries);
}

#[test]
fn a_map_grows_from_within_sections_of_another_map_as_deep_as_they_may_stand() {
    let outer: Vec<Map> = (0..7).map(|_| filled(1)).collect();
    fn within(outer: &[Map], f: &dyn Fn()) {
        match outer {
            [first, rest @ ..] => first.get_with(&Key(0), |_| within(rest, f)).unwrap(),
            [] => f(),
        }
    }
    for depth in 0..=7 {
        let inner = map();
        within(&outer[..depth], &|| {
            (0..MANY).for_each(|n| assert_eq!(inner.insert(Key(n), n), None));
        });
        assert_contains(&inner, MANY);
    }
}

/// Raises the flag when it is dropped, also by a panic.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_entry_that_stays_is_seen_exactly_once_while_its_map_grows() {
    const STAY: u64 = 1000;
    for _ in 0..if cfg!(debug_assertions) { 10 } else { 100 } {
        let map = filled(STAY);
        let (start, is_over) = (Barrier::new(3), AtomicBool::new(false));
        thread::scope(|s| {
            for thread in 0..2 {
                let (map, start, is_over) = (&map, &start, &is_over);
                s.spawn(move || {
                    start.wait();
                    loop {
                        let was_over = is_over.load(Ordering::Relaxed);
                        let mut seen = vec![0; STAY as usize];
                        let mut see = |key: &Key| {
                            if let Some(times) = seen.get_mut(key.0 as usize) {
                                *times += 1;
                            }
                        };
                        match thread {
                            0 => map.for_each(|key, _| see(key)),
                            _ => map.clone().for_each(|key, _| see(key)),
                        }
                        assert!(seen.iter().all(|times| *times == 1));
                        assert!((0..STAY).step_by(7).all(|n| map.get(&Key(n)) == Some(n)));
                        assert!(map.len() as u64 >= STAY);
                        if was_over {
                            return;
                        }
                    }
                });
            }
            let _raise = Raise(&is_over);
            start.wait();
            (STAY..MANY).for_each(|n| assert_eq!(map.insert(Key(n), n), None));
        });
        assert_contains(&map, MANY);
    }
}

#[test]
fn what_threads_do_while_a_map_grows_is_all_done() {
    for _ in 0..if cfg!(debug_assertions) { 10 } else { 100 } {
        let map = map();
        let start = Barrier::new(4);
        thread::scope(|s| {
            for thread in 0..4 {
                let (map, start) = (&map, &start);
                s.spawn(move || {
                    start.wait();
                    for n in (thread..MANY).step_by(4) {
                        assert_eq!(map.insert(Key(n), 0), None);
                        assert!(!map.upsert(Key(n), || 9, |value| *value = n + 1));
                        assert_eq!(map.remove_if(&Key(n), |_, value| *value == n), None);
                        assert_eq!(map.compute(Key(n), |_| Op::Put(n)), Some(n + 1));
                        if n % 3 == 0 {
                            assert_eq!(map.remove(&Key(n)), Some(n));
                        }
                    }
                });
            }
        });
        let kept: BTreeSet<u64> = map.keys().into_iter().map(|key| key.0).collect();
        assert!(kept.iter().copied().eq((0..MANY).filter(|n| n % 3 != 0)));
        assert_eq!(kept.len(), map.len());
    }
}

#[test]
fn a_set_grows_as_a_map_does() {
    assert!(assume_parallelism(64), "each test begins with this");
    let set = ConcurrentSet::<u64>::new();
    assert!((0..MANY).all(|n| set.insert(n)) && (0..MANY).all(|n| !set.insert(n)));
    assert_eq!(set.len() as u64, MANY);
}

fn keyed(max_keys: u64) -> Keyed<u64, u64, Fixed> {
    assert!(assume_parallelism(64), "each test begins with this");
    Keyed::with_hasher(NonZeroUsize::new(max_keys as usize).unwrap(), Fixed::default())
}

#[test]
fn a_registry_that_grows_loses_no_key() {
    let keyed = keyed(MANY);
    for n in 0..MANY {
        assert_eq!(keyed.with(&n, || n, |_| false, |value| *value), Ok(n));
        assert_eq!(keyed.get(&n), Some(n));
    }
    assert!((0..MANY).all(|n| keyed.get(&n) == Some(n)));
    assert!(keyed.with(&MANY, || 0, |_| false, |_| ()).is_err());
    let mut keys = BTreeSet::new();
    keyed.for_each(|key, _| assert!(keys.insert(*key), "seen once"));
    assert!(keys.into_iter().eq(0..MANY));
    keyed.retain(|key, _| key % 2 == 0);
    assert_eq!(keyed.len() as u64, MANY / 2);
    assert!((0..MANY).all(|n| keyed.remove(&n) == (n % 2 == 0).then_some(n)));
}

/// Times move along with their entries, whatever makes the registry grow.
#[test]
fn the_only_key_whose_time_has_come_is_found_at_once_after_its_registry_has_grown() {
    let occupancy = |now: u64| {
        move |end: &mut u64| match *end {
            end if end <= now => Occupancy::Idle,
            end => Occupancy::BusyUntil(end),
        }
    };
    for entries in [5, 100, 1000, MANY] {
        let keyed = keyed(entries);
        for n in 0..entries {
            keyed.with_until(&n, 0, || 10 + n, occupancy(0), |_| ()).unwrap();
        }
        assert!(keyed.with_until(&MANY, 9, || 0, occupancy(9), |_| ()).is_err());
        for n in 0..entries.min(500) {
            let (new, now) = (1_000_000 + n, 10 + n);
            keyed.with_until(&new, now, || u64::MAX - 1, occupancy(now), |_| ()).unwrap();
            assert_eq!((keyed.get(&n), keyed.get(&(n + 1)).is_some()), (None, n + 1 < entries));
        }
    }
}

/// These keys have no times, so each search goes on where the last one has ended.
#[test]
fn the_only_idle_key_is_found_after_as_many_searches_as_before() {
    for entries in [5, 64, 300, MANY] {
        let keyed = keyed(entries);
        (0..entries).for_each(|n| keyed.with(&n, || 1, |_| false, |_| ()).unwrap());
        keyed.get_with(&(entries / 2), |value| *value = 0).unwrap();
        let tries = (0..).position(|_| keyed.with(&MANY, || 1, |n| *n == 0, |_| ()).is_ok());
        let tries = tries.unwrap() as u64;
        assert!(tries <= entries / 64 + 1, "{tries} of {entries}");
        assert_eq!(keyed.get(&(entries / 2)), None);
    }
}
