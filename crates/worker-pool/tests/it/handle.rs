//! Laws of waiting for a job.

use std::{sync::Arc, time::Duration};

use test_kit::{CountingWaker, OnDrop, poll, poll_with, ready};
use tidegate_worker_pool::{TimedOut, Wait, WorkerPool};

#[test]
fn dropped_handle_lets_its_job_run() {
    let pool = WorkerPool::detached(1);
    let (ran, _) = CountingWaker::new();
    let job = {
        let ran = ran.clone();
        move || ran.add()
    };
    drop(pool.try_submit(job).unwrap());
    assert!(poll(&mut pool.worker()).is_pending());
    assert_eq!(ran.count(), 1);
}

#[test]
fn result_that_nobody_wants_is_dropped_at_once() {
    let pool = WorkerPool::detached(2);
    let (dropped, _) = CountingWaker::new();
    let job = || {
        let dropped = dropped.clone();
        move || OnDrop(move || dropped.add())
    };
    let (before, after) = (pool.try_submit(job()).unwrap(), pool.try_submit(job()).unwrap());
    drop(before);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    assert_eq!(dropped.count(), 1);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(dropped.count(), 1);
    drop(after);
    assert_eq!(dropped.count(), 2);
}

#[test]
fn last_waker_is_the_one_woken() {
    let pool = WorkerPool::detached(1);
    let [(old, old_waker), (new, new_waker)] = [CountingWaker::new(), CountingWaker::new()];
    let mut handle = pool.try_submit(|| 7).unwrap();
    assert!(poll_with(&mut handle, &old_waker).is_pending());
    assert!(poll_with(&mut handle, &new_waker).is_pending());
    assert!(!handle.is_finished());
    assert!(poll(&mut pool.worker()).is_pending());
    assert!(handle.is_finished());
    assert_eq!((old.count(), new.count()), (0, 1));
    assert_eq!(ready(handle).unwrap(), 7);
}

#[test]
fn dropped_handle_drops_its_waker() {
    let pool = WorkerPool::detached(1);
    let (held, waker) = CountingWaker::new();
    let mut handle = pool.try_submit(|| ()).unwrap();
    assert!(poll_with(&mut handle, &waker).is_pending());
    drop((handle, waker));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn timed_out_wait_loses_nothing_by_reference() {
    let pool = WorkerPool::detached(1);
    let mut handle = pool.try_submit(|| 7).unwrap();
    assert_eq!((&mut handle).wait_timeout(Duration::ZERO).unwrap_err(), TimedOut);
    assert!(poll(&mut pool.worker()).is_pending());
    assert_eq!((&mut handle).wait_timeout(Duration::ZERO).unwrap().unwrap(), 7);
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn result_is_given_once() {
    let pool = WorkerPool::detached(1);
    let mut handle = pool.try_submit(|| 7).unwrap();
    assert!(poll(&mut pool.worker()).is_pending());
    assert!(poll(&mut handle).is_ready());
    let _ = poll(&mut handle);
}

#[test]
fn handle_outlives_its_pool() {
    let pool = WorkerPool::builder().build().unwrap();
    let handle = pool.submit(|| 7).wait();
    drop(pool);
    assert_eq!(ready(handle).unwrap(), 7);
}
