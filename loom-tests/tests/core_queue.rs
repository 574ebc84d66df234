//! Models of `core`'s queue: what the close promises.

use std::{num::NonZeroUsize, sync::Arc};

use loom_tests::{CountingWaker, model, poll, poll_quietly, thread};
use tidegate_core::{
    Closed, Queue, Wait,
    primitive::atomic::{AtomicU32, Ordering},
    queue::{TryPopError, TryPushError},
};

#[test]
fn a_push_that_races_the_close_is_popped_or_given_back() {
    model(|| {
        let queue = Arc::new(Queue::unbounded());
        let pusher = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_push(7).is_ok())
        };
        queue.close();
        let mut popped = 0;
        while let Ok(item) = queue.pop().wait() {
            assert_eq!(item, 7);
            popped += 1;
        }
        // Once the end was seen, nothing may come in any more.
        assert_eq!(popped, usize::from(pusher.join().unwrap()));
        assert_eq!(queue.try_push(8), Err(TryPushError::Closed(8)));
    });
}

#[test]
fn every_popper_learns_of_the_end() {
    model(|| {
        let queue = Arc::new(Queue::unbounded());
        queue.try_push(1).unwrap();
        let popper = {
            let queue = queue.clone();
            thread::spawn(move || std::iter::from_fn(|| queue.pop().wait().ok()).count())
        };
        queue.close();
        let own = std::iter::from_fn(|| queue.pop().wait().ok()).count();
        assert_eq!(own + popper.join().unwrap(), 1);
    });
}

#[test]
fn a_parked_pusher_gets_its_item_back_at_the_close() {
    model(|| {
        let queue = Arc::new(Queue::bounded(NonZeroUsize::MIN));
        queue.try_push(1).unwrap();
        let pusher = {
            let queue = queue.clone();
            thread::spawn(move || queue.push(2).wait())
        };
        queue.close();
        assert_eq!(pusher.join().unwrap().unwrap_err().into_inner(), 2);
        assert_eq!(queue.pop().wait(), Ok(1));
        assert_eq!(queue.pop().wait(), Err(Closed));
    });
}

#[test]
fn items_of_one_producer_stay_in_order() {
    model(|| {
        let queue = Arc::new(Queue::bounded(NonZeroUsize::MIN));
        let producer = {
            let queue = queue.clone();
            thread::spawn(move || (0..3).for_each(|n| queue.push(n).wait().unwrap()))
        };
        assert_eq!(
            [queue.pop().wait(), queue.pop().wait(), queue.pop().wait()],
            [Ok(0), Ok(1), Ok(2)]
        );
        producer.join().unwrap();
    });
}

#[test]
fn a_withdrawn_push_keeps_its_item_and_its_wake_up_goes_on() {
    model(|| {
        let queue = Arc::new(Queue::bounded(NonZeroUsize::MIN));
        queue.try_push(1).unwrap();
        let (woken, waker) = CountingWaker::new();
        let (mut first, mut second) = (queue.push(2), queue.push(3));
        assert!(poll_quietly(&mut first).is_pending());
        assert!(poll(&mut second, &waker).is_pending());
        let popper = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_pop().unwrap())
        };
        assert_eq!(first.into_inner(), Some(2));
        assert_eq!(popper.join().unwrap(), 1);
        assert!(woken.count() > 0);
        assert!(poll_quietly(&mut second).is_ready());
    });
}

/// Stores and then closes in one thread; if `finds` returns true in the other, that thread sees the
/// store. Without `items` the close is the end, too, which brings a fence.
fn close_is_found_by(items: u8, finds: fn(&Queue<u8>) -> bool) {
    model(move || {
        let shared = Arc::new((Queue::unbounded(), AtomicU32::new(0)));
        (0..items).for_each(|item| shared.0.try_push(item).unwrap());
        let closer = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(7, Ordering::Relaxed);
                shared.0.close();
            })
        };
        if finds(&shared.0) {
            assert_eq!(shared.1.load(Ordering::Relaxed), 7);
        }
        closer.join().unwrap();
    });
}

#[test]
fn what_came_before_the_close_is_seen_by_who_pops() {
    close_is_found_by(0, |queue| queue.try_pop() == Err(TryPopError::Closed));
}

#[test]
fn what_came_before_the_close_is_seen_by_who_pushes() {
    close_is_found_by(1, |queue| queue.try_push(1) == Err(TryPushError::Closed(1)));
}

#[test]
fn what_came_before_the_close_is_seen_by_who_asks() {
    close_is_found_by(1, Queue::is_closed);
}
