//! The promises of `ConcurrentMap` and `ConcurrentSet`, one by one.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, DefaultHashBuilder, Op};

use crate::hashers::Constant;

#[test]
fn the_number_of_shards_is_rounded_up() {
    let shards = |n| ConcurrentMap::<u8, u8>::with_shards(n).shards();
    assert_eq!([shards(0), shards(1), shards(3), shards(8), shards(9)], [1, 1, 4, 8, 16]);
    let default = ConcurrentMap::<u8, u8>::new().shards();
    assert!(default.is_power_of_two() && default >= 8);
}

#[test]
fn an_empty_map_is_small_and_owns_no_memory() {
    // The first insertion allocates the shards; reads, removals and visits do not need them.
    assert!(size_of::<ConcurrentMap<String, String>>() <= 512);
    let map = ConcurrentMap::<String, String>::new();
    assert_eq!((map.get("a"), map.remove("a"), map.len()), (None, None, 0));
    assert_eq!(map.update("a", |_| ()), None);
    map.clear();
    map.retain(|_, _| true);
    assert!(map.is_empty() && map.snapshot().is_empty());
}

#[test]
fn borrowed_keys_find_owned_ones() {
    let map = ConcurrentMap::<String, u32>::new();
    map.insert("ann".to_owned(), 1);
    assert_eq!((map.get("ann"), map.contains_key("bob")), (Some(1), false));
    assert_eq!(map.update("ann", |n| core::mem::replace(n, 2)), Some(1));
    assert_eq!(map.compare_and_swap("ann", &2, 3), Ok(2));
    assert_eq!(map.remove("ann"), Some(3));
}

#[test]
fn the_first_of_equal_keys_stays() {
    let map = ConcurrentMap::<Arc<str>, u32>::new();
    let (first, second) = (Arc::<str>::from("key"), Arc::<str>::from("key"));
    map.insert(first.clone(), 1);
    map.insert(second.clone(), 2);
    map.compute(second.clone(), |_| Op::Put(3));
    assert!(Arc::ptr_eq(&map.keys()[0], &first));
    assert_eq!(Arc::strong_count(&second), 1);
}

#[test]
fn a_refused_operation_gives_its_value_back() {
    let map = ConcurrentMap::from([("a", 1)]);
    let refused = map.try_insert("a", 2).unwrap_err();
    assert_eq!(refused.to_string(), "key already present");
    assert_eq!(refused.into_inner(), ("a", 2));
    let different = map.compare_and_swap("a", &7, 2).unwrap_err();
    assert_eq!(different.to_string(), "value not the expected one");
    assert!(different.is_different());
    assert_eq!(different.into_inner(), 2);
    let absent = map.compare_and_swap("b", &7, 2).unwrap_err();
    assert_eq!(absent.to_string(), "key absent");
    assert_eq!(absent.into_inner(), 2);
    assert_eq!(map.snapshot(), [("a", 1)]);
}

