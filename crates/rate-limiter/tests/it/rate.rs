//! The token bucket against the arithmetic of its promises.

use std::{sync::Barrier, thread, time::Duration};

use proptest::prelude::*;
use tidegate_rate_limiter::{
    BuildError, Quota, QuotaError, RateLimiter, Refused, SlidingLog, SlidingWindow, Timestamp,
    presets,
};

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn limiter(tokens: u32, period: u64, burst: u32) -> RateLimiter<()> {
    let quota = Quota::per(tokens, Duration::from_nanos(period)).burst(burst);
    RateLimiter::with_clock(quota, ())
}

/// Tokens per period in nanoseconds, and a burst.
fn quotas() -> impl Strategy<Value = (u32, u64, u32)> {
    let rates = prop_oneof![
        (1..=8u32, 8..=2 * SECOND),
        (1..=2000u32, Just(SECOND)),
        (1..=1_000_000_000u32, Just(SECOND)),
        (1..=100u32, 100..=1000u64),
    ];
    (rates, 1..=12u32).prop_map(|((tokens, period), burst)| (tokens, period, burst))
}

/// Requests: how long after the one before, in tenths of a token's interval, and for how many
/// tokens.
fn schedules() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((prop_oneof![0..=2u64, 0..=40u64, 0..=400u64], 0..=4u32), 1..80)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Whether a token's interval is a multiple of a nanosecond, or of its half, third or quarter.
fn is_exact(tokens: u32, period: u64) -> bool {
    u64::from(tokens) / greatest_common_divisor(tokens.into(), period) <= 4
}

proptest! {
    #[test]
    fn no_interval_sees_more_than_rate_and_burst(
        (tokens, period, burst) in quotas(),
        schedule in schedules(),
        start in 0..=100 * SECOND,
    ) {
        let limiter = limiter(tokens, period, burst);
        let mut now = start;
        let mut admitted: Vec<(u64, u32)> = Vec::new();
        for (tenths, n) in schedule {
            now += tenths * period / (10 * u64::from(tokens));
            if limiter.try_acquire_at(n, at(now)).is_ok() {
                admitted.push((now, n));
            }
        }
        // A token may come up to a nanosecond early if its interval is no such multiple.
        let early = u128::from(!is_exact(tokens, period));
        for first in 0..admitted.len() {
            let mut sum = 0;
            for (time, n) in &admitted[first..] {
                sum += u128::from(*n);
                let length = u128::from(time - admitted[first].0) + early;
                let most = u128::from(tokens) * length + u128::from(burst) * u128::from(period);
                prop_assert!(sum * u128::from(period) <= most, "{sum} tokens in {length} ns");
            }
        }
    }

    #[test]
    fn answers_are_those_of_the_sequential_reference(
        (tokens, period) in (1..=4u32, 4..=2 * SECOND),
        burst in 1..=12u32,
        schedule in schedules(),
        refunds in prop::collection::vec(0..=3u32, 80),
    ) {
        let limiter = limiter(tokens, period, burst);
        // The bucket's level in parts of a token: a nanosecond adds one for each token of the
        // quota.
        let full = u128::from(burst) * u128::from(period);
        let (mut level, mut now) = (full, 0);
        for ((tenths, n), refund) in schedule.into_iter().zip(refunds) {
            let passed = tenths * period / (10 * u64::from(tokens));
            now += passed;
            level = full.min(level + u128::from(passed) * u128::from(tokens));
            let price = u128::from(n) * u128::from(period);
            let expected = if n > burst {
                Err(Refused::TooMany { asked: n, limit: burst })
            } else if let Some(lacking) = price.checked_sub(level).filter(|lacking| *lacking > 0) {
                let nanos = u64::try_from(lacking.div_ceil(u128::from(tokens))).unwrap();
                let reset = u64::try_from((full - level).div_ceil(u128::from(tokens))).unwrap();
                Err(Refused::NotNow {
                    retry_after: Duration::from_nanos(nanos),
                    reset_after: Duration::from_nanos(reset),
                    limit: burst,
                })
            } else {
                level -= price;
                let reset = u64::try_from((full - level).div_ceil(u128::from(tokens))).unwrap();
                Ok((u32::try_from(level / u128::from(period)).unwrap(), Duration::from_nanos(reset)))
            };
            let answer = limiter.try_acquire_at(n, at(now));
            prop_assert_eq!(answer.map(|grant| (grant.remaining(), grant.reset_after())), expected);
            if answer.is_ok() && refund == 0 {
                limiter.refund(n);
                level = full.min(level + price);
            }
        }
    }

    #[test]
    fn retry_after_is_the_first_moment_that_works(
        (tokens, period, burst) in quotas(),
        n in 1..=12u32,
        start in 0..=100 * SECOND,
    ) {
        let n = n.min(burst);
        let before = || {
            let limiter = limiter(tokens, period, burst);
            limiter.try_acquire_at(burst, at(start)).unwrap();
            limiter
        };
        let retry_after = before().try_acquire_at(n, at(start)).unwrap_err().retry_after().unwrap();
        let first = at(start) + retry_after;
        prop_assert!(before().try_acquire_at(n, first).is_ok());
        prop_assert!(before().try_acquire_at(n, first - Duration::from_nanos(1)).is_err());
    }

    /// uber-go/ratelimit #106: after a rest the limiter stops limiting.
    #[test]
    fn an_idle_limiter_gives_exactly_one_burst((tokens, period, burst) in quotas(), rest in 0..=1u64 << 59) {
        let limiter = limiter(tokens, period, burst);
        limiter.try_acquire_at(burst, at(0)).unwrap();
        let refill = (u128::from(period) * u128::from(burst)).div_ceil(u128::from(tokens));
        let now = at(u64::try_from(refill).unwrap() + rest + 1);
        for left in (0..burst).rev() {
            prop_assert_eq!(limiter.try_acquire_at(1, now).unwrap().remaining(), left);
        }
        prop_assert!(limiter.try_acquire_at(1, now).is_err());
    }
}

