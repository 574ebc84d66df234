//! Laws of cancelled jobs: each frees its slot at once.

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc},
};

use test_kit::{CountingWaker, OnDrop, PanickingWaker, poll, poll_with, quiet_panic, ready};
use tidegate_worker_pool::{JobHandle, OnFull, Wait, Worker, WorkerPool};

const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// Runs all jobs on a worker.
fn run_all(worker: &mut Worker, pool: &WorkerPool) {
    while pool.stats().waiting > 0 {
        assert!(poll(worker).is_pending());
    }
    assert!(poll(worker).is_pending());
}

/// Submits until there is no room; returns the handles.
fn fill(pool: &WorkerPool) -> Vec<JobHandle<()>> {
    std::iter::from_fn(|| pool.try_submit(|| ()).ok()).collect()
}

#[test]
fn a_queue_holds_exactly_its_capacity() {
    // Up to 1024 jobs are in a ring, and more behind it.
    for capacity in [1, 2, 3, 1023, 1024, 1025, 1500] {
        let pool = WorkerPool::detached(capacity);
        assert_eq!(fill(&pool).len(), capacity);
        let mut worker = pool.worker();
        assert!(poll(&mut worker).is_pending());
        assert_eq!(fill(&pool).len(), 1, "one was taken out of {capacity}");
    }
}

#[test]
fn a_cancelled_job_frees_its_slot_at_once() {
    for capacity in [1, 2, 3, 1024, 1025, 1500] {
        let pool = WorkerPool::detached(capacity);
        for _ in 0..3 {
            let jobs = fill(&pool);
            assert_eq!((jobs.len(), pool.stats().waiting), (capacity, capacity));
            let cancelled = jobs.iter().filter(|job| job.cancel()).count();
            assert_eq!((cancelled, pool.stats().waiting), (capacity, 0));
        }
        // And each frees no more than one slot.
        let jobs = fill(&pool);
        assert_eq!(jobs.len(), capacity);
        assert!(jobs[0].cancel() && !jobs[0].cancel());
        assert_eq!(fill(&pool).len(), 1);
        pool.close();
        pool.worker().run();
        let stats = pool.stats();
        assert_eq!((stats.succeeded, stats.cancelled), (capacity as u64, 3 * capacity as u64 + 1));
        assert_eq!(stats.submitted, stats.succeeded + stats.cancelled);
    }
}

#[test]
fn a_cancelled_future_frees_its_slot_at_once() {
    let pool = WorkerPool::detached(1);
    let waits = ready(pool.submit_future(std::future::pending::<()>()));
    assert!(waits.cancel());
    let runs = ready(pool.submit_future(std::future::pending::<()>()));
    assert!(pool.try_submit(|| ()).is_err());
    let mut worker = pool.worker();
    run_all(&mut worker, &pool);
    // The future has a worker, and no slot that it could free a second time.
    assert_eq!(fill(&pool).len(), 1);
    assert!(runs.cancel());
    assert!(pool.try_submit(|| ()).is_err());
    run_all(&mut worker, &pool);
    let stats = pool.stats();
    assert_eq!((stats.succeeded, stats.cancelled, stats.in_flight), (1, 2, 0));
}

#[test]
fn a_cancelled_job_with_a_key_frees_both_its_slots_at_once() {
    let pool = WorkerPool::detached(1);
    let keyed = pool.keyed(ONE);
    let first = keyed.try_submit('a', || 1).unwrap();
    assert!(keyed.try_submit('a', || 2).is_err() && keyed.try_submit('b', || 3).is_err());
    assert!(first.cancel());
    let second = keyed.try_submit('a', || 2).unwrap();
    assert!(keyed.try_submit('a', || 3).is_err() && keyed.try_submit('b', || 3).is_err());
    let mut worker = pool.worker();
    run_all(&mut worker, &pool);
    assert_eq!(second.wait().unwrap(), 2);
    assert_eq!((pool.stats().cancelled, pool.stats().succeeded), (1, 1));
    // Nothing is left of it.
    assert!(keyed.is_empty());
    assert_eq!(fill(&pool).len(), 1);
}

