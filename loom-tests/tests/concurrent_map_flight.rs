//! Models of single flight: one computation, hand-overs, and other writers of the same key.
//!
//! The hash is fixed: a random one would make the executions of a model differ.

use std::{
    cell::Cell,
    future::{self, Future},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    task::Poll,
};

use loom_tests::{CountingWaker, model, poll, poll_quietly, thread};
use tidegate_concurrent_map::ConcurrentMap;
use tidegate_core::{
    Wait,
    primitive::atomic::{AtomicU32, Ordering},
};

#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }
    fn write_u32(&mut self, number: u32) {
        // Keys that differ by 100 have the same hash.
        self.0 = u64::from(number % 100);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Map = ConcurrentMap<u32, u32, BuildHasherDefault<Identity>>;
type Answer = Result<u32, &'static str>;

/// An empty map of one shard, which is made already.
fn map() -> Arc<Map> {
    let map = Map::with_shards_and_hasher(1, BuildHasherDefault::default());
    map.insert(9, 9);
    map.remove(&9);
    Arc::new(map)
}

fn spawn<R: Send + 'static>(
    map: &Arc<Map>,
    f: impl FnOnce(&Map) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let map = map.clone();
    thread::spawn(move || f(&map))
}

fn get(map: &Map, key: u32, answer: Answer) -> Answer {
    map.get_or_try_insert_async(key, future::ready(answer)).wait()
}

fn never() -> impl Future<Output = Answer> + Unpin {
    future::pending()
}

#[test]
fn two_callers_share_one_computation_and_what_it_did() {
    model(|| {
        let map = map();
        let computed = Arc::new(AtomicU32::new(0));
        let ask = {
            let computed = computed.clone();
            move |map: &Map| {
                let value = map.get_or_try_insert_async(1, async {
                    computed.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, ()>(10)
                });
                assert_eq!(value.wait(), Ok(10));
                // ORDERING: Relaxed suffices: the value brings what its computation did.
                assert_eq!(computed.load(Ordering::Relaxed), 1);
            }
        };
        let other = spawn(&map, ask.clone());
        ask(&map);
        other.join().unwrap();
    });
}

#[test]
fn a_leader_that_is_dropped_hands_over_to_one_who_comes_meanwhile() {
    model(|| {
        let map = map();
        let mut leader = Box::pin(map.get_or_try_insert_async(1, never()));
        assert!(poll_quietly(&mut leader).is_pending());
        let other = spawn(&map, |map| get(map, 1, Ok(10)));
        drop(leader);
        assert_eq!(other.join().unwrap(), Ok(10));
    });
}

#[test]
fn one_of_two_waiters_gets_the_lead_and_the_other_its_value() {
    model(|| {
        let map = map();
        let mut leader = Box::pin(map.get_or_try_insert_async(1, never()));
        assert!(poll_quietly(&mut leader).is_pending());
        let (one, two) =
            (spawn(&map, |map| get(map, 1, Ok(1))), spawn(&map, |map| get(map, 1, Ok(2))));
        drop(leader);
        let values = (one.join().unwrap(), two.join().unwrap());
        assert_eq!(values.0, values.1);
    });
}

#[test]
fn an_error_is_shared_with_who_waited_and_leaves_nobody_asleep() {
    model(|| {
        let map = map();
        let other = spawn(&map, |map| get(map, 1, Err("theirs")));
        let mine = get(&map, 1, Err("mine")).unwrap_err();
        let theirs = other.join().unwrap().unwrap_err();
        assert!(
            [("mine", "mine"), ("mine", "theirs"), ("theirs", "theirs")].contains(&(mine, theirs))
        );
        assert!(map.is_empty());
    });
}

