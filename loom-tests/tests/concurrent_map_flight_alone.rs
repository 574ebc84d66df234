//! Models of a flight that keeps nothing: shared results, hand-overs, keys of one hash.
//!
//! The hash is fixed: a random one would make the executions of a model differ.

use std::{
    cell::Cell,
    future::{self, Future},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    task::Poll,
};

use loom_tests::{model, poll_quietly, thread};
use tidegate_concurrent_map::Flight;
use tidegate_core::{
    Wait,
    primitive::atomic::{AtomicU32, Ordering},
};

/// Every key has the same hash.
#[derive(Default)]
struct Constant;

impl Hasher for Constant {
    fn write(&mut self, _: &[u8]) {}
    fn finish(&self) -> u64 {
        7
    }
}

type Pages = Flight<u32, u32, BuildHasherDefault<Constant>>;

fn flight() -> Arc<Pages> {
    Arc::new(Flight::with_hasher(BuildHasherDefault::default()))
}

fn spawn<R: Send + 'static>(
    flight: &Arc<Pages>,
    f: impl FnOnce(&Pages) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let flight = flight.clone();
    thread::spawn(move || f(&flight))
}

fn run(flight: &Pages, key: u32, result: u32) -> u32 {
    flight.run(key, future::ready(result)).wait()
}

fn never() -> impl Future<Output = u32> + Unpin {
    future::pending()
}

/// A computation that ends when it is told to.
fn until(ends: &Cell<bool>, result: u32) -> impl Future<Output = u32> + Unpin {
    future::poll_fn(move |_| if ends.get() { Poll::Ready(result) } else { Poll::Pending })
}

#[test]
fn a_shared_result_brings_what_its_computation_did() {
    model(|| {
        let flight = flight();
        let computed = Arc::new(AtomicU32::new(0));
        let ask = {
            let computed = computed.clone();
            move |flight: &Pages| {
                // ORDERING: Relaxed suffices: the result brings what its computation did.
                let compute = async { computed.fetch_add(1, Ordering::Relaxed) + 1 };
                let result = flight.run(1, compute).wait();
                assert!(computed.load(Ordering::Relaxed) >= result);
                result
            }
        };
        let other = spawn(&flight, ask.clone());
        let mine = ask(&flight);
        let theirs = other.join().unwrap();
        assert!([(1, 1), (1, 2), (2, 1)].contains(&(mine, theirs)));
    });
}

#[test]
fn the_end_of_a_computation_against_one_who_comes_to_share_it() {
    model(|| {
        let (flight, ends) = (flight(), Cell::new(false));
        let mut leader = Box::pin(flight.run(1, until(&ends, 10)));
        assert!(poll_quietly(&mut leader).is_pending());
        let other = spawn(&flight, |flight| run(flight, 1, 20));
        ends.set(true);
        assert_eq!(poll_quietly(&mut leader), Poll::Ready(10));
        assert!([10, 20].contains(&other.join().unwrap()));
        assert_eq!(run(&flight, 1, 30), 30);
    });
}

#[test]
fn a_dropped_leader_of_a_flight_hands_over_to_one_who_comes_meanwhile() {
    model(|| {
        let flight = flight();
        let mut leader = Box::pin(flight.run(1, never()));
        assert!(poll_quietly(&mut leader).is_pending());
        let other = spawn(&flight, |flight| run(flight, 1, 20));
        drop(leader);
        assert_eq!(other.join().unwrap(), 20);
    });
}

#[test]
fn of_two_who_wait_for_a_dropped_leader_each_gets_a_result() {
    model(|| {
        let flight = flight();
        let mut leader = Box::pin(flight.run(1, never()));
        assert!(poll_quietly(&mut leader).is_pending());
        let mut waiter = Box::pin(flight.run(1, future::ready(30)));
        assert!(poll_quietly(&mut waiter).is_pending());
        let other = spawn(&flight, |flight| run(flight, 1, 20));
        drop(leader);
        assert!([20, 30].contains(&waiter.wait()));
        assert!([20, 30].contains(&other.join().unwrap()));
    });
}

#[test]
fn a_key_of_the_same_hash_computes_its_own_result_whenever_the_other_ends() {
    model(|| {
        let (flight, ends) = (flight(), Cell::new(false));
        let mut leader = Box::pin(flight.run(1, until(&ends, 10)));
        assert!(poll_quietly(&mut leader).is_pending());
        let other = spawn(&flight, |flight| run(flight, 2, 20));
        ends.set(true);
        assert_eq!(poll_quietly(&mut leader), Poll::Ready(10));
        assert_eq!(other.join().unwrap(), 20);
    });
}

#[test]
fn a_waiter_that_gives_up_beside_the_end_leaves_the_flight_to_the_next() {
    model(|| {
        let (flight, ends) = (flight(), Cell::new(false));
        let mut leader = Box::pin(flight.run(1, until(&ends, 10)));
        assert!(poll_quietly(&mut leader).is_pending());
        let other = spawn(&flight, |flight| {
            let mut waiter = Box::pin(flight.run(1, never()));
            let _ = poll_quietly(&mut waiter);
        });
        ends.set(true);
        assert_eq!(poll_quietly(&mut leader), Poll::Ready(10));
        other.join().unwrap();
        assert_eq!(run(&flight, 1, 30), 30);
    });
}
