//! Laws of futures as jobs, and of jobs with tokens.

use std::{
    future::{Future, pending},
    num::NonZeroUsize,
    sync::mpsc,
    time::Duration,
};

use test_kit::{CountingWaker, OnDrop, poll, poll_with, quiet_panic, ready};
use tidegate_worker_pool::{
    CancelToken, Clock, JoinError, ManualClock, OnFull, Stats, Timer, Wait, WorkerPool,
};

const SECOND: Duration = Duration::from_secs(1);

/// A future that ends after a second of the clock.
fn second(clock: &ManualClock) -> impl Future<Output = u32> + Send + 'static {
    let clock = clock.clone();
    async move {
        clock.sleep(SECOND).await;
        7
    }
}

/// A future that never ends, and a counter of its drop.
fn endless() -> (impl Future<Output = ()> + Send + 'static, std::sync::Arc<CountingWaker>) {
    let (dropped, _) = CountingWaker::new();
    let count = dropped.clone();
    let guard = OnDrop(move || count.add());
    let future = async move {
        let _guard = guard;
        pending().await
    };
    (future, dropped)
}

fn ended(stats: &Stats) -> (u64, u64, u64) {
    (stats.succeeded, stats.panicked, stats.cancelled)
}

#[test]
fn a_future_has_its_worker_until_it_ends() {
    let (pool, clock) = (WorkerPool::detached(2), ManualClock::new());
    let (woken, waker) = CountingWaker::new();
    let handle = ready(pool.submit_future(second(&clock)));
    let behind = pool.try_submit(|| 8).unwrap();
    let mut worker = pool.worker();
    assert!(poll_with(&mut worker, &waker).is_pending());
    assert_eq!((pool.stats().in_flight, pool.stats().waiting, woken.count()), (1, 1, 0));
    clock.advance(SECOND);
    assert_eq!(woken.count(), 1);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(handle).unwrap(), 7);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(ready(behind).unwrap(), 8);
    assert_eq!(ended(&pool.stats()), (2, 0, 0));
}

#[test]
fn shutdown_waits_for_a_future() {
    let pool = WorkerPool::builder().threads(NonZeroUsize::MIN).build().unwrap();
    let clock = ManualClock::new();
    let until = clock.now() + SECOND;
    let sleep = clock.sleep_until(until);
    let handle = pool.submit_future(async {
        sleep.await;
        7
    });
    let handle = handle.wait();
    let mut shutdown = pool.shutdown();
    assert!(poll(&mut shutdown).is_pending());
    clock.advance(SECOND);
    shutdown.wait();
    assert_eq!(handle.wait().unwrap(), 7);
}

#[test]
fn a_cancelled_future_gives_its_worker_back_and_never_ends() {
    let pool = WorkerPool::builder().threads(NonZeroUsize::MIN).build().unwrap();
    let (future, dropped) = endless();
    let (begun, begin) = mpsc::channel();
    let handle = pool.submit_future(async move {
        begun.send(()).unwrap();
        future.await;
    });
    let handle = handle.wait();
    begin.recv().unwrap();
    assert!(handle.cancel());
    assert!(!handle.cancel(), "once");
    assert!(handle.wait().unwrap_err().is_cancelled());
    assert_eq!(pool.submit(|| 7).wait().wait().unwrap(), 7, "the worker is free");
    assert_eq!(dropped.count(), 1);
    assert_eq!(ended(&pool.stats()), (1, 0, 1));
}

#[test]
fn a_future_that_was_cancelled_in_the_queue_is_not_polled() {
    let pool = WorkerPool::detached(2);
    let handle = ready(pool.submit_future(async { unreachable!() }));
    assert!(handle.cancel());
    pool.close();
    pool.worker().wait();
    assert!(ready(handle).unwrap_err().is_cancelled());
    assert_eq!(ended(&pool.stats()), (0, 0, 1));
}

#[test]
fn a_panic_of_a_future_reaches_its_handle_and_kills_no_worker() {
    let (heard, _) = CountingWaker::new();
    let hears = heard.clone();
    let pool = WorkerPool::builder().on_panic(move |_| hears.add()).detached();
    let failed = ready(pool.submit_future(async { quiet_panic("quiet") }));
    // The guard of this future panics at the end of its block.
    let guard = OnDrop(|| quiet_panic("quiet"));
    let left = ready(pool.submit_future(async move {
        let _guard = guard;
    }));
    let fine = ready(pool.submit_future(async { 7 }));
    pool.close();
    pool.worker().wait();
    let payload = ready(failed).unwrap_err().into_panic().unwrap();
    assert_eq!(payload.downcast_ref(), Some(&"quiet"));
    assert!(ready(left).unwrap_err().is_panic());
    assert_eq!(ready(fine).unwrap(), 7);
    assert_eq!((heard.count(), ended(&pool.stats())), (2, (1, 2, 0)));
}

