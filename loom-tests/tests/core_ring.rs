//! Models of `core`'s ring: what one step on one word promises.

use std::{num::NonZeroUsize, sync::Arc};

use loom_tests::{model, thread};
use tidegate_core::{
    primitive::atomic::{AtomicBool, Ordering},
    ring::{NotPopped, NotPushed, Ring},
};

fn ring<T>(capacity: usize) -> Arc<Ring<T>> {
    Arc::new(Ring::new(NonZeroUsize::new(capacity).unwrap()))
}

fn pop<T>(ring: &Ring<T>) -> Option<T> {
    ring.pop().ok().map(|popped| popped.item)
}

#[test]
fn what_is_pushed_is_popped_once() {
    model(|| {
        let ring = ring(2);
        let pusher = {
            let ring = ring.clone();
            thread::spawn(move || ring.push(Box::new(1)).is_ok())
        };
        let own = ring.push(Box::new(2)).is_ok();
        let first = pop(&ring);
        assert!(own && pusher.join().unwrap());
        let rest: Vec<_> = std::iter::from_fn(|| pop(&ring)).collect();
        let mut all: Vec<_> = first.into_iter().chain(rest).collect();
        all.sort();
        assert_eq!(all, [Box::new(1), Box::new(2)]);
    });
}

#[test]
fn two_poppers_never_get_the_same_item() {
    model(|| {
        let ring = ring(2);
        ring.push(Box::new(1)).unwrap();
        let popper = {
            let ring = ring.clone();
            thread::spawn(move || pop(&ring))
        };
        let own = pop(&ring);
        let other = popper.join().unwrap();
        assert!(own.is_some() != other.is_some());
    });
}

#[test]
fn a_slot_is_used_again_only_when_it_is_empty() {
    model(|| {
        let ring = ring(1);
        ring.push(Box::new(1)).unwrap();
        let pusher = {
            let ring = ring.clone();
            thread::spawn(move || ring.push(Box::new(2)))
        };
        assert_eq!(pop(&ring), Some(Box::new(1)));
        match pusher.join().unwrap() {
            Ok(_) => assert_eq!(pop(&ring), Some(Box::new(2))),
            Err(refused) => assert_eq!(refused, NotPushed::Full(Box::new(2))),
        }
        assert_eq!(ring.pop(), Err(NotPopped::Empty));
    });
}

#[test]
fn who_waits_for_an_item_sees_it_or_is_seen() {
    model(|| {
        let ring = ring(1);
        let pusher = {
            let ring = ring.clone();
            thread::spawn(move || ring.push(7).unwrap().is_awaited)
        };
        ring.set_consumer_waiting();
        let found = pop(&ring).is_some();
        assert!(pusher.join().unwrap() || found, "asleep beside an item");
    });
}

#[test]
fn who_waits_for_room_sees_it_or_is_seen() {
    model(|| {
        let ring = ring(1);
        ring.push(1).unwrap();
        let popper = {
            let ring = ring.clone();
            thread::spawn(move || ring.pop().unwrap().is_awaited)
        };
        ring.set_producer_waiting();
        let pushed = ring.push(2).is_ok();
        assert!(popper.join().unwrap() || pushed, "asleep beside room");
    });
}

#[test]
fn a_push_that_races_the_close_is_popped_or_given_back() {
    model(|| {
        let ring = ring(1);
        let pusher = {
            let ring = ring.clone();
            thread::spawn(move || ring.push(7).is_ok())
        };
        ring.close();
        let popped = loop {
            match ring.pop() {
                Ok(popped) => break Some(popped.item),
                Err(NotPopped::Closed) => break None,
                Err(_) => thread::yield_now(),
            }
        };
        assert!(ring.is_drained());
        assert_eq!(popped.is_some(), pusher.join().unwrap());
        assert_eq!(ring.push(8), Err(NotPushed::Closed(8)));
    });
}

/// Stores, then calls `act` in one thread; the other sees the store if `is_seen_by` is true there.
fn what_came_before(act: fn(&Ring<u8>), is_seen_by: fn(&Ring<u8>) -> bool, items: u8) {
    model(move || {
        let ring = ring(1);
        (0..items).for_each(|item| _ = ring.push(item).unwrap());
        let told = Arc::new(AtomicBool::new(false));
        let looker = {
            let (ring, told) = (ring.clone(), told.clone());
            thread::spawn(move || assert!(!is_seen_by(&ring) || told.load(Ordering::Relaxed)))
        };
        told.store(true, Ordering::Relaxed);
        act(&ring);
        looker.join().unwrap();
    });
}

fn close(ring: &Ring<u8>) {
    ring.close();
}

#[test]
fn what_came_before_the_close_is_seen_by_who_pops() {
    what_came_before(close, |ring| matches!(ring.pop(), Err(NotPopped::Closed)), 0);
}

#[test]
fn what_came_before_the_close_is_seen_by_who_pushes() {
    what_came_before(close, |ring| ring.push(1) == Err(NotPushed::Closed(1)), 1);
}

#[test]
fn what_came_before_the_close_is_seen_by_who_asks() {
    what_came_before(close, Ring::is_closed, 0);
}

#[test]
fn what_came_before_the_close_is_seen_by_who_finds_all_gone() {
    what_came_before(close, Ring::is_drained, 0);
}

#[test]
fn what_came_before_the_last_pop_is_seen_by_who_finds_all_gone() {
    let pop = |ring: &Ring<u8>| _ = ring.pop().unwrap();
    let is_drained = |ring: &Ring<u8>| {
        ring.close();
        ring.is_drained()
    };
    what_came_before(pop, is_drained, 1);
}

/// The flag publishes the registration: a thread that finds it needs no fence to find the waiter.
#[test]
fn what_came_before_the_wait_for_an_item_is_seen_by_who_pushes() {
    what_came_before(Ring::set_consumer_waiting, |ring| ring.push(1).unwrap().is_awaited, 0);
}

#[test]
fn what_came_before_the_wait_for_room_is_seen_by_who_pops() {
    what_came_before(Ring::set_producer_waiting, |ring| ring.pop().unwrap().is_awaited, 1);
}

#[test]
fn what_came_before_the_wait_for_an_item_is_seen_by_who_asks() {
    what_came_before(Ring::set_consumer_waiting, Ring::is_consumer_waiting, 0);
}

#[test]
fn what_came_before_a_diversion_is_seen_by_who_asks() {
    what_came_before(Ring::divert, Ring::is_diverted, 0);
}

#[test]
fn nobody_gets_past_what_was_diverted() {
    model(|| {
        let ring = ring(2);
        let is_diverted = Arc::new(AtomicBool::new(false));
        let pusher = {
            let (ring, is_diverted) = (ring.clone(), is_diverted.clone());
            thread::spawn(move || (is_diverted.load(Ordering::Acquire), ring.push(2)))
        };
        ring.divert();
        is_diverted.store(true, Ordering::Release);
        // The diverted item goes in first, and newcomers' items only after it.
        ring.push_diverted(1).unwrap();
        ring.resume();
        let (is_late, pushed) = pusher.join().unwrap();
        let order: Vec<_> = std::iter::from_fn(|| pop(&ring)).collect();
        match pushed {
            Err(refused) => assert_eq!((refused, order), (NotPushed::Full(2), vec![1])),
            Ok(_) => assert!(order == [1, 2] || !is_late && order == [2, 1]),
        }
    });
}
