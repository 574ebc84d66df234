//! Every form of a key as a gate, and where it may go.

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use test_kit::keep;
use tidegate_core::gate::SettleBy;
use tidegate_rate_limiter::{
    Gate, KeyGate, KeyedLimiter, LookupAdmission, LookupGate, ManualClock, Overflow,
    OwnedKeyAdmission, OwnedKeyGate, Pass, Quota, RateLimiter, SystemClock, Wait,
    future::{AcquireKey, EnterKeyOwned, EnterLookup},
};

const SECOND: Duration = Duration::from_secs(1);

async fn use_it<G: Gate<Pass: SettleBy<Result<(), ()>>> + Clone>(gate: G) {
    gate.clone().try_enter().unwrap().give_back();
    gate.clone().enter().await.unwrap().give_back();
    gate.run_async(async { Ok::<_, ()>(()) }).await.unwrap().unwrap();
}

#[test]
fn every_form_of_a_key_goes_to_tasks_and_threads() {
    let quota = Quota::per_second(1000);
    let hosts = Arc::new(KeyedLimiter::<String>::new(quota, NonZeroUsize::new(10).unwrap()));
    let kept: &'static Arc<KeyedLimiter<String>> = keep(hosts.clone());
    let borrowed: &'static KeyGate<'_, SystemClock> = keep(kept.gate("a").unwrap());
    let owned: OwnedKeyGate<String> = hosts.gate_owned("a").unwrap();
    let owned_ref: &'static OwnedKeyGate<String> = keep(owned.clone());
    let lookup: LookupGate<String> = hosts.lookup_gate("e".into());
    let limiter = Arc::new(RateLimiter::new(quota));
    crate::executors::spawn(use_it(lookup.clone()));
    crate::executors::spawn(use_it((limiter.clone(), lookup.clone())));
    crate::executors::spawn(async move {
        let future: EnterLookup<String, SystemClock> = lookup.enter();
        let pass: LookupAdmission<String> = future.await.unwrap();
        pass.give_back();
    });
    crate::executors::spawn(use_it(borrowed));
    crate::executors::spawn(use_it(owned.clone()));
    crate::executors::spawn(use_it(owned_ref));
    crate::executors::spawn(use_it((owned.clone(), limiter.clone())));
    crate::executors::spawn(use_it((limiter, (borrowed, owned.clone()))));
    let (gate, hosts) = (owned.clone(), hosts.clone());
    crate::executors::spawn(async move {
        for _ in 0..2 {
            let wait: AcquireKey<'_, SystemClock> = hosts.acquire("b", 1);
            wait.await.unwrap();
            let future: EnterKeyOwned<String, SystemClock> = gate.clone().enter();
            let pass: OwnedKeyAdmission<String, SystemClock> = future.await.unwrap();
            pass.cost(0);
            let row = (hosts.gate("c").unwrap(), gate.clone());
            (&row.0, row.1).run_async(async { Ok::<_, ()>(()) }).await.unwrap().unwrap();
        }
    });
    // A scoped thread may borrow what does not live for ever.
    let gate = kept.gate("d").unwrap();
    let (gate, owned) = (&gate, &owned);
    thread::scope(|scope| {
        scope.spawn(move || use_it(gate).wait()).join().unwrap();
        scope.spawn(move || use_it((owned, gate)).wait()).join().unwrap();
    });
}

#[test]
fn an_owned_pass_of_a_key_keeps_it_in_use_and_refunds_what_is_still_missing() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1);
    let hosts = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, clock.clone());
    let hosts = Arc::new(hosts);
    let gate = hosts.gate_owned(&7).unwrap();
    let pass = gate.clone().try_enter().unwrap();
    let mut next = Box::pin(gate.enter());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    pass.give_back();
    let Poll::Ready(Ok(pass)) = next.as_mut().poll(&mut cx) else { panic!("the token is back") };
    drop(next);
    clock.advance(5 * SECOND);
    assert!(hosts.try_acquire(&8, 1).unwrap_err().is_too_many_keys(), "the pass holds the place");
    hosts.try_acquire(&7, 1).unwrap();
    pass.give_back();
    assert!(hosts.try_acquire(&7, 1).is_err(), "it had been refilled");
    clock.advance(SECOND);
    assert!(hosts.try_acquire(&8, 1).is_ok());
}

