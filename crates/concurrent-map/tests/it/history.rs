//! Recorded histories are linearizable, key by key.
//!
//! Threads do random operations on few keys. Of each they note the answer, and when it began and
//! ended, by one counter. Then a checker looks, for each key, for an order of the operations in
//! which a sequential map gives the same answers; operations that did not overlap keep their order
//! (Wing and Gong, Testing and Verifying Concurrent Objects, 1993, with Lowe's memory of the
//! configurations seen, Testing for Linearizability, 2017). Operations on one key are judged
//! without those on others: linearizability is local (Herlihy and Wing, 1990).
//!
//! A call that visits every entry is not one operation: it is recorded as one operation on each
//! key.

use std::{
    collections::HashSet,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, Op};
use tidegate_core::random::Random;

use crate::random::below;

const THREADS: usize = 3;
const STEPS: u32 = 120;
const KEYS: u32 = 3;

#[derive(Debug, Clone, Copy)]
enum Call {
    Get,
    Insert(u32),
    TryInsert(u32),
    Remove,
    /// Removes an even value.
    RemoveEven,
    Update(u32),
    Upsert(u32),
    GetOrInsert(u32),
    /// Puts the number in place of nothing or of an even value, removes an odd one.
    Compute(u32),
    CompareAndSwap(u32, u32),
    /// What `snapshot` says of a key.
    Snapshot,
    /// What `retain` of the even values does to a key.
    Retain,
    Clear,
}

/// What an operation answered: `Ok(None)` if it has no answer.
type Answer = Result<Option<u32>, &'static str>;

/// What `call` does to a key of a sequential map: returns the value afterwards, and the answer.
fn sequential(held: Option<u32>, call: Call) -> (Option<u32>, Answer) {
    let even = held.filter(|n| n % 2 == 0);
    let odd = held.filter(|n| n % 2 == 1);
    match call {
        Call::Get | Call::Snapshot => (held, Ok(held)),
        Call::Insert(n) => (Some(n), Ok(held)),
        Call::TryInsert(n) if held.is_none() => (Some(n), Ok(None)),
        Call::TryInsert(_) => (held, Err("occupied")),
        Call::Remove => (None, Ok(held)),
        Call::RemoveEven => (odd, Ok(even)),
        Call::Update(n) => (held.map(|_| n), Ok(held)),
        Call::Upsert(n) if held.is_none() => (Some(n), Ok(None)),
        Call::Upsert(n) => (Some(n), Err("updated")),
        Call::GetOrInsert(n) => (held.or(Some(n)), Ok(held.or(Some(n)))),
        Call::Compute(n) => (Some(n).filter(|_| odd.is_none()), Ok(held)),
        Call::CompareAndSwap(expected, new) => match held {
            None => (None, Err("absent")),
            Some(n) if n == expected => (Some(new), Ok(held)),
            Some(_) => (held, Err("different")),
        },
        Call::Retain => (even, Ok(None)),
        Call::Clear => (None, Ok(None)),
    }
}

fn call(map: &ConcurrentMap<u32, u32>, key: u32, call: Call) -> Answer {
    match call {
        Call::Get => Ok(map.get(&key)),
        Call::Insert(n) => Ok(map.insert(key, n)),
        Call::TryInsert(n) => map.try_insert(key, n).map(|()| None).map_err(|_| "occupied"),
        Call::Remove => Ok(map.remove(&key)),
        Call::RemoveEven => Ok(map.remove_if(&key, |_, n| n % 2 == 0)),
        Call::Update(n) => Ok(map.update(&key, |held| core::mem::replace(held, n))),
        Call::Upsert(n) if map.upsert(key, || n, |held| *held = n) => Ok(None),
        Call::Upsert(_) => Err("updated"),
        Call::GetOrInsert(n) => Ok(Some(map.get_or_insert_with(key, || n))),
        Call::Compute(n) => Ok(map.compute(key, |held| match held {
            Some(odd) if odd % 2 == 1 => Op::Remove,
            _ => Op::Put(n),
        })),
        Call::CompareAndSwap(expected, new) => match map.compare_and_swap(&key, &expected, new) {
            Ok(old) => Ok(Some(old)),
            Err(error) if error.is_absent() => Err("absent"),
            Err(_) => Err("different"),
        },
        Call::Snapshot | Call::Retain | Call::Clear => unreachable!("of every key"),
    }
}

