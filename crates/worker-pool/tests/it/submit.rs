//! Laws of submitting a job.

use std::sync::{Arc, Mutex};

use test_kit::{CountingWaker, OnDrop, poll, poll_with, ready};
use tidegate_worker_pool::{
    ExecuteError, JobHandle, JoinError, TrySubmitError, UnstartedJob, Wait, Worker, WorkerPool,
    future::{Execute, Shutdown, Submit},
};

#[test]
fn every_future_can_be_sent_and_moved() {
    fn check<T: Send + Unpin + 'static>() {}
    check::<Submit<'static, std::cell::Cell<u8>>>();
    check::<JobHandle<std::cell::Cell<u8>>>();
    check::<Execute<'static, fn()>>();
    check::<Worker>();
    check::<Shutdown>();
    check::<UnstartedJob>();
    fn check_error<T: std::error::Error + Send + Sync + 'static>() {}
    check_error::<JoinError>();
    check_error::<ExecuteError>();
    check_error::<TrySubmitError<fn()>>();
}

#[test]
fn full_queue_hands_the_job_back() {
    let pool = WorkerPool::detached(1);
    let _accepted = pool.try_submit(|| 1).unwrap();
    let refused = pool.try_submit(|| 2).unwrap_err();
    assert!(refused.is_full());
    assert_eq!(refused.into_inner()(), 2);
}

#[test]
fn closed_pool_hands_the_job_back_or_says_so() {
    let pool = WorkerPool::detached(1);
    assert!(pool.close());
    assert!(!pool.close());
    let refused = pool.try_submit(|| 2).unwrap_err();
    assert!(refused.is_closed());
    assert_eq!(refused.into_inner()(), 2);
    assert!(matches!(ready(ready(pool.submit(|| 3))), Err(JoinError::Closed)));
    assert_eq!(ready(pool.execute(|| ())), Err(ExecuteError::Closed));
    assert_eq!(pool.stats().refused, 3);
    // It is closed for good, even if it is also full now.
    let pool = WorkerPool::detached(1);
    let _full = pool.try_submit(|| ()).unwrap();
    pool.close();
    assert!(pool.try_submit(|| ()).unwrap_err().is_closed());
}

#[test]
fn submit_waits_for_room() {
    let pool = WorkerPool::detached(1);
    let first = pool.try_submit(|| 1).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut submit = pool.submit(|| 2);
    assert!(poll_with(&mut submit, &waker).is_pending());
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    assert_eq!(woken.count(), 1);
    let second = ready(submit);
    assert!(poll(&mut worker).is_pending());
    assert_eq!((ready(first).unwrap(), ready(second).unwrap()), (1, 2));
}

#[test]
fn close_rejects_waiting_submitters() {
    let pool = WorkerPool::detached(0);
    let (woken, waker) = CountingWaker::new();
    let mut submits = [pool.submit(|| 1), pool.submit(|| 2)];
    for submit in &mut submits {
        assert!(poll_with(submit, &waker).is_pending());
    }
    pool.close();
    assert_eq!(woken.count(), 2);
    for submit in submits {
        assert!(matches!(ready(ready(submit)), Err(JoinError::Closed)));
    }
}

#[test]
fn dropped_submit_leaves_no_trace() {
    let pool = WorkerPool::detached(0);
    let (dropped, _) = CountingWaker::new();
    let job = {
        let dropped = dropped.clone();
        let captured = OnDrop(move || dropped.add());
        move || drop(captured)
    };
    let (woken, waker) = CountingWaker::new();
    let (mut first, mut second) = (pool.submit(job), pool.submit(|| 2));
    assert!(poll(&mut first).is_pending());
    assert!(poll_with(&mut second, &waker).is_pending());
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    // The first was woken for the room. Its drop wakes the next submitter instead.
    drop(first);
    assert_eq!((dropped.count(), woken.count()), (1, 1));
    let second = ready(second);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(second).unwrap(), 2);
    assert_eq!(pool.stats().submitted, 1);
}

#[test]
fn a_rendezvous_accepts_when_a_worker_waits() {
    let pool = WorkerPool::detached(0);
    let mut worker = pool.worker();
    assert!(pool.try_submit(|| ()).is_err());
    assert!(poll(&mut worker).is_pending());
    let handle = pool.try_submit(|| 1).unwrap();
    assert!(pool.try_submit(|| ()).is_err(), "one worker waits, not two");
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(handle).unwrap(), 1);
    assert!(pool.try_submit(|| ()).is_err(), "the worker has not come back yet");
    assert!(poll(&mut worker).is_pending());
    let _handle = pool.try_submit(|| 2).unwrap();
}

