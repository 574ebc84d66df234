//! Laws of jobs that borrow.

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use test_kit::{poll, quiet_panic};
use tidegate_worker_pool::{Scope, WorkerPool};

fn pool(threads: usize) -> WorkerPool {
    WorkerPool::builder().threads(NonZeroUsize::new(threads).unwrap()).queue(4).build().unwrap()
}

#[test]
fn every_job_has_ended_when_the_scope_has() {
    let (pool, mut numbers) = (pool(2), vec![0_usize; 1000]);
    pool.scope(|scope| {
        for (index, number) in numbers.iter_mut().enumerate() {
            scope.execute(move || *number = index);
        }
    });
    assert!(numbers.into_iter().eq(0..1000));
}

/// rayon's #446 and ants' #197: with one worker, which waits in the outer scope, the inner ones
/// must end all the same.
#[test]
fn scopes_within_scopes_end_with_a_single_worker() {
    fn count(pool: &WorkerPool, depth: usize, leaves: &AtomicUsize) {
        if depth == 0 {
            leaves.fetch_add(1, Ordering::Relaxed);
            return;
        }
        pool.scope(|scope| {
            for _ in 0..3 {
                scope.execute(|| count(pool, depth - 1, leaves));
            }
        });
    }
    let (pool, leaves) = (pool(1), AtomicUsize::new(0));
    pool.scope(|scope| scope.execute(|| count(&pool, 5, &leaves)));
    assert_eq!(leaves.into_inner(), 243);
}

#[test]
fn jobs_may_add_jobs_to_their_scope() {
    let (pool, sum) = (pool(2), AtomicUsize::new(0));
    pool.scope(|scope| {
        for n in 0..20 {
            let sum = &sum;
            scope.execute(move || {
                scope.execute(move || _ = sum.fetch_add(n, Ordering::Relaxed));
            });
        }
    });
    assert_eq!(sum.into_inner(), 190);
}

#[test]
fn a_panic_waits_for_the_other_jobs_and_is_the_first_ones() {
    let (pool, ended) = (pool(2), AtomicUsize::new(0));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        pool.scope(|scope| {
            for n in 0..10 {
                let ended = &ended;
                scope.execute(move || {
                    ended.fetch_add(1, Ordering::Relaxed);
                    if n % 2 == 0 {
                        quiet_panic("quiet");
                    }
                });
            }
        });
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"quiet"));
    assert_eq!(ended.into_inner(), 10);
    // The pool works as before.
    pool.scope(|scope| scope.execute(|| ()));
}

#[test]
fn a_closure_that_panics_waits_for_its_jobs() {
    let (pool, ended) = (pool(1), AtomicUsize::new(0));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        pool.scope(|scope| {
            for _ in 0..10 {
                scope.execute(|| _ = ended.fetch_add(1, Ordering::Relaxed));
            }
            quiet_panic("quiet");
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(ended.into_inner(), 10);
}

#[test]
fn a_scope_needs_no_worker() {
    let pool = WorkerPool::detached(2);
    let mut sum = 0;
    pool.scope(|scope| scope.execute(|| sum += 1));
    pool.close();
    pool.scope(|scope| scope.execute(|| sum += 1));
    assert_eq!(sum, 2);
}

/// Runs a scope on a thread with a small stack, whose pool has a queue for four jobs.
fn on_a_small_stack(threads: usize, jobs: impl for<'s> FnOnce(&'s Scope<'s, '_>) + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
        let settings = WorkerPool::builder().threads(threads).queue(4).stack_size(64 << 10);
        settings.build().unwrap().scope(|scope| jobs(scope));
    });
    thread.unwrap().join().unwrap();
}

fn chain<'s>(scope: &'s Scope<'s, '_>, left: usize) {
    if left > 0 {
        scope.execute(move || chain(scope, left - 1));
    }
}

fn tree<'s>(scope: &'s Scope<'s, '_>, depth: usize) {
    if depth > 0 {
        (0..2).for_each(|_| scope.execute(move || tree(scope, depth - 1)));
    }
}

#[test]
fn jobs_of_a_scope_need_no_stack_of_each_other() {
    for threads in [1, 2] {
        on_a_small_stack(threads, |scope| chain(scope, 50_000));
        on_a_small_stack(threads, |scope| tree(scope, 14));
    }
}

#[test]
fn scopes_that_no_worker_helps_leave_the_queue_free() {
    let pool = WorkerPool::detached(4);
    for _ in 0..100 {
        pool.scope(|scope| (0..10).for_each(|_| scope.execute(|| ())));
    }
    assert!(pool.stats().waiting <= 1, "{:?}", pool.stats());
    assert!(pool.try_submit(|| ()).is_ok());
}

#[test]
fn a_pool_without_a_queue_keeps_no_request_for_help() {
    let pool = WorkerPool::detached(0);
    pool.scope(|scope| {
        scope.execute(|| ());
        assert_eq!(pool.stats().waiting, 0);
    });
}

#[test]
fn workers_help_a_scope_whose_pool_was_full_when_its_jobs_came() {
    let pool = WorkerPool::detached(1);
    let _full = pool.try_submit(|| ()).unwrap();
    let (mut worker, helped) = (pool.worker(), AtomicUsize::new(0));
    pool.scope(|scope| {
        for _ in 0..3 {
            scope.execute(|| _ = helped.fetch_add(1, Ordering::Relaxed));
        }
        for done in [0, 1, 2, 3] {
            assert!(poll(&mut worker).is_pending());
            assert_eq!(helped.load(Ordering::Relaxed), done);
        }
    });
}

#[test]
fn workers_help_every_scope_the_oldest_first() {
    let pool = WorkerPool::detached(2);
    let (mut worker, helped) = (pool.worker(), Mutex::new(Vec::new()));
    let note = |name| helped.lock().unwrap().push(name);
    pool.scope(|outer| {
        outer.execute(|| note("outer"));
        pool.scope(|inner| {
            inner.execute(|| note("inner"));
            (0..2).for_each(|_| assert!(poll(&mut worker).is_pending()));
            assert_eq!(*helped.lock().unwrap(), ["outer", "inner"]);
        });
    });
}

#[test]
fn the_end_of_a_scope_runs_jobs_that_come_while_it_sleeps() {
    let (pool, (begun, begin)) = (pool(1), mpsc::channel());
    pool.scope(|scope| {
        scope.execute(move || {
            begun.send(()).unwrap();
            // Meanwhile the end of the scope finds nothing to run.
            (0..1000).for_each(|_| std::thread::yield_now());
            let (run, ran) = mpsc::channel();
            scope.execute(move || run.send(()).unwrap());
            ran.recv().unwrap();
            (0..1000).for_each(|_| std::thread::yield_now());
        });
        begin.recv().unwrap();
    });
}