#[derive(Debug, Clone, Copy)]
struct Event {
    call: Call,
    answer: Answer,
    start: u64,
    end: u64,
}

/// What each thread did to one key, in its order.
type History = Vec<Vec<Event>>;

/// Whether a sequential map could have answered so, each operation at one instant between its start
/// and its end.
fn is_linearizable(history: &History) -> bool {
    // How many operations of each thread are done, and what the key's value is then.
    let start = (vec![0; history.len()], None);
    let (mut seen, mut open) = (HashSet::from([start.clone()]), vec![start]);
    while let Some((done, held)) = open.pop() {
        let next = |thread: usize| history[thread].get(done[thread]);
        let pending = || (0..history.len()).filter_map(|thread| Some((thread, next(thread)?)));
        let Some(first_end) = pending().map(|(_, event)| event.end).min() else { return true };
        for (thread, event) in pending().filter(|(_, event)| event.start < first_end) {
            let (held, answer) = sequential(held, event.call);
            if answer == event.answer {
                let mut done = done.clone();
                done[thread] += 1;
                if seen.insert((done.clone(), held)) {
                    open.push((done, held));
                }
            }
        }
    }
    false
}

/// One thread's part: random operations, noted for each key.
fn live(
    map: &ConcurrentMap<u32, u32>,
    clock: &AtomicU64,
    thread: u32,
    random: &mut Random,
) -> Vec<Vec<Event>> {
    let mut noted = vec![Vec::new(); KEYS as usize];
    let mut last = [0; KEYS as usize];
    let now = || clock.fetch_add(1, Ordering::SeqCst);
    for step in 0..STEPS {
        let key = below(random, KEYS);
        // No two operations write the same value, so that a value says where it comes from.
        let new = (step * 4 + thread) * 2 + below(random, 2);
        let expected = last[key as usize];
        let one = match random.below(40) {
            0 => Call::Snapshot,
            1 => Call::Retain,
            2 => Call::Clear,
            3..8 => Call::Insert(new),
            8..11 => Call::TryInsert(new),
            11..14 => Call::Remove,
            14..16 => Call::RemoveEven,
            16..19 => Call::Update(new),
            19..22 => Call::Upsert(new),
            22..25 => Call::GetOrInsert(new),
            25..28 => Call::Compute(new),
            28..33 => Call::CompareAndSwap(expected, new),
            _ => Call::Get,
        };
        let start = now();
        // Entries of other keys make the shards grow.
        if random.below(4) == 0 {
            map.insert(1000 + step, 0);
        }
        let answers: Vec<(u32, Answer)> = match one {
            Call::Snapshot => {
                let entries = map.snapshot();
                let of = |key| {
                    let mut found = entries.iter().filter(|(k, _)| *k == key);
                    let value = found.next().map(|(_, n)| *n);
                    assert!(found.next().is_none(), "a key is seen twice");
                    value
                };
                (0..KEYS).map(|key| (key, Ok(of(key)))).collect()
            }
            Call::Retain => {
                map.retain(|_, n| *n % 2 == 0);
                (0..KEYS).map(|key| (key, Ok(None))).collect()
            }
            Call::Clear => {
                map.clear();
                (0..KEYS).map(|key| (key, Ok(None))).collect()
            }
            _ => vec![(key, call(map, key, one))],
        };
        let end = now();
        for (key, answer) in answers {
            if let Ok(Some(n)) = answer {
                last[key as usize] = n;
            }
            noted[key as usize].push(Event { call: one, answer, start, end });
        }
    }
    noted
}