#[test]
fn get_or_insert_with_runs_its_closure_once() {
    const THREADS: usize = 4;
    for _ in 0..50 {
        let map = ConcurrentMap::<&str, usize>::new();
        let (made, start) = (AtomicUsize::new(0), Barrier::new(THREADS));
        thread::scope(|s| {
            for _ in 0..THREADS {
                s.spawn(|| {
                    start.wait();
                    let value =
                        map.get_or_insert_with("k", || made.fetch_add(1, Ordering::Relaxed));
                    assert_eq!(value, 0);
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}

#[test]
fn the_first_writes_to_an_empty_map_all_arrive() {
    const THREADS: usize = 4;
    for _ in 0..50 {
        let (map, start) = (ConcurrentMap::<usize, usize>::new(), Barrier::new(THREADS));
        thread::scope(|s| {
            for n in 0..THREADS {
                let (map, start) = (&map, &start);
                s.spawn(move || {
                    start.wait();
                    map.insert(n, n);
                });
            }
        });
        assert_eq!(map.len(), THREADS);
    }
}

#[test]
fn concurrent_changes_of_one_key_are_all_counted() {
    const ROUNDS: usize = 2000;
    let map = ConcurrentMap::<usize, usize>::with_shards(2);
    thread::scope(|s| {
        for thread in 0..4 {
            let map = &map;
            s.spawn(move || {
                for round in 0..ROUNDS {
                    map.upsert(round % 3, || 1, |n| *n += 1);
                    let key = 3 + round % 2;
                    map.get_or_insert_with(key, || 0);
                    match thread {
                        0 => drop(map.update(&key, |n| *n += 1)),
                        1 => drop(map.compute(key, |n| n.map_or(Op::Keep, |n| Op::Put(n + 1)))),
                        _ => {
                            while map
                                .compare_and_swap(
                                    &key,
                                    &map.get(&key).unwrap(),
                                    map.get(&key).unwrap() + 1,
                                )
                                .is_err()
                            {}
                        }
                    }
                }
            });
        }
    });
    assert_eq!((0..3).map(|key| map.get(&key).unwrap()).sum::<usize>(), 4 * ROUNDS);
    assert_eq!(map.len(), 5);
}

#[test]
fn each_key_is_won_by_one_of_those_who_insert_or_remove_it() {
    let set = ConcurrentSet::<u32>::new();
    let count = |wins: &(dyn Fn(&u32) -> bool + Sync)| -> usize {
        thread::scope(|s| {
            let threads: Vec<_> =
                (0..4).map(|_| s.spawn(|| (0..1000).filter(|n| wins(n)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    };
    assert_eq!(count(&|n| set.insert(*n)), 1000);
    assert_eq!(set.len(), 1000);
    assert_eq!(count(&|n| set.remove(n)), 1000);
    assert!(set.is_empty());
}

#[test]
fn an_entry_that_stays_is_seen_exactly_once_while_others_come_and_go() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    thread::scope(|s| {
        let churn = s.spawn(|| {
            for n in (100..2000).chain(100..2000) {
                if map.insert(n, n).is_some() {
                    map.remove(&n);
                }
            }
        });
        while !churn.is_finished() {
            let stayed: Vec<u32> = map.keys().into_iter().filter(|n| *n < 100).collect();
            assert_eq!(stayed.len(), 100);
            assert!(map.len() >= 100);
            assert_eq!(map.fold(0, |sum, n, _| sum + u32::from(*n < 100)), 100);
        }
    });
}

#[test]
fn functional_operations_see_every_entry() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, n * n)).collect();
    let sorted = |mut entries: Vec<u32>| {
        entries.sort_unstable();
        entries
    };
    assert_eq!(sorted(map.keys()), (0..100).collect::<Vec<_>>());
    assert_eq!(sorted(map.values()), (0..100).map(|n| n * n).collect::<Vec<_>>());
    assert_eq!(map.filter(|n, _| n % 10 == 0).len(), 10);
    assert!(map.map_values(|n, square| square / n.max(&1)).iter().all(|(n, root)| n == root));
    assert_eq!(map.find(|_, square| *square == 81), Some((9, 81)));
    assert_eq!(map.find(|_, square| *square == 82), None);
    assert!(map.any(|n, _| *n == 99) && !map.any(|n, _| *n == 100));
    assert!(map.all(|n, square| n * n == *square) && !map.all(|n, _| *n > 0));
    map.retain(|n, square| {
        *square += 1;
        n % 2 == 0
    });
    assert_eq!((map.len(), map.get(&4), map.get(&5)), (50, Some(17), None));
    map.clear();
    assert!(map.is_empty() && map.keys().is_empty());
}

#[test]
fn a_set_does_what_a_set_does() {
    let mut set = ConcurrentSet::from(["a", "b"]);
    set.extend(["c", "a"]);
    assert!(!set.insert("c") && set.contains("c") && set.len() == 3);
    assert_eq!(set.find(|element| *element > "b"), Some("c"));
    assert!(set.any(|element| *element == "a") && set.all(|element| element.len() == 1));
    set.retain(|element| *element != "b");
    assert_eq!(set.fold(0, |sum, element| sum + element.len()), 2);
    let mut left = set.snapshot();
    left.sort_unstable();
    assert_eq!(left, ["a", "c"]);
    assert!(set.remove("a") && !set.remove("a"));
    set.clear();
    assert!(set.is_empty());
}

/// Calls its map when it is dropped, which must not find a lock held.
#[derive(Clone)]
struct Caller {
    map: Weak<ConcurrentMap<u32, Caller>>,
    calls: Arc<AtomicUsize>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(map) = self.map.upgrade() {
            map.for_each(|_, _| ());
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn what_is_replaced_or_removed_is_dropped_with_no_lock_held() {
    let map = Arc::new(ConcurrentMap::with_shards(1));
    let calls = Arc::new(AtomicUsize::new(0));
    let new = || Caller { map: Arc::downgrade(&map), calls: calls.clone() };
    let insert_two = || {
        map.insert(1, new());
        map.insert(2, new());
    };
    insert_two();
    drop(map.insert(1, new()));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "insert");
    drop(map.try_insert(1, new()));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "try_insert");
    drop(map.compute(1, |_| Op::Put(new())));
    drop(map.compute(1, |_| Op::Remove));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 2, "compute");
    drop(map.remove(&2));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "remove");
    insert_two();
    map.retain(|key, _| *key == 1);
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "retain");
    map.clear();
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "clear");
}

#[test]
fn what_a_closure_that_did_not_run_has_captured_is_dropped_with_no_lock_held() {
    let map = Arc::new(ConcurrentMap::with_shards(1));
    let calls = Arc::new(AtomicUsize::new(0));
    let new = || Caller { map: Arc::downgrade(&map), calls: calls.clone() };
    map.insert(1, new());
    let unused = [(); 6].map(|()| new());
    let [insert, update, make, read, change, remove] = unused;
    map.upsert(1, move || insert, |_| ());
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "upsert of a key that is there");
    map.upsert(2, new, move |_| drop(update));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "upsert of a new key");
    let clone = map.get_or_insert_with(1, move || make);
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "get_or_insert_with");
    map.get_with(&9, move |_| drop(read));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "get_with");
    map.update(&9, move |_| drop(change));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "update");
    map.remove_if(&9, move |_, _| {
        drop(remove);
        true
    });
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "remove_if");
    drop(clone);
}