#[test]
fn a_greedy_caller_gets_the_exact_rate() {
    for rate in [1, 3, 7, 60, 97, 1000, 1013, 44_100, 1_000_003, 999_999_937, 1_000_000_000] {
        // With a burst of 1 the rest of the nanosecond in which a token is taken would be lost, as
        // any lateness is.
        let limiter = limiter(rate, SECOND, 2);
        limiter.try_acquire_at(1, at(0)).unwrap();
        let mut now = 0;
        for taken in 0..20_000u64 {
            let answer = limiter.try_acquire_at(1, at(now)).or_else(|refused| {
                now += u64::try_from(refused.retry_after().unwrap().as_nanos()).unwrap();
                limiter.try_acquire_at(1, at(now))
            });
            assert!(answer.is_ok(), "{rate}/s: refused at the time it named");
            let ideal = (taken * SECOND).div_ceil(rate.into());
            let late = now.checked_sub(ideal).or((now + 1 == ideal).then_some(0));
            let allowed = u64::from(!is_exact(rate, SECOND));
            assert!(late.is_some_and(|late| late <= allowed), "{rate}/s: token {taken} at {now}");
        }
    }
}

#[test]
fn the_rate_is_exact_after_thirty_years() {
    let limiter = limiter(3, SECOND, 2);
    let years = 30 * 365 * 24 * 3600 * SECOND;
    assert!(limiter.try_acquire_at(2, at(years)).is_ok());
    for taken in 1..=7000u64 {
        let due = years + (taken * SECOND).div_ceil(3);
        assert!(limiter.try_acquire_at(1, at(due - 1)).is_err());
        assert!(limiter.try_acquire_at(1, at(due)).is_ok());
    }
}

/// golang/go #56287: time that goes backward mints tokens.
#[test]
fn time_going_backward_mints_nothing() {
    let limiter = limiter(1, SECOND, 2);
    assert!(limiter.try_acquire_at(2, at(10 * SECOND)).is_ok());
    for earlier in [10 * SECOND, 9 * SECOND, 0] {
        let refused = limiter.try_acquire_at(1, at(earlier)).unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::from_nanos(11 * SECOND - earlier)));
    }
    assert!(limiter.try_acquire_at(1, at(11 * SECOND)).is_ok());
}

#[test]
fn more_than_the_burst_is_never_granted_and_the_refusal_says_so() {
    let limiter = limiter(5, SECOND, 3);
    let refused = limiter.try_acquire_at(4, at(0)).unwrap_err();
    assert_eq!(refused, Refused::TooMany { asked: 4, limit: 3 });
    assert!(refused.is_too_many() && refused.retry_after().is_none());
    assert_eq!(refused.to_string(), "4 tokens asked for, of which 3 can be granted at once");
    // It is a mistake of the caller, and not a refusal for lack of tokens.
    assert_eq!(limiter.stats().refused, 0);
}

