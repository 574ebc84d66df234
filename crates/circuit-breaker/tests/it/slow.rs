//! Slow calls, combined rules, and predicates.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::sync::Arc;

use tidegate_circuit_breaker::{
    Breaker, Builder, Clock, ManualClock, OpenFor, RefusedReason, State, Timestamp, TripRule,
    Window,
};

const SECOND: Duration = Duration::from_secs(1);

fn builder(rule: TripRule, clock: &ManualClock) -> Builder<ManualClock> {
    Breaker::builder()
        .trip_on(rule)
        .open_for(OpenFor::fixed(SECOND).jitter(0.0))
        .clock(clock.clone())
}

/// Makes a successful call that takes `time`.
fn take(breaker: &Breaker<ManualClock>, clock: &ManualClock, time: Duration) {
    let pass = breaker.try_enter().unwrap();
    clock.advance(time);
    pass.success();
}

#[test]
fn a_call_is_slow_when_it_takes_longer_than_the_threshold() {
    let clock = ManualClock::new();
    let rule = TripRule::slow_rate(1.0, SECOND).over(Window::count(3));
    let breaker = builder(rule, &clock).build().unwrap();
    take(&breaker, &clock, SECOND);
    take(&breaker, &clock, SECOND + Duration::from_nanos(1));
    let stats = breaker.stats();
    assert_eq!((stats.slow, stats.window.slow, stats.window.calls), (1, 1, 2));
    assert_eq!(stats.window.slow_rate(), 0.5);
    // One call is ignored, and one is of a generation that is over.
    let (ignored, late) = (breaker.try_enter().unwrap(), breaker.try_enter().unwrap());
    clock.advance(SECOND * 2);
    ignored.ignore();
    breaker.reset();
    late.success();
    assert_eq!((breaker.stats().slow, breaker.stats().window.calls), (1, 0));
}

#[test]
fn slow_successes_trip_and_a_slow_failure_is_both() {
    let clock = ManualClock::new();
    let rule = TripRule::slow_rate(0.5, SECOND).over(Window::count(4)).minimum_calls(4);
    let breaker = builder(rule, &clock).build().unwrap();
    for time in [SECOND, SECOND, SECOND * 2] {
        take(&breaker, &clock, time);
    }
    let pass = breaker.try_enter().unwrap();
    clock.advance(SECOND * 2);
    pass.failure();
    let stats = breaker.stats();
    assert_eq!((stats.state, stats.slow, stats.failed), (State::Open, 2, 1));
}

#[test]
fn either_of_two_rules_trips() {
    let clock = ManualClock::new();
    let slow = TripRule::slow_rate(1.0, SECOND).minimum_calls(2);
    let rule = TripRule::consecutive(3).or(slow).over(Window::count(10));
    let failing = builder(rule, &clock).build().unwrap();
    failing.try_enter().unwrap().success();
    (0..3).for_each(|_| failing.try_enter().unwrap().failure());
    assert_eq!(failing.state(), State::Open);
    let slow = builder(rule, &clock).build().unwrap();
    (0..2).for_each(|_| take(&slow, &clock, SECOND * 2));
    assert_eq!(slow.state(), State::Open);
}

#[test]
fn a_slow_probe_has_failed_where_slowness_trips_and_only_there() {
    let clock = ManualClock::new();
    let half_open = |rule| {
        let breaker = builder(rule, &clock).build().unwrap();
        breaker.try_enter().unwrap().failure_open_for(SECOND);
        clock.advance(SECOND);
        take(&breaker, &clock, SECOND * 2);
        assert_eq!(breaker.stats().slow, 1);
        breaker.state()
    };
    assert_eq!(half_open(TripRule::slow_rate(0.5, SECOND)), State::Open);
    assert_eq!(half_open(TripRule::consecutive(5).slow_after(SECOND)), State::Closed);
}