#[test]
fn a_waiting_submit_is_woken_by_a_cancel() {
    let pool = WorkerPool::detached(1);
    let keyed = pool.keyed(ONE);
    let job = pool.try_submit(|| ()).unwrap();
    let (counter, waker) = CountingWaker::new();
    let mut submit = pool.submit(|| 7);
    assert!(poll_with(&mut submit, &waker).is_pending());
    assert!(job.cancel());
    assert_eq!(counter.count(), 1);
    let job = ready(submit);

    let mut submit = keyed.submit('a', || 8);
    assert!(poll_with(&mut submit, &waker).is_pending());
    assert!(job.cancel());
    assert_eq!(counter.count(), 2);
    let job = ready(submit);

    let mut submit = keyed.submit('a', || 9);
    assert!(poll_with(&mut submit, &waker).is_pending());
    assert!(job.cancel());
    assert!(counter.count() > 2);
    drop(ready(submit));
}

#[test]
fn a_sleeping_worker_is_woken_for_a_job_in_the_slot_of_a_cancelled_one() {
    let pool = WorkerPool::detached(1);
    let (first, waker_of_first) = CountingWaker::new();
    let (second, waker_of_second) = CountingWaker::new();
    let mut workers = [pool.worker(), pool.worker()];
    assert!(poll_with(&mut workers[0], &waker_of_first).is_pending());
    assert!(poll_with(&mut workers[1], &waker_of_second).is_pending());
    assert!(pool.try_submit(|| ()).unwrap().cancel());
    assert_eq!(first.count() + second.count(), 1);
    let job = pool.try_submit(|| 7).unwrap();
    assert_eq!(first.count() + second.count(), 2, "one for each job");
    workers.iter_mut().for_each(|worker| assert!(poll(worker).is_pending()));
    assert_eq!(job.wait().unwrap(), 7);
}

#[test]
fn jobs_in_the_slots_of_cancelled_ones_begin_in_order() {
    for capacity in [1, 2, 3, 5] {
        let (pool, log) = (WorkerPool::detached(capacity), Arc::new(Mutex::new(Vec::new())));
        let note = |n: usize| {
            let log = log.clone();
            pool.try_submit(move || log.lock().unwrap().push(n)).unwrap()
        };
        for _ in 0..4 {
            fill(&pool).iter().for_each(|job| assert!(job.cancel()));
        }
        let jobs: Vec<_> = (0..capacity).map(note).collect();
        let mut worker = pool.worker();
        run_all(&mut worker, &pool);
        assert!(jobs.iter().all(JobHandle::is_finished));
        assert!(log.lock().unwrap().iter().copied().eq(0..capacity));
    }
}

#[test]
fn cancelled_jobs_do_not_accumulate_without_a_worker() {
    let held = Arc::new(());
    let pool = WorkerPool::detached(2);
    let stays = pool.try_submit(|| ()).unwrap();
    for _ in 0..10_000 {
        let hold = held.clone();
        // The closure of a cancelled job is dropped at once, and `hold` with it.
        let job = pool.try_submit(move || hold).unwrap();
        assert!(job.cancel());
    }
    assert_eq!((Arc::strong_count(&held), pool.stats().waiting), (1, 1));
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending() && stays.is_finished());
    // The worker takes out the cancelled jobs that are left, one in each poll, and wakes itself for
    // the next.
    let (woken, waker) = CountingWaker::new();
    let mut polls = 0;
    while polls == woken.count() {
        assert!(poll_with(&mut worker, &waker).is_pending());
        polls += 1;
    }
    assert!(polls < 300, "{polls}");
    assert_eq!(fill(&pool).len(), 2);
}