#[test]
fn a_dropped_worker_cancels_its_future() {
    let pool = WorkerPool::detached(2);
    let (future, dropped) = endless();
    let handle = ready(pool.submit_future(future));
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    drop(worker);
    assert_eq!(dropped.count(), 1);
    assert!(ready(handle).unwrap_err().is_cancelled());
    assert_eq!((pool.stats().in_flight, ended(&pool.stats())), (0, (0, 0, 1)));
}

#[test]
fn what_a_shutdown_left_can_be_driven_or_dropped() {
    let pool = WorkerPool::detached(2);
    let (run, left) =
        (ready(pool.submit_future(async { 7 })), ready(pool.submit_future(async { 8 })));
    let mut pending = pool.shutdown_now().into_iter();
    pending.next().unwrap().run();
    drop(pending);
    assert_eq!(ready(run).unwrap(), 7);
    assert!(ready(left).unwrap_err().is_cancelled());
}

#[test]
fn no_caller_drives_a_future_for_want_of_room() {
    let pool = WorkerPool::builder().queue(1).on_full(OnFull::CallerRuns).detached();
    let first = ready(pool.submit_future(async { 7 }));
    let mut second = pool.submit_future(async { 8 });
    assert!(poll(&mut second).is_pending());
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    let second = ready(second);
    assert!(poll(&mut worker).is_pending());
    assert_eq!((ready(first).unwrap(), ready(second).unwrap()), (7, 8));
}

#[test]
fn time_begins_with_the_job_and_ends_a_future() {
    let clock = ManualClock::new();
    let pool = WorkerPool::builder().job_timeout(clock.clone(), SECOND).detached();
    let (future, dropped) = endless();
    let handle = ready(pool.submit_future(future));
    clock.advance(2 * SECOND);
    let mut worker = pool.worker();
    assert!(poll(&mut worker).is_pending());
    assert_eq!(dropped.count(), 0, "it waited, but has not run for that long");
    clock.advance(SECOND);
    assert!(poll(&mut worker).is_pending());
    assert_eq!(dropped.count(), 1);
    assert!(ready(handle).unwrap_err().is_cancelled());
}

#[test]
fn a_closures_token_is_cancelled_by_its_handle_its_pool_and_its_time() {
    let (parent, clock) = (CancelToken::new(), ManualClock::new());
    let builder = WorkerPool::builder().cancel_token(parent.clone());
    let pool = builder.job_timeout(clock.clone(), SECOND).build().unwrap();
    let run = || {
        let (begun, begin) = mpsc::channel();
        let job = move |token: &CancelToken| {
            begun.send(()).unwrap();
            token.cancelled().wait().to_string()
        };
        let handle = pool.submit_with_token(job).wait();
        begin.recv().unwrap();
        handle
    };
    let by_handle = run();
    assert!(!by_handle.cancel(), "it has begun");
    let heard = by_handle.wait().unwrap();
    let by_time = run();
    clock.advance(SECOND);
    assert_ne!(by_time.wait().unwrap(), heard);
    let by_pool = run();
    parent.cancel();
    assert_eq!(by_pool.wait().unwrap(), heard);
    let late = pool.submit_with_token(|token| token.is_cancelled()).wait();
    assert!(late.wait().unwrap(), "the pool's token is cancelled for good");
}

#[test]
fn a_job_that_begins_after_the_pools_token_was_cancelled_finds_its_own_cancelled() {
    let token = CancelToken::new();
    let pool = WorkerPool::builder().cancel_token(token.clone()).detached();
    let job = ready(pool.submit_with_token(CancelToken::is_cancelled));
    token.cancel();
    assert!(poll(&mut pool.worker()).is_pending());
    assert!(ready(job).unwrap());
}

#[test]
fn a_closed_pool_refuses_futures() {
    let pool = WorkerPool::detached(1);
    pool.close();
    let (future, dropped) = endless();
    assert!(matches!(ready(ready(pool.submit_future(future))), Err(JoinError::Closed)));
    assert_eq!(dropped.count(), 1);
}
