//! Reservations, debts and new quotas, at given times.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tidegate_rate_limiter::{
    Inherit, Limits, ManualClock, Quota, RateLimiter, Refused, Reservation, SlidingLog,
    SlidingWindow, Timestamp,
};

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn quota(tokens: u32, burst: u32) -> Quota {
    Quota::per_second(tokens).burst(burst)
}

fn limiter(tokens: u32, burst: u32) -> RateLimiter<()> {
    RateLimiter::with_clock(quota(tokens, burst), ())
}

/// Every interval sees at most `rate·t + burst`.
fn check_intervals(mut admitted: Vec<(u64, u64)>, rate: u64, burst: u64) {
    admitted.sort_unstable();
    for first in 0..admitted.len() {
        let mut sum = 0;
        for (time, n) in &admitted[first..] {
            sum += u128::from(*n) * u128::from(SECOND);
            // Times of reservations are whole nanoseconds, each rounded up by itself.
            let length = u128::from(time - admitted[first].0 + 1);
            let most = u128::from(rate) * length + u128::from(burst * SECOND);
            assert!(sum <= most, "{sum} nanotokens in {length} ns: {admitted:?}");
        }
    }
}

proptest! {
    /// golang/go #69419: a cancel refunded too much. Here a reservation counts at its time, and a
    /// cancelled one does not count.
    #[test]
    fn reservations_and_cancels_keep_the_rate_in_every_interval(
        rate in 1..=4u32,
        burst in 1..=5u32,
        steps in prop::collection::vec((0..=5u64, 0..=3u32, 1..=5u32, 0..8usize), 1..60),
    ) {
        let limiter = limiter(rate, burst);
        let mut now = 0;
        let mut admitted = Vec::new();
        let mut reserved: Vec<(Reservation<'_, ()>, u32)> = Vec::new();
        for (passed, what, n, which) in steps {
            now += passed * SECOND / 4;
            let n = n.min(burst);
            match what {
                0 => if limiter.try_acquire_at(n, at(now)).is_ok() {
                    admitted.push((now, u64::from(n)));
                },
                1 | 2 => reserved.push((limiter.reserve_at(n, at(now)).unwrap(), n)),
                _ if reserved.is_empty() => {}
                _ => {
                    let (reservation, n) = reserved.remove(which % reserved.len());
                    let ready_at = reservation.ready_at();
                    let refunded = reservation.cancel_at(at(now));
                    prop_assert!(refunded <= n);
                    if ready_at < at(now) {
                        prop_assert_eq!(refunded, 0);
                        admitted.push((ready_at.as_nanos(), n.into()));
                    }
                }
            }
        }
        let left = reserved.iter().map(|(r, n)| (r.ready_at().as_nanos(), u64::from(*n)));
        admitted.extend(left);
        check_intervals(admitted, rate.into(), burst.into());
    }

    #[test]
    fn a_cancelled_last_reservation_leaves_no_trace(
        rate in 1..=4u32,
        burst in 1..=5u32,
        before in prop::collection::vec(1..=5u32, 0..6),
        n in 1..=5u32,
    ) {
        let limiter = limiter(rate, burst);
        let before: Vec<_> =
            before.iter().map(|n| limiter.reserve_at((*n).min(burst), at(0)).unwrap()).collect();
        let n = n.min(burst);
        let expected = limiter.reserve_at(n, at(0)).unwrap();
        let ready_at = expected.ready_at();
        prop_assert_eq!(expected.cancel_at(at(0)), n);
        let again = limiter.reserve_at(n, at(0)).unwrap();
        prop_assert!(again.ready_at().since(ready_at) <= Duration::from_nanos(1));
        drop(before);
    }

    #[test]
    fn refunds_and_debts_answer_as_a_sequential_bucket(
        rate in 1..=4u32,
        burst in 1..=5u32,
        steps in prop::collection::vec((0..=9u64, 0..=3u32, 1..=7u32), 1..60),
    ) {
        let limiter = limiter(rate, burst);
        let full = i128::from(burst) * i128::from(SECOND);
        let (mut level, mut now) = (full, 0);
        for (passed, what, n) in steps {
            let passed = passed * SECOND / 7;
            now += passed;
            level = full.min(level + i128::from(passed) * i128::from(rate));
            let price = i128::from(n) * i128::from(SECOND);
            match what {
                0 => {
                    let fits = n <= burst && price <= level;
                    prop_assert_eq!(limiter.try_acquire_at(n, at(now)).is_ok(), fits);
                    level -= if fits { price } else { 0 };
                }
                1 => {
                    limiter.refund(n);
                    level = full.min(level + price);
                }
                _ => {
                    level -= price;
                    let left = limiter.consume_at(n, at(now)).remaining();
                    prop_assert_eq!(i128::from(left), (level / i128::from(SECOND)).max(0));
                }
            }
        }
    }

    #[test]
    fn each_quota_in_turn_keeps_its_own_rate_in_every_interval(
        quotas in prop::collection::vec((1..=9u32, 1..=5u32), 2..5),
        inherit in prop::sample::select(vec![
            Inherit::AsIs, Inherit::Proportional, Inherit::Additive, Inherit::Reset,
        ]),
        steps in prop::collection::vec((0..=5u64, 1..=3u32), 20),
    ) {
        let limiter = limiter(quotas[0].0, quotas[0].1);
        let mut now = 0;
        for (rate, burst) in quotas {
            limiter.set_quota_at(quota(rate, burst), inherit, at(now));
            let mut admitted = Vec::new();
            for (passed, n) in &steps {
                if limiter.try_acquire_at(*n, at(now)).is_ok() {
                    admitted.push((now, u64::from(*n)));
                }
                now += passed * SECOND / 16;
            }
            check_intervals(admitted, rate.into(), burst.into());
        }
    }

    #[test]
    fn what_is_inherited_is_what_the_strategy_says(
        (old_rate, old_burst) in (1..=4u32, 1..=9u32),
        (new_rate, new_burst) in (1..=4u32, 1..=9u32),
        spent in 0..=9u32,
    ) {
        let spent = spent.min(old_burst);
        let left = old_burst - spent;
        for (inherit, expected) in [
            (Inherit::AsIs, left),
            (Inherit::Proportional, left * new_burst / old_burst),
            (Inherit::Additive, left + new_burst.saturating_sub(old_burst)),
            (Inherit::Reset, new_burst),
        ] {
            let limiter = limiter(old_rate, old_burst);
            limiter.try_acquire_at(spent, at(SECOND)).unwrap();
            limiter.set_quota_at(quota(new_rate, new_burst), inherit, at(SECOND));
            let left = limiter.try_acquire_at(0, at(SECOND)).unwrap().remaining();
            prop_assert_eq!(left, expected.min(new_burst), "{:?}", inherit);
        }
    }

    #[test]
    fn several_limits_grant_what_each_would_and_nothing_else(
        steps in prop::collection::vec((0..=9u64, 1..=4u32), 1..60),
    ) {
        let quotas = [quota(3, 4), quota(1, 9)];
        let (limits, each) = (Limits::with_clock(quotas, ()), quotas.map(|q| RateLimiter::with_clock(q, ())));
        let mut now = 0;
        for (passed, n) in steps {
            now += passed * SECOND / 7;
            let fits = each.iter().all(|l| l.try_acquire_at(0, at(now)).is_ok_and(|g| g.remaining() >= n));
            prop_assert_eq!(limits.try_acquire_at(n, at(now)).is_ok(), fits);
            if fits {
                each.iter().for_each(|limiter| _ = limiter.try_acquire_at(n, at(now)).unwrap());
            }
        }
    }
}

#[test]
fn a_refund_does_not_join_what_was_promised_for_later() {
    let limiter = limiter(1, 1);
    limiter.try_acquire_at(1, at(0)).unwrap();
    let promised = limiter.reserve_at(1, at(0)).unwrap();
    limiter.refund(1);
    assert_eq!(promised.ready_at(), at(SECOND));
    // It would be the second one in that instant.
    assert!(limiter.try_acquire_at(1, at(SECOND)).is_err());
    assert!(limiter.try_acquire_at(1, at(2 * SECOND)).is_ok());
}

#[test]
fn a_reservation_does_not_overtake_waiters() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(1, 2), clock.clone());
    limiter.try_acquire(2).unwrap();
    let mut head = pin!(limiter.acquire(2));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(head.as_mut().poll(&mut cx).is_pending());
    let refused = limiter.reserve(1).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(3)));
    clock.advance(Duration::from_secs(2));
    assert!(head.as_mut().poll(&mut cx).is_ready());
    assert!(limiter.reserve(1).is_ok());
}

