//! New quotas for all keys of a limiter.

use std::{num::NonZeroUsize, task::Poll, time::Duration};

use proptest::{collection::vec, prelude::*};
use test_kit::{CountingWaker, poll, poll_with};
use tidegate_rate_limiter::{
    Gate, Inherit, KeyRefused, KeyedLimiter, ManualClock, Overflow, Quota, RateLimiter, Refused,
    Timestamp,
};

const SECOND: Duration = Duration::from_secs(1);
const ALL: [Inherit; 4] = [Inherit::AsIs, Inherit::Proportional, Inherit::Additive, Inherit::Reset];

fn keys(quota: Quota) -> (KeyedLimiter<u32, ManualClock>, ManualClock) {
    let (clock, max_keys) = (ManualClock::new(), NonZeroUsize::new(100).unwrap());
    clock.advance(1000 * SECOND);
    (KeyedLimiter::with_clock(quota, max_keys, clock.clone()), clock)
}

#[test]
fn each_key_inherits_its_tokens() {
    for (inherit, left) in ALL.into_iter().zip([4, 16, 34, 40]) {
        let (keys, _clock) = keys(Quota::per_second(10));
        let gate = keys.gate(&2).unwrap();
        for key in [1, 2] {
            keys.try_acquire(&key, 6).unwrap();
        }
        keys.set_quota(Quota::per_second(40), inherit);
        assert_eq!(keys.quota(), Quota::per_second(40));
        for (key, left) in [(1, left), (2, left), (3, 40)] {
            let balance = keys.balance(&key);
            assert_eq!((balance.limit(), balance.remaining()), (40, left), "{inherit:?}");
        }
        keys.set_quota(Quota::per_second(5), Inherit::AsIs);
        assert_eq!(keys.balance(&1).remaining(), left.min(5));
        assert!(gate.try_enter().is_ok());
        assert_eq!(keys.balance(&2).limit(), 5);
    }
}

#[test]
fn a_key_with_a_full_bucket_counts_as_one_never_seen() {
    for inherit in ALL {
        let (keys, clock) = keys(Quota::per_second(10));
        let _gate = keys.gate(&2).unwrap();
        for key in [1, 2] {
            keys.try_acquire(&key, 6).unwrap();
        }
        clock.advance(SECOND);
        keys.set_quota(Quota::per_second(40), inherit);
        assert_eq!([1, 2, 3].map(|key| keys.balance(&key).remaining()), [40; 3], "{inherit:?}");
    }
}

#[test]
fn a_key_that_is_penalized_waits_for_as_long_as_before() {
    for inherit in ALL {
        for quota in [Quota::per_second(1), Quota::per_second(1000)] {
            let (keys, _clock) = keys(Quota::per_second(10));
            let gate = keys.gate(&2).unwrap();
            keys.penalize_for(&1, 30 * SECOND).unwrap();
            gate.penalize_for(30 * SECOND);
            keys.penalize_until(&3, Timestamp::NEVER).unwrap();
            keys.set_quota(quota, inherit);
            let retry_after = |key| keys.try_acquire(&key, 1).unwrap_err().retry_after();
            assert_eq!(retry_after(1), Some(30 * SECOND));
            assert_eq!(retry_after(2), Some(30 * SECOND));
            assert_eq!(retry_after(3), Some(Duration::MAX));
        }
    }
}

#[test]
fn a_key_with_an_exception_keeps_it() {
    let (usual, gold) = (Quota::per_second(10), Quota::per_second(100));
    let (keys, _clock) = keys(usual);
    let keys = keys.with_exceptions(move |key| match key {
        7 => Some(gold),
        8 => Some(usual),
        _ => None,
    });
    for key in [7, 8, 9] {
        keys.try_acquire(&key, 1).unwrap();
    }
    keys.set_quota(Quota::per_second(20), Inherit::Additive);
    assert_eq!([7, 8, 9].map(|key| keys.balance(&key).remaining()), [99, 9, 19]);
}

