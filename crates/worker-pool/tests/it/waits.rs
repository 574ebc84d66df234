//! Laws of the waits other than a handle's: `run`, `idle`, `join_next` and `try_join`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use test_kit::{CountingWaker, OnDrop, poll, poll_with, quiet_panic, ready};
use tidegate_worker_pool::{GroupError, JobGroup, Wait, WorkerPool};

#[test]
fn a_run_waits_for_room_and_then_for_the_result() {
    let pool = WorkerPool::detached(1);
    let first = pool.try_submit(|| 1).unwrap();
    let mut run = pool.run(|| 2);
    assert!(poll(&mut run).is_pending());
    let mut worker = pool.worker();
    while pool.stats().succeeded == 0 {
        assert!(poll(&mut worker).is_pending());
    }
    assert!(poll(&mut run).is_pending(), "it was let in, and has not run");
    while pool.stats().succeeded == 1 {
        assert!(poll(&mut worker).is_pending());
    }
    assert_eq!((ready(run).unwrap(), first.wait().unwrap()), (2, 1));
}

#[test]
fn a_run_says_why_there_is_no_result() {
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    assert!(pool.run(|| -> () { quiet_panic("quiet") }).wait().unwrap_err().is_panic());
    pool.close();
    assert!(pool.run(|| ()).wait().unwrap_err().is_closed());
}

#[test]
fn a_run_that_is_dropped_cancels_what_has_not_begun() {
    let (pool, dropped) = (WorkerPool::detached(1), Arc::new(AtomicUsize::new(0)));
    let count = dropped.clone();
    let guard = OnDrop(move || _ = count.fetch_add(1, Ordering::SeqCst));
    let mut run = pool.run(move || drop(guard));
    assert!(poll(&mut run).is_pending());
    assert_eq!((pool.stats().waiting, dropped.load(Ordering::SeqCst)), (1, 0));
    assert!(run.wait_timeout(Duration::ZERO).is_err());
    assert_eq!((pool.stats().waiting, dropped.load(Ordering::SeqCst)), (0, 1));
    assert!(pool.try_submit(|| ()).is_ok());
}

#[test]
fn an_unused_pool_is_idle() {
    for pool in [WorkerPool::detached(1), WorkerPool::builder().threads(2).build().unwrap()] {
        pool.idle().wait();
        assert!(!pool.is_closed());
    }
}

#[test]
fn a_pool_is_idle_when_the_last_job_has_ended_and_not_before() {
    let pool = WorkerPool::detached(4);
    let mut idle = pool.idle();
    let jobs = [(); 3].map(|()| pool.try_submit(|| ()).unwrap());
    let mut workers = [pool.worker(), pool.worker()];
    let (counter, waker) = CountingWaker::new();
    assert!(poll_with(&mut idle, &waker).is_pending());
    while jobs.iter().any(|job| !job.is_finished()) {
        assert!(poll_with(&mut idle, &waker).is_pending());
        assert!(workers.iter_mut().all(|worker| poll(worker).is_pending()));
    }
    // The workers that have run a job poll for the next.
    assert!(workers.iter_mut().all(|worker| poll(worker).is_pending()));
    assert!(counter.count() > 0, "asleep in an idle pool");
    ready(idle);
    ready(pool.idle());
}

#[test]
fn a_pool_whose_worker_has_slept_is_not_idle_while_a_job_runs() {
    let pool = WorkerPool::detached(1);
    let mut worker = pool.worker();
    for _ in 0..3 {
        assert!(poll(&mut worker).is_pending());
        ready(pool.idle());
        let inside = pool.clone();
        let job = pool.try_submit(move || poll(&mut inside.idle()).is_pending()).unwrap();
        assert!(poll(&mut worker).is_pending());
        assert!(ready(job).unwrap());
    }
}

#[test]
fn a_pool_with_a_job_that_submits_others_is_idle_after_the_last() {
    let pool = WorkerPool::builder().threads(3).queue(64).build().unwrap();
    for round in 1..200_usize {
        let ended = Arc::new(AtomicUsize::new(0));
        let (inside, count) = (pool.clone(), ended.clone());
        let first = move || {
            let (deeper, again) = (inside.clone(), count.clone());
            let second = move || {
                let third = again.clone();
                let last = move || _ = third.fetch_add(1, Ordering::Relaxed);
                deeper.try_submit(last).map(drop).unwrap();
                again.fetch_add(1, Ordering::Relaxed);
            };
            inside.try_submit(second).map(drop).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        };
        pool.execute(first).wait().unwrap();
        pool.idle().wait();
        assert_eq!(ended.load(Ordering::Relaxed), 3, "in round {round}");
    }
}

#[test]
fn a_job_that_is_cancelled_or_taken_out_is_not_waited_for() {
    let pool = WorkerPool::detached(2);
    let job = pool.try_submit(|| ()).unwrap();
    let (counter, waker) = CountingWaker::new();
    let mut idle = pool.idle();
    assert!(poll_with(&mut idle, &waker).is_pending());
    job.cancel();
    assert_eq!(counter.count(), 1);
    ready(idle);

    let job = pool.try_submit(|| ()).unwrap();
    let mut idle = pool.idle();
    assert!(poll_with(&mut idle, &waker).is_pending());
    assert!(!pool.shutdown_now().is_empty());
    assert_eq!(counter.count(), 2);
    ready(idle);
    drop(job);
}

