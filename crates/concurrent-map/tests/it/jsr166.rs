//! Scenarios of the tests that Java's `ConcurrentHashMap` has to pass, written anew.
//!
//! From the JSR-166 technology compatibility kit (Doug Lea, Martin Buchholz and others): of
//! `ConcurrentHashMapTest` the map of five and its methods, keys that collide
//! (`testMixedComparable`, `testComparableFamily`), `testPutIfAbsent`, `testReplaceValue`,
//! `testRemove2`; of `ConcurrentHashMap8Test` `testComputeIfAbsent`, `testComputeIfPresent`,
//! `testCompute`, `testMerge`, the key sets, `forEach`, `search` and `reduce`. From other tests of
//! the JDK: `MapLoops`, `MapCheck`, `ConcurrentAssociateTest`, `ConcurrentContainsKeyTest` and
//! `ToArray`.
//!
//! What has no counterpart here is left out: null, iterators as objects, views, serialization,
//! comparisons of maps, and everything that Java's hash codes and trees of colliding keys make
//! necessary.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, Op};
use tidegate_core::random::Random;

use crate::random::below;

/// The map of five: 1 to 5, "A" to "E".
fn map5() -> ConcurrentMap<u32, &'static str> {
    let map = ConcurrentMap::new();
    assert!(map.is_empty());
    for (key, value) in (1..).zip(["A", "B", "C", "D", "E"]) {
        assert_eq!(map.insert(key, value), None);
    }
    assert!(!map.is_empty());
    assert_eq!(map.len(), 5);
    map
}

#[test]
fn a_map_of_five_has_five_keys_and_five_values() {
    let (map, sorted) = (map5(), |mut list: Vec<_>| (list.sort_unstable(), list).1);
    assert_eq!(sorted(map.values()), ["A", "B", "C", "D", "E"]);
    let mut keys = map.keys();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2, 3, 4, 5]);
    assert!(map.snapshot().iter().all(|(key, value)| map.get(key) == Some(*value)));
    assert!(map.any(|_, value| *value == "A") && !map.any(|_, value| *value == "Z"));
    let copy: ConcurrentMap<u32, &str> = map.snapshot().into_iter().collect();
    assert!(copy.len() == 5 && (1..6).all(|key| copy.contains_key(&key)));
    map.clear();
    assert_eq!((map.len(), map.contains_key(&1)), (0, false));
}

#[test]
fn a_pair_is_put_replaced_and_removed_only_if_it_is_as_said() {
    let map = map5();
    assert!(map.try_insert(6, "Z").is_ok() && map.contains_key(&6));
    assert!(map.try_insert(1, "Z").is_err() && map.get(&1) == Some("A"));
    assert!(map.update(&7, |value| *value = "Z").is_none() && !map.contains_key(&7));
    assert_eq!(map.update(&1, |value| core::mem::replace(value, "Z")), Some("A"));
    assert!(map.compare_and_swap(&2, &"Z", "Z").is_err() && map.get(&2) == Some("B"));
    assert!(map.compare_and_swap(&2, &"B", "Z").is_ok() && map.get(&2) == Some("Z"));
    assert_eq!(map.remove_if(&5, |_, value| *value == "E"), Some("E"));
    assert_eq!(map.remove_if(&4, |_, value| *value == "A"), None);
    assert_eq!((map.len(), map.contains_key(&5), map.contains_key(&4)), (5, false, true));
}

#[test]
fn what_is_computed_is_put_and_what_is_refused_is_not() {
    let map = map5();
    assert_eq!(map.get_or_insert_with(6, || "Z"), "Z");
    assert_eq!(map.get_or_insert_with(1, || "Z"), "A");
    let if_present = |key, op| map.compute(key, |held| if held.is_some() { op } else { Op::Keep });
    assert_eq!((if_present(7, Op::Put("Z")), map.contains_key(&7)), (None, false));
    assert_eq!((if_present(1, Op::Put("Z")), map.get(&1)), (Some("A"), Some("Z")));
    assert_eq!((if_present(1, Op::Remove), map.get(&1)), (Some("Z"), None));
    assert_eq!((map.compute(8, |_| Op::Remove), map.contains_key(&8)), (None, false));
    // `merge`
    assert!(map.upsert(9, || "Y", |value| *value = "Z") && map.get(&9) == Some("Y"));
    assert!(!map.upsert(9, || "Y", |value| *value = "Z") && map.get(&9) == Some("Z"));
}

