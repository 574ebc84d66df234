//! Lost probes, and callers that wait for a change of state.

use core::{
    future::Future,
    mem,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate_circuit_breaker::{
    Breaker, ManualClock, OpenFor, RefusedReason, State, StateChange, Wait,
};

const OPEN_FOR: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(3);

/// A breaker whose open time has just ended, and its clock.
fn expired(probes: u32) -> (Breaker<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let breaker = Breaker::builder()
        .open_for(OpenFor::exponential(OPEN_FOR, OPEN_FOR * 2).jitter(0.0))
        .probes(probes)
        .close_after(2)
        .probe_timeout(TIMEOUT)
        .clock(clock.clone())
        .build()
        .unwrap();
    (0..5).for_each(|_| breaker.try_enter().unwrap().failure());
    clock.advance(OPEN_FOR);
    (breaker, clock)
}

#[test]
fn a_lost_probe_is_written_off_and_has_failed() {
    let (breaker, clock) = expired(1);
    mem::forget(breaker.try_enter().unwrap());
    clock.advance(TIMEOUT - Duration::from_nanos(1));
    let refused = breaker.try_enter().unwrap_err();
    let left = Duration::from_nanos(1);
    assert_eq!((refused.reason, refused.retry_after), (RefusedReason::Probing, Some(left)));
    clock.advance(left);
    let refused = breaker.try_enter().unwrap_err();
    // The open time is twice as long, as after any failed probe.
    assert_eq!((refused.reason, refused.retry_after), (RefusedReason::Open, Some(OPEN_FOR * 2)));
    let stats = breaker.stats();
    assert_eq!((stats.written_off, stats.trips, stats.failed), (1, 2, 5));
    clock.advance(OPEN_FOR * 2);
    (0..2).for_each(|_| breaker.try_enter().unwrap().success());
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_probe_that_ended_in_time_is_not_written_off() {
    let (breaker, clock) = expired(3);
    let first = breaker.try_enter().unwrap();
    clock.advance(TIMEOUT / 2);
    let second = breaker.try_enter().unwrap();
    first.success();
    clock.advance(TIMEOUT / 2);
    let third = breaker.try_enter().unwrap();
    second.ignore();
    clock.advance(TIMEOUT / 2);
    breaker.try_enter().unwrap().ignore();
    third.success();
    assert_eq!((breaker.state(), breaker.stats().written_off), (State::Closed, 0));
}

#[test]
fn a_late_probe_of_an_earlier_half_open_time_decides_nothing_in_a_later_one() {
    for late_fails in [false, true] {
        let (breaker, clock) = expired(2);
        let late = breaker.try_enter().unwrap();
        breaker.try_enter().unwrap().failure();
        clock.advance(OPEN_FOR * 2);
        // The breaker closes after two successes; two probes are in flight.
        let probes = [breaker.try_enter().unwrap(), breaker.try_enter().unwrap()];
        if late_fails {
            late.failure()
        } else {
            late.success()
        }
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.probes, stats.late), (State::HalfOpen, 2, 1));
        let [first, second] = probes;
        first.success();
        assert_eq!(breaker.state(), State::HalfOpen);
        second.success();
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[test]
fn a_free_slot_does_not_hide_a_lost_probe() {
    let (breaker, clock) = expired(4);
    let lost = [breaker.try_enter().unwrap(), breaker.try_enter().unwrap()];
    clock.advance(TIMEOUT);
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open);
    lost.into_iter().for_each(|pass| pass.failure());
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.written_off, stats.late, stats.trips), (State::Open, 2, 2, 2));
}

#[test]
fn a_waiter_writes_a_lost_probe_off_and_enters_after_the_open_time() {
    let (breaker, clock) = expired(1);
    mem::forget(breaker.try_enter().unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    let mut enter = pin!(breaker.enter());
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    clock.advance(TIMEOUT);
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    assert_eq!((breaker.state(), breaker.stats().written_off), (State::Open, 1));
    clock.advance(OPEN_FOR * 2);
    assert!(matches!(enter.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

#[test]
fn a_cancelled_probe_never_closes() {
    let (breaker, _clock) = expired(1);
    for _ in 0..5 {
        drop(breaker.try_enter().unwrap());
        breaker.try_enter().unwrap().ignore();
        let call = breaker.call_async(core::future::pending::<()>());
        assert!(call.wait_timeout(Duration::ZERO).is_err());
    }
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.probes, stats.ignored), (State::HalfOpen, 0, 15));
}

#[test]
fn closed_is_waited_for_until_everybody_is_let_through() {
    let (breaker, _clock) = expired(1);
    let mut cx = Context::from_waker(Waker::noop());
    let mut closed = pin!(breaker.closed());
    assert!(closed.as_mut().poll(&mut cx).is_pending());
    breaker.try_enter().unwrap().success();
    assert!(closed.as_mut().poll(&mut cx).is_pending(), "half-open");
    breaker.try_enter().unwrap().success();
    assert!(closed.poll(&mut cx).is_ready());
    breaker.force_open();
    assert!(breaker.closed().wait_timeout(Duration::ZERO).is_err());
    breaker.force_closed();
    breaker.closed().wait();
}

#[test]
fn changes_faster_than_the_polls_become_one() {
    let (breaker, _clock) = expired(1);
    let mut changes = breaker.state_changes();
    assert!(changes.next().wait_timeout(Duration::ZERO).is_err());
    breaker.try_enter().unwrap().failure();
    breaker.reset();
    let StateChange { state, generation, .. } = changes.next().wait();
    assert_eq!((state, generation), (State::Closed, 4));
    assert!(changes.next().wait_timeout(Duration::ZERO).is_err());
    // A dropped wait loses no change.
    breaker.observe_only();
    drop(changes.next());
    assert_eq!(changes.next().wait().state, State::ObserveOnly);
}

#[test]
fn state_changes_are_changes_of_the_state() {
    let (breaker, _clock) = expired(1);
    breaker.reset();
    let mut changes = breaker.state_changes();
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut next = pin!(changes.next());
        assert!(next.as_mut().poll(&mut cx).is_pending());
        // Neither a reset of a closed breaker nor two changes that lead back to the state are seen.
        breaker.reset();
        assert!(next.as_mut().poll(&mut cx).is_pending());
        breaker.force_open();
        breaker.reset();
        assert!(next.as_mut().poll(&mut cx).is_pending());
        breaker.force_open();
        breaker.observe_only();
        let Poll::Ready(change) = next.as_mut().poll(&mut cx) else { panic!("changed") };
        assert_eq!(change.state, State::ObserveOnly);
    }
    // A trip that is only observed is no change either.
    let mut next = pin!(changes.next());
    (0..5).for_each(|_| breaker.try_enter().unwrap().failure());
    assert_eq!(breaker.stats().trips, 2);
    assert!(next.as_mut().poll(&mut cx).is_pending());
    breaker.force_closed();
    assert!(next.as_mut().poll(&mut cx).is_ready());
}
