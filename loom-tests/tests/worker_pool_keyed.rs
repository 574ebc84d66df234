//! The worker pool's keyed form: jobs of one key, and the two slots that a keyed submitter needs.

use std::{num::NonZeroUsize, sync::Arc};

use loom_tests::{model, poll_quietly, thread};
use tidegate_core::{
    Wait,
    lock::Lock,
    primitive::atomic::{AtomicBool, Ordering},
};
use tidegate_worker_pool::WorkerPool;

/// Runs a new worker of the pool to its end on a thread of its own.
fn spawn_worker(pool: &WorkerPool) -> thread::JoinHandle<()> {
    let worker = pool.worker();
    thread::spawn(|| worker.wait())
}

/// A job that checks that it is the only one of its key that runs, and that its turn has come.
fn alone(
    place: &Arc<Lock<u32>>,
    inside: &Arc<AtomicBool>,
    n: u32,
) -> impl FnOnce() + Send + 'static {
    let (place, inside) = (place.clone(), inside.clone());
    move || {
        assert!(!inside.swap(true, Ordering::Relaxed), "twice at once");
        place.with(|place| {
            assert_eq!(*place, n, "out of order");
            *place += 1;
        });
        inside.store(false, Ordering::Relaxed);
    }
}

#[test]
fn two_workers_at_one_key() {
    model(|| {
        let pool = WorkerPool::detached(2);
        let keyed = pool.keyed(NonZeroUsize::new(2).unwrap());
        let (place, inside) = (Arc::new(Lock::new(0)), Arc::new(AtomicBool::new(false)));
        let jobs = [0, 1].map(|n| keyed.try_submit('a', alone(&place, &inside, n)).unwrap());
        pool.close();
        let worker = spawn_worker(&pool);
        pool.worker().wait();
        worker.join().unwrap();
        jobs.into_iter().for_each(|job| job.wait().unwrap());
        assert!(keyed.is_empty());
    });
}

#[test]
fn a_key_queue_that_ends_against_a_submit_to_it() {
    model(|| {
        let pool = WorkerPool::detached(2);
        let keyed = pool.keyed(NonZeroUsize::MIN);
        let (place, inside) = (Arc::new(Lock::new(0)), Arc::new(AtomicBool::new(false)));
        let first = keyed.try_submit('a', alone(&place, &inside, 0)).unwrap();
        let worker = spawn_worker(&pool);
        // Waits for room in the key's queue, if the first job has not begun.
        let second = keyed.submit('a', alone(&place, &inside, 1)).wait();
        pool.close();
        worker.join().unwrap();
        first.wait().unwrap();
        second.wait().unwrap();
        assert!(keyed.is_empty());
    });
}

/// A slot in the pool goes from a submitter whose key is full to one that can use it.
#[test]
fn room_that_a_keyed_submitter_cannot_use_is_passed_on() {
    model(|| {
        let pool = WorkerPool::detached(1);
        let keyed = pool.keyed::<u8>(NonZeroUsize::MIN);
        let _first = keyed.try_submit(1, || ()).unwrap();
        let submitter = {
            let keyed = keyed.clone();
            thread::spawn(move || {
                // It gives up after one poll.
                drop(poll_quietly(&mut keyed.submit(1, || ())));
            })
        };
        let worker = spawn_worker(&pool);
        assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7);
        submitter.join().unwrap();
        pool.close();
        worker.join().unwrap();
        assert!(keyed.is_empty());
    });
}

/// If each of two threads made a queue for the key, both jobs would find room.
#[test]
fn the_first_jobs_of_a_key_share_its_queue() {
    model(|| {
        let pool = WorkerPool::detached(2);
        let keyed = pool.keyed(NonZeroUsize::MIN);
        let other = {
            let keyed = keyed.clone();
            thread::spawn(move || keyed.try_submit('a', || ()).is_ok())
        };
        let is_in = keyed.try_submit('a', || ()).is_ok();
        assert!(is_in != other.join().unwrap());
        pool.close();
        pool.worker().wait();
        assert!(keyed.is_empty());
    });
}