#[test]
fn a_cancelled_wait_of_an_owned_key_lets_the_next_through() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1);
    let hosts = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, clock.clone());
    let hosts = Arc::new(hosts);
    let gate = hosts.gate_owned(&7).unwrap();
    let _spent = (&gate).try_enter().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut head = Box::pin(gate.clone().enter());
    let mut next = pin!(gate.clone().enter());
    assert!(head.as_mut().poll(&mut cx).is_pending() && next.as_mut().poll(&mut cx).is_pending());
    clock.advance(SECOND);
    drop(head);
    assert!(matches!(next.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    assert_eq!(hosts.stats().waiting, 0);
    gate.penalize_for(3 * SECOND);
    assert_eq!(gate.try_enter().unwrap_err().retry_after(), Some(3 * SECOND));
    let borrowed = hosts.gate(&7).unwrap();
    borrowed.penalize_for(5 * SECOND);
    assert_eq!(borrowed.try_enter().unwrap_err().retry_after(), Some(5 * SECOND));
}

/// A limiter of one key and one token a second.
fn one_key(overflow: Overflow) -> (Arc<KeyedLimiter<u32, ManualClock>>, ManualClock) {
    let clock = ManualClock::new();
    let hosts = KeyedLimiter::with_clock(Quota::per_second(1), NonZeroUsize::MIN, clock.clone());
    (Arc::new(hosts.with_overflow(overflow)), clock)
}

#[test]
fn a_key_that_is_looked_up_is_not_kept_in_use_and_gets_back_what_is_still_missing() {
    let (hosts, clock) = one_key(Overflow::Refuse);
    let gate = hosts.lookup_gate(7);
    assert!(hosts.is_empty(), "nothing is looked up before it is entered");
    gate.clone().try_enter().unwrap().give_back();
    let pass = gate.clone().try_enter().unwrap();
    assert_eq!((pass.grant().limit(), pass.grant().remaining()), (1, 0));
    assert!(gate.clone().try_enter().unwrap_err().retry_after() == Some(SECOND));
    assert!(hosts.lookup_gate(8).try_enter().unwrap_err().is_too_many_keys());
    clock.advance(5 * SECOND);
    hosts.try_acquire(&7, 1).unwrap();
    pass.give_back();
    assert!(hosts.try_acquire(&7, 1).is_err(), "it had been refilled");
    let pass = {
        clock.advance(SECOND);
        gate.clone().try_enter().unwrap()
    };
    clock.advance(SECOND);
    hosts.lookup_gate(8).try_enter().expect("the pass does not hold the place").give_back();
    hosts.forget(&8);
    pass.give_back();
    assert!(hosts.is_empty(), "what is not known any more is full, and stays unknown");
}

#[test]
fn a_wait_for_a_key_that_is_looked_up_joins_its_queue_and_leaves_no_trace() {
    let (hosts, clock) = one_key(Overflow::Refuse);
    let gate = hosts.lookup_gate(7);
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = Box::pin(gate.clone().enter());
    assert!(matches!(first.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    let mut head = Box::pin(gate.clone().enter());
    let mut next = Box::pin(gate.clone().enter());
    assert!(head.as_mut().poll(&mut cx).is_pending() && next.as_mut().poll(&mut cx).is_pending());
    assert_eq!(hosts.stats().waiting, 2);
    clock.advance(SECOND);
    drop(head);
    assert!(matches!(next.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    assert_eq!((hosts.stats().waiting, hosts.stats().waited), (0, 1));
    // Whoever waits is the first, also for those that look the key up.
    let mut waiting = Box::pin(gate.clone().enter());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    clock.advance(SECOND);
    assert!(gate.try_enter().is_err());
    assert!(matches!(waiting.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

#[test]
fn a_key_without_a_slot_is_looked_up_as_the_overflow_says() {
    let enter = |hosts: &Arc<KeyedLimiter<u32, ManualClock>>, key| {
        let mut cx = Context::from_waker(Waker::noop());
        let (at_once, gate) = (hosts.lookup_gate(key).try_enter(), hosts.lookup_gate(key));
        let later = pin!(gate.enter()).poll(&mut cx);
        (at_once.is_ok(), later.map(|entered| entered.is_ok()))
    };
    for (overflow, at_once, later) in [
        (Overflow::Refuse, false, Poll::Ready(false)),
        (Overflow::Shared, true, Poll::Pending),
        (Overflow::Allow, true, Poll::Ready(true)),
    ] {
        let (hosts, _clock) = one_key(overflow);
        hosts.try_acquire(&7, 1).unwrap();
        assert_eq!(enter(&hosts, 8), (at_once, later), "{overflow:?}");
    }
}
