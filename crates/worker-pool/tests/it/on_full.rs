//! Laws of jobs that find the queue full.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use test_kit::{CountingWaker, OnDrop, poll, quiet_panic, ready};
use tidegate_worker_pool::{ExecuteError, OnFull, Wait, WorkerPool};

/// A pool without workers whose queue is full with one job, and the handle of that job.
fn full(on_full: OnFull) -> (WorkerPool, tidegate_worker_pool::JobHandle<i32>) {
    let pool = WorkerPool::builder().queue(1).on_full(on_full).detached();
    let first = ready(pool.submit(|| 1));
    (pool, first)
}

#[test]
fn waiting_is_the_default() {
    let (pool, _first) = full(OnFull::default());
    assert!(poll(&mut pool.submit(|| 2)).is_pending());
    assert!(poll(&mut pool.execute(|| ())).is_pending());
}

#[test]
fn rejected_jobs_are_dropped_counted_and_reported() {
    let (pool, _first) = full(OnFull::Reject);
    let (dropped, _) = CountingWaker::new();
    let captured = {
        let dropped = dropped.clone();
        OnDrop(move || dropped.add())
    };
    let error = ready(ready(pool.submit(move || drop(captured)))).unwrap_err();
    assert_eq!((error.is_full(), error.to_string().as_str()), (true, "worker pool full"));
    assert_eq!(dropped.count(), 1);
    assert_eq!(ready(pool.execute(|| ())), Err(ExecuteError::Full));
    assert_eq!((pool.stats().refused, pool.stats().submitted), (2, 1));
}

#[test]
fn callers_run_what_has_no_room() {
    let (pool, _first) = full(OnFull::CallerRuns);
    let here = thread::current().id();
    let second = ready(pool.submit(|| thread::current().id()));
    assert_eq!(ready(second).unwrap(), here);
    let (ran, _) = CountingWaker::new();
    {
        let ran = ran.clone();
        ready(pool.execute(move || ran.add())).unwrap();
    }
    assert_eq!(ran.count(), 1);
    let stats = pool.stats();
    assert_eq!((stats.run_by_callers, stats.succeeded, stats.submitted), (2, 2, 3));
}

#[test]
fn nothing_runs_before_it_is_polled() {
    let (pool, _first) = full(OnFull::CallerRuns);
    let (ran, _) = CountingWaker::new();
    let job = || {
        let ran = ran.clone();
        move || ran.add()
    };
    drop(pool.submit(job()));
    drop(pool.execute(job()));
    assert_eq!(ran.count(), 0);
}

#[test]
fn panic_of_a_job_that_its_caller_runs_is_contained() {
    let (reported, _) = CountingWaker::new();
    let pool = {
        let reported = reported.clone();
        let builder = WorkerPool::builder().queue(0).on_full(OnFull::CallerRuns);
        builder.on_panic(move |_| reported.add()).detached()
    };
    ready(pool.execute(|| quiet_panic("quiet"))).unwrap();
    assert!(ready(ready(pool.submit(|| quiet_panic("quiet")))).unwrap_err().is_panic());
    assert_eq!((reported.count(), pool.stats().panicked), (2, 2));
}

#[test]
fn job_within_a_job_sees_one_worker_busy() {
    let pool = WorkerPool::builder().queue(1).on_full(OnFull::CallerRuns).detached();
    let inside = pool.clone();
    let outer = ready(pool.submit(move || {
        let _in_the_queue = ready(inside.submit(|| ()));
        let stats = inside.clone();
        ready(ready(inside.submit(move || stats.stats()))).unwrap()
    }));
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let stats = ready(outer).unwrap();
    assert_eq!((stats.in_flight, stats.workers, stats.idle, stats.run_by_callers), (2, 1, 0, 1));
}

#[test]
fn oldest_makes_room_for_the_newest() {
    let pool = WorkerPool::builder().queue(2).on_full(OnFull::DropOldest).detached();
    let handles = [1, 2, 3, 4].map(|n| ready(pool.submit(move || n)));
    assert_eq!((pool.stats().cancelled, pool.stats().waiting), (2, 2));
    pool.close();
    pool.worker().wait();
    assert_eq!(handles.map(|handle| ready(handle).ok()), [None, None, Some(3), Some(4)]);
}

#[test]
fn dropped_job_that_panics_is_contained() {
    let pool = WorkerPool::builder().queue(1).on_full(OnFull::DropOldest).detached();
    let captured = OnDrop(|| quiet_panic("quiet"));
    ready(pool.execute(move || drop(captured))).unwrap();
    ready(pool.execute(|| ())).unwrap();
    assert_eq!((pool.stats().cancelled, pool.stats().waiting), (1, 1));
}

#[test]
fn newest_is_cancelled() {
    let (pool, first) = full(OnFull::DropNewest);
    assert!(ready(ready(pool.submit(|| 2))).unwrap_err().is_cancelled());
    ready(pool.execute(|| ())).unwrap();
    assert_eq!((pool.stats().cancelled, pool.stats().submitted), (2, 3));
    assert!(poll(&mut pool.worker()).is_pending());
    assert_eq!(ready(first).unwrap(), 1);
}

#[test]
fn a_rendezvous_has_no_oldest_to_drop() {
    let pool = WorkerPool::builder().queue(0).on_full(OnFull::DropOldest).detached();
    assert!(ready(ready(pool.submit(|| 1))).unwrap_err().is_cancelled());
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let promised = ready(pool.submit(|| 2));
    assert!(ready(ready(pool.submit(|| 3))).unwrap_err().is_cancelled());
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(promised).unwrap(), 2);
}

#[test]
fn closed_pool_refuses_whatever_it_does_when_full() {
    let all = [OnFull::Reject, OnFull::CallerRuns, OnFull::DropOldest, OnFull::DropNewest];
    for on_full in all {
        let (pool, first) = full(on_full);
        pool.close();
        assert!(ready(ready(pool.submit(|| 2))).unwrap_err().is_closed());
        assert_eq!(ready(pool.execute(|| ())), Err(ExecuteError::Closed));
        pool.worker().wait();
        assert_eq!(ready(first).unwrap(), 1);
    }
}

#[test]
fn tree_of_jobs_needs_no_room() {
    fn grow(pool: &WorkerPool, leaves: &Arc<Mutex<u32>>, height: u32) {
        if height == 0 {
            *leaves.lock().unwrap() += 1;
            return;
        }
        for _ in 0..2 {
            let (inside, leaves) = (pool.clone(), leaves.clone());
            pool.execute(move || grow(&inside, &leaves, height - 1)).wait().unwrap();
        }
    }
    let leaves = Arc::new(Mutex::new(0));
    let pool = WorkerPool::builder().queue(2).on_full(OnFull::CallerRuns).build().unwrap();
    grow(&pool, &leaves, 8);
    // The jobs that are left submit to the pool: it is closed when they have ended.
    while *leaves.lock().unwrap() < 256 {
        thread::yield_now();
    }
    pool.shutdown().wait();
    assert_eq!(pool.stats().succeeded, 510);
}