/// Records what threads do to a map; one history per key, each with a last look at what is left.
fn record(shards: usize, seed: u64) -> Vec<History> {
    let map = ConcurrentMap::with_shards(shards);
    let (clock, start) = (AtomicU64::new(0), Barrier::new(THREADS));
    let mut histories = vec![History::new(); KEYS as usize];
    thread::scope(|s| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|thread| {
                let (map, clock, start) = (&map, &clock, &start);
                s.spawn(move || {
                    let mut random = Random::new(seed ^ thread << 32);
                    start.wait();
                    live(map, clock, u32::try_from(thread).unwrap(), &mut random)
                })
            })
            .collect();
        for thread in threads {
            for (history, events) in histories.iter_mut().zip(thread.join().unwrap()) {
                history.push(events);
            }
        }
    });
    let end = clock.into_inner();
    for (key, history) in (0..).zip(&mut histories) {
        let answer = Ok(map.get(&key));
        history.push(vec![Event { call: Call::Get, answer, start: end, end: end + 1 }]);
    }
    histories
}

#[test]
fn every_recorded_history_is_linearizable_key_by_key() {
    let seed = test_kit::seed();
    for (round, shards) in (0..200).zip([1, 4, 64].into_iter().cycle()) {
        for (key, history) in record(shards, seed + round).into_iter().enumerate() {
            assert!(is_linearizable(&history), "round {round}, key {key}: {history:#?}");
        }
    }
}

#[test]
fn a_recorded_history_with_one_answer_changed_is_rejected() {
    let seed = test_kit::seed();
    let (mut histories, mut random) = (record(1, seed), Random::new(seed));
    for history in &mut histories {
        assert!(is_linearizable(history));
        let events: Vec<&mut Event> =
            history.iter_mut().flatten().filter(|event| matches!(event.call, Call::Get)).collect();
        let count = events.len();
        let changed = events.into_iter().nth(random.below(count)).unwrap();
        changed.answer = Ok(Some(u32::MAX));
        assert!(!is_linearizable(history), "a value that was never written was read");
    }
}

fn at(start: u64, end: u64, call: Call, answer: Answer) -> Event {
    Event { call, answer, start, end }
}

#[test]
fn operations_that_overlap_may_take_effect_in_either_order() {
    let insert = at(0, 5, Call::Insert(1), Ok(None));
    for seen in [None, Some(1)] {
        assert!(is_linearizable(&vec![vec![insert], vec![at(1, 2, Call::Get, Ok(seen))]]));
    }
    let both = [at(0, 9, Call::Insert(1), Ok(Some(2))), at(1, 8, Call::Insert(2), Ok(None))];
    assert!(is_linearizable(&both.map(|event| vec![event]).to_vec()));
}

#[test]
fn what_cannot_have_happened_in_any_order_is_rejected() {
    let written = vec![at(0, 1, Call::Insert(1), Ok(None)), at(4, 5, Call::Insert(3), Ok(Some(1)))];
    let bad: [(&str, History); 8] = [
        ("a stale read", vec![written.clone(), vec![at(6, 7, Call::Get, Ok(Some(1)))]]),
        (
            "a read of what is to come",
            vec![written.clone(), vec![at(2, 3, Call::Get, Ok(Some(3)))]],
        ),
        ("a read of nothing", vec![written.clone(), vec![at(2, 3, Call::Get, Ok(None))]]),
        (
            "two reads that disagree on the order",
            vec![
                vec![at(0, 9, Call::Insert(1), Ok(None))],
                vec![at(1, 2, Call::Get, Ok(Some(1))), at(3, 4, Call::Get, Ok(None))],
            ],
        ),
        (
            "a key that was new to two",
            vec![
                vec![at(0, 9, Call::Upsert(1), Ok(None))],
                vec![at(0, 9, Call::Upsert(2), Ok(None))],
            ],
        ),
        (
            "a value that two removed",
            vec![
                vec![at(0, 1, Call::Insert(1), Ok(None)), at(2, 9, Call::Remove, Ok(Some(1)))],
                vec![at(2, 9, Call::Remove, Ok(Some(1)))],
            ],
        ),
        (
            "a value that two swapped",
            vec![
                written.clone(),
                vec![at(6, 9, Call::CompareAndSwap(3, 5), Ok(Some(3)))],
                vec![at(6, 9, Call::CompareAndSwap(3, 7), Ok(Some(3)))],
            ],
        ),
        (
            "an entry that outlives a clear",
            vec![written, vec![at(6, 7, Call::Clear, Ok(None)), at(8, 9, Call::Get, Ok(Some(3)))]],
        ),
    ];
    for (name, history) in bad {
        assert!(!is_linearizable(&history), "{name}");
    }
}