#[test]
fn a_key_set_adds_what_is_new_and_removes_what_is_there() {
    let mut set: ConcurrentSet<u32> = (0..3).collect();
    set.extend([3, 4, 1]);
    assert_eq!(set.len(), 5);
    assert!(!set.insert(1) && set.insert(5) && set.contains(&5) && !set.contains(&6));
    assert!([0, 1].iter().all(|n| set.remove(n)) && !set.remove(&1));
    let mut left = set.snapshot();
    left.sort_unstable();
    assert_eq!(left, [2, 3, 4, 5]);
    // `retainAll`, `iterator.remove`
    set.retain(|n| [2, 5, 7].contains(n));
    assert_eq!((set.len(), set.find(|n| *n > 2)), (2, Some(5)));
    set.clear();
    assert!(set.is_empty() && set.snapshot().is_empty());
}

#[test]
fn every_entry_is_visited_searched_and_reduced() {
    const SIZE: u64 = 10_000;
    let map: ConcurrentMap<u64, u64> = (0..SIZE).map(|n| (n, 2 * n)).collect();
    let (mut keys, mut values) = (0, 0);
    map.for_each(|key, value| (keys, values) = (keys + key, values + value));
    assert_eq!((keys, values), (SIZE * (SIZE - 1) / 2, SIZE * (SIZE - 1)));
    assert_eq!(map.fold(0, |sum, key, value| sum + key + value), 3 * SIZE * (SIZE - 1) / 2);
    assert_eq!(map.fold(0, |most, _, value| most.max(*value)), 2 * (SIZE - 1));
    assert_eq!(map.find(|key, _| *key == SIZE / 2), Some((SIZE / 2, SIZE)));
    assert_eq!(map.find(|key, _| *key > SIZE), None);
    assert_eq!(map.map_values(|key, value| value - key).iter().map(|(_, n)| n).sum::<u64>(), keys);
}

/// A key of one of three kinds, all of which hash to one of two numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Colliding {
    Text(String),
    Number(u32),
    Pair(u32, u32),
}

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let n = match self {
            Self::Text(text) => text.len() % 2,
            Self::Number(n) | Self::Pair(n, _) => *n as usize % 2,
        };
        state.write_usize(n);
    }
}

#[test]
fn keys_that_collide_are_all_found() {
    let (map, mut random) = (ConcurrentMap::new(), Random::new(test_kit::seed()));
    for n in 0..1200 {
        let key = match below(&mut random, 3) {
            0 => Colliding::Text(n.to_string()),
            1 => Colliding::Number(n),
            _ => Colliding::Pair(n, n),
        };
        assert_eq!(map.insert(key.clone(), key), None);
    }
    let keys = map.keys();
    assert_eq!((keys.len(), map.len()), (1200, 1200));
    for key in keys {
        assert_eq!(map.get(&key).as_ref(), Some(&key));
        assert_eq!(map.insert(key.clone(), key.clone()).as_ref(), Some(&key));
        assert_eq!(map.remove(&key), Some(key));
    }
    assert!(map.is_empty());
}

