//! Laws of jobs that belong together.

use test_kit::{CountingWaker, poll, poll_with, quiet_panic, ready};
use tidegate_worker_pool::{GroupError, JobGroup, WorkerPool};

fn run_all(pool: &WorkerPool) {
    let mut worker = pool.worker();
    while pool.stats().waiting > 0 {
        assert!(poll(&mut worker).is_pending());
    }
}

#[test]
fn results_come_in_the_order_in_which_the_jobs_were_added() {
    let pool = WorkerPool::detached(4);
    let mut group = JobGroup::new();
    assert!(group.is_empty());
    for n in 0..3 {
        group.push(pool.try_submit(move || if n == 1 { quiet_panic("quiet") } else { n }).unwrap());
    }
    assert_eq!((group.len(), group.is_empty()), (3, false));
    let mut join = group.join();
    assert!(poll(&mut join).is_pending());
    run_all(&pool);
    let results = ready(join);
    assert!(matches!(results[..], [Ok(0), Err(_), Ok(2)]));
}

#[test]
fn the_first_failure_is_returned_at_once_and_cancels_what_has_not_begun() {
    let pool = WorkerPool::detached(4);
    let group: JobGroup<Result<u8, &str>> = [Ok(0), Err("no"), Ok(2), Ok(3)]
        .map(|result| pool.try_submit(move || result).unwrap())
        .into_iter()
        .collect();
    let (woken, waker) = CountingWaker::new();
    let mut join = group.try_join();
    assert!(poll_with(&mut join, &waker).is_pending());
    let mut worker = pool.worker();
    for _ in 0..2 {
        assert!(poll(&mut worker).is_pending());
    }
    assert!(woken.count() > 0);
    let error = ready(join).unwrap_err();
    assert!(matches!(error, GroupError::Failed { index: 1, error: "no" }));
    assert_eq!(error.to_string(), "job 1 of the group failed: no");
    drop(worker);
    run_all(&pool);
    assert_eq!((pool.stats().succeeded, pool.stats().cancelled), (2, 2));
}

/// pond's #138: the caller that waits for a cancelled group must return.
#[test]
fn a_cancelled_group_ends() {
    let pool = WorkerPool::detached(4);
    let group: JobGroup<_> =
        (0..3).map(|n| pool.try_submit(move || Ok::<_, u8>(n)).unwrap()).collect();
    assert_eq!((group.cancel(), group.cancel()), (3, 0));
    let error = ready(group.try_join()).unwrap_err();
    assert!(matches!(&error, GroupError::Lost { index: 0, error } if error.is_cancelled()));
    let group: JobGroup<()> = [pool.try_submit(|| ()).unwrap()].into_iter().collect();
    drop(pool.shutdown_now());
    assert!(ready(group.join())[0].as_ref().unwrap_err().is_cancelled());
}

#[test]
fn a_group_without_jobs_is_ready() {
    assert!(ready(JobGroup::<()>::new().join()).is_empty());
    assert!(ready(JobGroup::<Result<(), u8>>::default().try_join()).unwrap().is_empty());
}
