//! Ranges, full queues, idleness, and the measured time of waits.

use std::{
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
};

use tidegate_core::Timestamp;
use tidegate_core::report::{Histogram, Metric};
use tidegate_semaphore::{AcquireError, Clock, Gate, ManualClock, Semaphore, TryAcquireError};

use test_kit::Task;

#[test]
fn a_range_takes_what_there_is_between_its_ends() {
    let semaphore = Semaphore::new(5);
    assert_eq!(semaphore.try_acquire_up_to(1..=9).unwrap().count(), 5);
    let held = semaphore.try_acquire_up_to(1..=3).unwrap();
    assert_eq!(held.count(), 3);
    assert_eq!(semaphore.try_acquire_up_to(3..=4).unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(semaphore.try_acquire_up_to(6..=9).unwrap_err(), TryAcquireError::TooMany);
    let mut waits = Task::waiting(semaphore.acquire_up_to(3..=9));
    drop(held);
    assert_eq!(waits.output().unwrap().count(), 5);
}

#[test]
fn a_range_from_zero_takes_nothing_from_waiters() {
    let semaphore = Semaphore::new(2);
    let _held = semaphore.try_acquire(1).unwrap();
    let _large = Task::waiting(semaphore.acquire(2));
    assert_eq!(semaphore.try_acquire_up_to(0..=1).unwrap().count(), 0);
    assert_eq!(Task::new(semaphore.acquire_up_to(0..=1)).output().unwrap().count(), 0);
}

#[test]
#[should_panic(expected = "the empty range 3..=2")]
fn an_empty_range_is_refused_by_name() {
    #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
    drop(Semaphore::new(5).try_acquire_up_to(3..=2));
}

#[test]
fn a_request_that_finds_the_queue_full_is_rejected_at_once() {
    let semaphore = Semaphore::builder(1).max_waiters(2).build();
    let held = semaphore.try_acquire(1).unwrap();
    let mut first = Task::waiting(semaphore.acquire(1));
    let second = Task::waiting(semaphore.acquire(1));
    assert_eq!(Task::new(semaphore.acquire(1)).output().unwrap_err(), AcquireError::QueueFull);
    let refused = Task::new(semaphore.enter()).output().unwrap_err();
    assert!(refused == TryAcquireError::QueueFull && !refused.is_no_permits());
    drop(second);
    let third = Task::waiting(semaphore.acquire(1));
    drop(held);
    assert!(first.is_ready());
    drop(third);
    assert_eq!(semaphore.stats().refused, 2);
}

#[test]
fn no_request_waits_where_none_may() {
    let semaphore = Semaphore::builder(1).max_waiters(0).build();
    let held = Task::new(semaphore.acquire(1)).output().unwrap();
    assert!(Task::new(semaphore.acquire(1)).output().unwrap_err().is_queue_full());
    drop(held);
    assert!(Task::new(semaphore.acquire(1)).is_ready());
}

#[test]
fn idle_comes_with_the_last_permit_and_not_before() {
    let semaphore = Semaphore::new(3);
    assert!(Task::new(semaphore.idle()).is_ready());
    let mut held = semaphore.try_acquire(3).unwrap();
    let mut idle = Task::waiting(semaphore.idle());
    let mut other = Task::waiting(semaphore.idle());
    let forgotten = held.split(1).unwrap();
    drop(held);
    assert_eq!((idle.woken(), other.woken()), (0, 0));
    // Permits that are removed are in use no longer.
    forgotten.forget();
    assert_eq!((idle.woken(), other.woken()), (1, 1));
    assert!(idle.is_ready() && other.is_ready());
}

#[test]
fn a_wait_for_idleness_that_is_given_up_leaves_no_trace() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    drop(Task::waiting(semaphore.idle()));
    drop(held);
    assert!(semaphore.try_acquire(1).is_ok());
}

