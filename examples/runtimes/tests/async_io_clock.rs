//! The clock of async-io, under smol, under async-std, and without an executor.

use std::{future::pending, thread, time::Duration};

use test_kit::{poll, ready};
use tidegate::{
    Clock, Quota, RateLimiter, SystemClock, TimedOut, Timer, Timestamp, Wait, time::AsyncIoClock,
};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn it_shows_the_time_of_the_system_clock() {
    let before = SystemClock.now();
    let now = AsyncIoClock.now();
    assert!(before <= now && now <= SystemClock.now());
}

#[test]
fn a_sleep_ends_in_every_executor_and_on_a_thread() {
    let sleep = || async {
        let due = AsyncIoClock.deadline_after(MILLI);
        AsyncIoClock.sleep_until(due).await;
        assert!(AsyncIoClock.now() >= due);
        let late = pending::<()>().or_timeout(&AsyncIoClock, MILLI).await;
        assert_eq!(late, Err(TimedOut));
    };
    smol::block_on(smol::spawn(sleep()));
    async_std::task::block_on(async_std::task::spawn(sleep()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(runtime.spawn(sleep())).unwrap();
    thread::spawn(move || sleep().wait()).join().unwrap();
}

#[test]
fn a_limiter_waits_with_it() {
    let quota = Quota::per_second(1000);
    let limiter = RateLimiter::with_clock(quota, AsyncIoClock);
    smol::block_on(async {
        for _ in 0..3 {
            limiter.acquire(1).await.unwrap();
        }
    });
    limiter.acquire(1).wait().unwrap();
}

#[test]
fn a_time_that_has_come_is_no_wait_and_one_that_does_not_come_is_one() {
    ready(AsyncIoClock.sleep_until(Timestamp::ORIGIN));
    ready(AsyncIoClock.sleep(Duration::ZERO));
    assert!(poll(&mut AsyncIoClock.sleep_until(Timestamp::NEVER)).is_pending());
    assert!(poll(&mut AsyncIoClock.sleep(Duration::MAX)).is_pending());
}
