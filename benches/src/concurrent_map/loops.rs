//! The loops on one thread, the same for every map. The first run makes the map.

use std::{hint::black_box, sync::LazyLock, time::Duration};

use super::{crates::Papaya, subject::Single};
use crate::{
    keys::{key, shuffled},
    timing::{scaled, timed, timed_result},
};

/// Keys of a map that fits a core's cache.
pub(super) const FEW: usize = 1 << 14;

/// Keys of a map that does not.
pub(super) const MANY: usize = 1_000_000;

/// Keys in the order in which they are asked for, again and again.
pub(super) type Order<K> = LazyLock<Vec<K>>;

pub(super) static EACH_OF_FEW: Order<u64> = Order::new(|| shuffled(0..FEW));
pub(super) static EACH_OF_MANY: Order<u64> = Order::new(|| shuffled(0..MANY));

/// As many keys, none of which is one of the few.
pub(super) static OTHERS: Order<u64> = Order::new(|| shuffled(FEW..2 * FEW));

/// The few and the others.
pub(super) static EACH_OF_BOTH: Order<u64> = Order::new(|| shuffled(0..2 * FEW));

/// The names of the few: 16 to 24 bytes.
static NAMES: Order<String> = Order::new(|| shuffled(0..FEW).into_iter().map(name).collect());

/// A walk along an order, which goes on where it stopped.
pub(super) struct Walk<K: 'static> {
    order: &'static [K],
    next: usize,
}

impl<K> Walk<K> {
    fn along(order: &'static Order<K>) -> Self {
        Self::from(order, 0)
    }

    /// Begins with the key after the `first` ones.
    pub(super) fn from(order: &'static Order<K>, first: usize) -> Self {
        Self { order, next: first }
    }

    /// Runs `step` on each of the next `n` keys.
    #[inline]
    pub(super) fn each(&mut self, n: u64, mut step: impl FnMut(&'static K)) {
        let mut left = usize::try_from(n).expect("a number of operations fits a usize");
        while left > 0 {
            // A stretch at a time, so that the inner loop only advances a pointer.
            let ahead = &self.order[self.next..];
            let stretch = &ahead[..left.min(ahead.len())];
            stretch.iter().for_each(&mut step);
            left -= stretch.len();
            self.next = (self.next + stretch.len()) % self.order.len();
        }
    }

    /// Returns the next key.
    #[inline]
    pub(super) fn next(&mut self) -> &'static K {
        let key = &self.order[self.next];
        self.next = if self.next + 1 < self.order.len() { self.next + 1 } else { 0 };
        key
    }
}

/// Makes something at the first run, and hands it to `run` each time.
pub(super) fn at_first<T>(
    make: impl Fn() -> T,
    run: impl Fn(&mut T, u64) -> Duration,
) -> impl FnMut(u64) -> Duration {
    let mut made = None;
    move |n| run(made.get_or_insert_with(&make), n)
}

/// Makes a map of the first `keys` keys, each with value 1, inserted in the order of their ranks.
pub(super) fn filled<S: Single<Key = u64, Value = u64> + Default>(keys: usize) -> S {
    let mut map = S::default();
    for rank in 0..keys {
        assert!(!map.insert(key(rank), 1), "a key is new");
    }
    map
}

/// Asks for the values of keys that are there.
pub(super) fn getting<S>(keys: usize, order: &'static Order<u64>) -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    at_first(
        move || (filled::<S>(keys), Walk::along(order)),
        |(map, walk), n| get_each(map, walk, n, n),
    )
}

/// Asks for the values of keys that are not there.
pub(super) fn missing<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    at_first(
        || (filled::<S>(FEW), Walk::along(&OTHERS)),
        |(map, walk), n| get_each(map, walk, n, 0),
    )
}

/// Asks for the values of keys that are there, under one pin.
pub(super) fn getting_under_one_pin() -> impl FnMut(u64) -> Duration {
    at_first(
        || (filled::<Papaya<u64, u64>>(FEW), Walk::along(&EACH_OF_FEW)),
        |(map, walk), n| get_each(&mut map.pin(), walk, n, n),
    )
}

fn get_each<S>(map: &mut S, walk: &mut Walk<u64>, n: u64, expected: u64) -> Duration
where
    S: Single<Key = u64, Value = u64>,
{
    let (elapsed, total) = timed_result(|| {
        let mut total = 0;
        walk.each(n, |key| total += black_box(&mut *map).get(key).unwrap_or(0));
        total
    });
    assert_eq!(total, expected, "a value is 1");
    elapsed
}