/// Runs `f`, which calls back where it must not.
fn assert_refused(index: usize, f: &dyn Fn()) {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    let message = payload.downcast::<&str>().unwrap();
    assert!(message.contains("called back into the same map"), "{index}: {message}");
}

#[test]
fn calling_back_panics_unless_both_read_whichever_shard_is_called() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    for other in [1, 2, 3, 50, 99, 1000] {
        let read = || map.contains_key(&other);
        let write = || map.remove(&other).is_some();
        let closures: [&dyn Fn(); 10] = [
            &|| _ = map.get_with(&1, |_| write()),
            &|| map.for_each(|_, _| _ = write()),
            &|| _ = map.any(|_, _| write()),
            &|| _ = map.update(&1, |_| read()),
            &|| _ = map.upsert(1, || 1, |_| _ = read()),
            &|| _ = map.upsert(1000, || u32::from(read()), |_| ()),
            &|| _ = map.get_or_insert_with(1000, || u32::from(read())),
            &|| _ = map.compute(1, |_| if read() { Op::Keep } else { Op::Remove }),
            &|| _ = map.remove_if(&1, |_, _| read()),
            &|| map.retain(|_, _| read()),
        ];
        for (index, closure) in closures.into_iter().enumerate() {
            assert_refused(index, closure);
        }
        assert_eq!(map.len(), 100, "nothing has changed");
    }
    // The call is found also when closures of other maps are in between.
    let between = ConcurrentMap::from([((), ())]);
    assert_refused(0, &|| _ = map.get_with(&1, |_| between.update(&(), |()| map.insert(1, 1))));
    assert_refused(1, &|| _ = map.update(&1, |_| between.get_with(&(), |()| map.get(&2))));
}

#[test]
fn a_closure_that_reads_may_read_the_same_map() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, (n + 1) % 100)).collect();
    let follow = |n: &u32| map.get_with(n, |next| map.get_with(next, |last| map.get(last)));
    for n in 0..100 {
        assert_eq!(follow(&n), Some(Some(Some((n + 3) % 100))));
    }
    assert!(map.all(|n, next| map.get(n).as_ref() == Some(next)));
    assert_eq!(map.fold(0, |sum, n, _| sum + map.fold(0, |most, m, _| most.max(*m)) - n), 4950);
    // Also through another map.
    let between = ConcurrentMap::from([((), ())]);
    let nested = map.get_with(&1, |_| between.get_with(&(), |()| map.get(&2)));
    assert_eq!(nested, Some(Some(Some(3))));
}

