//! Limiters per key: bounded memory, waits, penalties, gates.

use std::{
    cell::Cell,
    future::Future,
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::paper::poll_once;
use test_kit::{panics, quiet_panic};
use tidegate_rate_limiter::{
    Gate, KeyGate, KeyRefused, KeyedLimiter, ManualClock, Outcome, Overflow, Pass, Quota, Refused,
    Timestamp, Wait,
};

const SECOND: Duration = Duration::from_secs(1);

/// One token a second, burst 2, for `max_keys` keys.
fn hosts(max_keys: usize) -> (KeyedLimiter<String, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(2);
    let max_keys = NonZeroUsize::new(max_keys).unwrap();
    (KeyedLimiter::with_clock(quota, max_keys, clock.clone()), clock)
}

#[test]
fn keys_do_not_share_their_tokens() {
    let (hosts, _clock) = hosts(10);
    assert!(hosts.try_acquire("a", 2).is_ok());
    assert!(hosts.try_acquire("b", 2).is_ok());
    let refused = hosts.try_acquire("a", 1).unwrap_err();
    assert_eq!((refused.retry_after(), refused.is_too_many_keys()), (Some(SECOND), false));
    assert_eq!((refused.limit(), refused.reset_after()), (Some(2), Some(2 * SECOND)));
    let stats = hosts.stats();
    assert_eq!((stats.allowed, stats.refused, hosts.len()), (2, 1, 2));
}

#[test]
fn passing_keys_take_no_more_slots_than_agreed() {
    let quota = Quota::per_second(1000).burst(1);
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
    // A full bucket is the same as none: "a" frees its slot, "b" does not.
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
fn waits_for_one_key_are_queued_and_other_keys_are_not_concerned() {
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
fn a_wait_without_a_slot_or_a_chance_is_refused_at_once() {
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
fn more_than_the_burst_takes_no_slot() {
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
    let quota = Quota::per_second(10);
    let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, ());
    let (early, late) = (Timestamp::ORIGIN + SECOND, Timestamp::ORIGIN + 10 * SECOND);
    let mut granted = 0;
    for _ in 0..5 {
        granted += (0..20).filter(|_| keys.try_acquire_at(&1, 1, early).is_ok()).count();
        // Another key takes its slot and leaves.
        assert!(keys.try_acquire_at(&2, 1, late).is_ok());
        keys.forget(&2);
    }
    assert_eq!(granted, 10);
    assert!(keys.try_acquire_at(&1, 10, late).is_ok());
}

#[test]
fn a_call_at_an_extreme_time_shuts_nobody_out() {
    let extreme = [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 1, u64::MAX / 2, u64::MAX / 4, 1 << 61];
    for max_keys in [1, 3, 200] {
        for n in [0, 1, 10] {
            for time in extreme {
                let quota = Quota::per_second(10);
                let max_keys = NonZeroUsize::new(max_keys).unwrap();
                let keys = KeyedLimiter::<usize, _>::with_clock(quota, max_keys, ());
                let soon = Timestamp::ORIGIN + SECOND;
                for key in 0..max_keys.get() {
                    assert!(keys.try_acquire_at(&key, 10, soon).is_ok());
                }
                // Takes the slot of another key, as all are idle by then.
                let _ = keys.try_acquire_at(&1000, n, Timestamp::from_nanos(time));
                keys.forget(&1000);
                // What a key had spent stays spent, until time would have refilled it.
                assert!(keys.try_acquire_at(&0, 1, soon).is_err());
                assert!(
                    keys.try_acquire_at(&2000, 10, soon + SECOND).is_ok(),
                    "{max_keys} {n} {time}"
                );
            }
        }
    }
}

#[test]
fn keys_with_an_extreme_time_delay_others_by_a_refill_at_most() {
    let quota = Quota::per_second(10);
    let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, ());
    let late = Timestamp::from_nanos(1 << 61);
    assert!(keys.try_acquire_at(&1, 10, late).is_ok());
    assert!(keys.try_acquire_at(&2, 1, late + SECOND).is_ok());
    keys.forget(&2);
    let now = Timestamp::ORIGIN + 5 * SECOND;
    assert_eq!(keys.try_acquire_at(&3, 1, now).unwrap_err().retry_after(), Some(SECOND / 10));
    assert!(keys.try_acquire_at(&3, 10, now + SECOND).is_ok());
}

#[test]
fn a_key_that_is_blocked_for_ever_is_not_forgotten_at_the_end_of_time() {
    let (hosts, _clock) = hosts(1);
    hosts.penalize_until("a", Timestamp::NEVER).unwrap();
    assert!(hosts.try_acquire_at("b", 1, Timestamp::NEVER).unwrap_err().is_too_many_keys());
    assert_eq!(hosts.try_acquire("a", 1).unwrap_err().retry_after(), Some(Duration::MAX));
}

#[test]
fn the_only_key_that_has_filled_up_is_found_among_many() {
    let clock = ManualClock::new();
    let max_keys = NonZeroUsize::new(3000).unwrap();
    let quota = Quota::per_second(1).burst(10_000);
    let keys = KeyedLimiter::<u32, _>::with_clock(quota, max_keys, clock.clone());
    // Key `k` is full again after `k + 1` seconds, whether it takes all at once or not.
    for key in 0..3000 {
        keys.try_acquire(&key, key.div_ceil(2)).unwrap();
    }
    for key in 0..3000 {
        keys.try_acquire(&key, key + 1 - key.div_ceil(2)).unwrap();
    }
    for key in 0..1000 {
        assert!(keys.try_acquire(&(5000 + key), 1).unwrap_err().is_too_many_keys());
        clock.advance(SECOND);
        keys.try_acquire(&(5000 + key), 9999).unwrap();
    }
    // A refund frees the slot earlier.
    assert!(keys.try_acquire(&9000, 1).unwrap_err().is_too_many_keys());
    keys.refund(&2500, 3000);
    keys.try_acquire(&9000, 1).unwrap();
    assert_eq!(keys.len(), 3000);
}

#[test]
fn a_key_without_a_slot_is_told_never_only_if_a_slot_would_not_help() {
    let clock = ManualClock::new();
    let (usual, gold) = (Quota::per_second(10), Quota::per_second(1000));
    let basic = Quota::per_second(2);
    let keys = KeyedLimiter::<u32, _>::with_clock(usual, NonZeroUsize::MIN, clock.clone())
        .with_exceptions(move |key| match key {
            7 => Some(gold),
            8 => Some(basic),
            _ => None,
        })
        .with_overflow(Overflow::Shared);
    assert!(keys.try_acquire(&1, 10).is_ok());
    let too_many = |asked, limit| KeyRefused::Refused(Refused::TooMany { asked, limit });
    // More than the shared bucket ever holds, but less than a slot of its own would.
    assert!(keys.try_acquire(&7, 500).unwrap_err().is_too_many_keys());
    assert!(keys.acquire(&7, 500).wait().unwrap_err().is_too_many_keys());
    assert_eq!(keys.try_acquire(&7, 1001), Err(too_many(1001, 1000)));
    assert_eq!(keys.try_acquire(&8, 5), Err(too_many(5, 2)));
    assert_eq!(keys.acquire(&8, 5).wait(), Err(too_many(5, 2)));
    assert_eq!(keys.try_acquire(&2, 11), Err(too_many(11, 10)));
    // A request that the shared bucket can hold waits for it.
    assert!(keys.try_acquire(&7, 8).is_ok());
    assert_eq!(keys.try_acquire(&2, 5).unwrap_err().retry_after(), Some(SECOND * 3 / 10));
    clock.advance(2 * SECOND);
    // A request for all that it can hold is granted once it is full.
    assert!(keys.try_acquire(&1, 10).is_ok());
    assert!(keys.try_acquire(&2, 10).is_ok());
    assert!(keys.try_acquire(&3, 1).is_err());
    clock.advance(2 * SECOND);
    assert!(keys.try_acquire(&7, 500).is_ok());
}

#[test]
fn a_request_for_no_tokens_of_a_key_is_answered_and_leaves_its_bucket_as_it_is() {
    let (hosts, _clock) = hosts(2);
    hosts.try_acquire("a", 1).unwrap();
    for (key, remaining) in [("a", 1), ("b", 2), ("a", 1)] {
        let grant = hosts.try_acquire(key, 0).unwrap();
        assert_eq!((grant.tokens(), grant.limit(), grant.remaining()), (0, 2, remaining));
    }
    hosts.penalize_for("a", 10 * SECOND).unwrap();
    assert_eq!(hosts.try_acquire("a", 0).unwrap_err().retry_after(), Some(9 * SECOND));
    let stats = hosts.stats();
    assert_eq!((stats.allowed, stats.refused), (4, 1));
}

#[test]
fn a_known_key_is_looked_up_as_an_exception_only_for_more_than_the_common_burst() {
    let lookups = Arc::new(AtomicUsize::new(0));
    let (hosts, _clock) = hosts(2);
    let hosts = hosts.with_exceptions({
        let lookups = lookups.clone();
        move |_| {
            lookups.fetch_add(1, Ordering::Relaxed);
            None
        }
    });
    for (n, expected) in [(1, 1), (2, 1), (3, 2), (2, 2)] {
        let _ = hosts.try_acquire("a", n);
        assert_eq!(lookups.load(Ordering::Relaxed), expected, "{n}");
    }
}

/// A key whose foreign code panics on demand.
#[derive(Debug, PartialEq, Eq)]
struct Fragile(u32);

thread_local!(static FUSE: Cell<usize> = const { Cell::new(usize::MAX) });

fn burn() {
    FUSE.set(FUSE.get().wrapping_sub(1));
    if FUSE.get() == 0 {
        quiet_panic("the fuse has blown");
    }
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

#[test]
fn a_panic_of_a_key_or_an_exception_costs_neither_slots_nor_tokens() {
    let quota = Quota::per_second(10);
    let clock = ManualClock::new();
    let max_keys = NonZeroUsize::new(3).unwrap();
    let keys = KeyedLimiter::<Fragile, _>::with_clock(quota, max_keys, clock.clone())
        .with_exceptions(|_| {
            burn();
            None
        });
    let keys = Arc::new(keys);
    let mut blown = 0;
    for round in 0..200 {
        clock.advance(2 * SECOND);
        for fuse in 1..6 {
            let call = || match round % 6 {
                0 => _ = keys.try_acquire(&Fragile(round), 1),
                1 => _ = keys.penalize_for(&Fragile(round), SECOND),
                2 => drop(keys.gate(&Fragile(round))),
                3 => _ = keys.lookup_gate(Fragile(round)).try_enter(),
                4 => _ = poll_once(pin!(keys.lookup_gate(Fragile(round)).enter())),
                _ => drop(keys.acquire(&Fragile(round), 1)),
            };
            FUSE.set(fuse);
            blown += usize::from(panics(call));
            FUSE.set(usize::MAX);
            assert!(keys.len() <= 3);
        }
        clock.advance(2 * SECOND);
        for key in 1000..1003 {
            assert!(keys.try_acquire(&Fragile(key), 10).is_ok(), "three slots, and all tokens");
        }
        assert_eq!(keys.len(), 3);
    }
    assert!(blown > 300, "{blown}");
}

#[test]
fn refunds_and_forgetting_concern_one_key() {
    let (hosts, _clock) = hosts(10);
    hosts.try_acquire("a", 2).unwrap();
    hosts.refund("a", 1);
    hosts.refund("stranger", 1);
    assert_eq!((hosts.len(), hosts.is_empty(), hosts.max_keys()), (1, false, 10));
    assert!(hosts.try_acquire("a", 1).is_ok());
    assert!(hosts.try_acquire("a", 1).is_err());
    hosts.forget("a");
    assert!(hosts.is_empty() && hosts.try_acquire("a", 2).is_ok());
}

#[test]
fn what_a_key_has_spent_does_not_depend_on_its_holders() {
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
    let refused = hosts.try_acquire("b", 1).unwrap_err();
    assert_eq!((refused.retry_after(), refused.limit()), (Some(Duration::MAX), Some(2)));
    assert_eq!(
        hosts.gate("b").unwrap().try_enter().unwrap_err().retry_after(),
        Some(Duration::MAX)
    );
    let stats = hosts.stats();
    assert_eq!((stats.allowed, stats.refused), (2, 4));
}

#[test]
fn the_gate_of_a_key_spends_its_tokens_and_refunds_unused_passes() {
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
fn an_unused_pass_of_a_key_restores_what_time_has_not_refilled() {
    let (hosts, clock) = hosts(10);
    let gate = hosts.gate("a").unwrap();
    let (_used, unused) = (gate.try_enter().unwrap(), gate.try_enter().unwrap());
    clock.advance(SECOND / 2);
    assert_eq!(gate.try_enter().unwrap_err().retry_after(), Some(SECOND / 2));
    // Half of a token has come, and the other half is restored.
    unused.give_back();
    assert!(gate.try_enter().is_ok() && gate.try_enter().is_err());
}

#[test]
fn a_pair_of_gates_refunds_the_token_when_the_second_refuses() {
    let (hosts, _clock) = hosts(10);
    let (host, full) = (hosts.gate("a").unwrap(), hosts.gate("b").unwrap());
    let _all = (full.try_enter().unwrap(), full.try_enter().unwrap());
    assert!((&host, &full).try_enter().is_err());
    assert!(hosts.try_acquire("a", 2).is_ok());
}
