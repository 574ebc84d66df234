//! A balance is not a request.

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tidegate_rate_limiter::{
    Algorithm, FixedKeyedLimiter, KeyedLimiter, Limiter, Limits, ManualClock, Quota, RateLimiter,
    SlidingLog, SlidingWindow, Timestamp,
};

const SECOND: Duration = Duration::from_secs(1);

/// Checks a balance against what a request finds, and that reading it changes nothing.
fn is_what_a_request_finds<A: Algorithm>(
    limiter: &Limiter<A, ManualClock>,
    clock: &ManualClock,
    is_several: bool,
    steps: &[(u64, u32)],
) -> Result<(), TestCaseError> {
    for &(millis, n) in steps {
        clock.advance(Duration::from_millis(millis));
        let stats = limiter.stats();
        let balance = limiter.balance();
        prop_assert_eq!(balance, limiter.balance());
        prop_assert_eq!(limiter.stats(), stats);
        prop_assert_eq!(balance.limit(), limiter.limit());
        match limiter.try_acquire_up_to(n.max(1)) {
            Ok(grant) => {
                prop_assert_eq!(grant.remaining() + grant.tokens(), balance.remaining());
                prop_assert_eq!(
                    (balance.retry_after(), balance.retry_after_secs()),
                    (Duration::ZERO, 0)
                );
                let after = limiter.balance();
                prop_assert_eq!(grant.remaining(), after.remaining());
                // A grant counts from its own time in units, which need not be whole nanoseconds.
                let apart = grant.reset_after().abs_diff(after.reset_after());
                // Of several limits a grant says when the tightest is full, a balance when all are
                // full enough.
                prop_assert!(is_several || apart <= Duration::from_nanos(1), "{grant:?} {after:?}");
            }
            Err(refused) => {
                prop_assert_eq!(balance.remaining(), 0);
                prop_assert_eq!(refused.retry_after(), Some(balance.retry_after()));
                prop_assert_eq!(refused.reset_after(), Some(balance.reset_after()));
                prop_assert_eq!(refused.limit(), balance.limit());
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_balance_is_what_a_request_finds(
        steps in prop::collection::vec((0..700_u64, 0..6_u32), 1..40),
    ) {
        let clock = ManualClock::new();
        let quota = Quota::per_second(7).burst(5);
        is_what_a_request_finds(&RateLimiter::with_clock(quota, clock.clone()), &clock, false, &steps)?;
        let both = [quota, Quota::per_minute(20)];
        is_what_a_request_finds(&Limits::with_clock(both, clock.clone()), &clock, true, &steps)?;
        let log = SlidingLog::with_clock(4, SECOND, clock.clone()).unwrap();
        is_what_a_request_finds(&log, &clock, false, &steps)?;
        let window = SlidingWindow::with_clock(4, SECOND, clock.clone()).unwrap();
        for &(millis, n) in &steps {
            clock.advance(Duration::from_millis(millis));
            let balance = window.balance();
            let found = window.try_acquire_up_to(n.max(1)).map_or(0, |grant| grant.tokens() + grant.remaining());
            prop_assert_eq!(balance.remaining(), found);
        }
    }
}

#[test]
fn a_balance_of_a_key_takes_no_slot_and_counts_nothing() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(2);
    let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, clock.clone())
        .with_exceptions(|key| (*key == 9).then_some(Quota::per_second(50)));
    let cells = FixedKeyedLimiter::<64, _>::with_clock(quota, clock.clone());
    keys.try_acquire(&1, 2).unwrap();
    cells.try_acquire(&1, 2).unwrap();
    let before = (keys.stats(), cells.stats());
    for _ in 0..3 {
        for balance in [keys.balance(&1), cells.balance(&1)] {
            assert_eq!((balance.limit(), balance.remaining()), (2, 0));
            assert_eq!((balance.reset_after(), balance.retry_after()), (SECOND, SECOND / 2));
            assert_eq!((balance.reset_after_secs(), balance.retry_after_secs()), (1, 1));
        }
        assert_eq!(keys.balance(&2).remaining(), 2);
        assert_eq!(keys.balance(&9).limit(), 50);
        assert_eq!(keys.balance_at(&1, Timestamp::NEVER).limit(), 2);
    }
    assert_eq!((keys.len(), (keys.stats(), cells.stats())), (1, before));
    keys.penalize_until(&1, Timestamp::NEVER).unwrap();
    assert_eq!(keys.balance(&1).reset_after(), Duration::MAX);
    assert_eq!(keys.balance(&1).reset_after_secs(), u64::MAX);
}

#[test]
fn a_refusal_carries_what_its_headers_need() {
    let clock = ManualClock::new();
    let quota = Quota::per_minute(100).burst(3);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    assert_eq!(limiter.try_acquire(3).unwrap().reset_after_secs(), 2);
    assert_eq!(limiter.balance().retry_after_secs(), 1);
    let refused = limiter.try_acquire(2).unwrap_err();
    assert!(!refused.is_too_many());
    // A token comes every 0.6 s.
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(1200)));
    assert_eq!(refused.reset_after(), Some(Duration::from_millis(1800)));
    assert_eq!((refused.retry_after_secs(), refused.reset_after_secs()), (Some(2), Some(2)));
    assert_eq!(refused.limit(), 3);
    // Never: the limit is known, and no time helps.
    let refused = limiter.try_acquire(4).unwrap_err();
    assert_eq!((refused.limit(), refused.reset_after(), refused.retry_after()), (3, None, None));
    // A penalty for ever.
    limiter.penalize_until(Timestamp::NEVER);
    let refused = limiter.try_acquire(1).unwrap_err();
    assert_eq!((refused.limit(), refused.reset_after()), (3, Some(Duration::MAX)));
    let refused = limiter.reserve(1).unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (3, Some(Duration::MAX)));

    // Refusals by a key and by a cell carry the same.
    let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, clock.clone());
    keys.try_acquire(&1, 3).unwrap();
    let refused = keys.try_acquire(&1, 2).unwrap_err();
    assert_eq!((refused.retry_after_secs(), refused.reset_after_secs()), (Some(2), Some(2)));
    assert_eq!(refused.limit(), Some(3));
    let refused = keys.try_acquire(&2, 1).unwrap_err();
    assert_eq!((refused.limit(), refused.reset_after_secs()), (None, None));
    assert_eq!(refused.retry_after_secs(), None);
    let cells = FixedKeyedLimiter::<1, _>::with_clock(quota, clock);
    cells.try_acquire("a", 3).unwrap();
    let refused = cells.try_acquire("a", 1).unwrap_err();
    assert_eq!((refused.limit(), refused.reset_after_secs()), (3, Some(2)));
}

#[test]
fn nothing_remains_while_others_wait() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(4), clock.clone());
    limiter.try_acquire(4).unwrap();
    let mut wait = pin!(limiter.acquire(2));
    assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(SECOND);
    let balance = limiter.balance();
    assert_eq!((balance.remaining(), balance.limit()), (0, 4));
    assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(limiter.balance().remaining(), 2);
}

#[test]
fn a_client_that_comes_when_a_header_says_is_not_too_early() {
    let clock = ManualClock::new();
    let quota = Quota::per_minute(100).burst(1);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    for _ in 0..50 {
        let grant = limiter.try_acquire(1).unwrap();
        let refused = limiter.try_acquire(1).unwrap_err();
        assert_eq!(refused.retry_after_secs(), Some(grant.reset_after_secs()));
        assert_eq!(limiter.balance().reset_after_secs(), grant.reset_after_secs());
        clock.advance(Duration::from_secs(grant.reset_after_secs()));
    }
}
