//! The range of an adaptive limit, changed while the semaphore is used.

use std::time::Duration;

use tidegate_semaphore::{
    MAX_PERMITS, ManualClock,
    adaptive::{AdaptiveSemaphore, Aimd, Gradient2, LimitAlgorithm, Permit, Vegas},
};

use test_kit::Task;

type Limit<A> = AdaptiveSemaphore<A, ManualClock>;

fn limit<A: LimitAlgorithm>(algorithm: A, initial: usize) -> (Limit<A>, ManualClock) {
    let clock = ManualClock::new();
    let builder = AdaptiveSemaphore::builder(algorithm).initial(initial).min_samples(1);
    (builder.clock(clock.clone()).build().unwrap(), clock)
}

/// Answers as many requests at once as the limit lets in; returns the limit.
fn round<A: LimitAlgorithm>(limit: &Limit<A>, clock: &ManualClock, millis: u64) -> usize {
    let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
    clock.advance(Duration::from_millis(millis));
    permits.into_iter().for_each(Permit::success);
    limit.limit()
}

fn stays_within_a_new_range<A: LimitAlgorithm + Clone>(algorithm: A) {
    for (range, nearest) in [(4..=10, 10), (4..=30, 20), (25..=30, 25), (12..=12, 12)] {
        let (limit, clock) = limit(algorithm.clone(), 20);
        limit.set_range(range.clone()).unwrap();
        assert_eq!(limit.limit(), nearest, "{range:?}");
        (0..200).for_each(|_| assert!(range.contains(&round(&limit, &clock, 10)), "{range:?}"));
        assert_eq!(limit.limit(), *range.end());
        (0..200).for_each(|_| limit.try_acquire().unwrap().dropped());
        assert_eq!(limit.limit(), *range.start());
    }
}

#[test]
fn the_limit_is_moved_into_a_new_range_and_stays_there() {
    stays_within_a_new_range(Aimd::new());
    stays_within_a_new_range(Vegas::new().probe_every(1000));
    stays_within_a_new_range(Gradient2::new());
}

#[test]
fn a_limit_that_a_new_range_raises_serves_waiters() {
    let (limit, _) = limit(Aimd::new(), 1);
    let _held = limit.try_acquire().unwrap();
    let mut waiters = [(); 3].map(|()| Task::waiting(limit.acquire()));
    limit.set_range(3..=9).unwrap();
    let [first, second, third] = waiters.each_mut().map(|waiter| waiter.woken());
    assert_eq!((first, second, third), (1, 1, 0));
    let served: Vec<_> = waiters[..2].iter_mut().map(|w| w.output().unwrap()).collect();
    assert_eq!((limit.stats().in_flight, limit.stats().waiting), (3, 1));
    drop(served);
    assert!(waiters[2].is_ready());
}

#[test]
fn a_limit_that_a_new_range_lowers_is_a_debt_that_releases_pay() {
    let (limit, _) = limit(Aimd::new(), 4);
    let mut held: Vec<_> = (0..4).map(|_| limit.try_acquire().unwrap()).collect();
    limit.set_range(1..=2).unwrap();
    for in_flight in [3, 2] {
        held.pop().unwrap().ignore();
        assert_eq!(limit.stats().in_flight, in_flight);
        assert!(limit.try_acquire().is_err());
    }
    held.pop().unwrap().ignore();
    assert!(limit.try_acquire().is_ok());
}

#[test]
fn a_range_that_is_none_is_refused_as_by_the_builder_and_changes_nothing() {
    let (limit, clock) = limit(Aimd::new(), 20);
    #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
    for (range, error) in [
        (0..=10, "min is 0, but must be in 1..=10"),
        (11..=10, "min is 11, but must be in 1..=10"),
        (0..=0, "max is 0, but must be in 1..=4294967295"),
        (1..=MAX_PERMITS + 1, "max is 4294967296, but must be in 1..=4294967295"),
    ] {
        assert_eq!(limit.set_range(range).unwrap_err().to_string(), error);
    }
    for _ in 0..200 {
        round(&limit, &clock, 10);
    }
    assert_eq!(limit.limit(), 200);
}

#[test]
fn what_was_measured_under_the_limit_before_does_not_count_for_the_new_one() {
    let (limit, clock) = limit(Aimd::new().timeout(Duration::from_millis(20)), 4);
    let mut slow: Vec<_> = (0..4).map(|_| limit.try_acquire().unwrap()).collect();
    clock.advance(Duration::from_millis(100));
    slow.pop().unwrap().success();
    limit.set_range(1..=2).unwrap();
    slow.into_iter().for_each(Permit::success);
    assert_eq!(limit.limit(), 2, "a round of theirs would have cut it to 1");
    assert_eq!(round(&limit, &clock, 10), 2, "and so would one that the first of them is in");
}

#[test]
fn a_new_range_that_leaves_the_limit_alone_keeps_its_round() {
    let (limit, _) = limit(Aimd::new(), 4);
    let permits: Vec<_> = (0..4).map(|_| limit.try_acquire().unwrap()).collect();
    for permit in permits {
        permit.success();
        limit.set_range(2..=9).unwrap();
    }
    assert_eq!(limit.limit(), 5);
}

#[test]
fn a_probe_of_vegas_that_a_new_range_ends_measures_nothing() {
    let (limit, clock) = limit(Vegas::new().probe_every(10), 20);
    limit.set_range(1..=30).unwrap();
    let limits: Vec<_> = (0..10).map(|_| round(&limit, &clock, 10)).collect();
    assert_eq!(limits[8..], [30, 15], "the tenth round ends in a probe");
    limit.set_range(20..=60).unwrap();
    // Of 20 in flight 15 wait. If these 40 ms were taken for the latency without a queue, the limit
    // would grow.
    (0..9).for_each(|_| assert_eq!(round(&limit, &clock, 40), 20));
}

#[test]
fn a_closed_semaphore_takes_a_new_range_and_stays_closed() {
    let (limit, _) = limit(Aimd::new(), 4);
    limit.close();
    limit.set_range(8..=9).unwrap();
    assert_eq!(limit.limit(), 8);
    assert!(limit.try_acquire().is_err());
}
