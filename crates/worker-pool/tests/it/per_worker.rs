//! Laws of values that jobs borrow.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
};

use test_kit::{CountingWaker, quiet_panic};
use tidegate_worker_pool::{PerWorker, Wait, WorkerPool};

#[test]
fn no_two_jobs_have_one_value_and_there_are_no_more_than_at_once() {
    let pool = WorkerPool::builder().threads(2).build().unwrap();
    let (made, _) = CountingWaker::new();
    let makes = made.clone();
    let values = Arc::new(PerWorker::new(move || makes.add()));
    let barrier = Arc::new(Barrier::new(2));
    for _ in 0..50 {
        // Two at once, each with a value while the other has one.
        let both = [(); 2].map(|()| {
            let (values, barrier) = (values.clone(), barrier.clone());
            pool.submit(move || values.with(|()| _ = barrier.wait())).wait()
        });
        both.into_iter().for_each(|handle| handle.wait().unwrap());
    }
    pool.shutdown().wait();
    assert_eq!(made.count(), 2);
    assert_eq!(Arc::into_inner(values).unwrap().into_values().count(), 2);
}

#[test]
fn a_value_in_whose_use_a_job_panicked_is_dropped() {
    let pool = WorkerPool::builder().threads(NonZeroUsize::MIN).build().unwrap();
    let values = Arc::new(PerWorker::new(|| 0));
    let add = |panics: bool| {
        let values = values.clone();
        let job = move || {
            values.with(|value| {
                *value += 1;
                if panics {
                    quiet_panic("quiet")
                }
                *value
            })
        };
        pool.submit(job).wait().wait()
    };
    assert_eq!((add(false).unwrap(), add(false).unwrap()), (1, 2));
    assert!(add(true).unwrap_err().is_panic());
    assert_eq!(add(false).unwrap(), 1);
}

#[test]
fn a_job_within_a_job_borrows_another_value() {
    let values = PerWorker::new(|| 0);
    values.with(|outer| {
        *outer = 1;
        values.with(|inner| assert_eq!(*inner, 0));
    });
    let mut all: Vec<_> = values.into_values().collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1]);
}

#[test]
fn a_value_that_cannot_be_made_fails_its_job_alone() {
    let pool = WorkerPool::builder().threads(1).build().unwrap();
    let failures = AtomicUsize::new(2);
    let values = Arc::new(PerWorker::new(move || {
        if failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            quiet_panic("no value");
        }
        7
    }));
    let ends: Vec<_> = (0..4)
        .map(|_| {
            let values = values.clone();
            pool.submit(move || values.with(|value| *value)).wait().wait().ok()
        })
        .collect();
    assert_eq!(ends, [None, None, Some(7), Some(7)]);
}
