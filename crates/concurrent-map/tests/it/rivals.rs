//! What has gone wrong in other maps, as laws of this one. Issues are named where they were
//! reported.
//!
//! Most are of one kind: something handed out (a guard, an entry, an iterator) holds a lock. Its
//! holder then calls the map again, or waits, or meets a thread that takes two locks in the other
//! order. Here nothing is handed out, and a closure that calls its map again panics. How maps fail
//! while they grow is in `growth.rs`, and when they drop what they held in `drops.rs`.

use std::{
    hash::BuildHasherDefault,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, Op};

use crate::hashers::Identity;

/// The message of the panic with which `operation` ends.
fn refusal(operation: impl FnOnce()) -> &'static str {
    let payload = catch_unwind(AssertUnwindSafe(operation)).expect_err("it is refused");
    payload.downcast_ref::<&str>().copied().expect("it says why")
}

fn assert_refused(operation: impl FnOnce()) {
    let message = refusal(operation);
    assert!(message.contains("called back into the same map"), "{message}");
}

/// dashmap #64, #74, #233, #363: `get_mut` and then `get` of the same key, or of one nearby, hangs.
#[test]
fn what_is_read_locks_nothing_afterwards() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    let held: Vec<Option<u32>> = (0..100).map(|n| map.get(&n)).collect();
    for n in 0..100 {
        assert_eq!(map.update(&n, |value| core::mem::replace(value, 0)), held[n as usize]);
        assert_eq!(map.insert(n + 1000, n), None);
    }
}

/// dashmap #369: one thread holds alpha and inserts beta, another holds beta and inserts alpha, and
/// both hang.
#[test]
fn writing_beta_while_looking_at_alpha_and_the_reverse_is_refused_on_both_sides() {
    let map = ConcurrentMap::from([("alpha", 1), ("beta", 2)]);
    let both_inside = Barrier::new(2);
    thread::scope(|s| {
        for (held, written) in [("alpha", "beta"), ("beta", "alpha")] {
            let (map, both_inside) = (&map, &both_inside);
            s.spawn(move || {
                assert_refused(|| _ = map.get_with(held, |_| map.insert(written, 10)));
                both_inside.wait();
            });
        }
    });
    assert_eq!((map.get("alpha"), map.get("beta")), (Some(1), Some(2)));
}

/// dashmap #233, #74; tinygo #5528 (`Range`); caffeine #960 and JDK-8062841 (`computeIfAbsent` in
/// itself goes round for ever).
#[test]
fn a_write_from_any_closure_is_refused_and_changes_nothing() {
    let map: ConcurrentMap<u32, u32> = (0..20).map(|n| (n, n)).collect();
    for key in [3, 4, 1000] {
        let writes: [&dyn Fn(); 9] = [
            &|| _ = map.insert(key, 1),
            &|| _ = map.try_insert(key, 1),
            &|| _ = map.remove(&key),
            &|| _ = map.update(&key, |n| *n += 1),
            &|| _ = map.upsert(key, || 1, |n| *n += 1),
            &|| _ = map.get_or_insert_with(key, || 1),
            &|| _ = map.compute(key, |_| Op::Put(1)),
            &|| map.retain(|_, _| false),
            &|| map.clear(),
        ];
        for write in writes {
            assert_refused(|| _ = map.get_with(&3, |_| write()));
            assert_refused(|| map.for_each(|_, _| write()));
            assert_refused(|| _ = map.fold(0, |n, _, _| (write(), n).1));
            assert_refused(|| _ = map.find(|_, _| (write(), false).1));
            assert_refused(|| _ = map.filter(|_, _| (write(), false).1));
            assert_refused(|| _ = map.map_values(|_, _| write()));
            assert_refused(|| _ = map.update(&3, |_| write()));
            assert_refused(|| _ = map.upsert(3, || 1, |_| write()));
            assert_refused(|| _ = map.upsert(2000, || (write(), 1).1, |_| ()));
            assert_refused(|| _ = map.get_or_insert_with(2000, || (write(), 1).1));
            assert_refused(|| _ = map.compute(3, |_| (write(), Op::Put(7)).1));
            assert_refused(|| _ = map.remove_if(&3, |_, _| (write(), true).1));
            assert_refused(|| map.retain(|_, _| (write(), false).1));
        }
    }
    assert_eq!(map.len(), 20);
    assert!(map.all(|key, n| key == n), "nothing has changed");
}

/// The other way round: a read would wait for the write that it is in.
#[test]
fn a_read_from_a_closure_that_writes_is_refused() {
    let map: ConcurrentMap<u32, u32> = (0..20).map(|n| (n, n)).collect();
    for key in [3, 4, 1000] {
        let reads: [&dyn Fn(); 5] = [
            &|| _ = map.get(&key),
            &|| _ = map.contains_key(&key),
            &|| map.for_each(|_, _| ()),
            &|| _ = map.snapshot(),
            &|| _ = map.any(|_, _| true),
        ];
        for read in reads {
            assert_refused(|| _ = map.update(&3, |_| read()));
            assert_refused(|| _ = map.upsert(2000, || (read(), 1).1, |_| ()));
            assert_refused(|| _ = map.get_or_insert_with(2000, || (read(), 1).1));
            assert_refused(|| _ = map.compute(3, |_| (read(), Op::Put(7)).1));
            assert_refused(|| _ = map.remove_if(&3, |_, _| (read(), true).1));
            assert_refused(|| map.retain(|_, _| (read(), false).1));
        }
    }
    assert!(map.len() == 20 && map.all(|key, n| key == n), "nothing has changed");
}