#[test]
fn a_predicate_is_asked_after_each_outcome_and_may_trip_on_a_success() {
    let clock = ManualClock::new();
    let builder = builder(TripRule::never().over(Window::count(10)), &clock)
        .trip_when(|seen| seen.calls >= 3 && seen.failed > 0);
    let breaker = builder.build().unwrap();
    breaker.try_enter().unwrap().failure();
    breaker.try_enter().unwrap().success();
    breaker.try_enter().unwrap().ignore();
    assert_eq!(breaker.state(), State::Closed);
    breaker.try_enter().unwrap().success();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn without_a_rule_only_the_servers_request_trips() {
    let clock = ManualClock::new();
    let breaker = builder(TripRule::never(), &clock).build().unwrap();
    (0..9000).for_each(|_| breaker.try_enter().unwrap().failure());
    assert_eq!(
        (breaker.state(), breaker.stats().window.consecutive_failures),
        (State::Closed, 8191)
    );
    breaker.try_enter().unwrap().failure_open_for(SECOND);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn hanging_calls_trip_while_they_hang() {
    let clock = ManualClock::new();
    let rule = TripRule::slow_rate(0.5, SECOND * 8).minimum_calls(4).count_inflight_slow();
    let breaker = builder(rule, &clock).build().unwrap();
    let mut hanging: Vec<_> = (0..4).map(|_| breaker.try_enter().unwrap()).collect();
    clock.advance(SECOND * 8);
    let quick = breaker.try_enter().expect("none is slow yet");
    assert_eq!(breaker.stats().window.slow_in_flight, 0);
    clock.advance(SECOND);
    // The statistics count them; the next caller makes the breaker trip.
    let window = breaker.stats().window;
    assert_eq!((window.slow_in_flight, window.slow, window.calls), (4, 4, 4));
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open);
    hanging.drain(..).for_each(|pass| pass.success());
    quick.success();
    assert_eq!((breaker.state(), breaker.stats().late, breaker.stats().slow), (State::Open, 5, 0));
}

#[test]
fn a_slow_call_leaves_the_flight_when_it_enters_the_window() {
    let clock = ManualClock::new();
    let rule = TripRule::slow_rate(1.0, SECOND).minimum_calls(100).count_inflight_slow();
    let breaker = builder(rule, &clock).build().unwrap();
    let (ended, dropped) = (breaker.try_enter().unwrap(), breaker.try_enter().unwrap());
    clock.advance(SECOND * 2);
    assert_eq!(breaker.stats().window.slow_in_flight, 2);
    ended.success();
    let window = breaker.stats().window;
    assert_eq!((window.slow_in_flight, window.slow, window.calls), (1, 2, 2));
    drop(dropped);
    let window = breaker.stats().window;
    assert_eq!((window.slow_in_flight, window.slow, window.calls), (0, 1, 1));
    // In a forced state calls in flight are counted, but not checked.
    breaker.force_closed();
    take(&breaker, &clock, SECOND * 2);
    assert_eq!((breaker.stats().slow, breaker.stats().window.calls), (2, 0));
}

/// A clock that is set by hand, also to an earlier time.
#[derive(Clone)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn a_clock_that_goes_backward_makes_no_call_slow() {
    let time = Arc::new(AtomicU64::new(1_000_000));
    let rule = TripRule::slow_rate(0.1, Duration::from_nanos(80)).count_inflight_slow();
    let breaker = Breaker::builder()
        .trip_on(rule.minimum_calls(1))
        .clock(SetClock(time.clone()))
        .build()
        .unwrap();
    let mut passes = vec![breaker.try_enter().unwrap()];
    for now in [500_000, 500_040, 3, 20, 999_990, 1_000_070] {
        time.store(now, Ordering::Relaxed);
        passes.push(breaker.try_enter().unwrap());
        assert_eq!((breaker.stats().window.slow_in_flight, breaker.stats().trips), (0, 0), "{now}");
    }
    // Each call counts as begun at the latest time that was read before it.
    passes.pop().unwrap().success();
    time.store(1_000_100, Ordering::Relaxed);
    assert_eq!(breaker.stats().window.slow_in_flight, 6);
    for pass in passes {
        pass.ignore();
    }
    assert_eq!((breaker.stats().window.slow_in_flight, breaker.stats().slow), (0, 0));
}
