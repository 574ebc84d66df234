//! The loops on two threads, the same for every map. One thread is half an order ahead.

use std::{
    hint::black_box,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use super::{
    crates::Papaya,
    loops::{EACH_OF_BOTH, EACH_OF_FEW, FEW, Order, Walk, at_first, filled},
    subject::{Single, Subject},
};
use crate::{
    keys::zipf,
    timing::{scaled, timed_on_two_threads},
};

/// The few and the others by Zipf's law.
static BOTH_BY_ZIPF: Order<u64> = Order::new(|| zipf(2 * FEW, 1 << 16));

/// Eight keys by Zipf's law.
static HOT: Order<u64> = Order::new(|| zipf(HOT_KEYS, 1 << 12));

const HOT_KEYS: usize = 8;

/// Runs `work` on two threads, each of which does half of `n` operations.
fn by_two<M: Sync>(
    map: &M,
    order: &'static Order<u64>,
    n: u64,
    work: impl Fn(&M, Walk<u64>, usize, u64) + Sync,
) -> Duration {
    let each = n.div_ceil(2);
    let elapsed = timed_on_two_threads(|thread| {
        let walk = Walk::from(order, thread * order.len() / 2);
        let work = &work;
        move || work(map, walk, thread, each)
    });
    scaled(elapsed, 2 * each, n)
}

/// Both ask for the values of keys that are there.
pub(super) fn getting_by_two<M>() -> impl FnMut(u64) -> Duration
where
    M: Subject<Key = u64, Value = u64>,
{
    at_first(
        || filled::<M>(FEW),
        |map, n| {
            by_two(map, &EACH_OF_FEW, n, |map, mut walk, _, n| {
                let mut total = 0;
                walk.each(n, |key| total += black_box(map).get(key).unwrap_or(0));
                assert_eq!(total, n, "a value is 1");
            })
        },
    )
}

/// The same, under one pin for each thread.
pub(super) fn getting_by_two_under_one_pin() -> impl FnMut(u64) -> Duration {
    at_first(
        || filled::<Papaya<u64, u64>>(FEW),
        |map, n| {
            by_two(map, &EACH_OF_FEW, n, |map, mut walk, _, n| {
                let (mut total, mut map) = (0, map.pin());
                walk.each(n, |key| total += Single::get(black_box(&mut map), key).unwrap_or(0));
                assert_eq!(total, n, "a value is 1");
            })
        },
    )
}

/// Both replace values.
pub(super) fn overwriting_by_two<M>() -> impl FnMut(u64) -> Duration
where
    M: Subject<Key = u64, Value = u64>,
{
    at_first(
        || filled::<M>(FEW),
        |map, n| {
            by_two(map, &EACH_OF_FEW, n, |map, mut walk, _, n| {
                let mut number = n;
                walk.each(n, |&key| {
                    number += 1;
                    assert!(black_box(map).insert(key, number), "a key is there");
                });
            })
        },
    )
}

/// Both count up the values of the same few keys, and no count may be lost.
pub(super) fn counting_by_two<M>() -> impl FnMut(u64) -> Duration
where
    M: Subject<Key = u64, Value = u64>,
{
    at_first(
        || (filled::<M>(HOT_KEYS), HOT_KEYS as u64),
        |(map, counted), n| {
            let elapsed = by_two(map, &HOT, n, |map, mut walk, _, n| {
                walk.each(n, |&key| black_box(map).upsert(key, 1, |value| value + 1));
            });
            let mut total = 0;
            Subject::for_each(map, |_, value| total += value);
            *counted += 2 * n.div_ceil(2);
            assert_eq!(total, *counted, "no count is lost");
            elapsed
        },
    )
}

/// What is done to a key.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Get,
    Insert,
    Remove,
}

/// In which order keys are got, inserted and removed.
pub(super) struct Mix {
    keys: &'static Order<u64>,
    /// Acts, as many as share no divisor with the number of keys: each key meets every act.
    acts: Order<Act>,
}

pub(super) static READING: Mix = Mix::new(&EACH_OF_BOTH, || acts(98, 1));
pub(super) static READING_BY_ZIPF: Mix = Mix::new(&BOTH_BY_ZIPF, || acts(98, 1));
pub(super) static WRITING: Mix = Mix::new(&EACH_OF_BOTH, || acts(50, 25));
pub(super) static WRITING_BY_ZIPF: Mix = Mix::new(&BOTH_BY_ZIPF, || acts(50, 25));

impl Mix {
    const fn new(keys: &'static Order<u64>, acts: fn() -> Vec<Act>) -> Self {
        Self { keys, acts: Order::new(acts) }
    }
}

/// Acts in random order: of a hundred so many `gets` and `inserts`, and removals for the rest.
fn acts(gets: usize, inserts: usize) -> Vec<Act> {
    let act = |index| match index % 100 {
        place if place < gets => Act::Get,
        place if place < gets + inserts => Act::Insert,
        _ => Act::Remove,
    };
    // A prime number.
    let mut acts: Vec<Act> = (0..10_007_usize).map(act).collect();
    fastrand::Rng::with_seed(2).shuffle(&mut acts);
    acts
}

/// Both get, insert and remove keys. Half of the keys are in the map, and about half remain there.
pub(super) fn mixing<M>(mix: &'static Mix) -> impl FnMut(u64) -> Duration
where
    M: Subject<Key = u64, Value = u64>,
{
    at_first(
        || (filled::<M>(FEW), AtomicI64::new(FEW as i64)),
        |(map, expected), n| {
            let elapsed = by_two(map, mix.keys, n, |map, mut walk, thread, n| {
                let mut acts = Walk::from(&mix.acts, thread * mix.acts.len() / 2);
                let (mut total, mut came) = (0, 0);
                walk.each(n, |key| match acts.next() {
                    Act::Get => total += black_box(map).get(key).unwrap_or(0),
                    Act::Insert => came += i64::from(!black_box(map).insert(*key, 1)),
                    Act::Remove => came -= i64::from(black_box(map).remove(key)),
                });
                assert!(total <= n, "a value is 1");
                expected.fetch_add(came, Ordering::Relaxed);
            });
            let mut there = 0;
            Subject::for_each(map, |_, _| there += 1);
            assert_eq!(there, expected.load(Ordering::Relaxed), "what came is there until it went");
            elapsed
        },
    )
}