/// The leader fails while one caller waits and another comes. The waiter shares the error, unless
/// the newcomer's value is there; the newcomer shares the error or computes.
#[test]
fn an_error_against_who_waits_and_who_comes() {
    model(|| {
        let (map, ends) = (map(), Cell::new(false));
        let mut leader = Box::pin(map.get_or_try_insert_async(
            1,
            future::poll_fn(|_| match ends.get() {
                true => Poll::Ready(Answer::Err("no")),
                false => Poll::Pending,
            }),
        ));
        assert!(poll_quietly(&mut leader).is_pending());
        let mut waiter = Box::pin(map.get_or_try_insert_async(1, never()));
        assert!(poll_quietly(&mut waiter).is_pending());
        let other = spawn(&map, |map| get(map, 1, Ok(10)));
        ends.set(true);
        assert_eq!(poll_quietly(&mut leader), Poll::Ready(Err("no")));
        let heard = poll_quietly(&mut waiter);
        assert!([Poll::Ready(Err("no")), Poll::Ready(Ok(10))].contains(&heard));
        let theirs = other.join().unwrap();
        assert!([Err("no"), Ok(10)].contains(&theirs));
        assert_eq!(map.get(&1), theirs.ok());
    });
}

#[test]
fn a_failure_beside_a_success_is_told_only_if_it_came_first() {
    model(|| {
        let map = map();
        let other = spawn(&map, |map| get(map, 1, Ok(10)));
        let mine = get(&map, 1, Err("mine"));
        let theirs = other.join().unwrap();
        assert!(mine == Err("mine") || mine == Ok(10));
        assert!(theirs == Ok(10) || theirs == Err("mine") && mine == theirs);
        assert_eq!(map.get(&1), theirs.ok());
    });
}

#[test]
fn a_waiter_that_is_dropped_beside_the_hand_over_passes_the_lead_on() {
    model(|| {
        let map = map();
        let mut leader = Box::pin(map.get_or_try_insert_async(1, never()));
        assert!(poll_quietly(&mut leader).is_pending());
        let other = spawn(&map, move |map| {
            let mut waiter = Box::pin(map.get_or_try_insert_async(1, never()));
            let _ = poll_quietly(&mut waiter);
        });
        let (count, waker) = CountingWaker::new();
        let mut last = Box::pin(map.get_or_try_insert_async(1, future::ready(Answer::Ok(10))));
        assert!(poll(&mut last, &waker).is_pending());
        drop(leader);
        other.join().unwrap();
        assert_eq!((count.count(), poll_quietly(&mut last)), (1, Poll::Ready(Ok(10))));
    });
}

#[test]
fn a_key_removed_beside_a_flight_is_computed_again() {
    model(|| {
        let map = map();
        let other = spawn(&map, |map| get(map, 1, Ok(10)));
        let removed = map.remove(&1);
        let mine = get(&map, 1, Ok(20)).unwrap();
        let theirs = other.join().unwrap().unwrap();
        match removed {
            Some(value) => assert_eq!((value, theirs, mine), (10, 10, 20)),
            None => assert_eq!(mine, theirs),
        }
        assert_eq!(map.get(&1), Some(mine));
    });
}

#[test]
fn a_waiter_whose_value_was_removed_is_not_left_asleep() {
    model(|| {
        let map = map();
        let mut waiter = Box::pin(map.get_or_try_insert_async(1, future::ready(Answer::Ok(20))));
        let other = spawn(&map, |map| {
            let theirs = get(map, 1, Ok(10));
            map.remove(&1);
            theirs
        });
        let mine = waiter.as_mut().wait().unwrap();
        let theirs = other.join().unwrap().unwrap();
        assert!([(10, 10), (20, 10), (20, 20)].contains(&(mine, theirs)));
    });
}

#[test]
fn what_somebody_else_inserts_beside_a_flight_stays() {
    model(|| {
        let map = map();
        let other = spawn(&map, |map| map.try_insert(1, 99).is_ok());
        let mine = get(&map, 1, Ok(10));
        assert_eq!(mine, if other.join().unwrap() { Ok(99) } else { Ok(10) });
        assert_eq!(map.get(&1), mine.ok());
    });
}

#[test]
fn keys_of_one_hash_leave_each_other_their_turn_and_their_value() {
    model(|| {
        let map = map();
        let other = spawn(&map, |map| get(map, 101, Ok(11)));
        assert_eq!(get(&map, 1, Ok(10)), Ok(10));
        assert_eq!(other.join().unwrap(), Ok(11));
        assert_eq!((map.get(&1), map.get(&101)), (Some(10), Some(11)));
    });
}
