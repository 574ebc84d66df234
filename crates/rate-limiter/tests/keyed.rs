//! Limiters per key: bounded memory, waits, penalties, gates.

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate_rate_limiter::{
    Gate, KeyGate, KeyRefused, KeyedLimiter, ManualClock, Outcome, Pass, Quota, Refused, Timestamp,
    Wait,
};

const SECOND: Duration = Duration::from_secs(1);

/// One token a second, burst 2, for so many keys.
fn hosts(max_keys: usize) -> (KeyedLimiter<String, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).and_then(|quota| quota.burst(2)).unwrap();
    let max_keys = NonZeroUsize::new(max_keys).unwrap();
    (KeyedLimiter::with_clock(quota, max_keys, clock.clone()), clock)
}

#[test]
fn keys_do_not_share_their_tokens() {
    let (hosts, _clock) = hosts(10);
    assert!(hosts.try_acquire("a", 2).is_ok());
    assert!(hosts.try_acquire("b", 2).is_ok());
    let refused = hosts.try_acquire("a", 1).unwrap_err();
    assert_eq!(refused, KeyRefused::Refused(Refused::NotNow { retry_after: SECOND }));
    let stats = hosts.stats();
    assert_eq!((stats.allowed, stats.refused, hosts.len()), (2, 1, 2));
}

#[test]
fn passing_keys_take_no_more_places_than_agreed() {
    let quota = Quota::per_second(1000).and_then(|quota| quota.burst(1)).unwrap();
    let ids = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::new(64).unwrap(), ());
    for id in 0..100_000u32 {
        // A token is back after a millisecond, in which twenty other keys come.
        let now = Timestamp::from_nanos(u64::from(id) * 50_000);
        assert!(ids.try_acquire_at(&id, 1, now).is_ok());
        assert!(ids.len() <= 64);
    }
}

#[test]
fn a_key_is_refused_only_when_every_other_is_in_use() {
    let (hosts, clock) = hosts(2);
    hosts.try_acquire("a", 1).unwrap();
    hosts.try_acquire("b", 2).unwrap();
    let refused = hosts.try_acquire("c", 1).unwrap_err();
    assert!(refused.is_too_many_keys() && refused.retry_after().is_none());
    assert_eq!(refused.to_string(), "too many keys: 2 of 2 in use");
    // A full bucket is as good as none: "a" makes room, "b" does not.
    clock.advance(SECOND);
    assert!(hosts.try_acquire("c", 1).is_ok());
    assert!(hosts.try_acquire("b", 2).is_err());
    assert_eq!(hosts.len(), 2);
}

#[test]
fn a_key_that_is_waited_for_or_penalized_or_held_is_not_forgotten() {
    let (hosts, clock) = hosts(1);
    hosts.try_acquire("a", 2).unwrap();
    let mut wait = Box::pin(hosts.acquire("a", 2));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    clock.advance(100 * SECOND);
    assert!(hosts.try_acquire("b", 1).is_err());
    assert!(wait.as_mut().poll(&mut cx).is_ready());
    drop(wait);
    clock.advance(2 * SECOND);

    hosts.penalize_for("b", 50 * SECOND).unwrap();
    clock.advance(49 * SECOND);
    assert!(hosts.gate("c").is_err());
    clock.advance(3 * SECOND);

    let gate = hosts.gate("c").unwrap();
    assert!(hosts.penalize_for("d", SECOND).is_err());
    drop(gate);
    assert!(hosts.penalize_for("d", SECOND).is_ok());
}