#[test]
fn a_key_with_cancelled_jobs_is_bounded_too() {
    let pool = WorkerPool::detached(1000);
    let keyed = pool.keyed(NonZeroUsize::new(4).unwrap());
    let submitted = (0..100).map_while(|_| keyed.try_submit('a', || ()).ok());
    let cancelled = submitted.filter(JobHandle::cancel).count();
    assert_eq!(cancelled, 8, "as many as may wait, and as many again");
    run_all(&mut pool.worker(), &pool);
    assert!(keyed.try_submit('a', || ()).is_ok());
}

#[test]
fn cancelled_jobs_of_many_keys_are_bounded_too() {
    for capacity in [1, 10, 1500] {
        let pool = WorkerPool::detached(capacity);
        let keyed = pool.keyed(ONE);
        let submitted = (0..10_000).map_while(|key| keyed.try_submit(key, || ()).ok());
        let cancelled = submitted.filter(JobHandle::cancel).count();
        assert_eq!(cancelled, 2 * capacity, "as many as may wait, and as many again");
        let mut worker = pool.worker();
        while !keyed.is_empty() {
            assert!(poll(&mut worker).is_pending());
        }
        assert_eq!(fill(&pool).len(), capacity);
    }
}

#[test]
fn a_cancel_ends_the_job_past_a_panicking_waker() {
    let (pool, dropped) = (WorkerPool::detached(1), Arc::new(CountingWaker::default()));
    let count = dropped.clone();
    let guard = OnDrop(move || count.add());
    let mut job = ready(pool.submit_future(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
    let mut worker = pool.worker();
    run_all(&mut worker, &pool);
    assert!(poll_with(&mut job, &PanickingWaker::in_wake()).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| job.cancel())).is_err());
    assert!(ready(job).unwrap_err().is_cancelled());
    run_all(&mut worker, &pool);
    assert_eq!((dropped.count(), pool.stats().in_flight, pool.stats().cancelled), (1, 0, 1));
}

#[test]
fn a_full_queue_that_drops_the_oldest_counts_no_cancelled_job_twice() {
    let pool = WorkerPool::builder().queue(2).on_full(OnFull::DropOldest).detached();
    let first = ready(pool.submit(|| 1));
    let second = ready(pool.submit(|| 2));
    assert!(first.cancel());
    let third = ready(pool.submit(|| 3));
    assert!(!second.is_finished(), "there was room");
    let fourth = ready(pool.submit(|| 4));
    assert_eq!((pool.stats().waiting, pool.stats().cancelled), (2, 2));
    run_all(&mut pool.worker(), &pool);
    assert!(second.wait().unwrap_err().is_cancelled());
    assert_eq!((third.wait().unwrap(), fourth.wait().unwrap()), (3, 4));
    assert_eq!(pool.stats().cancelled, 2);
}

#[test]
fn a_closure_that_panics_when_it_is_cancelled_frees_its_slot() {
    let pool = WorkerPool::detached(1);
    let bomb = OnDrop(|| quiet_panic("quiet"));
    let job = pool.try_submit(move || drop(bomb)).unwrap();
    let cancel = std::panic::AssertUnwindSafe(|| job.cancel());
    assert!(std::panic::catch_unwind(cancel).is_err());
    assert_eq!((pool.stats().waiting, fill(&pool).len()), (0, 1));
    assert!(job.wait().unwrap_err().is_cancelled());
}

#[test]
fn a_submitters_panicking_waker_loses_no_cancel() {
    let pool = WorkerPool::detached(1);
    let keyed = pool.keyed(ONE);
    let waker = PanickingWaker::in_wake();
    let job = pool.try_submit(|| ()).unwrap();
    let (mut plain, mut idle) = (pool.submit(|| 7), pool.idle());
    assert!(
        poll_with(&mut plain, &waker).is_pending() && poll_with(&mut idle, &waker).is_pending()
    );
    assert!(job.cancel() && job.wait().unwrap_err().is_cancelled());
    drop(ready(plain));

    let job = keyed.try_submit('a', || ()).err();
    assert!(job.is_some(), "its slot was taken");
    pool.shutdown_now().into_iter().for_each(drop);
}

