//! Growing and shrinking while others read, write and iterate; and what other maps have lost there.

use std::{
    collections::HashSet,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet};

/// Raises the flag when it is dropped, also by a panic: threads that wait for it do not hang then.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `change` in one thread and `look` in two others, again and again until `change` has ended.
fn beside(change: impl FnOnce() + Send, look: impl Fn() + Sync) {
    let (start, is_over) = (Barrier::new(3), AtomicBool::new(false));
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                start.wait();
                loop {
                    let was_over = is_over.load(Ordering::Relaxed);
                    look();
                    if was_over {
                        return;
                    }
                }
            });
        }
        let _raise = Raise(&is_over);
        start.wait();
        change();
    });
}

#[test]
fn readers_find_what_stays_while_shards_grow_and_shrink() {
    for shards in [1, 8] {
        let map: ConcurrentMap<u32, u32> = ConcurrentMap::with_shards(shards);
        (0..100).for_each(|n| _ = map.insert(n, n));
        beside(
            || {
                for round in 1..4 {
                    (100..5000).for_each(|n| _ = map.insert(n, round));
                    (100..5000).for_each(|n| _ = map.remove(&n));
                }
            },
            || {
                for n in 0..100 {
                    assert_eq!(map.get(&n), Some(n));
                    assert!(map.contains_key(&n));
                    assert_eq!(map.update(&n, |held| *held), Some(n));
                }
                assert!(map.len() >= 100);
            },
        );
        assert_eq!(map.len(), 100);
    }
}

/// dashmap #97 asks for this; xsync #87: an iteration during a resize shows a key twice.
#[test]
fn an_entry_that_stays_is_seen_exactly_once_by_every_iteration_beside_growth() {
    for shards in [1, 8] {
        let map: ConcurrentMap<u32, u32> = ConcurrentMap::with_shards(shards);
        (0..100).for_each(|n| _ = map.insert(n, n));
        let is_complete = |keys: Vec<u32>| {
            let staying: Vec<u32> = keys.iter().copied().filter(|n| *n < 100).collect();
            assert_eq!(staying.len(), 100, "those that stay, once each");
            assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "no key twice");
        };
        beside(
            || {
                for _ in 0..3 {
                    (100..3000).for_each(|n| _ = map.insert(n, n));
                    map.retain(|n, _| *n < 100);
                }
            },
            || {
                is_complete(map.keys());
                is_complete(map.snapshot().into_iter().map(|(n, _)| n).collect());
                is_complete(map.values());
                is_complete(map.fold(Vec::new(), |mut keys, n, _| (keys.push(*n), keys).1));
                assert_eq!(map.filter(|n, _| *n < 100).len(), 100);
                assert_eq!(map.find(|n, _| *n == 57), Some((57, 57)));
            },
        );
    }
}

/// If a lock lets no reader in behind a waiting writer, a reader that reads within its read
/// deadlocks.
#[test]
fn who_reads_within_a_read_passes_the_writers_that_wait() {
    let map: ConcurrentMap<u32, u32> = ConcurrentMap::with_shards(1);
    (0..8).for_each(|n| _ = map.insert(n, n));
    beside(
        || (0..20_000).for_each(|n| _ = map.update(&(n % 8), |held| *held = n % 8)),
        || {
            for n in 0..8 {
                let both = map.get_with(&n, |held| (*held, map.get(&(7 - n))));
                assert_eq!(both, Some((n, Some(7 - n))));
            }
            map.for_each(|key, held| {
                assert_eq!((map.get(key), map.keys().len()), (Some(*held), 8))
            });
        },
    );
}

/// xsync #109 and #111: a resize loses what is written meanwhile.
#[test]
fn growth_loses_no_update() {
    const ROUNDS: usize = 3000;
    let map = ConcurrentMap::<usize, usize>::with_shards(1);
    thread::scope(|s| {
        for thread in 1..4 {
            let map = &map;
            s.spawn(move || {
                for round in 0..ROUNDS {
                    map.upsert(round % 5, || 1, |n| *n += 1);
                    map.insert(thread * ROUNDS + round, 0);
                }
            });
        }
    });
    assert_eq!((0..5).map(|n| map.get(&n).unwrap()).sum::<usize>(), 3 * ROUNDS);
    assert_eq!(map.len(), 5 + 3 * ROUNDS);
}

