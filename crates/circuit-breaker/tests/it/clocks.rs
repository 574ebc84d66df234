//! Clocks that lag, that are far from their origin, and that reach the end of time.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use std::sync::Arc;

use test_kit::{Behind, CountingWaker};
use tidegate_circuit_breaker::{
    Breaker, Builder, CachedClock, Clock, ManualClock, OpenFor, RefusedReason, State, Throttle,
    Timestamp, TripRule, Wait, Window, gate::Pass,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

type Cached = Arc<CachedClock<ManualClock>>;

/// A cached clock, an hour behind the clock that it caches.
fn lagging() -> (Cached, ManualClock) {
    let hand = ManualClock::new();
    let clock = Arc::new(CachedClock::new(hand.clone()));
    hand.advance(HOUR);
    (clock, hand)
}

fn builder(clock: &Cached) -> Builder<Cached> {
    Breaker::builder()
        .trip_on(TripRule::consecutive(1))
        .open_for(OpenFor::fixed(SECOND * 10).jitter(0.0))
        .clock(clock.clone())
}

#[test]
fn an_open_time_is_measured_from_the_trip_and_not_from_a_stale_reading() {
    for by_server in [false, true] {
        let (clock, hand) = lagging();
        let breaker = builder(&clock).build().unwrap();
        let pass = breaker.try_enter().unwrap();
        if by_server {
            pass.failure_open_for(SECOND * 10)
        } else {
            pass.failure()
        }
        clock.refresh();
        assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND * 10));
        hand.advance(SECOND * 10);
        clock.refresh();
        // A probe that fails does the same.
        let probe = breaker.try_enter().unwrap();
        hand.advance(HOUR);
        probe.failure();
        clock.refresh();
        assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND * 10));
    }
}

#[test]
fn a_probe_has_its_whole_timeout_however_far_the_clock_lags() {
    let (clock, hand) = lagging();
    let breaker = builder(&clock).probes(2).probe_timeout(SECOND * 10).build().unwrap();
    breaker.try_enter().unwrap().failure();
    hand.advance(SECOND * 10);
    clock.refresh();
    hand.advance(HOUR);
    let _first = breaker.try_enter().unwrap();
    hand.advance(SECOND * 9);
    let mut second = breaker.try_enter().unwrap();
    hand.advance(SECOND);
    clock.refresh();
    assert_eq!((breaker.state(), breaker.stats().written_off), (State::HalfOpen, 0));
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open, "the first is due");
    assert_eq!(breaker.stats().written_off, 1);
    assert_eq!(second.renew().unwrap_err().reason, RefusedReason::Open);
}

#[test]
fn a_call_takes_as_long_as_it_takes_however_far_the_clock_lags() {
    for in_flight in [false, true] {
        let (clock, hand) = lagging();
        let slow = TripRule::never().slow_after(SECOND).over(Window::count(10));
        let slow = if in_flight { slow.count_inflight_slow() } else { slow };
        let breaker = builder(&clock).trip_on(slow).build().unwrap();
        let quick = breaker.try_enter().unwrap();
        clock.refresh();
        assert_eq!(breaker.stats().window.slow_in_flight, 0);
        quick.success();
        assert_eq!(breaker.stats().slow, 0);
        // The clock is not refreshed while a call takes its time.
        let slow = breaker.try_enter().unwrap();
        hand.advance(SECOND * 2);
        slow.success();
        assert_eq!(breaker.stats().slow, 1);
        // Nor is it refreshed while a call waits for a later gate.
        let mut waiting = breaker.try_enter().unwrap();
        waiting.pause();
        hand.advance(HOUR);
        waiting.renew().unwrap();
        waiting.success();
        assert_eq!((breaker.stats().slow, breaker.stats().window.slow_in_flight), (1, 0));
    }
}

#[test]
fn far_from_its_origin_a_clock_is_a_clock() {
    for years in [0, 73, 126, 583] {
        let clock = ManualClock::new();
        clock.advance(HOUR * 24 * 365 * years);
        let slow = TripRule::slow_rate(0.9, SECOND).count_inflight_slow();
        let failed = TripRule::failure_rate(0.9, Window::time(SECOND * 100, 10)).minimum_calls(2);
        let breaker = Breaker::builder()
            .trip_on(failed.or(slow))
            .open_for(OpenFor::fixed(SECOND * 10).jitter(0.0))
            .probe_timeout(SECOND * 20)
            .clock(clock.clone())
            .build()
            .unwrap();
        (0..2).for_each(|_| breaker.try_enter().unwrap().failure());
        assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND * 10));
        clock.advance(SECOND * 10);
        let probe = breaker.enter().wait().unwrap();
        assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND * 20));
        probe.success();
        assert_eq!(breaker.state(), State::Closed);
        let throttle = Throttle::with_clock(1.0, SECOND * 100, clock).unwrap();
        assert!(throttle.try_enter().is_ok());
    }
}

#[test]
fn an_open_time_without_an_end_and_the_end_of_time_stop_no_notification() {
    let clock = ManualClock::new();
    let breaker =
        Breaker::builder().probe_timeout(Duration::MAX).clock(clock.clone()).build().unwrap();
    breaker.try_enter().unwrap().failure_open_for(Duration::MAX);
    clock.advance(HOUR);
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open);
    assert!(breaker.enter().wait_timeout(Duration::ZERO).is_err());
    breaker.reset();
    breaker.enter().wait().unwrap().success();
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), Timestamp::NEVER);
    breaker.try_enter().unwrap().failure_open_for(SECOND);
    // The open time ends with the end of time.
    breaker.try_enter().unwrap().success();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_clock_behind_its_timer_keeps_no_caller_in_its_poll() {
    let breaker =
        Breaker::builder().trip_on(TripRule::consecutive(1)).clock(Behind).build().unwrap();
    breaker.try_enter().unwrap().failure();
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(woken.clone());
    let mut entering = pin!(breaker.enter());
    for polls in 1..4 {
        assert!(entering.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // The future wakes its task to be polled again.
        assert_eq!(woken.count(), polls);
    }
}
