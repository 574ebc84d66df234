//! The sliding windows against their definitions.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_rate_limiter::{
    Gate, ManualClock, Pass, QuotaError, SlidingLog, SlidingWindow, Timestamp,
};

const WINDOW: u64 = 1000;

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn log(limit: u32) -> SlidingLog<()> {
    SlidingLog::with_clock(limit, Duration::from_nanos(WINDOW), ()).unwrap()
}

fn two_buckets(limit: u32) -> SlidingWindow<()> {
    SlidingWindow::with_clock(limit, Duration::from_nanos(WINDOW), ()).unwrap()
}

fn schedules() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((prop_oneof![0..=3u64, 0..=200u64, 0..=1500u64], 1..=3u32), 1..120)
}

proptest! {
    #[test]
    fn a_log_answers_as_its_definition(schedule in schedules(), limit in 3..=9u32) {
        let limiter = log(limit);
        let mut taken: Vec<(u64, u32)> = Vec::new();
        let mut now = 0;
        for (passed, n) in schedule {
            now += passed;
            let in_window = |end: u64| -> u32 {
                let recent = taken.iter().filter(|(time, _)| time + WINDOW > end);
                recent.map(|(_, n)| n).sum()
            };
            let used = in_window(now);
            match limiter.try_acquire_at(n, at(now)) {
                Ok(grant) => {
                    prop_assert!(used + n <= limit);
                    prop_assert_eq!(grant.remaining(), limit - used - n);
                    prop_assert_eq!(grant.reset_after(), Duration::from_nanos(WINDOW));
                    taken.push((now, n));
                }
                Err(refused) => {
                    prop_assert!(used + n > limit);
                    let wait = u64::try_from(refused.retry_after().unwrap().as_nanos()).unwrap();
                    prop_assert!(in_window(now + wait) + n <= limit);
                    prop_assert!(in_window(now + wait - 1) + n > limit);
                }
            }
        }
    }

    #[test]
    fn a_window_counter_admits_less_than_twice_the_limit_in_any_window(
        schedule in schedules(),
        limit in 3..=9u32,
    ) {
        let limiter = two_buckets(limit);
        let mut taken: Vec<(u64, u32)> = Vec::new();
        let mut now = 0;
        for (passed, n) in schedule {
            now += passed;
            if limiter.try_acquire_at(n, at(now)).is_ok() {
                taken.push((now, n));
            }
            let recent = taken.iter().filter(|(time, _)| time + WINDOW > now);
            prop_assert!(recent.map(|(_, n)| n).sum::<u32>() < 2 * limit);
            // The fixed windows of the definition are never exceeded.
            let same = taken.iter().filter(|(time, _)| time / WINDOW == now / WINDOW);
            prop_assert!(same.map(|(_, n)| n).sum::<u32>() <= limit);
        }
    }

    #[test]
    fn two_buckets_name_the_first_moment_that_works(schedule in schedules(), limit in 3..=9u32) {
        let mut done: Vec<(u64, u32)> = Vec::new();
        let replay = |done: &[(u64, u32)]| {
            let limiter = two_buckets(limit);
            for (time, n) in done {
                limiter.try_acquire_at(*n, at(*time)).unwrap();
            }
            limiter
        };
        let mut now = 0;
        for (passed, n) in schedule.into_iter().take(30) {
            now += passed;
            match replay(&done).try_acquire_at(n, at(now)) {
                Ok(_) => done.push((now, n)),
                Err(refused) => {
                    let first = at(now) + refused.retry_after().unwrap();
                    prop_assert!(replay(&done).try_acquire_at(n, first).is_ok());
                    let early = first - Duration::from_nanos(1);
                    prop_assert!(replay(&done).try_acquire_at(n, early).is_err());
                }
            }
        }
    }
}

#[test]
fn even_traffic_one_below_the_limit_passes_a_window_counter() {
    let limiter = two_buckets(10);
    // Nine in each window, and never more.
    for step in 0..1000 {
        assert!(limiter.try_acquire_at(1, at(step * 112 + 99)).is_ok(), "step {step}");
    }
}

#[test]
fn what_was_taken_before_the_previous_window_counts_no_more() {
    // It decays in the next window, and is gone in the one after that.
    for (next, is_free) in [(WINDOW, false), (2 * WINDOW - 1, false), (2 * WINDOW, true)] {
        let limiter = two_buckets(4);
        assert!(limiter.try_acquire_at(4, at(0)).is_ok());
        assert_eq!(limiter.try_acquire_at(4, at(next)).is_ok(), is_free, "{next}");
    }
}

