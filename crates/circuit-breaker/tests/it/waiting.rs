//! Waiting until the breaker lets a caller in.

use core::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    panic::{catch_unwind, resume_unwind},
    sync::Arc,
    task::Wake,
};

use test_kit::CountingWaker;
use tidegate_circuit_breaker::{
    Breaker, CancelToken, Gate, ManualClock, OpenFor, RefusedReason, State, SystemClock, TripRule,
    Wait,
};

const OPEN_FOR: Duration = Duration::from_secs(10);

/// A breaker that has just tripped, and stays open for [`OPEN_FOR`].
fn tripped(probes: u32) -> (Breaker<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let breaker = Breaker::builder()
        .trip_on(TripRule::consecutive(1))
        .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
        .probes(probes)
        .clock(clock.clone())
        .build()
        .unwrap();
    breaker.try_enter().unwrap().failure();
    (breaker, clock)
}

#[test]
fn a_closed_breaker_is_entered_at_once() {
    let breaker = Breaker::new();
    breaker.enter().wait().unwrap().success();
    Gate::run(&breaker, || ()).unwrap();
    assert_eq!(breaker.stats().succeeded, 2);
}

#[test]
fn a_waiter_is_woken_when_the_open_time_is_over_and_not_before() {
    let (breaker, clock) = tripped(1);
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut enter = pin!(breaker.enter());
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    clock.advance(OPEN_FOR - Duration::from_nanos(1));
    assert_eq!(woken.count(), 0);
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    clock.advance(Duration::from_nanos(1));
    assert!(woken.count() > 0);
    assert!(matches!(enter.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    // A waiter does not count as refused.
    assert_eq!(breaker.stats().refused, 0);
}

#[test]
fn a_waiter_outlives_a_second_trip_and_sleeps_for_its_time() {
    let (breaker, clock) = tripped(1);
    let mut cx = Context::from_waker(Waker::noop());
    let mut enter = pin!(breaker.enter());
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    clock.advance(OPEN_FOR);
    // Another caller becomes the probe, and fails.
    let probe = breaker.try_enter().unwrap();
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    assert_eq!(clock.next_due(), None, "only the probe's end can help");
    probe.failure();
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    clock.advance(OPEN_FOR);
    assert!(enter.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_waiter_sleeps_until_the_end_of_the_latest_trip_also_if_that_is_earlier() {
    let (breaker, clock) = tripped(1);
    breaker.reset();
    breaker.try_enter().unwrap().failure_open_for(OPEN_FOR * 6);
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut enter = pin!(breaker.enter());
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    breaker.reset();
    breaker.try_enter().unwrap().failure_open_for(OPEN_FOR);
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    let before = woken.count();
    clock.advance(OPEN_FOR);
    assert!(woken.count() > before);
    assert!(matches!(enter.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

#[test]
fn forcing_open_rejects_waiters_and_closing_lets_them_in() {
    let (breaker, _clock) = tripped(1);
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = pin!(breaker.enter());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    breaker.force_open();
    let Poll::Ready(Err(refused)) = first.poll(&mut cx) else { panic!("waits for ever") };
    assert_eq!(refused.reason, RefusedReason::ForcedOpen);

    let (breaker, _clock) = tripped(1);
    let mut second = pin!(breaker.enter());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    breaker.reset();
    assert!(matches!(second.poll(&mut cx), Poll::Ready(Ok(_))));
}

#[test]
fn a_call_enters_when_first_polled() {
    let breaker = Breaker::new();
    let call = breaker.call_async(async { Ok::<_, ()>(7) });
    breaker.force_open();
    assert_eq!(call.wait().unwrap_err().reason, RefusedReason::ForcedOpen);

    let enter = breaker.fail_fast().enter();
    breaker.reset();
    enter.wait().unwrap().success();
    assert_eq!((breaker.stats().succeeded, breaker.stats().refused), (1, 1));
}

#[test]
fn an_unpolled_call_holds_no_probe_and_counts_nothing() {
    let (breaker, clock) = tripped(1);
    let before = breaker.stats();
    drop(breaker.call_async(async { Ok::<_, ()>(7) }));
    clock.advance(OPEN_FOR);
    let unpolled = breaker.call_async(async { Ok::<_, ()>(7) });
    assert_eq!(breaker.state(), State::Open);
    drop(unpolled);
    assert_eq!(breaker.stats(), before);
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn failing_fast_a_second_time_panics() {
    let breaker = Breaker::new();
    let mut cx = Context::from_waker(Waker::noop());
    let mut enter = pin!(breaker.fail_fast().enter());
    assert!(enter.as_mut().poll(&mut cx).is_ready());
    let _ = enter.poll(&mut cx);
}

#[test]
fn a_watcher_is_notified_past_a_panicking_waiter() {
    struct Panicking;
    impl Wake for Panicking {
        fn wake(self: Arc<Self>) {
            resume_unwind(Box::new("a waker"));
        }
    }
    for forced in [true, false] {
        let (breaker, clock) = tripped(1);
        clock.advance(OPEN_FOR);
        let probe = breaker.try_enter().unwrap();
        let mut enter = pin!(breaker.enter());
        let panicking = Waker::from(Arc::new(Panicking));
        assert!(enter.as_mut().poll(&mut Context::from_waker(&panicking)).is_pending());
        let woken = Arc::new(CountingWaker::default());
        let waker = Waker::from(woken.clone());
        let mut closed = pin!(breaker.closed());
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let change = || if forced { breaker.reset() } else { probe.success() };
        assert!(catch_unwind(AssertUnwindSafe(change)).is_err());
        assert_eq!(woken.count(), 1, "forced: {forced}");
    }
}

#[test]
fn a_cancelled_wait_leaves_no_trace() {
    let (breaker, clock) = tripped(1);
    assert!(breaker.enter().wait_timeout(Duration::ZERO).is_err());
    let token = CancelToken::new();
    token.cancel();
    assert!(breaker.enter().or_cancelled(&token).wait().is_err());
    assert_eq!(clock.next_due(), None);
    clock.advance(OPEN_FOR);
    breaker.try_enter().unwrap().success();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_thread_times_its_own_wait() {
    let breaker = Breaker::builder().clock(SystemClock).build().unwrap();
    breaker.try_enter().unwrap().failure_open_for(Duration::from_millis(2));
    breaker.enter().wait().unwrap().success();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_wait_that_has_ended_panics_when_it_is_polled_and_lets_nobody_in() {
    let breaker = Arc::new(Breaker::builder().clock(ManualClock::new()).build().unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    let mut borrowed = pin!(breaker.as_ref().enter());
    let mut owned = pin!(Gate::enter(breaker.clone()));
    let mut fast = pin!(breaker.fail_fast().enter());
    let mut fast_owned = pin!(breaker.clone().fail_fast_owned().enter());
    let mut run = pin!(breaker.as_ref().run_async(async { Ok::<(), ()>(()) }));
    let mut polls: [&mut dyn FnMut() -> bool; 5] = [
        &mut || borrowed.as_mut().poll(&mut cx).is_ready(),
        &mut || owned.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(),
        &mut || fast.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(),
        &mut || fast_owned.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(),
        &mut || run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(),
    ];
    for poll in &mut polls {
        assert!(poll());
        let calls = breaker.stats().calls();
        assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
        assert_eq!(breaker.stats().calls(), calls);
    }
}