#[test]
fn a_panic_leaves_the_pool_idle() {
    let pool = WorkerPool::builder().threads(2).build().unwrap();
    for _ in 0..10 {
        pool.execute(|| quiet_panic("quiet")).wait().unwrap();
    }
    pool.idle().wait();
    assert_eq!(pool.stats().panicked, 10);
}

#[test]
fn results_come_as_the_jobs_end() {
    let pool = WorkerPool::detached(4);
    let mut group: JobGroup<_> = (0..4).map(|n| pool.try_submit(move || n).unwrap()).collect();
    let (counter, waker) = CountingWaker::new();
    assert!(poll_with(&mut group.join_next(), &waker).is_pending());
    let mut left = pool.shutdown_now();
    left.remove(2).run();
    assert_eq!(counter.count(), 1);
    assert_eq!(ready(group.join_next()).unwrap().unwrap(), 2);
    assert_eq!(group.len(), 3);
    left.remove(0).run();
    drop(left);
    assert_eq!(ready(group.join_next()).unwrap().unwrap(), 0);
    assert!(ready(group.join_next()).unwrap().unwrap_err().is_cancelled());
    assert!(ready(group.join_next()).unwrap().unwrap_err().is_cancelled());
    assert!(ready(group.join_next()).is_none() && group.is_empty());
}

#[test]
fn a_dropped_wait_for_the_next_loses_no_result() {
    let pool = WorkerPool::detached(4);
    let mut group = JobGroup::new();
    group.push(pool.try_submit(|| 1).unwrap());
    drop(group.join_next());
    assert!(poll(&mut group.join_next()).is_pending());
    group.push(pool.try_submit(|| 2).unwrap());
    pool.close();
    pool.worker().run();
    assert_eq!(ready(group.join_next()).unwrap().unwrap(), 1);
    assert_eq!(ready(group.join()).into_iter().map(Result::unwrap).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_is_left_of_a_group_is_cancelled_together() {
    let pool = WorkerPool::detached(8);
    let job = |n: u32| pool.try_submit(move || if n == 3 { Err(n) } else { Ok(n) }).unwrap();
    let mut group: JobGroup<_> = (0..3).map(job).collect();
    assert!(poll(&mut group.join_next()).is_pending());
    group.extend((3..6).map(job));
    let mut left = pool.shutdown_now();
    left.remove(3).run();
    assert_eq!(ready(group.join_next()).unwrap().unwrap(), Err(3));
    assert_eq!((group.cancel(), group.len()), (5, 5));
    drop(left);
    let error = ready(group.try_join()).unwrap_err();
    assert!(
        matches!(error, GroupError::Lost { index, error } if index != 3 && error.is_cancelled())
    );
}

/// Returns how often a group of `n` jobs, whose results come one by one, is woken until it has all.
fn polls(n: usize) -> usize {
    let pool = WorkerPool::detached(n);
    let job = || pool.try_submit(|| Ok::<_, ()>(())).unwrap();
    let mut join = (0..n).map(|_| job()).collect::<JobGroup<_>>().try_join();
    let (counter, waker) = CountingWaker::new();
    assert!(poll_with(&mut join, &waker).is_pending());
    let (mut left, mut polls) = (pool.shutdown_now(), 1);
    while left.len() > 1 {
        left.swap_remove(0).run();
        assert_eq!(counter.count(), polls, "one wake for each result");
        assert!(poll_with(&mut join, &waker).is_pending());
        polls += 1;
    }
    left.remove(0).run();
    assert_eq!(ready(join).unwrap().len(), n);
    counter.count()
}

#[test]
fn a_result_of_a_group_wakes_and_is_polled_once() {
    assert_eq!((polls(10), polls(160)), (10, 160));
}

#[test]
fn a_pool_in_which_a_job_waits_is_not_idle_whatever_is_cancelled_beside_it() {
    let pool = WorkerPool::detached(64);
    let stays = pool.try_submit(|| ()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let cancelling = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if let Ok(job) = pool.try_submit(|| ()) {
                    assert!(job.cancel());
                }
            }
        });
        // There is no worker, so the first job waits for ever.
        let was_idle = (0..100_000).any(|_| poll(&mut pool.idle()).is_ready());
        is_over.store(true, Ordering::Relaxed);
        cancelling.join().unwrap();
        assert!(!was_idle);
    });
    assert!(!stays.is_finished());
}

#[test]
fn a_worker_that_drops_its_future_wakes_the_caller_of_idle() {
    let (pool, dropped) = (WorkerPool::detached(2), Arc::new(CountingWaker::default()));
    let count = dropped.clone();
    let guard = OnDrop(move || count.add());
    drop(ready(pool.submit_future(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    })));
    let (mut worker, mut idle) = (pool.worker(), pool.idle());
    let (counter, waker) = CountingWaker::new();
    while pool.stats().waiting > 0 {
        assert!(poll(&mut worker).is_pending());
    }
    assert!(poll(&mut worker).is_pending());
    assert!(poll_with(&mut idle, &waker).is_pending());
    drop(worker);
    assert_eq!(dropped.count(), 1);
    assert!(counter.count() > 0);
    ready(idle);
}
