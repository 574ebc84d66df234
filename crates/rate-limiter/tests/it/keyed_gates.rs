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
    Gate, KeyGate, KeyedLimiter, ManualClock, OwnedKeyAdmission, OwnedKeyGate, Pass, Quota,
    RateLimiter, SystemClock, Wait,
    future::{AcquireKey, EnterKeyOwned},
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
    let limiter = Arc::new(RateLimiter::new(quota));
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