#[test]
fn waits_are_measured_from_joining_to_leaving_the_queue() {
    let clock = ManualClock::new();
    let semaphore = Semaphore::builder(1).clock(clock.clone()).build();
    let held = semaphore.try_acquire(1).unwrap();
    clock.advance(Duration::from_secs(9));
    let mut served = Task::waiting(semaphore.acquire(1));
    clock.advance(Duration::from_secs(2));
    let cancelled = Task::waiting(semaphore.acquire(1));
    clock.advance(Duration::from_secs(1));
    drop(cancelled);
    drop(held);
    assert!(served.is_ready());
    let stats = semaphore.stats();
    assert_eq!((stats.waited, stats.cancelled, stats.wait_time), (2, 1, Duration::from_secs(4)));
}

#[test]
fn every_wait_that_is_over_is_in_one_bucket_whatever_its_outcome() {
    let clock = ManualClock::new();
    let semaphore = Semaphore::builder(1).clock(clock.clone()).build();
    let held = semaphore.try_acquire(1).unwrap();
    let mut served = Task::waiting(semaphore.acquire(1));
    let cancelled = Task::waiting(semaphore.acquire(1));
    clock.advance(Duration::from_millis(1));
    drop(cancelled);
    clock.advance(Duration::from_millis(1));
    drop(held);
    let held = served.output().unwrap();
    drop(semaphore.try_acquire(1));
    let mut rejected = Task::waiting(semaphore.acquire(1));
    let waits = semaphore.stats().waits;
    let within = |waits: Histogram, seconds: f64| {
        let bounds = Metric::Wait.bounds();
        let bucket = bounds.iter().position(|bound| *bound == seconds).unwrap();
        waits.cumulative()[bucket]
    };
    assert_eq!([0.0001, 0.001, 0.005].map(|seconds| within(waits, seconds)), [0, 1, 2]);
    assert_eq!(waits.total(), 2, "the third one waits still");
    clock.advance(Duration::from_secs(60));
    semaphore.close();
    assert!(rejected.output().is_err());
    let waits = semaphore.stats().waits;
    assert_eq!((within(waits, 10.0), waits.total()), (2, 3));
    drop(held);
}

#[test]
fn no_wait_is_in_a_bucket_without_a_clock() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    let mut served = Task::waiting(semaphore.acquire(1));
    drop(held);
    assert!(served.is_ready());
    let stats = semaphore.stats();
    assert_eq!((stats.waited, stats.waits), (1, Histogram::default()));
}

#[test]
fn the_time_waited_is_right_where_nanoseconds_overflow() {
    let year = Duration::from_secs(31_556_952);
    let clock = ManualClock::new();
    let semaphore = Semaphore::builder(1).clock(clock.clone()).build();
    let held = semaphore.try_acquire(1).unwrap();
    let mut waiters: Vec<_> = (0..100).map(|_| Task::waiting(semaphore.acquire(1))).collect();
    clock.advance(year * 200 + Duration::from_nanos(7));
    drop(held);
    assert!(waiters.iter_mut().all(Task::is_ready));
    assert_eq!(semaphore.stats().wait_time, (year * 200 + Duration::from_nanos(7)) * 100);
}

/// A clock that records, at each reading, how many requests wait.
struct Watching {
    semaphore: Arc<OnceLock<Weak<Semaphore>>>,
    waiting: Arc<Mutex<Vec<usize>>>,
}

impl Clock for Watching {
    fn now(&self) -> Timestamp {
        let semaphore = self.semaphore.get().and_then(Weak::upgrade).unwrap();
        self.waiting.lock().unwrap().push(semaphore.stats().waiting);
        Timestamp::ORIGIN
    }
}

#[test]
fn a_measured_wait_begins_before_the_request_is_seen_in_the_queue() {
    let (watched, waiting) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(Vec::new())));
    let clock = Watching { semaphore: watched.clone(), waiting: waiting.clone() };
    let semaphore = Arc::new(Semaphore::builder(1).clock(clock).build());
    watched.set(Arc::downgrade(&semaphore)).unwrap();
    let held = semaphore.try_acquire(1).unwrap();
    let mut waits = Task::waiting(semaphore.acquire(1));
    drop(held);
    drop(waits.output().unwrap());
    assert_eq!(*waiting.lock().unwrap(), [0, 0], "when it joined, and when it was granted");
}
