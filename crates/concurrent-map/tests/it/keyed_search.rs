//! What a new key costs in a full registry, and what its search finds.

use std::{
    cell::Cell,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tidegate_concurrent_map::{Keyed, Occupancy};

/// The most entries that one search checks: up to 79 by their times, and 64 one after the other.
const MOST: usize = 79 + 64;

fn keyed<V>(max_keys: usize) -> Keyed<u64, V> {
    Keyed::new(NonZeroUsize::new(max_keys).unwrap())
}

/// The occupancy at `now` of a value that is idle from `end` on.
fn occupancy(end: u64, now: u64) -> Occupancy {
    if end <= now { Occupancy::Idle } else { Occupancy::BusyUntil(end) }
}

/// Returns how many checks a new key costs, at most and on average, in a full registry of `n` keys,
/// of which `is_idle` says whether they are idle.
fn looks(n: u64, is_idle: impl Fn(u64) -> bool) -> (usize, f64) {
    let keyed = keyed(usize::try_from(n).unwrap());
    (0..n).for_each(|key| keyed.with(&key, || key, |_| false, |_| ()).unwrap());
    let (mut most, mut all) = (0, 0);
    for key in n..n + 500 {
        let looks = Cell::new(0);
        let look = |key: &mut u64| {
            looks.set(looks.get() + 1);
            is_idle(*key)
        };
        _ = keyed.with(&key, || key, look, |_| ());
        most = most.max(looks.get());
        all += looks.get();
    }
    (most, f64::from(u32::try_from(all).unwrap()) / 500.0)
}

#[test]
fn a_new_key_costs_the_same_among_few_and_many() {
    for is_idle in [|_| false, |_| true, |key| key % 2 == 0, |key| key % 50 == 0, |key| key < 100] {
        let (few, many) = (looks(512, is_idle), looks(16 * 512, is_idle));
        assert!(few.0 <= 64 && many.0 <= 64, "{few:?} {many:?}");
        assert!(many.1 <= 2.0 * few.1 || many.1 <= 64.0, "{few:?} {many:?}");
    }
    assert_eq!(looks(512, |_| false), (64, 64.0));
    assert_eq!(looks(16 * 512, |_| true), (1, 1.0));
}

#[test]
fn a_new_key_costs_nothing_while_no_time_has_come() {
    for n in [512, 16 * 512] {
        let keyed = keyed(usize::try_from(n).unwrap());
        let looks = Cell::new(0);
        let enter = |key: u64, now: u64, end: u64| {
            let look = |end: &mut u64| {
                looks.set(looks.get() + 1);
                occupancy(*end, now)
            };
            keyed.with_until(&key, now, || 0, look, |value| *value = (*value).max(end)).is_ok()
        };
        (0..n).for_each(|key| assert!(enter(key, 0, 1000 + key)));
        looks.set(0);
        (0..100).for_each(|key| assert!(!enter(n + key, 999, 5000)));
        assert!(looks.get() <= 64 * 100, "{} among {n}", looks.get());
        // Each entry was used meanwhile: its reported time has come, and yet it is busy. A search
        // still checks at most `MOST` entries.
        (0..n).for_each(|key| assert!(enter(key, 1000, 9_000_000 + key)));
        looks.set(0);
        for key in 0..100 {
            let before = looks.get();
            assert!(!enter(n + key, 8_000_000, 9_000_000));
            assert!(looks.get() - before <= MOST);
        }
    }
}

#[test]
fn the_only_entry_whose_time_has_come_is_found_at_once_wherever_it_is() {
    const MAX: u64 = 3000;
    let keyed = keyed(3000);
    let enter = |key: u64, now: u64, end: u64| {
        keyed.with_until(&key, now, || 0, |end| occupancy(*end, now), |value| *value = end)
    };
    // The table grows meanwhile, and its entries move.
    (0..MAX).for_each(|key| enter(key, 0, 10 + (key * 1009) % MAX).unwrap());
    for now in 10..10 + MAX {
        assert!(enter(MAX + now, now - 1, 0).is_err());
        enter(MAX + now, now, u64::MAX).unwrap();
        let gone = (0..MAX).find(|key| 10 + (key * 1009) % MAX == now).unwrap();
        assert_eq!((keyed.get(&gone), keyed.len()), (None, 3000));
    }
}

#[test]
fn a_time_that_ends_early_is_found_if_it_was_told() {
    let keyed = keyed(2000);
    let look = |end: &mut u64| occupancy(*end, 5);
    (0..2000).for_each(|key| keyed.with_until(&key, 5, || 100, look, |_| ()).unwrap());
    for key in (0..2000).step_by(41) {
        assert!(keyed.with_until(&(10_000 + key), 5, || 100, look, |_| ()).is_err());
        assert_eq!(keyed.get_with_until(&key, look, |end| *end = 0), Some(()));
        keyed.with_until(&(10_000 + key), 5, || 100, look, |_| ()).unwrap();
        assert_eq!((keyed.get(&key), keyed.len()), (None, 2000));
    }
    assert_eq!(keyed.get_with_until(&77_777, look, |_| ()), None);
}

#[test]
fn an_entry_that_becomes_idle_is_found_within_a_round() {
    const MAX: u64 = 5000;
    for with_times in [false, true] {
        let keyed = keyed(5000);
        let enter = |key: u64, idle: u64| {
            let is_idle = move |value: &u64| *value == idle;
            if with_times {
                let look = |value: &mut u64| match is_idle(value) {
                    true => Occupancy::Idle,
                    false => Occupancy::Busy,
                };
                keyed.with_until(&key, 7, || key, look, |_| ())
            } else {
                keyed.with(&key, || key, |value| is_idle(value), |_| ())
            }
        };
        (0..MAX).for_each(|key| enter(key, u64::MAX).unwrap());
        for idle in [0, 4999, 17, 2500] {
            let refused = (0..).find(|_| enter(MAX + idle, idle).is_ok()).unwrap();
            assert!(refused <= 5000 / 64 + 1, "{refused} refused");
            assert_eq!((keyed.get(&idle), keyed.len()), (None, 5000));
        }
    }
}

#[test]
fn the_end_of_time_ends_no_search_and_shuts_nobody_out() {
    let keyed = keyed(500);
    let enter = |key: u64, now: u64, end: u64| {
        keyed.with_until(&key, now, || 0, |end| occupancy(*end, now), |value| *value = end)
    };
    (0..500).for_each(|key| enter(key, 0, if key == 7 { u64::MAX } else { 100 }).unwrap());
    // An entry that says it is busy until a time that has passed is checked again, but in another
    // search.
    let liar = |_: &mut u64| Occupancy::BusyUntil(0);
    assert!(keyed.with_until(&1000, u64::MAX, || 0, liar, |_| ()).is_err());
    assert!(keyed.with_until(&1000, 50, || 0, liar, |_| ()).is_err());
    (1000..1100).for_each(|key| enter(key, u64::MAX, 100).unwrap());
    (2000..2100).for_each(|key| enter(key, 100, 200).unwrap());
    assert_eq!(keyed.len(), 500);
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct Bomb(u64);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.0 != 666 || std::thread::panicking(), "a key's drop");
    }
}

