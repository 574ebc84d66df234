//! The clock of embassy, over a time driver that is turned by hand. There is one driver in a
//! process, so these tests run one after the other.

use std::{
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use embassy_time::MockDriver;
use test_kit::{Task, ready};
use tidegate::{Clock, Quota, RateLimiter, TimedOut, Timer, Timestamp, Wait, time::EmbassyClock};

const MICRO: Duration = Duration::from_micros(1);
const SECOND: Duration = Duration::from_secs(1);

/// The driver, reset to its origin; only one test at a time has it.
struct Driver(#[allow(dead_code, reason = "held until the test ends")] MutexGuard<'static, ()>);

impl Driver {
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        MockDriver::get().reset();
        Self(turn)
    }

    fn advance(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap();
        MockDriver::get().advance(embassy_time::Duration::from_micros(micros));
    }
}

#[test]
fn a_sleep_ends_when_the_driver_shows_its_time() {
    let driver = Driver::new();
    assert_eq!(EmbassyClock.now(), Timestamp::ORIGIN);
    let [mut early, mut late] = [1, 2].map(|n| Task::waiting(EmbassyClock.sleep(n * SECOND)));
    driver.advance(SECOND - MICRO);
    assert_eq!((early.woken(), early.is_pending()), (0, true));
    driver.advance(MICRO);
    assert_eq!(EmbassyClock.now(), Timestamp::ORIGIN + SECOND);
    assert_eq!((early.woken(), early.is_ready()), (1, true));
    assert_eq!((late.woken(), late.is_pending()), (0, true));
    driver.advance(SECOND);
    assert_eq!((late.woken(), late.is_ready()), (1, true));
}

#[test]
fn a_time_between_two_ticks_comes_with_the_later_one() {
    let driver = Driver::new();
    let mut sleep = Task::waiting(EmbassyClock.sleep_until(Timestamp::from_nanos(1_001)));
    driver.advance(MICRO);
    assert!(sleep.is_pending());
    driver.advance(MICRO);
    assert_eq!((sleep.woken(), sleep.is_ready()), (1, true));
}

#[test]
fn a_time_that_has_come_is_no_wait_and_one_that_does_not_come_is_one() {
    let driver = Driver::new();
    ready(EmbassyClock.sleep(Duration::ZERO));
    let mut never = Task::waiting(EmbassyClock.sleep(Duration::MAX));
    driver.advance(SECOND);
    assert_eq!((never.woken(), never.is_pending()), (0, true));
}

#[test]
fn a_limiter_and_a_timeout_wait_with_it() {
    let driver = Driver::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1), EmbassyClock);
    assert!(limiter.try_acquire(1).is_ok());
    let mut waiter = Task::waiting(limiter.acquire(1));
    let mut late = Task::waiting(pending::<()>().or_timeout(&EmbassyClock, SECOND));
    driver.advance(SECOND);
    assert!(waiter.output().is_ok());
    assert_eq!(late.output(), Err(TimedOut));
}

#[test]
fn a_thread_waits_for_the_driver() {
    let driver = Driver::new();
    let sleep = EmbassyClock.sleep(SECOND);
    let waiter = thread::spawn(|| sleep.wait());
    while !waiter.is_finished() {
        driver.advance(SECOND / 10);
        thread::yield_now();
    }
    waiter.join().unwrap();
    assert!(EmbassyClock.now() >= Timestamp::ORIGIN + SECOND);
}