/// Asks for the values of names, and adds up the lengths of these values.
pub(super) fn getting_strings<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = String, Value = String> + Default,
{
    let make = || {
        let mut map = S::default();
        for rank in 0..FEW {
            map.insert(name(key(rank)), text());
        }
        (map, Walk::along(&NAMES))
    };
    at_first(make, |(map, walk), n| {
        let (elapsed, total) = timed_result(|| {
            let mut total = 0;
            walk.each(n, |name| {
                total += black_box(&mut *map).get_with(name, |text| text.len() as u64).unwrap_or(0);
            });
            total
        });
        assert_eq!(total, n * TEXT, "every name is there");
        elapsed
    })
}

/// Replaces values.
pub(super) fn overwriting<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    changing(|map: &mut S, key, n| assert!(map.insert(key, n), "a key is there"))
}

/// Asks for values, and has another one to insert if there is none.
pub(super) fn getting_or_inserting<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    changing(|map: &mut S, key, n| assert_eq!(map.get_or_insert(key, n), 1, "a key is there"))
}

/// Counts up values that are there.
pub(super) fn upserting<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    changing(|map: &mut S, key, _| map.upsert(key, 0, |value| value + 1))
}

/// Runs `change` on keys that are there; it is given a number that differs from time to time.
fn changing<S>(change: impl Fn(&mut S, u64, u64) + Copy) -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    at_first(
        || (filled::<S>(FEW), Walk::along(&EACH_OF_FEW)),
        move |(map, walk), n| {
            timed(|| {
                let mut number = n;
                walk.each(n, |&key| {
                    number += 1;
                    change(black_box(&mut *map), key, number);
                });
            })
        },
    )
}

/// Inserts a key and removes the one that was inserted longest ago.
pub(super) fn churning<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    let make = || {
        let mut map = S::default();
        let (mut ahead, behind) = (Walk::along(&EACH_OF_BOTH), Walk::along(&EACH_OF_BOTH));
        ahead.each(FEW as u64, |&key| assert!(!map.insert(key, 1), "a key is new"));
        (map, ahead, behind)
    };
    at_first(make, |(map, ahead, behind), n| {
        let (elapsed, outcome) = timed_result(|| {
            let (mut there, mut gone) = (0, 0);
            ahead.each(n, |&key| {
                there += u64::from(black_box(&mut *map).insert(key, 1));
                gone += u64::from(black_box(&mut *map).remove(behind.next()));
            });
            (there, gone)
        });
        assert_eq!(outcome, (0, n), "what comes is new, and what goes was there");
        elapsed
    })
}

/// Fills an empty map, and drops it untimed. More than [`MANY`] keys go to several maps.
pub(super) fn growing<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    |n| {
        let maps = n.div_ceil(MANY as u64);
        let each = n.div_ceil(maps);
        let mut elapsed = Duration::ZERO;
        for _ in 0..maps {
            let mut walk = Walk::along(&EACH_OF_MANY);
            let (taken, grown) = timed_result(|| {
                let mut map = S::default();
                walk.each(each, |&key| {
                    assert!(!black_box(&mut map).insert(key, 1), "a key is new")
                });
                map
            });
            elapsed += taken;
            drop(grown);
        }
        scaled(elapsed, maps * each, n)
    }
}

/// Looks at every entry of a large map, and adds up the values.
pub(super) fn visiting<S>() -> impl FnMut(u64) -> Duration
where
    S: Single<Key = u64, Value = u64> + Default,
{
    at_first(
        || filled::<S>(MANY),
        |map, n| {
            let visits = n.div_ceil(MANY as u64);
            let (elapsed, total) = timed_result(|| {
                let mut total = 0;
                for _ in 0..visits {
                    black_box(&mut *map).for_each(|_, value| total += value);
                }
                total
            });
            assert_eq!(total, visits * MANY as u64, "each entry is seen once");
            scaled(elapsed, total, n)
        },
    )
}

/// How long a text is.
const TEXT: u64 = 32;

/// A name of 16 to 24 bytes.
pub(super) fn name(key: u64) -> String {
    format!("{key:016x}{}", &"........"[..(key % 9) as usize])
}

/// A text of [`TEXT`] bytes.
pub(super) fn text() -> String {
    "0123456789abcdef0123456789abcdef".to_owned()
}