#[test]
fn a_drop_that_panics_costs_no_place() {
    let panics = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    let keyed = Keyed::<Bomb, u64>::new(NonZeroUsize::MIN);
    let key = std::mem::ManuallyDrop::new(Bomb(666));
    let enter = |key: &Bomb| keyed.with(key, || 0, |_| true, |_| ());
    for _ in 0..3 {
        enter(&key).unwrap();
        panics(&|| _ = enter(&Bomb(1)));
        assert_eq!(keyed.len(), 0, "evicted");
        enter(&key).unwrap();
        assert_eq!(keyed.remove(&*key), Some(0), "as of a map");
        assert_eq!(keyed.len(), 0, "removed");
        enter(&key).unwrap();
        panics(&|| keyed.retain(|_, _| false));
        assert_eq!(keyed.len(), 0, "not retained");
    }
    enter(&Bomb(2)).unwrap();
}

#[test]
fn a_look_that_panics_is_passed_by_the_next_search() {
    let keyed = keyed(3);
    (0..3).for_each(|key| keyed.with(&key, || key, |_| false, |_| ()).unwrap());
    let look = |value: &mut u64| match *value {
        0 => panic!("look"),
        value => value == 2,
    };
    let enter = || keyed.with(&9, || 9, look, |_| ());
    let panicked =
        (0..3).filter(|_| !matches!(catch_unwind(AssertUnwindSafe(enter)), Ok(Ok(())))).count();
    assert!(panicked <= 1);
    assert_eq!((keyed.get(&2), keyed.len()), (None, 3));
}