#[test]
fn a_newcomer_after_a_reservation_comes_after_its_time() {
    let limiter = limiter(1, 3);
    let first = limiter.reserve_at(3, at(0)).unwrap();
    let second = limiter.reserve_at(2, at(0)).unwrap();
    assert_eq!((first.ready_at(), second.ready_at()), (at(0), at(2 * SECOND)));
    assert!(limiter.try_acquire_at(1, at(2 * SECOND)).is_err());
    assert!(limiter.try_acquire_at(1, at(3 * SECOND)).is_ok());
    assert_eq!(limiter.reserve_at(4, at(0)).unwrap_err(), Refused::TooMany { asked: 4, limit: 3 });
}

#[test]
fn a_dropped_reservation_keeps_its_tokens_and_a_late_cancel_refunds_none() {
    let limiter = limiter(1, 1);
    drop(limiter.reserve_at(1, at(0)).unwrap());
    assert!(limiter.try_acquire_at(1, at(SECOND - 1)).is_err());
    let used = limiter.reserve_at(1, at(SECOND)).unwrap();
    assert_eq!(used.cancel_at(at(SECOND + 1)), 0);
    assert!(limiter.try_acquire_at(1, at(SECOND + 1)).is_err());
}

#[test]
fn a_new_quota_keeps_a_penalty_and_what_was_promised() {
    for inherit in [Inherit::AsIs, Inherit::Proportional, Inherit::Additive, Inherit::Reset] {
        let penalized = limiter(1, 1);
        penalized.penalize_until(at(30 * SECOND));
        penalized.set_quota_at(quota(1000, 100), inherit, at(SECOND));
        assert!(penalized.try_acquire_at(1, at(30 * SECOND - 1)).is_err(), "{inherit:?}");
        assert!(penalized.try_acquire_at(1, at(30 * SECOND)).is_ok(), "{inherit:?}");

        let limiter = limiter(1, 1);
        let _now = limiter.reserve_at(1, at(0)).unwrap();
        let promised = limiter.reserve_at(1, at(0)).unwrap();
        limiter.set_quota_at(quota(1000, 1), inherit, at(0));
        assert_eq!(promised.ready_at(), at(SECOND));
        assert!(limiter.try_acquire_at(1, at(SECOND)).is_err(), "{inherit:?}");
    }
}

