//! Laws of values whose destructors all panic: each is dropped, no result is lost, and the process
//! lives.

use std::{
    future::Future,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use test_kit::{Bomb, panics, poll, quiet_panic, ready};
use tidegate_worker_pool::{PerWorker, Wait, WorkerPool};

#[test]
fn jobs_behind_the_ring_are_dropped_each_with_their_pool() {
    let gone = Arc::new(AtomicUsize::new(0));
    let pool = WorkerPool::detached(3000);
    for n in 0..1500 {
        let bomb = Bomb(n, gone.clone());
        pool.execute(move || drop(bomb)).wait().unwrap();
    }
    assert!(!panics(|| drop(pool)));
    assert_eq!(gone.load(Ordering::SeqCst), 1500);
}

#[test]
fn every_value_of_a_worker_is_dropped_although_others_panic() {
    let gone = Arc::new(AtomicUsize::new(0));
    let make = || {
        let gone = gone.clone();
        PerWorker::new(move || Bomb(0, gone.clone()))
    };
    // Three are lent at once, and are unused after that.
    let fill = |values: &PerWorker<Bomb>| values.with(|_| values.with(|_| values.with(|_| ())));
    let values = make();
    fill(&values);
    assert!(!panics(|| drop(values)));
    assert_eq!(gone.swap(0, Ordering::SeqCst), 3);
    let values = make();
    fill(&values);
    let mut left = values.into_values();
    assert!(panics(|| left.next()));
    assert!(!panics(|| drop(left)));
    assert_eq!(gone.swap(0, Ordering::SeqCst), 3);
    // The panic of a job drops what it was lent.
    let values = make();
    assert!(panics(|| values.with(|_| quiet_panic("quiet"))));
    assert_eq!(gone.load(Ordering::SeqCst), 1);
}

#[test]
fn a_scope_passes_the_first_panic_on_past_a_result_and_payloads_that_panic_when_they_are_dropped() {
    let gone = Arc::new(AtomicUsize::new(0));
    let bomb = || Bomb(0, gone.clone());
    let pool = WorkerPool::detached(3);
    let result = || {
        pool.scope(|scope| {
            scope.execute(|| quiet_panic("quiet"));
            bomb()
        })
    };
    let payload = catch_unwind(AssertUnwindSafe(|| drop(result()))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"quiet"));
    assert_eq!(gone.swap(0, Ordering::SeqCst), 1);
    let payload = || {
        pool.scope(|scope| -> () {
            scope.execute(|| panic_any(bomb()));
            scope.execute(|| panic_any(bomb()));
            resume_unwind(Box::new("first"))
        });
    };
    let payload = catch_unwind(AssertUnwindSafe(payload)).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"first"));
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

/// Is ready at once, and panics when it is dropped.
struct Fragile(#[allow(dead_code, reason = "it is there to be dropped")] Bomb);

impl Future for Fragile {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        Poll::Ready(7)
    }
}

#[test]
fn a_future_that_panics_when_it_is_dropped_loses_no_output() {
    let gone = Arc::new(AtomicUsize::new(0));
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    let job = pool.submit_future(Fragile(Bomb(0, gone.clone()))).wait();
    assert_eq!(job.wait().unwrap(), 7);
    assert_eq!(gone.load(Ordering::SeqCst), 1);
}

#[test]
fn keys_that_panic_when_they_are_dropped_lose_no_handle_and_no_queue() {
    let gone = Arc::new(AtomicUsize::new(0));
    let key = |n| Bomb(n, gone.clone());
    let pool = WorkerPool::detached(16);
    let keyed = pool.keyed(NonZeroUsize::new(2).unwrap());
    // The second finds the queue of its key, so that its own key is not needed; the third is
    // refused.
    let first = keyed.try_submit(key(1), || 1).unwrap();
    let second = keyed.try_submit(key(1), || 2).unwrap();
    assert!(keyed.try_submit(key(1), || 3).is_err());
    let third = ready(keyed.submit(key(2), || 4));
    let mut worker = pool.worker();
    while !keyed.is_empty() {
        assert!(poll(&mut worker).is_pending());
    }
    assert_eq!([first, second, third].map(|job| ready(job).unwrap()), [1, 2, 4]);
    // Four keys are gone, two of them with their queues.
    assert_eq!(gone.load(Ordering::SeqCst), 4);
}
