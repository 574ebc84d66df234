//! Laws of pools that grow and shrink.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Barrier,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use test_kit::CountingWaker;
use tidegate_worker_pool::{JobHandle, StartError, Wait, WorkerPool};

/// A job that runs until it is told to end.
fn occupy(pool: &WorkerPool) -> (Sender<()>, JobHandle<()>) {
    let (end, until) = mpsc::channel();
    let (begun, begin) = mpsc::channel();
    let job = move || {
        begun.send(()).unwrap();
        let _ = Receiver::recv(&until);
    };
    let handle = pool.submit(job).wait();
    begin.recv().unwrap();
    (end, handle)
}

/// Waits until the pool has so many workers. Nothing tells when a thread has ended.
fn until_workers(pool: &WorkerPool, number: usize) {
    while pool.stats().workers != number {
        thread::yield_now();
    }
}

#[test]
fn a_pool_grows_as_long_as_every_thread_is_in_a_job() {
    let pool = WorkerPool::builder().threads(1..=3).build().unwrap();
    assert_eq!(pool.stats().workers, 1);
    let barrier = Arc::new(Barrier::new(3));
    let meet = |_| {
        let barrier = barrier.clone();
        pool.submit(move || _ = barrier.wait()).wait()
    };
    // They end only if three run at once.
    let handles: Vec<_> = (0..3).map(meet).collect();
    handles.into_iter().for_each(|handle| handle.wait().unwrap());
    assert_eq!(pool.stats().workers, 3);
}

#[test]
fn a_rendezvous_grows_too() {
    let pool = WorkerPool::builder().threads(1..=3).queue(0).build().unwrap();
    let held: Vec<_> = (0..3).map(|_| occupy(&pool)).collect();
    assert!(pool.try_submit(|| ()).unwrap_err().is_full());
    drop(held);
}

#[test]
fn a_pool_does_not_grow_for_jobs_one_after_the_other() {
    let pool = WorkerPool::builder().threads(1..=64).build().unwrap();
    for _ in 0..100 {
        pool.submit(|| ()).wait().wait().unwrap();
    }
    // One thread works and one waits. A thread between two jobs is not spare yet: if another begins
    // a job then, one more is started.
    assert!(pool.stats().workers < 16, "{:?}", pool.stats());
}

#[test]
fn a_thread_that_waited_too_long_ends_down_to_the_minimum() {
    let pool =
        WorkerPool::builder().threads(1..=4).keep_alive(Duration::from_millis(1)).build().unwrap();
    let held: Vec<_> = (0..3).map(|_| occupy(&pool)).collect();
    assert!(pool.stats().workers >= 3);
    for (end, handle) in held {
        drop(end);
        handle.wait().unwrap();
    }
    until_workers(&pool, 1);
    assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
}

#[test]
fn threads_that_wait_above_a_lowered_minimum_end() {
    let pool =
        WorkerPool::builder().threads(4..=8).keep_alive(Duration::from_millis(1)).build().unwrap();
    let barrier = Arc::new(Barrier::new(4));
    let meet = |_| {
        let barrier = barrier.clone();
        pool.execute(move || _ = barrier.wait()).wait().unwrap();
    };
    (0..4).for_each(meet);
    pool.idle().wait();
    pool.resize(1..=8).unwrap();
    until_workers(&pool, 1);
    assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
}

/// tokio's #8406: if a thread cannot be started, the job that wanted it has no thread to run it.
#[test]
fn a_thread_that_cannot_be_started_orphans_no_job() {
    // A refusal by the system and an invalid name are the same to the pool: the thread is not
    // started.
    let name = |number| if number == 0 { String::from("first") } else { String::from("\0") };
    let pool = WorkerPool::builder().threads(1..=4).thread_name(name).build().unwrap();
    let handles: Vec<_> = (0..100).map(|n| pool.submit(move || n).wait()).collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.wait().unwrap(), n);
    }
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.threads_refused), (1, 1), "and it is not asked for each job");
    assert!(pool.resize(2).is_err());
    assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
}

#[test]
fn a_thread_that_was_refused_is_asked_for_again_after_a_thousand_jobs() {
    let name = |number| String::from(if number == 1 { "\0" } else { "thread" });
    let pool = WorkerPool::builder().threads(1..=2).thread_name(name).build().unwrap();
    for (jobs, workers) in [(1000, 1), (100, 2)] {
        let handles: Vec<_> = (0..jobs).map(|n| pool.submit(move || n).wait()).collect();
        handles.into_iter().for_each(|handle| _ = handle.wait().unwrap());
        let stats = pool.stats();
        assert_eq!((stats.workers, stats.threads_refused), (workers, 1));
    }
}

#[test]
fn a_resized_pool_has_as_many_threads_as_it_was_told() {
    let (stopped, _) = CountingWaker::new();
    let counts = stopped.clone();
    let pool = WorkerPool::builder().threads(4).on_stop(move |_| counts.add()).build().unwrap();
    pool.resize(1).unwrap();
    until_workers(&pool, 1);
    pool.resize(NonZeroUsize::new(3).unwrap()).unwrap();
    assert_eq!(pool.stats().workers, 3);
    pool.shutdown().wait();
    assert_eq!(stopped.count(), 6);
}

#[test]
fn a_surplus_thread_ends_its_job_first() {
    let pool = WorkerPool::builder().threads(2).build().unwrap();
    let held = [occupy(&pool), occupy(&pool)];
    pool.resize(1).unwrap();
    let behind = pool.submit(|| 7).wait();
    assert_eq!(pool.stats().in_flight, 2);
    for (end, handle) in held {
        drop(end);
        handle.wait().unwrap();
    }
    assert_eq!(behind.wait().unwrap(), 7);
    until_workers(&pool, 1);
}

#[test]
fn room_to_grow_is_used_at_once_when_every_thread_is_in_a_job() {
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    let (end, held) = occupy(&pool);
    let waits = pool.submit(|| 7).wait();
    pool.resize(1..=2).unwrap();
    assert_eq!(waits.wait().unwrap(), 7);
    drop(end);
    held.wait().unwrap();
}

#[test]
fn a_detached_pool_can_be_given_threads() {
    let pool = WorkerPool::detached(1);
    pool.resize(1).unwrap();
    assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
}

#[test]
fn shutdown_joins_what_has_grown_meanwhile() {
    for _ in 0..50 {
        let (stopped, _) = CountingWaker::new();
        let (started, _) = CountingWaker::new();
        let (starts, stops) = (started.clone(), stopped.clone());
        let pool = WorkerPool::builder()
            .threads(1..=8)
            .on_start(move |_| starts.add())
            .on_stop(move |_| stops.add())
            .build()
            .unwrap();
        for _ in 0..20 {
            pool.execute(|| ()).wait().unwrap();
        }
        pool.shutdown().wait();
        assert_eq!(started.count(), stopped.count());
        assert_eq!(pool.stats().workers, 0);
    }
}

#[test]
fn a_closed_pool_grows_no_more() {
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    pool.shutdown().wait();
    pool.resize(4).unwrap();
    assert_eq!(pool.stats().workers, 0);
}

#[test]
fn impossible_counts_are_named() {
    let pool = WorkerPool::builder().threads(2).build().unwrap();
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    for (count, named) in [(0..=1, "0..=1"), (3..=2, "3..=2"), (1..=65536, "1..=65536")] {
        let error = pool.resize(count).unwrap_err();
        assert!(matches!(error, StartError::Setting(_)));
        assert!(error.to_string().contains(named), "{error}");
    }
    assert_eq!(pool.stats().workers, 2);
}