#[test]
fn a_new_quota_keeps_the_debt_that_is_paid_after_a_penalty() {
    let debt = [
        (Inherit::AsIs, SECOND),
        (Inherit::Proportional, SECOND),
        (Inherit::Additive, SECOND),
        (Inherit::Reset, 0),
    ];
    for (inherit, paid) in debt {
        let limiter = limiter(1, 3);
        limiter.penalize_until(at(30 * SECOND));
        limiter.consume_at(2, at(0));
        // Two tokens of the new rate.
        limiter.set_quota_at(quota(2, 3), inherit, at(SECOND));
        assert!(limiter.try_acquire_at(1, at(30 * SECOND + paid - 1)).is_err(), "{inherit:?}");
        assert!(limiter.try_acquire_at(1, at(30 * SECOND + paid)).is_ok(), "{inherit:?}");
    }
}

#[test]
fn a_limiter_that_is_blocked_for_ever_stays_so_under_a_new_quota() {
    let limiter = limiter(1, 1);
    limiter.penalize_until(Timestamp::NEVER);
    limiter.set_quota_at(quota(10, 10), Inherit::Reset, at(5));
    assert_eq!(limiter.try_acquire_at(1, at(6)).unwrap_err().retry_after(), Some(Duration::MAX));
}

#[test]
fn a_new_quota_restarts_the_timer_of_the_head() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(1, 1), clock.clone());
    limiter.try_acquire(1).unwrap();
    let mut head = pin!(limiter.acquire(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(head.as_mut().poll(&mut cx).is_pending());
    assert_eq!(clock.next_due(), Some(at(SECOND)));
    limiter.set_quota(quota(10, 1), Inherit::AsIs);
    assert!(head.as_mut().poll(&mut cx).is_pending());
    assert_eq!(clock.next_due(), Some(at(SECOND / 10)));
    clock.advance(Duration::from_millis(100));
    assert!(head.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_waiter_whose_request_has_become_too_large_is_refused() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(1, 5), clock.clone());
    limiter.try_acquire(5).unwrap();
    let mut large = pin!(limiter.acquire(5));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(large.as_mut().poll(&mut cx).is_pending());
    limiter.set_quota(quota(1, 4), Inherit::AsIs);
    let refused = Refused::TooMany { asked: 5, limit: 4 };
    assert_eq!(large.as_mut().poll(&mut cx), Poll::Ready(Err(refused)));
}

#[test]
fn a_debt_beyond_the_burst_is_paid_before_anybody_gets_more() {
    let clock = ManualClock::new();
    let log = SlidingLog::with_clock(2, Duration::from_secs(1), clock.clone()).unwrap();
    let buckets = SlidingWindow::with_clock(2, Duration::from_secs(1), clock.clone()).unwrap();
    log.consume_now(5);
    buckets.consume_now(5);
    assert!(log.try_acquire(1).is_err() && buckets.try_acquire(1).is_err());
    clock.advance(Duration::from_secs(1));
    // The log forgets them at once, the counter only bit by bit.
    assert!(log.try_acquire(2).is_ok() && buckets.try_acquire(1).is_err());
    clock.advance(Duration::from_secs(1));
    assert!(buckets.try_acquire(2).is_ok());
}

#[test]
fn a_lower_limit_counts_what_was_taken_before() {
    let log = SlidingLog::with_clock(5, Duration::from_nanos(10), ()).unwrap();
    let buckets = SlidingWindow::with_clock(5, Duration::from_nanos(10), ()).unwrap();
    log.try_acquire_at(4, at(0)).unwrap();
    buckets.try_acquire_at(4, at(0)).unwrap();
    log.set_limit(2.try_into().unwrap());
    buckets.set_limit(2.try_into().unwrap());
    assert!(log.try_acquire_at(1, at(9)).is_err() && buckets.try_acquire_at(1, at(9)).is_err());
    assert_eq!(log.try_acquire_at(2, at(10)).unwrap().remaining(), 0);
    assert!(buckets.try_acquire_at(2, at(20)).is_ok());
    assert!(log.try_acquire_at(3, at(30)).unwrap_err().is_too_many());
}

#[test]
fn a_quota_that_goes_up_and_down_multiplies_no_reservation() {
    for rates in [vec![1000, 1], vec![1000, 10, 1], vec![7, 1000, 3, 1]] {
        let limiter = limiter(1, 1);
        let _due = [limiter.reserve_at(1, at(0)).unwrap(), limiter.reserve_at(1, at(0)).unwrap()];
        for rate in rates {
            limiter.set_quota_at(quota(rate, 1), Inherit::AsIs, at(0));
        }
        // At the time of the later reservation it would be one too many; it comes a second after.
        assert!(limiter.try_acquire_at(1, at(SECOND)).is_err());
        assert!(limiter.try_acquire_at(1, at(2 * SECOND)).is_ok());
    }
}

#[test]
fn reservations_that_are_cancelled_after_a_new_quota_leave_nothing_behind() {
    for inherit in [Inherit::AsIs, Inherit::Proportional, Inherit::Additive, Inherit::Reset] {
        let limiter = limiter(1, 1);
        let all: Vec<_> = (0..100).map(|_| limiter.reserve_at(1, at(0)).unwrap()).collect();
        limiter.set_quota_at(quota(1, 1), inherit, at(0));
        for reservation in all.into_iter().skip(1) {
            reservation.cancel_at(at(0));
        }
        let ready = if inherit == Inherit::Reset { 0 } else { SECOND };
        assert!(ready == 0 || limiter.try_acquire_at(1, at(ready - 1)).is_err(), "{inherit:?}");
        assert!(limiter.try_acquire_at(1, at(ready)).is_ok(), "{inherit:?}");
    }
}

#[test]
fn a_faster_quota_serves_newcomers_between_old_reservations() {
    let limiter = limiter(1, 1);
    let all: Vec<_> = (0..100).map(|_| limiter.reserve_at(1, at(0)).unwrap()).collect();
    limiter.set_quota_at(quota(1000, 1), Inherit::AsIs, at(0));
    assert!(limiter.try_acquire_at(1, at(SECOND / 10)).is_ok());
    let refused = limiter.try_acquire_at(1, at(SECOND / 10)).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(1)));
    // In the last millisecond before a reserved token none is available: the next comes after it.
    let close = SECOND - SECOND / 2000;
    let refused = limiter.try_acquire_at(1, at(close)).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_micros(1500)));
    assert!(limiter.try_acquire_at(1, at(close) + Duration::from_micros(1500)).is_ok());
    assert_eq!(all[99].ready_at(), at(99 * SECOND));
}

