//! The mixes of xacrimon's conc-map-bench (and of bustle, which runs them), as tests.
//!
//! `ReadHeavy`, `Exchange` and `RapidGrow` have the same shares of operations and prefilled parts
//! as there, with fewer keys and steps. As there, every thread has keys of its own, so that it
//! knows the answer of every operation. Here it also compares the answers, and at the end the map
//! holds exactly the entries that the threads expect.

use std::{collections::HashMap, sync::Barrier, thread};

use tidegate_concurrent_map::ConcurrentMap;
use tidegate_core::random::Random;

use crate::random::below;

const THREADS: u64 = 4;

/// Shares of a hundred operations.
struct Mix {
    read: u32,
    insert: u32,
    remove: u32,
    update: u32,
    upsert: u32,
    /// How many of each thread's keys are there at the start, of a hundred.
    prefilled: u32,
    keys: u32,
    steps: u32,
}

/// One thread's part; returns what it has left in the map.
fn live(map: &ConcurrentMap<u64, u64>, mix: &Mix, thread: u64, seed: u64) -> HashMap<u64, u64> {
    let mut random = Random::new(seed ^ thread << 32);
    let key = |n: u32| thread << 32 | u64::from(n);
    let mut mine: HashMap<u64, u64> =
        (0..mix.keys).filter(|n| n % 100 < mix.prefilled).map(|n| (key(n), u64::from(n))).collect();
    for step in 0..mix.steps {
        let key = key(below(&mut random, mix.keys));
        let mut chance = below(&mut random, 100);
        let mut falls_to = |share: u32| {
            let is_hit = chance < share;
            chance = chance.wrapping_sub(share);
            is_hit
        };
        if falls_to(mix.read) {
            assert_eq!(map.get(&key), mine.get(&key).copied());
        } else if falls_to(mix.insert) {
            assert_eq!(map.insert(key, step.into()), mine.insert(key, step.into()));
        } else if falls_to(mix.remove) {
            assert_eq!(map.remove(&key), mine.remove(&key));
        } else if falls_to(mix.update) {
            let updated = map.update(&key, |n| (*n += 1, *n).1);
            assert_eq!(updated, mine.get_mut(&key).map(|n| (*n += 1, *n).1));
        } else if falls_to(mix.upsert) {
            assert_eq!(map.upsert(key, || 1, |n| *n += 1), !mine.contains_key(&key));
            *mine.entry(key).or_insert(0) += 1;
        } else {
            unreachable!("the shares are those of a hundred");
        }
    }
    mine
}

fn run(mix: &Mix) {
    assert_eq!(mix.read + mix.insert + mix.remove + mix.update + mix.upsert, 100);
    let seed = test_kit::seed();
    for shards in [1, 8, 256] {
        let map = ConcurrentMap::with_shards(shards);
        for thread in 0..THREADS {
            for n in (0..mix.keys).filter(|n| n % 100 < mix.prefilled) {
                map.insert(thread << 32 | u64::from(n), n.into());
            }
        }
        let start = Barrier::new(THREADS.try_into().unwrap());
        let mut all = HashMap::new();
        thread::scope(|s| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (map, start) = (&map, &start);
                    s.spawn(move || {
                        start.wait();
                        live(map, mix, thread, seed)
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| all.extend(thread.join().unwrap()));
        });
        assert_eq!(map.len(), all.len());
        let snapshot = map.snapshot();
        assert_eq!(snapshot.len(), all.len(), "each entry once");
        assert_eq!(snapshot.into_iter().collect::<HashMap<_, _>>(), all);
        assert!(all.iter().all(|(key, n)| map.get(key) == Some(*n)));
    }
}

#[test]
fn who_mostly_reads_reads_what_is_there() {
    run(&Mix {
        read: 98,
        insert: 1,
        remove: 1,
        update: 0,
        upsert: 0,
        prefilled: 75,
        keys: 2000,
        steps: 10_000,
    });
}

#[test]
fn what_is_exchanged_is_there_and_what_was_is_gone() {
    run(&Mix {
        read: 10,
        insert: 40,
        remove: 40,
        update: 10,
        upsert: 0,
        prefilled: 75,
        keys: 2000,
        steps: 10_000,
    });
}

#[test]
fn a_map_that_grows_rapidly_from_nothing_loses_nothing() {
    run(&Mix {
        read: 5,
        insert: 80,
        remove: 5,
        update: 10,
        upsert: 0,
        prefilled: 0,
        keys: 20_000,
        steps: 10_000,
    });
}

#[test]
fn counters_are_counted() {
    run(&Mix {
        read: 10,
        insert: 0,
        remove: 5,
        update: 15,
        upsert: 70,
        prefilled: 10,
        keys: 300,
        steps: 10_000,
    });
}
