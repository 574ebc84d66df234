//! Random operations of every kind on real threads, some of whose closures panic.
//!
//! The seed is printed; `TIDEGATE_SEED=… cargo test -p tidegate-concurrent-map --test it stress`
//! repeats the run, as far as the scheduler lets it.

use std::{
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicIsize, Ordering},
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, Op};
use tidegate_core::random::Random;

use crate::random::below;

const THREADS: u32 = 4;
const KEYS: u32 = 50;

/// Is counted while it lives.
#[derive(Debug)]
struct Counted<'a>(&'a AtomicIsize);

impl<'a> Counted<'a> {
    fn new(living: &'a AtomicIsize) -> Self {
        living.fetch_add(1, Ordering::Relaxed);
        Self(living)
    }
}

impl Clone for Counted<'_> {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        assert!(self.0.fetch_sub(1, Ordering::Relaxed) > 0, "dropped twice");
    }
}

#[derive(Debug, Clone)]
struct Key<'a> {
    n: u32,
    _living: Counted<'a>,
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.n.hash(state);
    }
}

#[derive(Debug, Clone)]
struct Value<'a> {
    n: i64,
    _living: Counted<'a>,
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

type Map<'a> = ConcurrentMap<Key<'a>, Value<'a>>;

/// What a thread has done to the map, according to the answers of its operations.
#[derive(Debug, Default)]
struct Ledger {
    entries: i64,
    sum: i64,
}

impl Ledger {
    fn put(&mut self, new: i64, old: Option<&Value<'_>>) {
        self.entries += i64::from(old.is_none());
        self.sum += new - old.map_or(0, |old| old.n);
    }

    fn took(&mut self, old: Option<&Value<'_>>) {
        self.entries -= i64::from(old.is_some());
        self.sum -= old.map_or(0, |old| old.n);
    }
}

/// Runs an operation of which a closure panics; the panic prints no message.
fn panicking(operation: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(operation)).is_err(), "the panic is passed on");
}

fn blow() -> ! {
    resume_unwind(Box::new("on purpose"))
}

fn step<'a>(map: &Map<'a>, living: &'a AtomicIsize, random: &mut Random, ledger: &mut Ledger) {
    let key = Key { n: below(random, KEYS), _living: Counted::new(living) };
    let n = i64::from(below(random, 1000));
    let value = || Value { n, _living: Counted::new(living) };
    match random.below(30) {
        0..4 => ledger.put(n, map.insert(key, value()).as_ref()),
        4 | 5 => match map.try_insert(key, value()) {
            Ok(()) => ledger.put(n, None),
            Err(refused) => assert_eq!(refused.into_inner().1.n, n),
        },
        6..9 => ledger.took(map.remove(&key).as_ref()),
        9 => ledger.took(map.remove_if(&key, |_, value| value.n % 2 == 0).as_ref()),
        10 | 11 => _ = map.update(&key, |value| (value.n += n, ledger.sum += n)),
        12 | 13 => {
            let is_new = map.upsert(key, value, |value| value.n += n);
            ledger.entries += i64::from(is_new);
            ledger.sum += n;
        }
        14 | 15 => {
            let mut is_new = false;
            let got = map.get_or_insert_with(key, || (is_new = true, value()).1);
            if is_new {
                assert_eq!(got.n, n);
                ledger.put(n, None);
            }
        }
        16 => {
            let old = map.compute(key, |_| Op::Put(value()));
            ledger.put(n, old.as_ref());
        }
        17 => ledger.took(map.compute(key, |_| Op::Remove).as_ref()),
        18 => {
            if let Some(expected) = map.get(&key) {
                if let Ok(old) = map.compare_and_swap(&key, &expected, value()) {
                    ledger.put(n, Some(&old));
                }
            }
        }
        19 => map.retain(|_, value| {
            let keeps = value.n % 16 != 0;
            if !keeps {
                ledger.took(Some(value));
            }
            keeps
        }),
        20 => assert!(map.snapshot().len() <= KEYS as usize),
        21 => {
            let keys: Vec<u32> = map.keys().iter().map(|key| key.n).collect();
            let distinct: std::collections::HashSet<_> = keys.iter().collect();
            assert_eq!(distinct.len(), keys.len(), "a key is seen twice");
        }
        22 => assert!(map.len() <= KEYS as usize && map.fold(0, |n, _, _| n + 1) <= KEYS),
        23 => panicking(|| {
            map.update(&key, |_| blow());
            map.compute(key, |_| blow());
        }),
        24 => panicking(|| {
            let found = map.contains_key(&key);
            map.upsert(key, || blow(), |_| blow());
            unreachable!("one of the closures runs, {found}");
        }),
        25 => panicking(|| {
            map.remove_if(&key, |_, _| blow());
            blow()
        }),
        26 => panicking(|| {
            map.for_each(|_, _| blow());
            map.retain(|_, _| blow());
            blow()
        }),
        _ => _ = map.get(&key),
    }
}