/// dashmap #79: a task keeps its guard across an `await`; it and another task of the same thread
/// hang.
#[test]
fn a_task_that_waits_with_a_value_stops_no_other() {
    let map = ConcurrentMap::from([("a", 1)]);
    let pause = || {
        let mut was_polled = false;
        core::future::poll_fn(move |_| match core::mem::replace(&mut was_polled, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    };
    let task = || async {
        let before = map.get("a").unwrap();
        pause().await;
        map.update("a", |n| *n += before);
        pause().await;
        map.get("a").unwrap()
    };
    let (mut one, mut two) = (pin!(task()), pin!(task()));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert!(one.as_mut().poll(&mut context).is_pending());
        assert!(two.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(one.as_mut().poll(&mut context), Poll::Ready(3));
    assert_eq!(two.as_mut().poll(&mut context), Poll::Ready(3));
}

/// dashmap #239 (`len` hangs while an entry is held), agave #6978 and #7007 (`is_empty` locks every
/// shard).
#[test]
fn len_and_is_empty_take_no_lock() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    let sizes = || (map.len(), map.is_empty(), format!("{map:?}").contains("100"));
    assert_eq!(map.get_with(&1, |_| sizes()), Some((100, false, true)));
    assert_eq!(map.update(&1, |_| sizes()), Some((100, false, true)));
    let (inside, asked) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            map.update(&1, |_| {
                inside.wait();
                asked.wait();
            });
        });
        inside.wait();
        assert_eq!(sizes(), (100, false, true));
        asked.wait();
    });
}

/// dashmap #233 again: an iteration keeps other threads' writes out. Here it keeps them out of one
/// shard at a time.
#[test]
fn who_stays_in_one_shard_keeps_nobody_out_of_the_others() {
    let map: ConcurrentMap<u32, u32> = ConcurrentMap::with_shards(64);
    (0..512).for_each(|n| _ = map.insert(n, 0));
    // Iterations go from shard to shard: the first key that they show and the last hundred are in
    // different shards.
    let order = map.keys();
    let (first, others) = (order[0], &order[412..]);
    type Stay<'a> = &'a dyn Fn(&dyn Fn());
    let ways: [Stay<'_>; 3] = [
        &|stay| _ = map.any(|_, _| (stay(), true).1),
        &|stay| _ = map.get_with(&first, |_| stay()),
        &|stay| _ = map.update(&first, |_| stay()),
    ];
    for stay in ways {
        let (inside, written) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|s| {
            s.spawn(|| {
                inside.wait();
                for key in others {
                    map.update(key, |n| *n += 1);
                    assert!(map.remove(key).is_some());
                    assert_eq!(map.insert(*key, 7), None);
                    assert_eq!(map.get(key), Some(7));
                }
                written.wait();
            });
            stay(&|| {
                inside.wait();
                written.wait();
            });
        });
    }
}

/// dashmap #284 (keys cannot be removed while iterating), Go's and Java's iterators (they can).
#[test]
fn what_an_iteration_shows_can_be_removed_by_it_or_after_it() {
    let map: ConcurrentMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    assert_refused(|| map.for_each(|key, _| _ = map.remove(key)));
    for key in map.keys().into_iter().filter(|key| key % 2 == 0) {
        assert_eq!(map.remove(&key), Some(key));
    }
    let mut removed = Vec::new();
    map.retain(|key, n| {
        let keeps = key % 3 == 0;
        removed.extend((!keeps).then_some(*n));
        keeps
    });
    assert_eq!(removed.len() + map.len(), 50);
    assert!(map.all(|key, _| key % 6 == 3));
}

/// eclipse-collections #430 (and Java's map): a thread that replaced an entry finds the map empty.
#[test]
fn who_has_found_an_entry_finds_the_map_not_empty() {
    for _ in 0..200 {
        let (map, start) = (ConcurrentMap::with_shards(8), Barrier::new(2));
        thread::scope(|s| {
            s.spawn(|| {
                start.wait();
                map.insert(1, 0);
            });
            start.wait();
            if map.insert(1, 1).is_some() || map.get(&1).is_some() {
                assert!(!map.is_empty() && map.len() == 1);
            }
        });
    }
}

/// dashmap #47: two threads both make the value, and each counts on its own.
#[test]
fn all_who_ask_for_a_value_that_is_not_there_get_the_same() {
    for _ in 0..100 {
        let (map, start) = (ConcurrentMap::<u32, Arc<AtomicUsize>>::new(), Barrier::new(4));
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    start.wait();
                    let counter = map.get_or_insert_with(1, Arc::default);
                    counter.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(map.get(&1).unwrap().load(Ordering::Relaxed), 4);
    }
}

/// dashmap #23 (a map made by `default` panics in every method), #232 (so does one with a single
/// shard), papaya #20 (collecting with such a hasher crashes).
#[test]
fn a_map_works_however_it_was_made() {
    type Bare = ConcurrentMap<u64, u64, BuildHasherDefault<Identity>>;
    let made: [Bare; 4] = [
        Bare::default(),
        ConcurrentMap::with_shards_and_hasher(1, BuildHasherDefault::default()),
        ConcurrentMap::with_shards_and_hasher(0, BuildHasherDefault::default()),
        (0..20_000).map(|n| (n, n)).collect(),
    ];
    for map in made {
        (0..20_000).for_each(|n| _ = map.insert(n, n));
        assert!((0..20_000).all(|n| map.get(&n) == Some(n)));
        assert_eq!(map.len(), 20_000);
    }
    assert!(ConcurrentSet::<u8>::default().insert(1));
}
