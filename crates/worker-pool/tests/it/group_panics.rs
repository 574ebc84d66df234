//! Laws of groups whose jobs and results panic when they are dropped: each is dropped on its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use test_kit::{Bomb, panics, poll, ready};
use tidegate_worker_pool::{GroupError, JobGroup, WorkerPool};

fn run(pool: &WorkerPool) {
    let mut worker = pool.worker();
    while pool.stats().waiting + pool.stats().in_flight > 0 {
        assert!(poll(&mut worker).is_pending());
    }
}

#[test]
fn a_group_is_cancelled_past_jobs_that_panic_when_they_are_dropped() {
    for is_watched in [false, true] {
        let (pool, dropped) = (WorkerPool::detached(8), Arc::<AtomicUsize>::default());
        let mut group: JobGroup<_> = (0..4)
            .map(|_| {
                let bomb = Bomb(0, dropped.clone());
                pool.try_submit(move || drop(bomb)).unwrap()
            })
            .collect();
        if is_watched {
            assert!(poll(&mut group.join_next()).is_pending());
        }
        assert!(panics(|| _ = group.cancel()));
        assert_eq!((dropped.load(SeqCst), pool.stats().waiting, pool.stats().cancelled), (4, 0, 4));
        assert!(ready(group.join()).into_iter().all(|end| end.unwrap_err().is_cancelled()));
    }
}

#[test]
fn results_of_a_group_that_panic_when_they_are_dropped_are_dropped_each() {
    for polls in [0, 1, 2] {
        let (pool, dropped) = (WorkerPool::detached(8), Arc::<AtomicUsize>::default());
        let submit = |n: usize| {
            let bomb = Bomb(0, dropped.clone());
            pool.try_submit(move || bomb).inspect(|_| assert!(n < 8)).unwrap()
        };
        let mut group: JobGroup<_> = (0..3).map(submit).collect();
        run(&pool);
        // One more, which has not ended, so that the group has not, either.
        group.push(submit(3));
        if polls == 2 {
            let mut next = None;
            assert!(poll(&mut group.join_next()).map(|end| next = end).is_ready());
            assert!(panics(|| drop(next)));
        }
        if polls == 0 {
            _ = panics(|| drop(group));
        } else {
            let mut join = group.join();
            assert!(poll(&mut join).is_pending());
            _ = panics(|| drop(join));
        }
        assert_eq!(dropped.load(SeqCst), 3);
    }
}

#[test]
fn a_group_that_fails_says_so_past_results_and_jobs_that_panic_when_they_are_dropped() {
    let (pool, dropped) = (WorkerPool::detached(8), Arc::<AtomicUsize>::default());
    let bomb = || Bomb(0, dropped.clone());
    let of = |result: Result<Bomb, &'static str>| pool.try_submit(move || result).unwrap();
    let mut group: JobGroup<_> =
        [of(Ok(bomb())), of(Ok(bomb())), of(Err("no"))].into_iter().collect();
    run(&pool);
    group.extend([of(Ok(bomb())), of(Ok(bomb()))]);
    let failed = ready(group.try_join());
    assert!(matches!(failed, Err(GroupError::Failed { index: 2, error: "no" })));
    assert_eq!((dropped.load(SeqCst), pool.stats().waiting), (4, 0));
}