#[test]
fn the_time_of_a_cancelled_reservation_is_free_for_a_newcomer() {
    let limiter = limiter(1, 1);
    let [_now, second, third] = [(); 3].map(|()| limiter.reserve_at(1, at(0)).unwrap());
    second.cancel_at(at(0));
    assert!(limiter.try_acquire_at(1, at(SECOND - 1)).is_err());
    assert!(limiter.try_acquire_at(1, at(SECOND)).is_ok());
    assert_eq!(third.ready_at(), at(2 * SECOND));
    assert!(limiter.try_acquire_at(1, at(2 * SECOND)).is_err());
    assert!(limiter.try_acquire_at(1, at(3 * SECOND)).is_ok());
}

#[test]
fn a_newcomer_before_reservations_gets_what_they_do_not_need() {
    let new = || {
        let limiter = limiter(1, 5);
        limiter.try_acquire_at(5, at(0)).unwrap();
        let cancelled = limiter.reserve_at(5, at(0)).unwrap();
        assert_eq!(limiter.reserve_at(1, at(0)).unwrap().ready_at(), at(6 * SECOND));
        cancelled.cancel_at(at(0));
        limiter
    };
    // Three tokens have come, and the reserved one is still to come.
    let one = new().try_acquire_at(1, at(3 * SECOND)).unwrap();
    assert_eq!((one.tokens(), one.remaining()), (1, 2));
    assert_eq!(one.reset_after(), Duration::from_secs(3));
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota(1, 5), clock.clone());
    limiter.try_acquire(5).unwrap();
    let (cancelled, _kept) = (limiter.reserve(5).unwrap(), limiter.reserve(1).unwrap());
    cancelled.cancel();
    clock.advance(Duration::from_secs(3));
    let all = limiter.try_acquire_up_to(10).unwrap();
    assert_eq!((all.tokens(), all.remaining()), (3, 0));
    assert_eq!(all.reset_after(), Duration::from_secs(5));
}

#[test]
fn a_reservation_says_when_all_tokens_are_back_and_what_its_cancel_gains() {
    let limiter = limiter(1, 1);
    limiter.try_acquire_at(1, at(10 * SECOND)).unwrap();
    let [first, second] = [(); 2].map(|()| limiter.reserve_at(1, at(10 * SECOND)).unwrap());
    assert_eq!(first.grant().reset_after(), Duration::from_secs(2));
    assert_eq!(second.grant().reset_after(), Duration::from_secs(3));
    // The second keeps its time, so a third comes no earlier.
    assert_eq!(first.cancel_at(at(10 * SECOND)), 0);
    assert_eq!(second.cancel_at(at(10 * SECOND)), 1);
}
