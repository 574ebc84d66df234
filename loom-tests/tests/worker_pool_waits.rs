//! The worker pool's waits for idleness and for the next result, and the slots that cancelled jobs
//! free.

use std::sync::Arc;

use loom_tests::{model, poll_quietly, thread};
use tidegate_core::{
    Wait,
    primitive::atomic::{AtomicUsize, Ordering},
};
use tidegate_worker_pool::{JobGroup, WorkerPool};

/// Runs a new worker of the pool to its end on a thread of its own.
fn spawn_worker(pool: &WorkerPool) -> thread::JoinHandle<()> {
    let worker = pool.worker();
    thread::spawn(|| worker.wait())
}

/// A job that counts its end.
fn count(ended: &Arc<AtomicUsize>) -> impl FnOnce() + Send + 'static {
    let ended = ended.clone();
    move || _ = ended.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn idle_against_the_worker_of_the_last_job() {
    model(|| {
        let (pool, ended) = (WorkerPool::detached(2), Arc::default());
        drop(pool.try_submit(count(&ended)).unwrap());
        let worker = spawn_worker(&pool);
        pool.idle().wait();
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        pool.close();
        worker.join().unwrap();
    });
}

#[test]
fn idle_against_a_job_that_submits_another() {
    model(|| {
        let (pool, ended) = (WorkerPool::detached(2), Arc::default());
        let (inside, last) = (pool.clone(), count(&ended));
        drop(pool.try_submit(move || drop(inside.try_submit(last).unwrap())).unwrap());
        // This thread polls one worker, so that the two jobs may have different workers.
        let (worker, mut here) = (spawn_worker(&pool), pool.worker());
        let _ = poll_quietly(&mut here);
        let mut idle = pool.idle();
        if poll_quietly(&mut idle).is_ready() {
            assert_eq!(ended.load(Ordering::Relaxed), 1);
        }
        pool.close();
        worker.join().unwrap();
        here.wait();
    });
}

#[test]
fn idle_against_a_cancel_beside_a_job_that_waits() {
    model(|| {
        let pool = WorkerPool::detached(3);
        let waits = pool.try_submit(|| 1).unwrap();
        let beside = {
            let pool = pool.clone();
            thread::spawn(move || assert!(pool.try_submit(|| 2).unwrap().cancel()))
        };
        // No worker is there to run it.
        assert!(poll_quietly(&mut pool.idle()).is_pending());
        beside.join().unwrap();
        assert!(poll_quietly(&mut pool.idle()).is_pending());
        drop((waits, pool));
    });
}

#[test]
fn idle_against_a_worker_that_leaves() {
    model(|| {
        let pool = WorkerPool::detached(2);
        let mut worker = pool.worker();
        let _ = poll_quietly(&mut worker);
        let leaver = thread::spawn(move || drop(worker));
        pool.idle().wait();
        leaver.join().unwrap();
        pool.idle().wait();
    });
}

#[test]
fn a_cancel_makes_room_for_a_submit_that_goes_to_wait() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let job = pool.try_submit(|| 1).unwrap();
        let submitter = {
            let pool = pool.clone();
            thread::spawn(move || pool.submit(|| 2).wait())
        };
        assert!(job.cancel());
        let job = submitter.join().unwrap();
        pool.close();
        pool.worker().wait();
        assert_eq!(job.wait().unwrap(), 2);
    });
}

#[test]
fn a_cancel_against_the_worker_that_takes_the_job_frees_one_slot() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let job = pool.try_submit(|| 1).unwrap();
        let mut worker = pool.worker();
        let taker = thread::spawn(move || {
            let _ = poll_quietly(&mut worker);
        });
        let cancelled = job.cancel();
        taker.join().unwrap();
        assert_eq!(job.wait().is_err(), cancelled);
        let next = pool.try_submit(|| 2).unwrap();
        assert!(pool.try_submit(|| 3).is_err(), "two slots for one");
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.cancelled), (1, u64::from(cancelled)));
        drop(next);
        drop(pool.shutdown_now());
    });
}

#[test]
fn a_cancel_against_the_turn_of_its_key_frees_one_slot() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let keyed = pool.keyed(std::num::NonZeroUsize::MIN);
        let job = keyed.try_submit('a', || 1).unwrap();
        let mut worker = pool.worker();
        let taker = thread::spawn(move || {
            let _ = poll_quietly(&mut worker);
        });
        let cancelled = job.cancel();
        taker.join().unwrap();
        assert_eq!(job.wait().is_err(), cancelled);
        let next = keyed.try_submit('a', || 2).unwrap();
        assert!(pool.try_submit(|| 3).is_err() && keyed.try_submit('a', || 3).is_err());
        drop(next);
        drop(pool.shutdown_now());
    });
}

#[test]
fn jobs_behind_the_ring_are_bounded_and_begin_in_order() {
    model(|| {
        let (pool, next) = (WorkerPool::detached(4), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..4)
            .map(|n| {
                let next = next.clone();
                let job = move || assert_eq!(next.fetch_add(1, Ordering::Relaxed), n);
                pool.try_submit(job).unwrap()
            })
            .collect();
        assert!(pool.try_submit(|| ()).is_err(), "five slots for four");
        pool.close();
        let worker = spawn_worker(&pool);
        jobs.into_iter().for_each(|job| job.wait().unwrap());
        worker.join().unwrap();
    });
}

#[test]
fn the_next_result_against_the_end_of_its_job() {
    model(|| {
        let pool = WorkerPool::detached(2);
        let mut group: JobGroup<_> = (0..2).map(|n| pool.try_submit(move || n).unwrap()).collect();
        pool.close();
        let worker = spawn_worker(&pool);
        let sum: i32 = std::iter::from_fn(|| group.join_next().wait()).map(Result::unwrap).sum();
        assert_eq!(sum, 1);
        worker.join().unwrap();
    });
}
