//! Models of the concurrent map: reading, writing, growing and removing in one shard; `Keyed`'s
//! bound.
//!
//! The hash is fixed: a random one would make the executions of a model differ. (The default hasher
//! has the same keys in every execution, as its seed is the same in models.)

use std::{
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroUsize,
    sync::Arc,
};

use loom_tests::{model, thread};
use tidegate_concurrent_map::{ConcurrentMap, Keyed, Occupancy, Op};
use tidegate_core::primitive::atomic::{AtomicBool, AtomicU32, Ordering};

#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }
    fn write_u32(&mut self, number: u32) {
        self.0 = number.into();
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Fixed = BuildHasherDefault<Identity>;

/// A map of one shard that contains the numbers below `entries`.
fn map(entries: u32) -> Arc<ConcurrentMap<u32, u32, Fixed>> {
    let map = ConcurrentMap::with_shards_and_hasher(1, Fixed::default());
    (0..entries).for_each(|n| assert!(map.insert(n, n).is_none()));
    Arc::new(map)
}

/// An empty registry whose tables are made already: the value that `make` makes is removed again.
fn keyed<V>(max_keys: usize, make: fn() -> V) -> Arc<Keyed<u32, V, Fixed>> {
    let keyed = Keyed::with_hasher(NonZeroUsize::new(max_keys).unwrap(), Fixed::default());
    keyed.with(&u32::MAX, make, |_| true, |_| ()).unwrap();
    keyed.remove(&u32::MAX);
    Arc::new(keyed)
}

fn spawn<M, R>(map: &Arc<M>, f: impl FnOnce(&M) -> R + Send + 'static) -> thread::JoinHandle<R>
where
    M: Send + Sync + 'static,
    R: Send + 'static,
{
    let map = map.clone();
    thread::spawn(move || f(&map))
}

#[test]
fn of_two_inserts_of_one_key_the_later_replaces_the_earlier() {
    model(|| {
        let map = map(0);
        let other = spawn(&map, |map| map.insert(1, 10));
        let (first, second) = (map.insert(1, 20), other.join().unwrap());
        match map.get(&1) {
            Some(10) => assert_eq!((first, second), (None, Some(20))),
            Some(20) => assert_eq!((first, second), (Some(10), None)),
            other => panic!("made up: {other:?}"),
        }
        assert_eq!(map.len(), 1);
    });
}

#[test]
fn a_reader_finds_what_is_there_while_the_shard_grows() {
    model(|| {
        // The smallest table has room for three, so the fourth entry makes it grow.
        let map = map(3);
        let grower = spawn(&map, |map| map.insert(3, 3));
        assert_eq!(map.get(&1), Some(1));
        let seen = map.keys();
        assert!((0..3).all(|n| seen.contains(&n)));
        grower.join().unwrap();
        assert_eq!(map.len(), 4);
    });
}

#[test]
fn one_of_two_removers_gets_the_value() {
    model(|| {
        let map = map(2);
        let other = spawn(&map, |map| map.remove(&1));
        let mine = map.remove(&1);
        let theirs = other.join().unwrap();
        assert_eq!(mine.or(theirs), Some(1));
        assert!(mine.is_none() || theirs.is_none());
        assert_eq!(map.keys(), [0]);
    });
}

#[test]
fn changes_of_one_key_are_not_lost() {
    model(|| {
        let map = map(1);
        let one = spawn(&map, |map| map.upsert(0, || 1, |n| *n += 1));
        let two = spawn(&map, |map| map.compute(0, |n| n.map_or(Op::Keep, |n| Op::Put(n + 1))));
        map.update(&0, |n| *n += 1);
        one.join().unwrap();
        two.join().unwrap();
        assert_eq!(map.get(&0), Some(3));
    });
}

#[test]
fn a_value_is_made_once() {
    model(|| {
        let map = map(0);
        let made = Arc::new(AtomicU32::new(0));
        let other = {
            let made = made.clone();
            spawn(&map, move |map| {
                map.get_or_insert_with(1, || made.fetch_add(1, Ordering::Relaxed))
            })
        };
        assert_eq!(map.get_or_insert_with(1, || made.fetch_add(1, Ordering::Relaxed)), 0);
        assert_eq!(other.join().unwrap(), 0);
        assert_eq!(made.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn what_came_before_a_write_is_seen_by_who_finds_it() {
    model(|| {
        let map = map(0);
        let ready = Arc::new(AtomicBool::new(false));
        let looker = {
            let ready = ready.clone();
            spawn(&map, move |map| {
                assert!(!map.contains_key(&1) || ready.load(Ordering::Relaxed));
            })
        };
        ready.store(true, Ordering::Relaxed);
        map.insert(1, 1);
        looker.join().unwrap();
    });
}

#[test]
fn there_are_never_more_keys_than_places() {
    model(|| {
        // Two shards: no lock keeps the keys 1 and 2 from each other, only the count.
        let keyed = keyed(2, || ());
        let insert =
            |keyed: &Keyed<u32, (), Fixed>, key| keyed.with(&key, || (), |()| false, |_| ());
        insert(&keyed, 0).unwrap();
        let other = spawn(&keyed, move |keyed| insert(keyed, 1).is_ok());
        let mine = insert(&keyed, 2).is_ok();
        assert!(keyed.len() <= 2);
        assert!(mine != other.join().unwrap(), "one place, one winner");
        let mut keys = 0;
        keyed.for_each(|_, _| keys += 1);
        assert_eq!((keys, keyed.len()), (2, 2));
    });
}

#[test]
fn one_of_two_gets_the_place_of_an_idle_key() {
    model(|| {
        let keyed = keyed(2, || true);
        let insert = |keyed: &Keyed<u32, bool, Fixed>, key, idle| {
            keyed.with(&key, || idle, |idle| *idle, |_| ()).is_ok()
        };
        assert!(insert(&keyed, 0, true) && insert(&keyed, 1, false));
        let other = spawn(&keyed, move |keyed| insert(keyed, 2, false));
        let mine = insert(&keyed, 3, false);
        assert!(mine != other.join().unwrap());
        assert!(keyed.get(&0).is_none() && keyed.get(&1).is_some());
        assert_eq!(keyed.len(), 2);
    });
}

#[test]
fn nobody_is_refused_while_there_is_an_idle_key_for_each() {
    model(|| {
        let keyed = keyed(2, || ());
        let insert =
            |keyed: &Keyed<u32, (), Fixed>, key| keyed.with(&key, || (), |()| true, |_| ());
        insert(&keyed, 0).unwrap();
        insert(&keyed, 3).unwrap();
        let other = spawn(&keyed, move |keyed| insert(keyed, 1));
        insert(&keyed, 2).unwrap();
        other.join().unwrap().unwrap();
        assert_eq!(keyed.len(), 2);
    });
}

#[test]
fn nobody_is_refused_while_the_time_of_a_key_for_each_has_come() {
    model(|| {
        let keyed = keyed(2, || 0);
        let insert = |keyed: &Keyed<u32, u64, Fixed>, key, now, end| {
            let occupancy = |end: &mut u64| match *end {
                end if end <= now => Occupancy::Idle,
                end => Occupancy::BusyUntil(end),
            };
            keyed.with_until(&key, now, || end, occupancy, |_| ())
        };
        insert(&keyed, 0, 0, 1).unwrap();
        insert(&keyed, 3, 0, 2).unwrap();
        let other = spawn(&keyed, move |keyed| insert(keyed, 1, 2, 9));
        insert(&keyed, 2, 2, 9).unwrap();
        other.join().unwrap().unwrap();
        assert_eq!(keyed.len(), 2);
        assert!(insert(&keyed, 4, 8, 9).is_err());
    });
}

#[test]
fn a_state_that_is_held_is_not_evicted() {
    model(|| {
        let keyed = keyed(1, || Arc::new(AtomicU32::new(0)));
        let is_idle = |state: &AtomicU32| state.load(Ordering::Relaxed) == 0;
        let other = spawn(&keyed, move |keyed| {
            keyed.get_or_insert_with(&2, || AtomicU32::new(0), is_idle).is_ok()
        });
        if let Ok(held) = keyed.get_or_insert_with(&1, || AtomicU32::new(0), is_idle) {
            held.store(1, Ordering::Relaxed);
            assert!(Arc::ptr_eq(&held, &keyed.get(&1).expect("it is held")));
            drop(held);
            // Not held any more, but not idle either: a search for an idle entry sees the store.
            assert!(keyed.get(&1).is_some());
        }
        other.join().unwrap();
        assert_eq!(keyed.len(), 1);
    });
}

#[test]
fn the_first_writes_of_two_threads_both_arrive() {
    model(|| {
        let map = map(0);
        let other = {
            let map = map.clone();
            thread::spawn(move || map.insert(1, 1))
        };
        assert_eq!(map.insert(2, 2), None);
        assert_eq!(other.join().unwrap(), None);
        assert_eq!((map.len(), map.get(&1), map.get(&2)), (2, Some(1), Some(2)));
    });
}

#[cfg(loom)]
#[test]
fn the_default_hasher_is_the_same_in_every_execution() {
    use std::hash::BuildHasher;

    use tidegate_concurrent_map::DefaultHashBuilder;

    loom_tests::short_model("no threads meet: only the hash is looked at", || {
        let of_seven = || DefaultHashBuilder::default().hash_one(7);
        assert_eq!(of_seven(), of_seven());
    });
}