#[test]
fn time_going_backward_mints_nothing() {
    let (log, buckets) = (log(1), two_buckets(1));
    assert!(log.try_acquire_at(1, at(5 * WINDOW)).is_ok());
    assert!(buckets.try_acquire_at(1, at(5 * WINDOW)).is_ok());
    for earlier in [5 * WINDOW, 4 * WINDOW, 0] {
        assert!(log.try_acquire_at(1, at(earlier)).is_err());
        assert!(buckets.try_acquire_at(1, at(earlier)).is_err());
    }
    assert!(log.try_acquire_at(1, at(6 * WINDOW)).is_ok());
    assert!(buckets.try_acquire_at(1, at(7 * WINDOW)).is_ok());
}

#[test]
fn a_penalty_holds_and_then_the_window_is_as_it_was() {
    let (log, buckets) = (log(2), two_buckets(2));
    log.penalize_until(at(700));
    buckets.penalize_until(at(700));
    for n in [0, 1] {
        for refused in [log.try_acquire_at(n, at(0)), buckets.try_acquire_at(n, at(0))] {
            assert_eq!(refused.unwrap_err().retry_after(), Some(Duration::from_nanos(700)));
        }
        assert!(log.try_acquire_at(n, at(699)).is_err());
        assert!(buckets.try_acquire_at(n, at(699)).is_err());
    }
    assert!(log.try_acquire_at(2, at(700)).is_ok());
    assert!(buckets.try_acquire_at(2, at(700)).is_ok());
}

#[test]
fn a_refund_of_unknown_age_never_lets_more_than_the_limit_into_a_window() {
    let limiter = log(2);
    limiter.try_acquire_at(1, at(0)).unwrap();
    limiter.try_acquire_at(1, at(900)).unwrap();
    // The refund removed the older one: the younger still counts until 1900.
    limiter.refund(1);
    assert!(limiter.try_acquire_at(1, at(900)).is_ok());
    assert!(limiter.try_acquire_at(1, at(1899)).is_err());
    limiter.refund(100);
    assert!(limiter.try_acquire_at(2, at(1899)).is_ok());
}

#[test]
fn a_refunded_pass_undoes_its_own_entry() {
    let clock = ManualClock::new();
    let log = SlidingLog::with_clock(2, Duration::from_nanos(WINDOW), clock.clone()).unwrap();
    let buckets =
        SlidingWindow::with_clock(2, Duration::from_nanos(WINDOW), clock.clone()).unwrap();
    let (_log, _buckets) = (log.try_enter().unwrap(), buckets.try_enter().unwrap());
    clock.advance(Duration::from_nanos(900));
    let (in_log, in_buckets) = (log.try_enter().unwrap(), buckets.try_enter().unwrap());
    assert!(log.try_acquire(1).is_err() && buckets.try_acquire(1).is_err());
    in_log.give_back();
    in_buckets.give_back();
    // In the log the entry of 0 is left, and leaves at 1000.
    clock.advance(Duration::from_nanos(100));
    assert!(log.try_acquire(2).is_ok());
    assert!(buckets.try_acquire(1).is_ok() && buckets.try_acquire(1).is_err());
}

#[test]
fn a_window_of_nothing_is_an_error() {
    let second = Duration::from_secs(1);
    let zero = |setting| Some(QuotaError::Zero { setting });
    assert_eq!(SlidingLog::new(0, second).err(), zero("limit"));
    assert_eq!(SlidingLog::new(1, Duration::ZERO).err(), zero("window"));
    assert!(SlidingWindow::new(0, second).is_err());
    assert!(SlidingWindow::new(1, Duration::MAX).is_ok());
    assert!(log(3).try_acquire_at(4, at(0)).unwrap_err().is_too_many());
}