/// A turn that is taken out of the queue cancels the job that waits for it, and not one that
/// another worker owes.
#[test]
fn a_dropped_turn_cancels_no_owed_job() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(NonZeroUsize::new(4).unwrap());
    let (inside, mut other) = (pool.clone(), pool.worker());
    let first = keyed.try_submit('a', move || {
        // Another worker takes the turn of the second job, which the worker that runs this now
        // owes.
        assert!(poll(&mut other).is_pending());
        drop(inside.shutdown_now());
    });
    let second = keyed.try_submit('a', || 2).unwrap();
    let third = keyed.try_submit('a', || 3).unwrap();
    pool.worker().run();
    first.unwrap().wait().unwrap();
    assert_eq!(second.wait().unwrap(), 2);
    assert!(third.wait().unwrap_err().is_cancelled());
}

/// Calls `check` with a key's second job while the first runs: the worker that runs the first owes
/// the second, whose turn is no longer in the pool's queue.
fn owed(pool: &WorkerPool, check: impl FnOnce(&JobHandle<()>) + Send + 'static) {
    let keyed = pool.keyed(NonZeroUsize::new(4).unwrap());
    let (send, receive) = mpsc::channel();
    let mut other = pool.worker();
    let first = move || {
        assert!(poll(&mut other).is_pending());
        check(&receive.recv().unwrap());
    };
    let first = keyed.try_submit('a', first).unwrap();
    send.send(keyed.try_submit('a', || ()).unwrap()).unwrap();
    run_all(&mut pool.worker(), pool);
    first.wait().unwrap();
}

#[test]
fn a_cancelled_job_that_has_no_slot_of_the_pool_frees_none() {
    let pool = WorkerPool::detached(2);
    let inside = pool.clone();
    owed(&pool, move |second| {
        let _full = fill(&inside);
        assert!(second.cancel());
        assert!(inside.try_submit(|| ()).unwrap_err().is_full());
    });
}

#[test]
fn a_cancelled_job_of_a_key_that_has_left_makes_no_room_twice() {
    let pool = WorkerPool::detached(8);
    let keyed = pool.keyed(NonZeroUsize::new(2).unwrap());
    let jobs = [(); 2].map(|()| keyed.try_submit('a', || ()).unwrap());
    assert!(jobs[0].cancel());
    assert!(poll(&mut pool.worker()).is_pending());
    assert!(keyed.try_submit('a', || ()).is_ok());
    assert!(keyed.try_submit('a', || ()).unwrap_err().is_full(), "two wait");
}

#[test]
fn a_job_of_a_key_that_made_room_is_not_among_the_cancelled_ones_of_its_key() {
    let pool = WorkerPool::builder().queue(1).on_full(OnFull::DropOldest).detached();
    let keyed = pool.keyed(ONE);
    let first = keyed.try_submit('a', || ()).unwrap();
    // Keeps the key's queue.
    let mut second = keyed.submit('a', || ());
    assert!(poll(&mut second).is_pending());
    ready(pool.execute(|| ())).unwrap();
    assert!(first.is_finished());
    assert!(poll(&mut second).is_pending(), "the pool is full");
    assert!(poll(&mut pool.worker()).is_pending());
    let second = ready(second);
    assert!(keyed.try_submit('a', || ()).unwrap_err().is_full());
    assert!(second.cancel());
    assert!(keyed.try_submit('a', || ()).is_ok());
}

#[test]
fn a_cancelled_job_of_a_key_is_counted_once_when_its_turn_makes_room() {
    let pool = WorkerPool::builder().queue(1).on_full(OnFull::DropOldest).detached();
    let keyed = pool.keyed(ONE);
    assert!(keyed.try_submit('a', || ()).unwrap().cancel());
    for cancelled in [1, 2] {
        ready(pool.execute(|| ())).unwrap();
        assert_eq!((pool.stats().waiting, pool.stats().cancelled), (1, cancelled));
    }
    assert!(keyed.is_empty());
}