/// Runs `f` in `threads` threads that begin together; returns what they return.
fn together<R: Send>(threads: u32, f: impl Fn(u32) -> R + Sync) -> Vec<R> {
    let start = Barrier::new(threads as usize);
    let begin = |thread| (start.wait(), f(thread)).1;
    thread::scope(|s| {
        let begin = &begin;
        let threads: Vec<_> = (0..threads).map(|n| s.spawn(move || begin(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// `ConcurrentAssociateTest`: what was put is there, however it was put, while others put.
#[test]
fn who_has_put_a_key_finds_it_at_once() {
    type Put = fn(&ConcurrentMap<u64, u64>, u64);
    let puts: [Put; 6] = [
        |map, key| _ = map.insert(key, key),
        |map, key| _ = map.try_insert(key, key),
        |map, key| _ = map.upsert(key, || key, |_| ()),
        |map, key| _ = map.get_or_insert_with(key, || key),
        |map, key| _ = map.compute(key, |_| Op::Put(key)),
        |map, key| _ = (map.insert(key, 0), map.compare_and_swap(&key, &0, key)),
    ];
    for put in puts {
        for _ in 0..16 {
            let map = ConcurrentMap::new();
            together(4, |thread| {
                for n in 0..128_u64 {
                    let key = (u64::from(thread) << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    put(&map, key);
                    assert_eq!(map.get(&key), Some(key));
                }
            });
            assert_eq!(map.len(), 4 * 128);
        }
    }
}

/// `ConcurrentContainsKeyTest`: what is there and stays is found by all.
#[test]
fn what_stays_is_found_by_everybody() {
    for _ in 0..16 {
        let set: ConcurrentSet<u32> = (0..1024).collect();
        together(4, |_| assert!((0..1024).all(|n| set.contains(&n))));
    }
}

/// `ToArray`: while threads only insert, what is collected never shrinks, and at the end it is all.
#[test]
fn collections_beside_insertions_grow_to_the_full_number() {
    const EACH: usize = 1024;
    let (map, writers_done) = (ConcurrentMap::<usize, usize>::new(), AtomicUsize::new(0));
    together(3, |thread| {
        if thread < 2 {
            let from = thread as usize * EACH;
            (from..from + EACH).for_each(|n| _ = map.insert(n, n));
            writers_done.fetch_add(1, Ordering::Release);
            return;
        }
        let mut last = 0;
        loop {
            let is_over = writers_done.load(Ordering::Acquire) == 2;
            for now in [map.keys().len(), map.values().len(), map.snapshot().len(), map.len()] {
                assert!((last..=2 * EACH).contains(&now), "from {last} to {now}");
                last = now;
            }
            if is_over {
                return assert_eq!(last, 2 * EACH);
            }
        }
    });
}

/// `MapLoops`: random puts, gets and removals; writers and removers agree on what is left.
#[test]
fn puts_minus_removals_are_what_is_left() {
    let seed = test_kit::seed();
    for keys in [10, 1000] {
        let map = ConcurrentMap::<u32, u32>::new();
        let sums = together(4, |thread| {
            let mut random = Random::new(seed + u64::from(thread));
            let mut sum = 0_i64;
            for _ in 0..5000 {
                let key = below(&mut random, keys);
                match random.below(4) {
                    0 => sum -= map.remove(&key).map_or(0, i64::from),
                    1 => sum += i64::from(key) - map.insert(key, key).map_or(0, i64::from),
                    _ => assert!(map.get(&key).is_none_or(|value| value == key)),
                }
            }
            sum
        });
        let left = map.fold(0, |sum, _, value| sum + i64::from(*value));
        assert_eq!(sums.into_iter().sum::<i64>(), left);
    }
}

/// `MapCheck`: a long list of keys, half of which are there; each pass over the list counts its
/// hits.
#[test]
fn each_pass_over_all_keys_counts_what_std_counts() {
    const SIZE: u32 = 5000;
    let (map, mut reference) = (ConcurrentMap::<String, u32>::new(), HashMap::new());
    let absent: Vec<String> = (0..SIZE).map(|n| format!("absent {n}")).collect();
    let present: Vec<String> = (0..SIZE).map(|n| format!("present {n}")).collect();
    let count = |hits: &dyn Fn(&String) -> bool| {
        [&present, &absent].map(|keys| keys.iter().filter(|key| hits(key)).count())
    };
    for (n, key) in (0..).zip(&present) {
        assert_eq!(map.insert(key.clone(), n), reference.insert(key.clone(), n));
    }
    let all = SIZE as usize;
    assert_eq!(count(&|key| map.contains_key(key)), [all, 0]);
    assert_eq!(count(&|key| map.get(key) == reference.get(key).copied()), [all, all]);
    assert_eq!(count(&|key| map.try_insert(key.clone(), 1).is_ok()), [0, all]);
    assert_eq!(count(&|key| key.ends_with('7') && map.remove(key).is_some()), [all / 10; 2]);
    assert_eq!(map.keys().iter().collect::<HashSet<_>>().len(), map.len());
    assert_eq!(count(&|key| map.remove(key).is_some()), [all - all / 10; 2]);
    assert!(map.is_empty());
}

/// `testComputeIfAbsent` on several threads: each value is made once, though all ask for it.
#[test]
fn each_of_many_values_is_made_once() {
    let (map, made) = (ConcurrentMap::<u32, usize>::new(), AtomicUsize::new(0));
    let got = together(4, |_| {
        let make = || made.fetch_add(1, Ordering::Relaxed);
        (0..2000).map(|n| map.get_or_insert_with(n, make)).collect::<Vec<_>>()
    });
    assert_eq!(made.into_inner(), 2000);
    assert!(got.iter().all(|values| *values == got[0]), "all got the same");
}
