//! Limiters at all times that a clock can show, and on clocks that are late.

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use tidegate_rate_limiter::{
    FixedKeyedLimiter, Inherit, KeyedLimiter, Limits, ManualClock, Quota, RateLimiter, SlidingLog,
    SlidingWindow, Timestamp,
};

const SECOND: u64 = 1_000_000_000;
const YEAR: u64 = 31_556_952 * SECOND;

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn quotas() -> [Quota; 7] {
    let day = Duration::from_secs(86_400);
    [
        Quota::per_second(1),
        Quota::per_second(3),
        Quota::per_second(7),
        Quota::per_second(999_999_937),
        Quota::every(day),
        Quota::per(4, day).burst(1000),
        Quota::per(7, Duration::MAX),
    ]
}

/// Grants one burst and not more, and the next one when the answer said.
fn serves(
    quota: Quota,
    time: u64,
    mut take: impl FnMut(u32, Timestamp) -> Result<(), Option<Duration>>,
) {
    assert_eq!(take(quota.max_burst(), at(time)), Ok(()), "{quota:?} at {}", at(time));
    let retry_after = take(1, at(time)).unwrap_err().expect("not too many");
    let period = quota.period().as_nanos().div_ceil(quota.tokens().into());
    assert!(retry_after.as_nanos().abs_diff(period) <= 2, "{quota:?}: {retry_after:?}");
    assert_eq!(
        take(1, at(time) + retry_after),
        Ok(()),
        "{quota:?} {retry_after:?} after {}",
        at(time)
    );
    assert!(take(1, at(time) + retry_after - Duration::from_nanos(3)).is_err());
}

#[test]
fn a_limiter_works_at_every_time_of_its_clock() {
    for quota in quotas() {
        let refill =
            u64::try_from((quota.period() / quota.tokens() * quota.max_burst()).as_nanos())
                .unwrap();
        let (one, limits) = (RateLimiter::with_clock(quota, ()), Limits::with_clock([quota], ()));
        let keys = KeyedLimiter::<u8, _>::with_clock(quota, NonZeroUsize::MIN, ());
        let cells = FixedKeyedLimiter::<1, ()>::with_clock(quota, ());
        let mut time = 0;
        // A new limiter at that time, and one that was used since the origin.
        while time + 2 * refill.max(YEAR) < 570 * YEAR {
            let new = RateLimiter::with_clock(quota, ());
            serves(quota, time, |n, now| {
                new.try_acquire_at(n, now).map(drop).map_err(|r| r.retry_after())
            });
            serves(quota, time, |n, now| {
                one.try_acquire_at(n, now).map(drop).map_err(|r| r.retry_after())
            });
            serves(quota, time, |n, now| {
                limits.try_acquire_at(n, now).map(drop).map_err(|r| r.retry_after())
            });
            serves(quota, time, |n, now| {
                keys.try_acquire_at(&1, n, now).map(drop).map_err(|r| r.retry_after())
            });
            serves(quota, time, |n, now| {
                cells.try_acquire_at(&1, n, now).map(drop).map_err(|r| r.retry_after())
            });
            time += 2 * refill.max(6 * YEAR) + 1;
        }
    }
}

#[test]
fn windows_work_at_every_time_of_their_clock() {
    for window in [Duration::from_secs(1), Duration::from_secs(86_400)] {
        let log = SlidingLog::with_clock(2, window, ()).unwrap();
        let buckets = SlidingWindow::with_clock(2, window, ()).unwrap();
        for years in (0..570).step_by(11) {
            let time = at(years * YEAR);
            assert!(log.try_acquire_at(2, time).is_ok() && log.try_acquire_at(1, time).is_err());
            assert!(
                buckets.try_acquire_at(2, time).is_ok() && buckets.try_acquire_at(1, time).is_err()
            );
        }
    }
}

/// The first call tells the limiter the time, whichever method it is.
#[test]
fn any_first_call_far_from_the_origin_is_as_at_the_origin() {
    let now = at(425 * YEAR);
    let clock = ManualClock::new();
    clock.advance(now.since(Timestamp::ORIGIN));
    for quota in quotas().into_iter().filter(|quota| quota.max_burst() < 10) {
        let new = || RateLimiter::with_clock(quota, clock.clone());
        let burst = quota.max_burst();
        let penalized = new();
        penalized.penalize_for(Duration::from_secs(30));
        let refused = penalized.try_acquire(1).unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)), "{quota:?}");
        let limits = Limits::with_clock([quota], clock.clone());
        limits.penalize_for(Duration::from_secs(30));
        let refused = limits.try_acquire(1).unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)), "{quota:?}");
        let owing = new();
        assert_eq!(owing.consume_now(burst).remaining(), 0);
        assert!(owing.try_acquire(1).is_err());
        let changed = new();
        changed.set_quota(quota, Inherit::AsIs);
        assert!(changed.try_acquire(burst).is_ok() && changed.try_acquire(1).is_err());
        let reserved = new();
        let [first, second] = [reserved.reserve(burst).unwrap(), reserved.reserve(1).unwrap()];
        assert_eq!(first.ready_at(), now);
        let interval = quota.period().as_nanos().div_ceil(quota.tokens().into());
        assert!(second.ready_at().since(now).as_nanos().abs_diff(interval) <= 2);
        assert_eq!((second.cancel(), first.cancel()), (1, burst));
        assert!(reserved.try_acquire(burst).is_ok());
        let refunded = new();
        refunded.refund(1);
        let grant = refunded.try_acquire(burst).unwrap();
        refunded.adjust(grant, 0);
        assert!(refunded.try_acquire(burst).is_ok() && refunded.try_acquire(1).is_err());
    }
}

#[test]
fn a_wait_far_from_the_origin_ends_its_poll() {
    let clock = ManualClock::new();
    clock.advance(Duration::from_nanos(400 * YEAR));
    let limiter = RateLimiter::with_clock(Quota::per_second(7), clock.clone());
    limiter.try_acquire(7).unwrap();
    let mut wait = pin!(limiter.acquire(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(wait.as_mut().poll(&mut cx).is_ready());
}

/// What was reserved and taken before a later origin counts after it.
#[test]
fn a_later_origin_changes_no_answer() {
    for quota in [Quota::per_second(3), Quota::per_second(7)] {
        let limiter = RateLimiter::with_clock(quota, ());
        limiter.try_acquire_at(1, at(5)).unwrap();
        let burst = quota.max_burst();
        // Each step is close to what the numbers reach.
        let mut time = 0;
        while time < 560 * YEAR {
            time += 17 * YEAR + 12_345;
            assert_eq!(limiter.try_acquire_at(burst, at(time)).unwrap().remaining(), 0);
            let promised = limiter.reserve_at(1, at(time)).unwrap();
            assert!(limiter.try_acquire_at(1, promised.ready_at()).is_err());
            assert!(
                limiter.try_acquire_at(1, promised.ready_at() + Duration::from_secs(1)).is_ok()
            );
        }
    }
}
