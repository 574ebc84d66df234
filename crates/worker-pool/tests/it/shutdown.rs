//! Laws of close, shutdown and the drop of a pool.

use std::{num::NonZeroUsize, sync::mpsc, time::Duration};

use test_kit::{CountingWaker, poll, poll_with, ready};
use tidegate_worker_pool::{ManualClock, Wait, WorkerPool};

fn one_thread(queue: usize) -> WorkerPool {
    WorkerPool::builder().threads(NonZeroUsize::MIN).queue(queue).build().unwrap()
}

#[test]
fn shutdown_waits_for_jobs_behind_the_ring() {
    // 1024 of them are in the ring.
    let pool = WorkerPool::detached(1025);
    let jobs: Vec<_> = (0..1025).map(|_| pool.try_submit(|| ()).unwrap()).collect();
    let mut worker = pool.worker();
    assert!(jobs[..1024].iter().all(|_| poll(&mut worker).is_pending()));
    drop(worker);
    assert!(jobs[1023].is_finished() && !jobs[1024].is_finished());
    let mut shutdown = pool.shutdown();
    assert!(poll(&mut shutdown).is_pending());
    pool.worker().run();
    ready(shutdown);
    assert!(jobs[1024].is_finished());
}

#[test]
fn shutdown_runs_what_was_accepted() {
    let pool = one_thread(16);
    let handles: Vec<_> = (0..16).map(|n| pool.submit(move || n).wait()).collect();
    pool.shutdown().wait();
    assert!(handles.iter().all(|handle| handle.is_finished()));
    assert_eq!(pool.stats().workers, 0);
    assert_eq!(pool.stats().succeeded, 16);
}

#[test]
fn shutdown_waits_for_the_running_job_and_for_its_worker() {
    let pool = WorkerPool::detached(1);
    let (woken, waker) = CountingWaker::new();
    let mut shutdown = pool.shutdown();
    let mut worker = pool.worker();
    let _handle = pool.try_submit(|| ()).unwrap();
    assert!(poll_with(&mut shutdown, &waker).is_pending());
    assert!(pool.is_closed());
    assert!(poll(&mut worker).is_pending());
    assert!(poll_with(&mut shutdown, &waker).is_pending());
    assert_eq!(woken.count(), 0);
    assert!(poll(&mut worker).is_ready());
    assert_eq!(woken.count(), 1);
    ready(shutdown);
}

#[test]
fn shutdown_does_not_wait_for_a_worker_that_was_never_polled() {
    let pool = WorkerPool::detached(1);
    let worker = pool.worker();
    ready(pool.shutdown());
    assert_eq!(pool.stats().workers, 1);
    drop(worker);
}

#[test]
fn shutdown_of_a_pool_without_workers_waits_for_one() {
    let pool = WorkerPool::detached(1);
    let _handle = pool.try_submit(|| ()).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut shutdown = pool.shutdown();
    assert!(poll_with(&mut shutdown, &waker).is_pending());
    pool.worker().wait();
    assert_eq!(woken.count(), 1);
    ready(shutdown);
}

#[test]
fn shutdown_now_gives_the_queue_back_oldest_first() {
    let pool = WorkerPool::detached(3);
    let handles = [1, 2, 3].map(|n| pool.try_submit(move || n).unwrap());
    let (woken, waker) = CountingWaker::new();
    let mut shutdown = pool.shutdown();
    assert!(poll_with(&mut shutdown, &waker).is_pending());
    let mut pending = pool.shutdown_now().into_iter();
    assert_eq!((pending.len(), woken.count()), (3, 1));
    ready(shutdown);
    pending.next().unwrap().run();
    drop(pending);
    let results = handles.map(|handle| ready(handle).ok());
    assert_eq!(results, [Some(1), None, None]);
    assert_eq!((pool.stats().succeeded, pool.stats().cancelled), (1, 2));
}

#[test]
fn idle_workers_leave_at_close() {
    let pool = WorkerPool::detached(1);
    let (woken, waker) = CountingWaker::new();
    let mut workers = [pool.worker(), pool.worker()];
    for worker in &mut workers {
        assert!(poll_with(worker, &waker).is_pending());
    }
    pool.close();
    assert_eq!(woken.count(), 2);
    assert!(workers.iter_mut().all(|worker| poll(worker).is_ready()));
}

#[test]
fn dropping_the_pool_runs_what_was_accepted() {
    let pool = one_thread(8);
    let handles: Vec<_> = (0..8).map(|n| pool.submit(move || n).wait()).collect();
    let clone = pool.clone();
    drop(pool);
    assert!(!clone.is_closed(), "a clone is the same pool");
    drop(clone);
    assert!(handles.iter().all(|handle| handle.is_finished()));
}

#[test]
fn pool_may_be_dropped_by_its_own_job() {
    let pool = one_thread(1);
    let (sender, receiver) = mpsc::channel();
    let clone = pool.clone();
    let handle = pool.submit(move || {
        receiver.recv().unwrap();
        drop(clone);
    });
    let handle = handle.wait();
    drop(pool);
    sender.send(()).unwrap();
    handle.wait().unwrap();
}

#[test]
fn timed_out_shutdown_reports_and_lets_go() {
    let pool = one_thread(2);
    let (sender, receiver) = mpsc::channel();
    let (starts, started) = mpsc::channel();
    let endless = pool
        .submit(move || {
            starts.send(()).unwrap();
            receiver.recv().unwrap();
        })
        .wait();
    let queued = pool.submit(|| 7).wait();
    started.recv().unwrap();
    let error = pool.shutdown().wait_timeout(Duration::ZERO).unwrap_err();
    assert_eq!((error.jobs, error.to_string().as_str()), (2, "2 jobs have not ended"));
    assert!(pool.shutdown().wait_deadline(std::time::Instant::now()).is_err());
    // Does not wait for the job, which could not end before the next line.
    drop(pool);
    sender.send(()).unwrap();
    endless.wait().unwrap();
    assert_eq!(queued.wait().unwrap(), 7);
}

#[test]
fn timed_out_shutdown_reports_in_a_task_too() {
    let clock = ManualClock::new();
    let pool = WorkerPool::detached(1);
    let _handle = pool.try_submit(|| ()).unwrap();
    let mut within = pool.shutdown().or_timeout(&clock, Duration::from_secs(1));
    assert!(poll(&mut within).is_pending());
    clock.advance(Duration::from_secs(1));
    assert_eq!(ready(within).unwrap_err().jobs, 1);

    pool.worker().wait();
    let mut within = pool.shutdown().or_timeout(&clock, Duration::from_secs(1));
    assert_eq!(ready(&mut within), Ok(()));
}

#[test]
fn no_handle_outlives_its_pool_unresolved() {
    // No worker can come: the pool was dropped.
    let pool = WorkerPool::detached(1);
    let handle = pool.try_submit(|| 1).unwrap();
    drop(pool);
    assert!(ready(handle).unwrap_err().is_cancelled());

    // A worker that has not been polled may still come, and does.
    let pool = WorkerPool::detached(1);
    let (handle, worker) = (pool.try_submit(|| 1).unwrap(), pool.worker());
    drop(pool);
    assert!(!handle.is_finished());
    worker.wait();
    assert_eq!(ready(handle).unwrap(), 1);

    // Or the worker that was not polled is dropped.
    let pool = WorkerPool::detached(1);
    let (handle, worker) = (pool.try_submit(|| 1).unwrap(), pool.worker());
    let mut polled = pool.worker();
    drop(pool);
    drop(worker);
    assert!(!handle.is_finished());
    assert!(poll(&mut polled).is_pending());
    assert!(handle.is_finished());
}