fn run(seed: u64, shards: usize, steps: u32, clears: bool) {
    let living = AtomicIsize::new(0);
    let map = Map::with_shards(shards);
    let mut total = Ledger::default();
    thread::scope(|s| {
        let threads: Vec<_> = (0..u64::from(THREADS))
            .map(|thread| {
                let (map, living) = (&map, &living);
                s.spawn(move || {
                    let mut random = Random::new(seed ^ thread << 32);
                    let mut ledger = Ledger::default();
                    for _ in 0..steps {
                        if clears && random.below(100) == 0 {
                            map.clear();
                        }
                        step(map, living, &mut random, &mut ledger);
                    }
                    ledger
                })
            })
            .collect();
        for thread in threads {
            let ledger = thread.join().unwrap();
            total.entries += ledger.entries;
            total.sum += ledger.sum;
        }
    });
    let len = map.fold(0, |n, _, _| n + 1);
    assert_eq!(map.len(), usize::try_from(len).unwrap());
    assert_eq!(map.is_empty(), len == 0);
    assert_eq!(living.load(Ordering::Relaxed), 2 * len, "keys and values that live");
    if !clears {
        let sum = map.fold(0, |sum, _, value| sum + value.n);
        assert_eq!((total.entries, total.sum), (i64::try_from(len).unwrap(), sum), "the ledgers");
    }
    drop(map);
    assert_eq!(living.into_inner(), 0, "keys and values that have leaked");
}

#[test]
fn whatever_threads_do_the_ledgers_agree_with_the_map() {
    let seed = test_kit::seed();
    for (round, shards) in (0..12).zip([1, 2, 64].into_iter().cycle()) {
        run(seed + round, shards, 4000, false);
    }
}

#[test]
fn whatever_threads_do_beside_clears_the_counts_agree_and_nothing_leaks() {
    let seed = test_kit::seed();
    for (round, shards) in (0..12).zip([1, 2, 64].into_iter().cycle()) {
        run(seed + round, shards, 3000, true);
    }
}

/// A map that is mostly read has a fast path for readers, which must let none in during a write.
#[test]
fn who_mostly_reads_never_sees_half_a_write() {
    // Writes are long and reads are short: a read that is let in during a write sees half of it.
    const WORDS: usize = 5000;
    const WRITES: usize = 1000;
    // So many that the shard counts as mostly read.
    const READS_PER_WRITE: usize = 300;
    let map = ConcurrentMap::with_shards(1);
    map.insert((), vec![0; WORDS]);
    let look = || {
        let is_whole = map.get_with(&(), |words| words[0] == words[WORDS - 1]);
        assert_eq!(is_whole, Some(true));
    };
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| (0..WRITES * READS_PER_WRITE).for_each(|_| look()));
        }
        for write in 1..=WRITES {
            (0..READS_PER_WRITE).for_each(|_| look());
            map.update(&(), |words| words.iter_mut().for_each(|word| *word = write));
        }
    });
    assert_eq!(map.get_with(&(), |words| words[0]), Some(WRITES));
}