/// scc #172: a thread does not find what it has written. xsync #112: removals of many keys by
/// several threads panic.
#[test]
fn each_thread_finds_what_it_has_written_and_misses_what_it_has_removed() {
    let map = ConcurrentMap::<u32, u32>::with_shards(1);
    thread::scope(|s| {
        for thread in 0..4 {
            let map = &map;
            s.spawn(move || {
                for n in (0..2000).map(|n| thread * 2000 + n) {
                    assert_eq!(map.insert(n, n), None);
                    assert_eq!(map.get(&n), Some(n));
                }
                for n in (0..2000).map(|n| thread * 2000 + n) {
                    assert_eq!(map.remove(&n), Some(n));
                    assert_eq!(map.get(&n), None);
                }
            });
        }
    });
    // dashmap #197: the length never falls.
    assert!(map.is_empty());
}

/// cornelk/hashmap #47: what is added during removals is lost.
#[test]
fn an_insertion_beside_removals_is_not_lost() {
    let set: ConcurrentSet<u32> = (0..4000).collect();
    thread::scope(|s| {
        s.spawn(|| (0..4000).for_each(|n| assert!(set.remove(&n))));
        s.spawn(|| set.retain(|n| !(1_000_000..2_000_000).contains(n)));
        s.spawn(|| (1000..3000).for_each(|n| assert!(set.insert(1_000_000 + n))));
        (0..2000).for_each(|n| assert!(set.insert(2_000_000 + n)));
    });
    assert!((2_000_000..2_002_000).all(|n| set.contains(&n)));
    assert!(!(0..4000).any(|n| set.contains(&n)));
}

/// papaya #63: `retain` reads freed values while others write. Each value here shows whether it is
/// whole.
#[test]
fn retain_beside_writers_sees_whole_values_and_takes_only_what_it_refuses() {
    let map = ConcurrentMap::<u32, Vec<u32>>::with_shards(2);
    let whole = |n: u32| vec![n; 1 + n as usize % 5];
    let is_whole = |key: &u32, value: &Vec<u32>| *value == whole(*key);
    (0..100).for_each(|n| _ = map.insert(n, whole(n)));
    beside(
        || {
            for n in 100..4000 {
                map.insert(n, whole(n));
                map.insert(n % 100, whole(n % 100));
                if n % 3 == 0 {
                    map.remove(&(n - 50).max(100));
                }
            }
        },
        || {
            map.retain(|key, value| {
                assert!(is_whole(key, value));
                *key < 100 || key % 2 == 0
            });
            assert!((0..100).all(|n| map.get_with(&n, |value| is_whole(&n, value)) == Some(true)));
        },
    );
    map.retain(|key, value| is_whole(key, value) && *key < 100);
    assert_eq!(map.len(), 100);
}

/// flurry #90: random insertions of keys that are mostly there already end in a crash.
#[test]
fn insertions_of_what_is_mostly_there_are_refused_and_nothing_else() {
    let map = ConcurrentMap::<u64, u64>::with_shards(1);
    let mut inserted = 0;
    for n in 0..50_000_u64 {
        let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        inserted += usize::from(map.try_insert(key, key).is_ok());
    }
    assert_eq!(map.len(), inserted);
    assert!(inserted <= 1024 && map.all(|key, value| key == value));
}

/// Calls `inner` within a section of each of the maps.
fn within(maps: &[ConcurrentMap<u8, u8>], inner: &dyn Fn()) {
    match maps {
        [first, rest @ ..] => first.get_with(&0, |_| within(rest, inner)).unwrap(),
        [] => inner(),
    }
}

#[test]
fn a_map_fills_within_as_many_sections_as_may_be_around_it() {
    // The map's own section is the eighth; growing takes two, so within seven it does not grow.
    let around: Vec<_> = (0..7).map(|_| ConcurrentMap::from([(0, 0)])).collect();
    for number in 0..=7 {
        let map = ConcurrentMap::new();
        within(&around[..number], &|| (0..1000).for_each(|n| _ = map.insert(n, n)));
        assert_eq!(map.len(), 1000);
    }
}
