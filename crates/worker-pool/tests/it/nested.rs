//! Laws of jobs that use their own pool.

use std::num::NonZeroUsize;

use test_kit::{CountingWaker, OnDrop, quiet_panic};
use tidegate_worker_pool::{OnFull, Wait, WorkerPool};

fn threads(n: usize, queue: usize, on_full: OnFull) -> WorkerPool {
    let threads = NonZeroUsize::new(n).unwrap();
    WorkerPool::builder().threads(threads).queue(queue).on_full(on_full).build().unwrap()
}

/// ants' #197: a task that submits to its full pool waits for itself.
#[test]
fn job_that_submits_to_its_full_pool_does_not_deadlock_where_callers_run() {
    let pool = threads(1, 1, OnFull::CallerRuns);
    let inside = pool.clone();
    let sum = pool.submit(move || {
        (1..=10).for_each(|_| inside.execute(|| ()).wait().unwrap());
        // The first of the ten takes the only slot, and the worker is here: so the others run here.
        inside.submit(|| 45).wait().wait().unwrap()
    });
    assert_eq!(sum.wait().wait().unwrap(), 45);
    pool.shutdown().wait();
    assert_eq!((pool.stats().succeeded, pool.stats().run_by_callers), (12, 10));
}

#[test]
fn job_that_finds_its_pool_full_gets_its_job_back_at_once() {
    let pool = threads(1, 1, OnFull::Wait);
    let inside = pool.clone();
    let handle = pool.submit(move || {
        let _accepted = inside.try_submit(|| 1).unwrap();
        inside.try_submit(|| 2).unwrap_err().into_inner()()
    });
    assert_eq!(handle.wait().wait().unwrap(), 2);
}

/// rayon #446: a worker whose job waits runs another job within it, which needs a lock that the
/// waiting job holds.
#[test]
fn waiting_for_a_handle_on_a_worker_runs_no_other_job() {
    let pool = threads(2, 8, OnFull::Wait);
    let lock = std::sync::Arc::new(std::sync::Mutex::new(0));
    let jobs: Vec<_> = (0..4)
        .map(|_| {
            let (inside, lock) = (pool.clone(), lock.clone());
            pool.submit(move || {
                // Run within this job, another one of the same kind would wait for this lock for
                // ever.
                let mut held = lock.lock().unwrap();
                *held += inside.try_submit(|| 1).map_or(1, |handle| {
                    // Waits for a moment only: the other worker may be waiting for the lock, and
                    // no worker is left for the job.
                    handle.wait_timeout(core::time::Duration::ZERO).map_or(1, Result::unwrap)
                });
            })
            .wait()
        })
        .collect();
    jobs.into_iter().for_each(|job| job.wait().unwrap());
    assert_eq!(*lock.lock().unwrap(), 4);
}

/// ants' #146: the caller that waits for a task which panicked waits for ever.
#[test]
fn panicking_job_never_hangs_its_submitter() {
    let pool = threads(1, 1, OnFull::Wait);
    for _ in 0..8 {
        let handle = pool.submit(|| -> u8 { quiet_panic("quiet") }).wait();
        assert!(handle.wait().unwrap_err().is_panic());
    }
    assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
}

#[test]
fn panic_while_the_result_is_dropped_keeps_the_worker() {
    let pool = threads(1, 2, OnFull::Wait);
    let dropped = pool.submit(|| OnDrop(|| quiet_panic("quiet"))).wait();
    drop(dropped.wait().map(std::mem::forget));
    // The handle is dropped before the job begins, so that the worker drops the result.
    let paused = pool.pause();
    drop(pool.submit(|| OnDrop(|| quiet_panic("quiet"))).wait());
    drop(paused);
    assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
    assert_eq!(pool.stats().workers, 1);
}

#[test]
fn dropped_handles_leave_jobs_and_workers_alone() {
    let pool = threads(1, 16, OnFull::Wait);
    let (ran, _) = CountingWaker::new();
    for _ in 0..16 {
        let ran = ran.clone();
        drop(pool.submit(move || ran.add()).wait());
    }
    pool.shutdown().wait();
    assert_eq!(ran.count(), 16);
}

#[test]
fn job_may_close_its_pool() {
    let pool = threads(2, 4, OnFull::Wait);
    let inside = pool.clone();
    assert!(pool.submit(move || inside.close()).wait().wait().unwrap());
    pool.shutdown().wait();
}