#[test]
fn a_worker_that_leaves_a_rendezvous_removes_its_room() {
    let pool = WorkerPool::detached(0);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    drop(worker);
    assert!(pool.try_submit(|| ()).is_err());
}

#[test]
fn a_job_that_claimed_a_worker_which_leaves_waits_for_the_next() {
    let pool = WorkerPool::detached(0);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let handle = pool.try_submit(|| 1).unwrap();
    drop(worker);
    let mut next = pool.worker();
    assert!(poll(&mut next).is_pending());
    assert_eq!(ready(handle).unwrap(), 1);
    assert!(pool.try_submit(|| ()).is_err(), "the next one came for that job, not for another");
}

#[test]
fn new_threads_have_room_at_once() {
    let two = std::num::NonZeroUsize::new(2).unwrap();
    let pool = WorkerPool::builder().threads(two).queue(0).build().unwrap();
    let handles = [1, 2].map(|n| pool.try_submit(move || n).unwrap());
    assert_eq!(handles.map(|handle| handle.wait().unwrap()), [1, 2]);
    assert_eq!(pool.stats().workers, 2);
}

#[test]
fn jobs_begin_in_order() {
    let pool = WorkerPool::detached(8);
    let begun = Arc::new(Mutex::new(Vec::new()));
    for n in 0..8 {
        let begun = begun.clone();
        ready(pool.execute(move || begun.lock().unwrap().push(n))).unwrap();
    }
    pool.close();
    pool.worker().wait();
    assert_eq!(*begun.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn job_may_submit_to_its_own_pool() {
    let pool = WorkerPool::detached(2);
    let inner = pool.clone();
    let outer = pool.try_submit(move || inner.try_submit(|| 7).unwrap()).unwrap();
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let inner = ready(outer).unwrap();
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(inner).unwrap(), 7);
}

#[test]
fn worker_gives_its_executor_a_turn_after_each_job() {
    let pool = WorkerPool::detached(2);
    let handles = [1, 2].map(|n| pool.try_submit(move || n).unwrap());
    let (woken, waker) = CountingWaker::new();
    let mut worker = pool.worker();
    for done in 1..=2 {
        assert!(poll_with(&mut worker, &waker).is_pending());
        assert_eq!(woken.count(), done);
        assert_eq!(pool.stats().succeeded, done as u64);
    }
    assert!(poll_with(&mut worker, &waker).is_pending());
    assert_eq!(woken.count(), 2, "without a job it sleeps");
    drop(handles);
}

#[test]
fn a_job_wakes_one_worker() {
    let pool = WorkerPool::detached(1);
    let [(one, waker_of_one), (two, waker_of_two)] = [(); 2].map(|()| CountingWaker::new());
    let mut workers = [pool.worker(), pool.worker()];
    assert!(poll_with(&mut workers[0], &waker_of_one).is_pending());
    assert!(poll_with(&mut workers[1], &waker_of_two).is_pending());
    let job = pool.try_submit(|| ()).unwrap();
    assert_eq!((one.count(), two.count()), (1, 0));
    assert!(poll(&mut workers[0]).is_pending() && job.is_finished());
    assert_eq!(two.count(), 0, "there is no other job");
}

#[test]
fn a_submit_that_has_ended_and_is_kept_swallows_no_room_of_those_that_wait() {
    let pool = WorkerPool::detached(1);
    pool.execute(|| ()).wait().unwrap();
    let (woken, waker) = CountingWaker::new();
    let (mut first, mut second) = (pool.submit(|| 1), pool.submit(|| 2));
    assert!(poll_with(&mut first, &waker).is_pending());
    assert!(poll(&mut second).is_pending());
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    assert_eq!(woken.count(), 1);
    // The second is polled for another reason and takes the room; its future is kept.
    let kept = ready(&mut second);
    assert!(poll_with(&mut first, &waker).is_pending());
    assert!(poll(&mut worker).is_pending());
    assert_eq!(woken.count(), 2, "the next room is for the one that waits");
    assert_eq!(ready(kept).unwrap(), 2);
    let first = ready(first);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(first).unwrap(), 1);
    drop(second);
}