#[test]
fn readers_within_readers_and_writers_do_not_wait_for_each_other() {
    let map: ConcurrentMap<u32, u32> = (0..16).map(|n| (n, n)).collect();
    thread::scope(|s| {
        for thread in 0..4_u32 {
            let map = &map;
            s.spawn(move || {
                for round in 0..500 {
                    let (one, two) = ((thread + round) % 16, (thread * round) % 16);
                    let sum = map.get_with(&one, |a| map.get_with(&two, |b| a + b));
                    assert!(sum.flatten().is_some());
                    map.update(&two, |n| *n = n.wrapping_add(one));
                }
            });
        }
    });
}

#[test]
fn closures_within_each_other_too_deep_panic() {
    let maps: [ConcurrentMap<(), ()>; 9] =
        core::array::from_fn(|_| ConcurrentMap::from([((), ())]));
    fn nest(maps: &[ConcurrentMap<(), ()>]) {
        if let [map, inner @ ..] = maps {
            map.get_with(&(), |()| nest(inner));
        }
    }
    nest(&maps[..8]);
    let payload = catch_unwind(|| nest(&maps)).unwrap_err();
    let message = payload.downcast::<String>().unwrap();
    assert_eq!(*message, "closures of maps run within each other more than 8 deep");
}

#[test]
fn a_closure_may_use_another_map_and_another_thread_the_same() {
    let outer = ConcurrentMap::from([("a", ConcurrentMap::from([(1, 1)]))]);
    assert_eq!(outer.get_with("a", |inner| inner.insert(2, 2)), Some(None));
    assert_eq!(outer.get_with("a", |_| outer.len()), Some(1));
    let map = ConcurrentMap::from([(1, 1)]);
    let (inside, seen) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            inside.wait();
            // `len` takes no lock, and the thread that is inside is another one.
            assert_eq!(map.len(), 1);
            seen.wait();
            assert_eq!(map.get(&1), Some(2));
        });
        map.update(&1, |n| {
            inside.wait();
            seen.wait();
            *n = 2;
        });
    });
}

#[test]
fn any_hasher_will_do() {
    let map: ConcurrentMap<u32, u32, BuildHasherDefault<Constant>> =
        (0..200).map(|n| (n, n)).collect();
    assert!((0..200).all(|n| map.get(&n) == Some(n)));
    let map = ConcurrentMap::with_shards_and_hasher(3, std::hash::RandomState::new());
    map.insert("a", 1);
    assert_eq!((map.get("a"), map.shards()), (Some(1), 4));
}

#[test]
fn the_default_hasher_tells_all_primitive_keys_apart() {
    fn distinct<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> usize {
        let builder = DefaultHashBuilder::default();
        let hashes = keys.map(|key| (core::hash::BuildHasher::hash_one(&builder, &key), key));
        hashes.collect::<HashMap<_, _>>().len()
    }
    assert_eq!(distinct(0..=u8::MAX), 256);
    assert_eq!(distinct(0..1000_u16), 1000);
    assert_eq!(distinct((0..1000_u32).map(|n| n << 20)), 1000);
    assert_eq!(distinct((0..1000_u64).map(|n| n << 50)), 1000);
    assert_eq!(distinct((0..1000_u128).map(|n| n << 100)), 1000);
    assert_eq!(distinct((0..1000_usize).map(|n| (n, "pair"))), 1000);
    assert_eq!(distinct((0..1000).map(|n| format!("key {n}"))), 1000);
}

#[test]
fn printing_shows_sizes_and_takes_no_lock() {
    let map = ConcurrentMap::with_shards(8);
    map.insert(1, 1);
    let shown = map.get_with(&1, |_| format!("{map:?}")).unwrap();
    assert_eq!(shown, "ConcurrentMap { len: 1, shards: 8, .. }");
}
