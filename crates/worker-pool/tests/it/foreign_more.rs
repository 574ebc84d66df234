//! Foreign code beside jobs: what makes a worker's value.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidegate_worker_pool::{PerWorker, Wait, WorkerPool};

#[test]
fn a_value_that_cannot_be_made_fails_its_job_alone() {
    let pool = WorkerPool::builder().threads(NonZeroUsize::MIN).build().unwrap();
    let failures = AtomicUsize::new(2);
    let values = Arc::new(PerWorker::new(move || {
        if failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            resume_unwind(Box::new("no value"));
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