#[test]
fn nothing_is_granted_at_once_unless_a_penalty_runs() {
    let limiter = limiter(5, SECOND, 3);
    limiter.try_acquire_at(3, at(0)).unwrap();
    assert!(limiter.try_acquire_at(0, at(0)).is_ok());
    // A token comes every fifth of a second.
    limiter.penalize_until(at(SECOND));
    let refused = limiter.try_acquire_at(0, at(0)).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(800)));
    assert!(limiter.try_acquire_at(0, at(SECOND * 4 / 5 - 1)).is_err());
    assert_eq!(limiter.try_acquire_at(0, at(SECOND * 4 / 5)).unwrap().remaining(), 0);
}

#[test]
fn a_refund_does_not_overfill_the_bucket() {
    let limiter = limiter(1, SECOND, 3);
    limiter.try_acquire_at(1, at(0)).unwrap();
    limiter.refund(1);
    limiter.refund(100);
    assert_eq!(limiter.try_acquire_at(3, at(0)).unwrap().remaining(), 0);
    assert!(limiter.try_acquire_at(1, at(0)).is_err());
}

#[test]
fn a_penalty_ends_with_one_token_and_the_usual_rate() {
    let limiter = limiter(2, SECOND, 10);
    limiter.penalize_until(at(60 * SECOND));
    limiter.penalize_until(at(30 * SECOND));
    assert!(limiter.try_acquire_at(1, at(60 * SECOND - 1)).is_err());
    assert_eq!(limiter.try_acquire_at(1, at(60 * SECOND)).unwrap().remaining(), 0);
    assert!(limiter.try_acquire_at(1, at(60 * SECOND + SECOND / 2 - 1)).is_err());
    assert!(limiter.try_acquire_at(1, at(60 * SECOND + SECOND / 2)).is_ok());
}

#[test]
fn a_penalty_without_end_never_ends() {
    let limiter = limiter(2, SECOND, 10);
    limiter.penalize_until(Timestamp::NEVER);
    let refused = limiter.try_acquire_at(1, at(u64::MAX - 1)).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::MAX));
    assert_eq!(refused.to_string(), "rate limited for ever");
    limiter.refund(10);
    assert!(limiter.try_acquire_at(1, at(u64::MAX - 1)).is_err());
}

#[test]
fn at_the_end_of_time_a_limiter_refuses_and_does_not_wrap_around() {
    for rate in [1, 7, 97] {
        let limiter = limiter(rate, SECOND, 1);
        for _ in 0..3 {
            let _ = limiter.try_acquire_at(1, Timestamp::NEVER);
        }
        assert!(limiter.try_acquire_at(1, Timestamp::NEVER).is_err());
    }
}

