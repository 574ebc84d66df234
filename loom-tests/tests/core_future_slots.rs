//! Many futures in one task: their wakers, on other threads, race its polls.

use std::{future::poll_fn, sync::Arc, task::Poll};

use loom_tests::{model, thread};
use tidegate_core::{
    Wait,
    future_slots::{FutureSlots, WakerCell},
    lock::Lock,
    primitive::atomic::{AtomicUsize, Ordering},
};

/// Futures that end when their number is reached; only their wakers tell the task so.
type Slots = FutureSlots<usize, std::pin::Pin<Box<dyn Future<Output = usize> + Send>>>;
type Wakers = Arc<Lock<Vec<std::task::Waker>>>;

/// Puts `n` futures into slots and polls each once. They end when `reached` is at least `asks`.
fn started(n: usize, asks: usize, reached: &Arc<AtomicUsize>) -> (Slots, Wakers) {
    let wakers = Wakers::default();
    let mut slots = Slots::new(Arc::new(WakerCell::new()));
    for number in 0..n {
        let (reached, wakers) = (reached.clone(), wakers.clone());
        let future = poll_fn(move |cx| {
            // ORDERING: Relaxed: a future may leave the synchronization to its waker.
            if reached.load(Ordering::Relaxed) >= asks {
                return Poll::Ready(number);
            }
            wakers.with(|wakers| wakers.push(cx.waker().clone()));
            Poll::Pending
        });
        let slot = slots.start(number, Box::pin(future));
        assert!(slots.poll(slot).is_some_and(|polled| polled.is_pending()));
    }
    (slots, wakers)
}

/// The task: polls what was woken, until all have ended.
fn run(mut slots: Slots) {
    poll_fn(move |cx| {
        slots.task().set(cx.waker());
        slots.look();
        while let Some(slot) = slots.next_woken() {
            if slots.poll(slot).is_some_and(|polled| polled.is_ready()) {
                slots.drop_future(slot);
                assert_eq!(slots.free(slot), Some(slot));
            }
        }
        if slots.in_flight() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .wait();
}

#[test]
fn futures_woken_by_two_threads_are_both_polled() {
    model(|| {
        let reached = Arc::new(AtomicUsize::new(0));
        let (slots, wakers) = started(2, 1, &reached);
        let threads = [0, 1].map(|number| {
            let (reached, waker) = (reached.clone(), wakers.with(|wakers| wakers[number].clone()));
            thread::spawn(move || {
                reached.store(1, Ordering::Relaxed);
                waker.wake();
            })
        });
        run(slots);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_future_woken_twice_sees_what_both_threads_did() {
    model(|| {
        let reached = Arc::new(AtomicUsize::new(0));
        let (slots, wakers) = started(1, 2, &reached);
        let waker = wakers.with(|wakers| wakers[0].clone());
        let threads = [0, 1].map(|_| {
            let (reached, waker) = (reached.clone(), waker.clone());
            thread::spawn(move || {
                reached.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            })
        });
        run(slots);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
