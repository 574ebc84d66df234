//! Models of a map that grows from few shards to all of them, beside every other operation; and of
//! a registry that grows.
//!
//! The hash is fixed: a random one would make the executions of a model differ.

use std::{
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroUsize,
    sync::Arc,
};

use loom_tests::{model, thread};
use tidegate_concurrent_map::{ConcurrentMap, Keyed};

#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }
    fn write_u32(&mut self, number: u32) {
        self.0 = number.into();
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Map = ConcurrentMap<u32, u32, BuildHasherDefault<Identity>>;

/// How many shards there are at first.
const FEW: usize = if cfg!(loom) { 2 } else { 8 };

/// Numbers that belong to one of the first shards.
fn of_shard(shard: usize) -> impl Iterator<Item = u32> {
    let shard_of = |n: u32| {
        let spread = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        usize::try_from(spread >> (64 - FEW.ilog2())).unwrap()
    };
    (0..).filter(move |n| shard_of(*n) == shard)
}

/// How many entries one of the first shards may have: with the next one, a map that may have
/// `shards` shards grows.
fn limit(shards: usize) -> usize {
    2 * shards / FEW
}

/// Returns a map that grows with the next insertion into its first shard, the keys that are there,
/// and one to be inserted.
fn full() -> (Arc<Map>, Vec<u32>, u32) {
    let map = Map::default();
    let mut keys = of_shard(0);
    let there: Vec<u32> = keys.by_ref().take(limit(map.shards())).collect();
    there.iter().for_each(|n| assert!(map.insert(*n, *n).is_none()));
    (Arc::new(map), there, keys.next().unwrap())
}

fn spawn<M, R>(map: &Arc<M>, f: impl FnOnce(&M) -> R + Send + 'static) -> thread::JoinHandle<R>
where
    M: Send + Sync + 'static,
    R: Send + 'static,
{
    let map = map.clone();
    thread::spawn(move || f(&map))
}

/// Asserts that the map contains these keys and no others, each once.
fn assert_contains(map: &Map, keys: impl IntoIterator<Item = u32>) {
    let mut keys: Vec<u32> = keys.into_iter().collect();
    let mut seen = map.keys();
    keys.sort_unstable();
    seen.sort_unstable();
    assert_eq!((&seen, map.len()), (&keys, keys.len()));
    assert!(keys.iter().all(|n| map.contains_key(n)));
}

#[test]
fn growth_against_a_lookup() {
    model(|| {
        let (map, there, next) = full();
        let grower = spawn(&map, move |map| map.insert(next, next));
        assert_eq!(map.get(&there[0]), Some(there[0]));
        assert_eq!(grower.join().unwrap(), None);
        assert_eq!(map.get(&next), Some(next));
        assert_contains(&map, there.into_iter().chain([next]));
    });
}

#[test]
fn growth_against_an_insert_into_the_shard_that_moves() {
    model(|| {
        let (map, there, next) = full();
        let last = of_shard(0).find(|n| *n > next).unwrap();
        let grower = spawn(&map, move |map| map.insert(next, next));
        assert_eq!(map.insert(last, last), None);
        assert_eq!(grower.join().unwrap(), None);
        assert_contains(&map, there.into_iter().chain([next, last]));
    });
}

#[test]
fn growth_against_an_insert_into_another_shard() {
    model(|| {
        let (map, there, next) = full();
        let other = of_shard(1).next().unwrap();
        let grower = spawn(&map, move |map| map.insert(next, next));
        assert_eq!(map.insert(other, other), None);
        assert_eq!(map.get(&other), Some(other));
        assert_eq!(grower.join().unwrap(), None);
        assert_contains(&map, there.into_iter().chain([next, other]));
    });
}

#[test]
fn growth_against_a_remove() {
    model(|| {
        let (map, mut there, next) = full();
        let gone = there.pop().unwrap();
        let grower = spawn(&map, move |map| map.insert(next, next));
        assert_eq!(map.remove(&gone), Some(gone));
        assert_eq!(map.get(&gone), None);
        assert_eq!(grower.join().unwrap(), None);
        assert_contains(&map, there.into_iter().chain([next]));
    });
}

#[test]
fn growth_against_an_iteration() {
    model(|| {
        let (map, there, next) = full();
        let grower = spawn(&map, move |map| map.insert(next, next));
        let seen = map.keys();
        for key in &there {
            assert_eq!(seen.iter().filter(|seen| *seen == key).count(), 1);
        }
        assert!(map.len() >= there.len());
        grower.join().unwrap();
        assert_contains(&map, there.into_iter().chain([next]));
    });
}

#[test]
fn growth_against_a_copy() {
    model(|| {
        let (map, there, next) = full();
        let grower = spawn(&map, move |map| map.insert(next, next));
        let copy = Map::clone(&map);
        let has_next = copy.contains_key(&next);
        assert_contains(&copy, there.iter().copied().chain(has_next.then_some(next)));
        grower.join().unwrap();
        assert_contains(&map, there.into_iter().chain([next]));
    });
}

#[test]
fn growth_of_a_map_that_was_empty_when_its_copy_began() {
    model(|| {
        let map = Arc::new(Map::default());
        let mut keys = of_shard(0);
        let (key, other) = (keys.next().unwrap(), keys.next().unwrap());
        let copier = spawn(&map, move |map| {
            let copy = Map::clone(map);
            let has_key = copy.contains_key(&key);
            assert_eq!(copy.insert(other, other), None);
            assert_contains(&copy, has_key.then_some(key).into_iter().chain([other]));
        });
        map.insert(key, key);
        map.reserve(2 * limit(map.shards()) * FEW);
        copier.join().unwrap();
        assert_contains(&map, [key]);
    });
}

#[test]
fn threads_that_meet_let_their_map_grow() {
    model(|| {
        let map = Map::default();
        map.insert(1, 0);
        let map = Arc::new(map);
        let add = |map: &Map| map.update(&1, |n| *n += 1);
        let other = spawn(&map, move |map| add(map));
        add(&map);
        add(&map);
        other.join().unwrap();
        assert_eq!(map.get(&1), Some(3));
        assert_contains(&map, [1]);
    });
}

#[test]
fn growth_against_a_search_for_an_idle_key() {
    model(|| {
        // So many keys allow more shards than there are at first.
        let places = if cfg!(loom) { 4 } else { 16 };
        let keyed: Keyed<u32, u32, BuildHasherDefault<Identity>> =
            Keyed::with_hasher(NonZeroUsize::new(places).unwrap(), BuildHasherDefault::default());
        let insert = |keyed: &Keyed<u32, u32, _>, n| {
            keyed.with(&n, || n, |n| *n == 0, |n| *n).unwrap_or(u32::MAX)
        };
        let mut keys = of_shard(0);
        let there: Vec<u32> = keys.by_ref().take(limit(places)).collect();
        assert_eq!(there[0], 0, "the one that is idle");
        there.iter().for_each(|n| assert_eq!(insert(&keyed, *n), *n));
        let rest = places - there.len();
        of_shard(1).take(rest).for_each(|n| assert_eq!(insert(&keyed, n), n));
        let (keyed, one, two) = (Arc::new(keyed), keys.next().unwrap(), keys.next().unwrap());
        let other = spawn(&keyed, move |keyed| insert(keyed, one));
        let mine = insert(&keyed, two);
        let results = [mine, other.join().unwrap()];
        assert!(results == [two, u32::MAX] || results == [u32::MAX, one], "{results:?}");
        assert!(keyed.get(&0).is_none() && there[1..].iter().all(|n| keyed.get(n) == Some(*n)));
        assert_eq!(keyed.len(), places);
    });
}