/// Instawork/llm-proxy #40: a late refund was deducted from what others had taken since.
#[test]
fn a_late_refund_is_not_deducted_from_the_window_of_others() {
    let limiter = two_buckets(10);
    let early = limiter.try_acquire_at(10, at(900)).unwrap();
    // Half of the previous window still counts.
    assert_eq!(limiter.try_acquire_at(5, at(1500)).unwrap().remaining(), 0);
    limiter.adjust_at(early, 0, at(1500));
    // In this window five were used, and in the last one none.
    assert_eq!(limiter.try_acquire_at(5, at(1500)).unwrap().remaining(), 0);
    assert!(limiter.try_acquire_at(1, at(1500)).is_err());

    let limiter = two_buckets(10);
    let early = limiter.try_acquire_at(10, at(900)).unwrap();
    assert!(limiter.try_acquire_at(10, at(2900)).is_ok());
    limiter.adjust_at(early, 0, at(2900));
    assert!(limiter.try_acquire_at(1, at(2900)).is_err());

    // A refund of unknown age removes the oldest.
    let limiter = two_buckets(10);
    limiter.try_acquire_at(10, at(900)).unwrap();
    limiter.try_acquire_at(5, at(1500)).unwrap();
    limiter.refund(10);
    assert_eq!(limiter.try_acquire_at(5, at(1500)).unwrap().remaining(), 0);
}

#[test]
fn a_log_of_debts_answers_as_if_it_knew_each_of_them() {
    let limiter = log(3);
    let mut now = 0;
    for _ in 0..50 {
        now += 7;
        limiter.consume_at(1, at(now));
    }
    // The third before the last leaves first, and lets one in.
    for (n, leaves) in [(1, now - 14), (2, now - 7), (3, now)] {
        let refused = limiter.try_acquire_at(n, at(now)).unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::from_nanos(leaves + WINDOW - now)));
    }
    assert!(limiter.try_acquire_at(2, at(now - 7 + WINDOW - 1)).is_err());
    assert_eq!(limiter.try_acquire_at(2, at(now - 7 + WINDOW)).unwrap().remaining(), 0);
}

#[test]
fn a_window_forgets_no_debt_however_large_it_is() {
    let limiter = two_buckets(u32::MAX);
    let all = limiter.try_acquire_at(u32::MAX, at(100)).unwrap();
    for _ in 0..2 {
        limiter.consume_at(u32::MAX, at(200));
    }
    // One of the three is refunded, and two are still a debt.
    limiter.adjust_at(all, 0, at(300));
    assert!(limiter.try_acquire_at(1, at(300)).is_err());
    // In the middle of the next window half of each counts: a limit in all.
    assert!(limiter.try_acquire_at(1, at(WINDOW + WINDOW / 2)).is_err());
    assert!(limiter.try_acquire_at(u32::MAX, at(2 * WINDOW)).is_ok());
}

#[test]
fn a_window_counter_says_when_it_will_be_empty() {
    let limiter = two_buckets(4);
    let reset_after = |n, now| limiter.try_acquire_at(n, at(now)).unwrap().reset_after();
    assert_eq!(reset_after(0, 100), Duration::ZERO);
    assert_eq!(reset_after(1, 100), Duration::from_nanos(2 * WINDOW - 100));
    // In the next window, if nothing is taken there.
    assert_eq!(reset_after(0, WINDOW + 100), Duration::from_nanos(WINDOW - 100));
    assert_eq!(reset_after(1, WINDOW + 100), Duration::from_nanos(2 * WINDOW - 100));
}

#[test]
fn a_refund_of_an_older_window_is_not_deducted_from_the_last_one() {
    let limiter = two_buckets(10);
    let early = limiter.try_acquire_at(10, at(900)).unwrap();
    // A tenth of the ten still counts.
    limiter.try_acquire_at(9, at(1900)).unwrap();
    // Half of the nine, rounded up.
    assert_eq!(limiter.try_acquire_at(0, at(2500)).unwrap().remaining(), 5);
    limiter.adjust_at(early, 0, at(2500));
    assert_eq!(limiter.try_acquire_at(0, at(2500)).unwrap().remaining(), 5);
}

#[test]
fn each_grant_of_one_instant_is_refunded_in_full() {
    for sizes in [[1, 2, 3], [3, 2, 1], [1, 3, 2]] {
        for (index, size) in sizes.into_iter().enumerate() {
            let limiter = log(6);
            let grants = sizes.map(|n| limiter.try_acquire_at(n, at(5)).unwrap());
            limiter.adjust_at(grants[index], 0, at(7));
            assert_eq!(limiter.try_acquire_at(0, at(7)).unwrap().remaining(), size);
        }
    }
}