#[test]
fn a_waiter_of_a_key_checks_again_when_the_quota_changes() {
    let (keys, _clock) = keys(Quota::per_hour(3));
    keys.try_acquire(&7, 3).unwrap();
    let (mut first, mut large) = (keys.acquire(&7, 1), keys.acquire(&7, 3));
    let (woken, waker) = CountingWaker::new();
    assert!(poll_with(&mut first, &waker).is_pending());
    assert!(poll(&mut large).is_pending());
    keys.set_quota(Quota::per_second(2), Inherit::Reset);
    assert_eq!(woken.count(), 1);
    let Poll::Ready(Ok(grant)) = poll_with(&mut first, &waker) else { panic!("not granted") };
    assert_eq!((grant.limit(), grant.remaining()), (2, 1));
    let too_many = Err(KeyRefused::Refused(Refused::TooMany { asked: 3, limit: 2 }));
    assert_eq!(poll(&mut large), Poll::Ready(too_many));
}

#[test]
fn keys_without_a_slot_count_by_the_new_quota_together() {
    let clock = ManualClock::new();
    let keys = KeyedLimiter::with_clock(Quota::per_hour(2), NonZeroUsize::MIN, clock)
        .with_overflow(Overflow::Shared);
    for key in [1, 2, 3] {
        keys.try_acquire(&key, 1).unwrap();
    }
    assert!(keys.try_acquire(&4, 1).is_err());
    keys.set_quota(Quota::per_hour(5), Inherit::Additive);
    let granted = [2, 3, 4, 5].map(|key| keys.try_acquire(&key, 1).is_ok());
    assert_eq!(granted, [true, true, true, false]);
}

#[test]
fn a_gate_of_a_forgotten_key_keeps_its_quota() {
    let (keys, _clock) = keys(Quota::per_hour(2));
    let gate = keys.gate(&7).unwrap();
    keys.forget(&7);
    for tokens in [3, 4, 5] {
        keys.set_quota(Quota::per_second(tokens), Inherit::Reset);
    }
    let passes = [gate.try_enter(), gate.try_enter(), gate.try_enter()];
    assert_eq!(passes.map(|pass| pass.is_ok()), [true, true, false]);
}

#[test]
fn a_pass_of_the_old_quota_refunds_nothing() {
    let (keys, _clock) = keys(Quota::per_hour(2));
    let gate = keys.gate(&7).unwrap();
    let pass = gate.try_enter().unwrap();
    keys.set_quota(Quota::per_second(4), Inherit::AsIs);
    assert_eq!(keys.balance(&7).remaining(), 1);
    pass.cost(0);
    assert_eq!(keys.balance(&7).remaining(), 1);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Take(u32, u32),
    Advance(u32),
    Change(Quota, Inherit),
}

/// Steps by quotas whose tokens come after whole quarters of a second.
fn steps() -> impl Strategy<Value = Step> {
    let quota = (0..3_u32, 1..=6_u32).prop_map(|(n, burst)| Quota::per_second(1 << n).burst(burst));
    let inherit = (0..4_usize).prop_map(|n| ALL[n]);
    prop_oneof![
        4 => (0..3_u32, 1..=4_u32).prop_map(|(key, n)| Step::Take(key, n)),
        2 => (1..=4_u32).prop_map(Step::Advance),
        1 => (quota, inherit).prop_map(|(quota, inherit)| Step::Change(quota, inherit)),
    ]
}

proptest! {
    #[test]
    fn each_key_is_as_a_limiter_of_its_own(steps in vec(steps(), 0..60)) {
        let mut quota = Quota::per_second(2).burst(3);
        let (keys, clock) = keys(quota);
        let of_key = |quota| RateLimiter::with_clock(quota, clock.clone());
        let mut limiters = [(); 3].map(|()| of_key(quota));
        for step in steps {
            match step {
                Step::Take(key, n) => {
                    let limiter = &limiters[key as usize];
                    let granted = limiter.try_acquire(n).is_ok();
                    prop_assert_eq!(keys.try_acquire(&key, n).is_ok(), granted, "{:?}", step);
                    let remaining = limiter.balance().remaining();
                    prop_assert_eq!(keys.balance(&key).remaining(), remaining, "{:?}", step);
                }
                Step::Advance(quarters) => clock.advance(quarters * SECOND / 4),
                Step::Change(to, inherit) => {
                    keys.set_quota(to, inherit);
                    for limiter in &mut limiters {
                        match limiter.balance().remaining() == quota.max_burst() {
                            true => *limiter = of_key(to),
                            false => limiter.set_quota(to, inherit),
                        }
                    }
                    quota = to;
                }
            }
        }
    }
}
