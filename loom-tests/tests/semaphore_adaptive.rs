//! Adaptive limits that several threads change at once, while others take permits.

use std::sync::Arc;

use loom_tests::{model, thread};
use tidegate_core::{Clock, Timestamp};
use tidegate_semaphore::{
    Wait,
    adaptive::{AdaptiveSemaphore, Aimd, Permit},
};

/// Time is of no interest here.
struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::ORIGIN
    }
}

type Limit = AdaptiveSemaphore<Aimd, Frozen>;

/// A limit that each success lets grow by one, and each drop shrink by one.
fn limit(initial: usize, max: usize) -> Arc<Limit> {
    let builder = AdaptiveSemaphore::builder(Aimd::new().backoff(0.99).increase(1));
    Arc::new(builder.initial(initial).max(max).min_samples(1).clock(Frozen).build().unwrap())
}

fn settle(permit: Permit<'_, Aimd, Frozen>, is_dropped: bool) {
    if is_dropped { permit.dropped() } else { permit.success() }
}

/// Asserts that, with no call in flight, as many permits can be taken as the limit says.
fn assert_conserved(limit: &Limit, expected: &[usize]) {
    assert_eq!(limit.stats().in_flight, 0);
    assert!(expected.contains(&limit.limit()), "the limit is {}", limit.limit());
    let all: Vec<_> = (0..9).map_while(|_| limit.try_acquire().ok()).collect();
    assert_eq!(all.len(), limit.limit());
}

/// Each of two threads takes a permit and settles it, both at once.
fn race(initial: usize, dropped: [bool; 2], expected: &'static [usize]) {
    model(move || {
        let limit = limit(initial, 4);
        let other = {
            let limit = limit.clone();
            thread::spawn(move || settle(limit.acquire().wait().unwrap(), dropped[0]))
        };
        settle(limit.acquire().wait().unwrap(), dropped[1]);
        other.join().unwrap();
        assert_conserved(&limit, expected);
    });
}

#[test]
fn the_capacity_follows_the_last_of_two_drops() {
    // There are two cuts, or one if both requests were let in before the first cut.
    race(3, [true, true], &[1, 2]);
}

#[test]
fn two_drops_of_requests_from_before_both_are_one_cut() {
    model(|| {
        let limit = limit(3, 4);
        let permits = [limit.clone(), limit.clone()].map(|limit| limit.try_acquire_owned());
        let [first, second] = permits.map(Result::unwrap);
        let other = thread::spawn(move || first.dropped());
        second.dropped();
        other.join().unwrap();
        assert_conserved(&limit, &[2]);
    });
}

#[test]
fn a_success_that_races_a_drop_leaves_as_many_permits_as_the_limit_says() {
    race(1, [true, false], &[1, 2]);
}

#[test]
fn two_settled_permits_race_a_waiter() {
    model(|| {
        let limit = limit(2, 3);
        let waiter = {
            let limit = limit.clone();
            thread::spawn(move || limit.acquire().wait().map(drop).is_ok())
        };
        let settler = {
            let limit = limit.clone();
            thread::spawn(move || {
                if let Ok(permit) = limit.try_acquire() {
                    permit.dropped();
                }
            })
        };
        if let Ok(permit) = limit.try_acquire() {
            permit.success();
        }
        settler.join().unwrap();
        assert!(waiter.join().unwrap());
        assert_conserved(&limit, &[1, 2, 3]);
    });
}

#[test]
fn a_new_range_races_a_settled_permit_and_a_waiter() {
    model(|| {
        let limit = limit(1, 4);
        let held = limit.clone().try_acquire_owned().unwrap();
        let waiter = {
            let limit = limit.clone();
            thread::spawn(move || limit.acquire().wait().map(Permit::ignore).is_ok())
        };
        let setter = {
            let limit = limit.clone();
            thread::spawn(move || limit.set_range(2..=3).unwrap())
        };
        held.success();
        setter.join().unwrap();
        assert!(waiter.join().unwrap());
        assert_conserved(&limit, &[2, 3]);
    });
}

#[test]
fn a_new_range_that_races_a_drop_leaves_a_limit_within_it() {
    model(|| {
        let limit = limit(4, 4);
        let held = limit.clone().try_acquire_owned().unwrap();
        let setter = {
            let limit = limit.clone();
            thread::spawn(move || limit.set_range(1..=2).unwrap())
        };
        held.dropped();
        setter.join().unwrap();
        // The cut has come first, and the range then moved the limit from 3 to 2; or second.
        assert_conserved(&limit, &[1, 2]);
    });
}

#[test]
fn a_new_range_serves_a_waiter_though_no_permit_is_settled() {
    model(|| {
        let limit = limit(1, 4);
        let held = limit.try_acquire().unwrap();
        let waiter = {
            let limit = limit.clone();
            thread::spawn(move || limit.acquire().wait().map(Permit::ignore).is_ok())
        };
        limit.set_range(2..=4).unwrap();
        assert!(waiter.join().unwrap());
        held.ignore();
        assert_conserved(&limit, &[2]);
    });
}
