//! The clock of tokio, in its runtimes and outside of them.

use std::{future::pending, thread, time::Duration};

use test_kit::{Task, poll, ready};
use tidegate::{
    CancelToken, Clock, Quota, RateLimiter, TimedOut, Timer, Timestamp, Wait, time::TokioClock,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::advance,
};

const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A runtime whose clock stands still until it is advanced.
fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// A runtime with a thread of its own that serves its timers.
fn with_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

#[test]
fn a_paused_clock_that_is_advanced_ends_the_sleeps_that_are_due() {
    paused().block_on(async {
        let clock = TokioClock::current();
        assert_eq!(clock.now(), Timestamp::ORIGIN);
        let [mut early, mut late] = [HOUR, 2 * HOUR].map(|d| Task::waiting(clock.sleep(d)));
        advance(HOUR - MILLI).await;
        assert_eq!((early.woken(), early.is_pending()), (0, true));
        advance(MILLI).await;
        assert_eq!(clock.now(), Timestamp::ORIGIN + HOUR);
        assert_eq!((early.woken(), early.is_ready()), (1, true));
        assert_eq!((late.woken(), late.is_pending()), (0, true));
        advance(HOUR).await;
        assert_eq!((late.woken(), late.is_ready()), (1, true));
    });
}

#[test]
fn what_is_built_with_the_clock_of_a_paused_runtime_follows_it() {
    paused().block_on(async {
        let clock = TokioClock::current();
        let limiter = RateLimiter::with_clock(Quota::per_hour(1), clock.clone());
        limiter.acquire(1).await.unwrap();
        // An idle runtime advances its paused clock to the next sleep.
        limiter.acquire(1).await.unwrap();
        assert_eq!(clock.now(), Timestamp::ORIGIN + HOUR);
        assert_eq!(pending::<()>().or_timeout(&clock, HOUR).await, Err(TimedOut));
        assert_eq!(clock.now(), Timestamp::ORIGIN + 2 * HOUR);
        let token = CancelToken::new().child_with_timeout(&clock, HOUR);
        token.cancelled().await;
        assert_eq!(clock.now(), Timestamp::ORIGIN + 3 * HOUR);
    });
}

#[test]
fn a_thread_and_another_executor_wait_for_sleeps_of_a_runtime_that_runs() {
    let runtime = with_thread();
    let clock = TokioClock::new(runtime.handle().clone());
    let due = clock.deadline_after(MILLI);
    let task = runtime.spawn(clock.sleep_until(due));
    let sleep = clock.sleep_until(due);
    let thread = thread::spawn(|| sleep.wait());
    smol::block_on(clock.sleep_until(due));
    assert!(clock.now() >= due);
    thread.join().unwrap();
    runtime.block_on(task).unwrap();
}

#[test]
fn a_sleep_that_need_not_wait_asks_no_runtime() {
    // This runtime has no timers.
    let runtime = Builder::new_current_thread().build().unwrap();
    let clock = TokioClock::new(runtime.handle().clone());
    drop(runtime);
    ready(Box::pin(clock.sleep(Duration::ZERO)));
    ready(Box::pin(clock.sleep_until(Timestamp::ORIGIN)));
    for time in [Timestamp::NEVER, Timestamp::ORIGIN + Duration::MAX] {
        assert!(poll(&mut Box::pin(clock.sleep_until(time))).is_pending());
    }
}

#[test]
fn a_dropped_sleep_is_withdrawn() {
    paused().block_on(async {
        let clock = TokioClock::current();
        let mut sleeps = [(); 2].map(|()| Box::pin(clock.sleep(HOUR)));
        let (count, waker) = test_kit::CountingWaker::new();
        for sleep in &mut sleeps {
            assert!(test_kit::poll_with(sleep, &waker).is_pending());
        }
        let [dropped, _kept] = sleeps;
        drop(dropped);
        advance(2 * HOUR).await;
        assert_eq!(count.count(), 1);
    });
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_runtime_without_timers_is_a_mistake() {
    Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { TokioClock::current().sleep(HOUR).await });
}

#[test]
#[should_panic(expected = "no reactor running")]
fn the_current_runtime_is_that_of_the_caller() {
    drop(TokioClock::current());
}
