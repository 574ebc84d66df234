//! Every form of every limiter as a gate: which tasks and threads may have it, how large it is, and
//! that no panic of foreign code loses its tokens.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use test_kit::{PanickingWaker, keep, panics, quiet_panic};
use tidegate_core::gate::SettleBy;
use tidegate_rate_limiter::{
    Algorithm, CachedClock, Clock, Gate, Grant, Limiter, Limits, ManualClock, OwnedAdmission, Pass,
    Quota, RateLimiter, Refused, SlidingLog, SlidingWindow, SystemClock, Timer, Timestamp,
    TokenBucket, Wait,
    future::{Acquire, Enter, EnterOwned},
};

const SECOND: Duration = Duration::from_secs(1);

fn quota() -> Quota {
    Quota::per_second(1000)
}

async fn use_it<G: Gate<Pass: SettleBy<Result<(), ()>>> + Clone>(gate: G) {
    gate.clone().try_enter().unwrap().give_back();
    gate.clone().enter().await.unwrap().give_back();
    gate.run_async(async { Ok::<_, ()>(()) }).await.unwrap().unwrap();
}

fn every_form_of<A: Algorithm>(limiter: Limiter<A>) {
    let limiter: &'static _ = keep(Arc::new(limiter));
    crate::executors::spawn(use_it(&**limiter));
    crate::executors::spawn(use_it(limiter.clone()));
    crate::executors::spawn(use_it((&**limiter, limiter.clone())));
    crate::executors::spawn(use_it((limiter.clone(), (&**limiter, limiter.clone()))));
    let (borrowed, owned) = (&**limiter, limiter.clone());
    crate::executors::spawn(async move {
        for _ in 0..2 {
            borrowed.acquire(1).await.unwrap();
            let row = (borrowed, owned.clone());
            row.run_async(async { Ok::<_, ()>(()) }).await.unwrap().unwrap();
            let future: EnterOwned<A, SystemClock> = owned.clone().enter();
            let pass: OwnedAdmission<A, SystemClock> = future.await.unwrap();
            pass.cost(0);
        }
    });
    // A scoped thread may borrow what does not live for ever.
    let gate = limiter.clone();
    thread::scope(|scope| {
        scope.spawn(|| use_it(&*gate).wait());
        scope.spawn(|| use_it((&*gate, gate.clone())).wait());
    });
}

#[test]
fn every_form_of_a_limiter_goes_to_tasks_and_threads() {
    every_form_of(RateLimiter::new(quota()));
    every_form_of(SlidingLog::new(1000, SECOND).unwrap());
    every_form_of(SlidingWindow::new(1000, SECOND).unwrap());
    every_form_of(Limits::new([quota(), quota()]));
}

#[test]
fn an_owned_pass_refunds_what_is_still_missing() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1);
    let limiter = Arc::new(RateLimiter::with_clock(quota, clock.clone()));
    let pass = limiter.clone().try_enter().unwrap();
    let mut next = pin!(limiter.clone().enter());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    pass.give_back();
    let Poll::Ready(Ok(pass)) = next.as_mut().poll(&mut cx) else { panic!("the token is back") };
    assert_eq!(pass.grant().remaining(), 0);
    clock.advance(SECOND);
    limiter.try_acquire(1).unwrap();
    pass.give_back();
    assert!(limiter.try_acquire(1).is_err(), "it had been refilled");
}

#[test]
fn a_cancelled_wait_of_an_owned_gate_lets_the_next_through() {
    let clock = ManualClock::new();
    let limiter = Arc::new(RateLimiter::with_clock(Quota::per_second(1), clock.clone()));
    limiter.try_acquire(1).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut head = Box::pin(limiter.clone().enter());
    let mut next = pin!(limiter.clone().enter());
    assert!(head.as_mut().poll(&mut cx).is_pending() && next.as_mut().poll(&mut cx).is_pending());
    clock.advance(SECOND);
    drop(head);
    assert!(matches!(next.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    assert_eq!(limiter.stats().waiting, 0);
}

/// A clock whose sleeps may panic: the first one that is dropped after `panics` was set.
#[derive(Clone)]
struct Brittle {
    clock: ManualClock,
    panics: Arc<AtomicUsize>,
}

struct BrittleSleep {
    sleep: <ManualClock as Timer>::Sleep,
    panics: Arc<AtomicUsize>,
}

impl Clock for Brittle {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Timer for Brittle {
    type Sleep = BrittleSleep;

    fn sleep_until(&self, time: Timestamp) -> BrittleSleep {
        BrittleSleep { sleep: self.clock.sleep_until(time), panics: self.panics.clone() }
    }
}

impl Future for BrittleSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.sleep).poll(cx)
    }
}