#[test]
fn waits_for_one_key_are_in_line_and_other_keys_are_not_concerned() {
    let (hosts, clock) = hosts(10);
    hosts.try_acquire("a", 2).unwrap();
    let (mut first, mut second) = (pin!(hosts.acquire("a", 1)), pin!(hosts.acquire("a", 1)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert!(hosts.acquire("b", 1).wait().is_ok());
    clock.advance(SECOND);
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert!(first.as_mut().poll(&mut cx).is_ready());
    assert_eq!(hosts.try_acquire("a", 1).unwrap_err().retry_after(), Some(2 * SECOND));
    hosts.refund("a", 1);
    assert!(second.as_mut().poll(&mut cx).is_ready());
    assert_eq!(hosts.stats().waited, 2);
}

#[test]
fn a_wait_without_a_place_or_a_chance_is_refused_at_once() {
    let (hosts, _clock) = hosts(1);
    hosts.try_acquire("a", 2).unwrap();
    assert!(hosts.acquire("b", 1).wait().unwrap_err().is_too_many_keys());
    let too_many = KeyRefused::Refused(Refused::TooMany { asked: 3, limit: 2 });
    assert_eq!(hosts.acquire("a", 3).wait(), Err(too_many));
    let late = hosts.acquire("a", 1).or_refuse_after(SECOND / 2).wait().unwrap_err();
    assert_eq!(late.retry_after(), Some(SECOND));
    assert!(hosts.acquire("b", 1).or_refuse_after(SECOND).wait().is_err());
}

#[test]
fn more_than_the_burst_takes_no_place() {
    let (hosts, _clock) = hosts(1);
    let too_many = KeyRefused::Refused(Refused::TooMany { asked: 3, limit: 2 });
    assert_eq!(hosts.try_acquire("a", 3), Err(too_many));
    assert_eq!(hosts.acquire("a", 3).wait(), Err(too_many));
    assert!(hosts.is_empty());
    // Nor does it need one.
    hosts.try_acquire("b", 1).unwrap();
    assert_eq!(hosts.try_acquire("a", 3), Err(too_many));
    assert_eq!(hosts.acquire("a", 3).or_refuse_after(SECOND).wait(), Err(too_many));
}

#[test]
fn time_going_backward_mints_nothing_for_a_key_that_was_forgotten() {
    let quota = Quota::per_second(10).unwrap();
    let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, ());
    let (early, late) = (Timestamp::ORIGIN + SECOND, Timestamp::ORIGIN + 10 * SECOND);
    let mut granted = 0;
    for _ in 0..5 {
        granted += (0..20).filter(|_| keys.try_acquire_at(&1, 1, early).is_ok()).count();
        // Another key takes its place and leaves.
        assert!(keys.try_acquire_at(&2, 1, late).is_ok());
        keys.forget(&2);
    }
    assert_eq!(granted, 10);
    assert!(keys.try_acquire_at(&1, 10, late).is_ok());
}

#[test]
fn refunds_and_forgetting_concern_one_key() {
    let (hosts, _clock) = hosts(10);
    hosts.try_acquire("a", 2).unwrap();
    hosts.refund("a", 1);
    hosts.refund("stranger", 1);
    assert_eq!(hosts.len(), 1);
    assert!(hosts.try_acquire("a", 1).is_ok());
    assert!(hosts.try_acquire("a", 1).is_err());
    hosts.forget("a");
    assert!(hosts.is_empty() && hosts.try_acquire("a", 2).is_ok());
}

#[test]
fn what_a_key_has_spent_does_not_depend_on_who_holds_it() {
    let (hosts, clock) = hosts(10);
    hosts.try_acquire("a", 1).unwrap();
    let gate = hosts.gate("a").unwrap();
    assert!(gate.try_enter().is_ok());
    assert_eq!(gate.try_enter().unwrap_err().retry_after(), Some(SECOND));
    drop(gate);
    assert_eq!(hosts.try_acquire("a", 1).unwrap_err().retry_after(), Some(SECOND));

    hosts.penalize_until("b", Timestamp::NEVER).unwrap();
    hosts.refund("b", 1);
    clock.advance(1000 * SECOND);
    assert_eq!(hosts.try_acquire("b", 1).unwrap_err().retry_after(), Some(Duration::MAX));
    assert_eq!(
        hosts.gate("b").unwrap().try_enter().unwrap_err().retry_after(),
        Some(Duration::MAX)
    );
    let stats = hosts.stats();
    assert_eq!((stats.allowed, stats.refused), (2, 4));
}

#[test]
fn the_gate_of_a_key_spends_its_tokens_and_takes_unused_passes_back() {
    let (hosts, clock) = hosts(10);
    let gate: KeyGate<'_, _> = hosts.gate("a").unwrap();
    gate.try_enter().unwrap().settle(Outcome::Failure);
    let unused = gate.enter().wait().unwrap();
    assert!(gate.try_enter().is_err() && hosts.try_acquire("a", 1).is_err());

    let mut next = pin!(gate.enter());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    unused.give_back();
    assert!(matches!(next.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));

    gate.penalize_until(Timestamp::ORIGIN + 9 * SECOND);
    clock.advance(8 * SECOND);
    assert_eq!(gate.try_enter().unwrap_err().retry_after(), Some(SECOND));
}

#[test]
fn a_pair_of_gates_gives_the_token_back_when_the_second_refuses() {
    let (hosts, _clock) = hosts(10);
    let (host, full) = (hosts.gate("a").unwrap(), hosts.gate("b").unwrap());
    let _all = (full.try_enter().unwrap(), full.try_enter().unwrap());
    assert!((&host, &full).try_enter().is_err());
    assert!(hosts.try_acquire("a", 2).is_ok());
}