#[test]
fn racing_threads_share_one_burst() {
    const THREADS: usize = 4;
    let limiter = limiter(1, SECOND, 100);
    let start = Barrier::new(THREADS);
    let take = || {
        start.wait();
        (0..100).filter(|_| limiter.try_acquire_at(1, at(5)).is_ok()).count()
    };
    let taken: usize = thread::scope(|s| {
        let threads: Vec<_> = (0..THREADS).map(|_| s.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 100);
    assert_eq!((limiter.stats().allowed, limiter.stats().refused), (100, 300));
}

#[test]
fn an_invalid_quota_is_an_error_that_names_setting_value_and_range() {
    let of = |error: Result<Quota, QuotaError>| error.unwrap_err().to_string();
    let second = Duration::from_secs(1);
    assert_eq!(of(Quota::try_per(0, second)), "tokens is 0, but must be in 1..=1000000000 per 1s");
    let too_fast = Quota::try_per(1_000_000_001, second);
    assert_eq!(of(too_fast), "tokens is 1000000001, but must be in 1..=1000000000 per 1s");
    assert_eq!(
        of(Quota::try_per(11, Duration::from_nanos(10))),
        "tokens is 11, but must be in 1..=10 per 10ns"
    );
    assert_eq!(of(Quota::try_every(Duration::ZERO)), "interval is 0, but must be above 0");
    let hourly = Quota::per_hour(1);
    assert_eq!(of(hourly.try_burst(0)), "burst is 0, but must be in 1..=320255");
    assert_eq!(of(hourly.try_burst(320_256)), "burst is 320256, but must be in 1..=320255");
    assert!(hourly.try_burst(320_255).is_ok());
    let all = presets::within(u32::MAX, Duration::from_secs(5), u32::MAX);
    assert_eq!(of(all), "burst is 4294967295, but must be in 1..=4294967294");
    let hour = Duration::from_secs(3600);
    let range = "in 101..=4294967295 per 3600s";
    assert_eq!(of(presets::within(100, hour, 100)), format!("limit is 100, but must be {range}"));
}

/// The tokens of a period and the burst together are what the service allows.
#[test]
fn a_preset_allows_what_the_service_allows_in_its_period() {
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    let allowed = [
        (presets::YOUTUBE_DATA_API, 10_000, day),
        (presets::GITHUB_REST_AUTHENTICATED, 5000, 60 * minute),
        (presets::GITHUB_REST_UNAUTHENTICATED, 60, 60 * minute),
        (presets::GEMINI_FREE_FLASH[0], 10, minute),
        (presets::GEMINI_FREE_FLASH[1], 250, day),
        (presets::NASA_DEMO_KEY[1], 50, day),
    ];
    for (quota, limit, period) in allowed {
        assert_eq!((quota.tokens() + quota.max_burst(), quota.period()), (limit, period));
    }
}

#[test]
fn an_error_names_the_setting_as_the_constructor_does() {
    let (second, zero) = (Duration::from_secs(1), Duration::ZERO);
    let of_quota = [
        (Quota::try_every(zero), "interval"),
        (Quota::try_per(0, second), "tokens"),
        (Quota::try_per(1, zero), "period"),
        (Quota::per_second(1).try_burst(0), "burst"),
        (presets::within(1, second, 1), "limit"),
        (presets::within(u32::MAX, second, 1), "limit"),
        (presets::within(2, zero, 1), "period"),
        (presets::within(2, second, 0), "burst"),
        (presets::within(u32::MAX, second, u32::MAX), "burst"),
    ];
    let of_quota = of_quota.map(|(quota, name)| (quota.unwrap_err(), name));
    let of_window = [
        (SlidingLog::new(0, second).unwrap_err(), "limit"),
        (SlidingLog::with_clock(1, zero, ()).unwrap_err(), "window"),
        (SlidingWindow::new(1, zero).unwrap_err(), "window"),
        (SlidingWindow::with_clock(0, second, ()).unwrap_err(), "limit"),
    ];
    for (error, name) in of_quota.into_iter().chain(of_window) {
        assert_eq!(BuildError::from(error).setting(), name, "{error}");
    }
}

#[test]
fn the_longest_period_is_shortened_and_still_has_a_burst_of_one() {
    let limiter = RateLimiter::with_clock(Quota::every(Duration::MAX), ());
    assert_eq!(limiter.quota().period(), Duration::from_nanos(1 << 60));
    assert!(limiter.try_acquire_at(1, at(1 << 59)).is_ok());
    assert!(limiter.try_acquire_at(1, at((1 << 59) + (1 << 60) - 1)).is_err());
    assert!(limiter.try_acquire_at(1, at((1 << 59) + (1 << 60))).is_ok());
}

#[test]
fn a_time_that_is_centuries_behind_mints_nothing() {
    for behind in [0, 1, 1 << 59, 1 << 62, 1 << 63, u64::MAX - 1_000_000_000] {
        let limiter = RateLimiter::with_clock(Quota::per_second(1), ());
        let late = u64::MAX - 10;
        assert!(limiter.try_acquire_at(1, at(late)).is_ok());
        for _ in 0..2 {
            assert!(limiter.try_acquire_at(1, at(behind)).is_err(), "at {behind}");
        }
        // Nor does it move the bucket.
        let refused = limiter.try_acquire_at(1, at(late)).unwrap_err();
        assert_eq!(refused.retry_after(), Some(Duration::MAX), "the end of time comes first");
    }
    for ahead in [1 << 59, 1 << 62, (1 << 63) + 5] {
        let limiter = RateLimiter::with_clock(Quota::per_second(1), ());
        assert!(limiter.try_acquire_at(1, at(ahead)).is_ok());
        assert!(limiter.try_acquire_at(1, at(0)).is_err(), "after {ahead}");
        assert!(limiter.try_acquire_at(1, at(ahead)).is_err(), "after {ahead}");
        assert!(limiter.try_acquire_at(1, at(ahead + 1_000_000_000)).is_ok(), "after {ahead}");
    }
}