impl Drop for BrittleSleep {
    fn drop(&mut self) {
        if self.panics.swap(0, Ordering::SeqCst) > 0 {
            quiet_panic("a sleep");
        }
    }
}

#[test]
fn a_panic_between_the_grant_and_its_caller_loses_no_token() {
    for next_panics in [false, true] {
        let clock = ManualClock::new();
        let brittle = Brittle { clock: clock.clone(), panics: Arc::default() };
        let limiter = RateLimiter::with_clock(Quota::per_second(2), brittle.clone());
        limiter.try_acquire(2).unwrap();
        let mut wait = Box::pin(limiter.acquire(2));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        let mut next = Box::pin(limiter.acquire(1));
        let bad = PanickingWaker::in_wake();
        if next_panics {
            assert!(next.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
        } else {
            brittle.panics.store(1, Ordering::SeqCst);
        }
        // A refund, so that the sleep still exists when the tokens are available.
        limiter.refund(2);
        assert!(panics(|| wait.as_mut().poll(&mut cx)), "the panic is the caller's");
        drop(wait);
        drop(next);
        assert_eq!(limiter.stats().waiting, 0);
        assert_eq!(limiter.try_acquire(2).unwrap().remaining(), 0, "{next_panics}");
    }
}

#[test]
fn a_duration_is_measured_from_its_call_on_a_late_clock_too() {
    let hand = ManualClock::new();
    let clock = Arc::new(CachedClock::new(hand.clone()));
    let limiter = RateLimiter::with_clock(Quota::per_second(1), clock.clone());
    clock.refresh();
    hand.advance(60 * SECOND);
    limiter.penalize_for(5 * SECOND);
    clock.refresh();
    assert_eq!(limiter.try_acquire(1).unwrap_err().retry_after(), Some(5 * SECOND));
    hand.advance(60 * SECOND);
    // The penalty has ended 55 seconds ago, which the cached clock does not show yet.
    let wait = limiter.acquire(1).or_refuse_after(SECOND);
    let mut wait = pin!(wait);
    assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

/// In bytes, on a machine of 64 bits. A type that grows needs a new bound here, on purpose.
#[test]
#[cfg(target_pointer_width = "64")]
fn nothing_is_larger_than_it_need_be() {
    fn size<T>() -> usize {
        size_of::<T>()
    }
    type Bucket = TokenBucket;
    for (name, size, most) in [
        ("Quota", size::<Quota>(), 40),
        ("Grant", size::<Grant>(), 64),
        ("Refused", size::<Refused>(), 40),
        ("Acquire", size::<Acquire<'_, Bucket, SystemClock>>(), 136),
        ("Enter", size::<Enter<'_, Bucket, SystemClock>>(), 136),
        ("EnterOwned", size::<EnterOwned<Bucket, SystemClock>>(), 112),
        ("Admission", size::<tidegate_rate_limiter::Admission<'_, Bucket, SystemClock>>(), 80),
        ("OwnedAdmission", size::<OwnedAdmission<Bucket, SystemClock>>(), 72),
        ("Reservation", size::<tidegate_rate_limiter::Reservation<'_, SystemClock>>(), 96),
        ("RateLimiter", size::<RateLimiter>(), 512),
        ("SlidingLog", size::<SlidingLog>(), 248),
        ("SlidingWindow", size::<SlidingWindow>(), 232),
    ] {
        println!("{name}: {size} bytes");
        assert!(size <= most, "{name}: {size} bytes, {most} at most");
    }
}
