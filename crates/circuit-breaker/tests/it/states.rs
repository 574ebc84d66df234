//! Which states let which calls through, and what an outcome changes.

use core::time::Duration;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tidegate_circuit_breaker::{
    Breaker, Builder, ManualClock, OpenFor, Outcome, Refused, RefusedReason, State, TripRule, Wait,
    Window, gate::Classified,
};

const OPEN_FOR: Duration = Duration::from_secs(10);

/// Trips at the second failure in a row, stays open for [`OPEN_FOR`].
fn builder(clock: &ManualClock) -> Builder<ManualClock> {
    Breaker::builder()
        .trip_on(TripRule::consecutive(2))
        .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
        .clock(clock.clone())
}

fn breaker(clock: &ManualClock) -> Breaker<ManualClock> {
    builder(clock).build().unwrap()
}

/// A breaker whose open time has just ended.
fn expired(builder: Builder<ManualClock>, clock: &ManualClock) -> Breaker<ManualClock> {
    let breaker = builder.build().unwrap();
    fail(&breaker);
    fail(&breaker);
    clock.advance(OPEN_FOR);
    breaker
}

fn fail(breaker: &Breaker<ManualClock>) {
    breaker.try_enter().unwrap().failure();
}

fn refusal(breaker: &Breaker<ManualClock>) -> (RefusedReason, Option<Duration>) {
    let Refused { reason, retry_after, .. } = breaker.try_enter().unwrap_err();
    (reason, retry_after)
}

#[test]
fn a_success_ends_the_streak() {
    let breaker = breaker(&ManualClock::new());
    for _ in 0..3 {
        fail(&breaker);
        breaker.try_enter().unwrap().success();
    }
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker);
    // These are neither a success nor a failure.
    breaker.try_enter().unwrap().ignore();
    drop(breaker.try_enter().unwrap());
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn an_open_breaker_says_how_long_it_refuses() {
    let clock = ManualClock::new();
    let breaker = breaker(&clock);
    fail(&breaker);
    fail(&breaker);
    assert_eq!(refusal(&breaker), (RefusedReason::Open, Some(OPEN_FOR)));
    clock.advance(Duration::from_secs(4));
    assert_eq!(refusal(&breaker), (RefusedReason::Open, Some(Duration::from_secs(6))));
    assert_eq!(breaker.stats().refused, 2);
}

#[test]
fn probes_are_bounded_and_a_dropped_one_frees_its_slot() {
    let clock = ManualClock::new();
    let breaker = expired(builder(&clock).probes(2), &clock);
    let first = breaker.try_enter().unwrap();
    let second = breaker.try_enter().unwrap();
    assert_eq!(refusal(&breaker), (RefusedReason::Probing, None));
    assert_eq!((breaker.state(), breaker.stats().probes), (State::HalfOpen, 2));
    drop(first);
    let third = breaker.try_enter().unwrap();
    assert!(breaker.try_enter().is_err());
    third.success();
    assert_eq!(breaker.state(), State::Closed);
    // The call began while the breaker was half-open, which it no longer is.
    second.failure();
    assert_eq!((breaker.state(), breaker.stats().late), (State::Closed, 1));
}

#[test]
fn enough_successful_probes_close_and_one_failed_probe_opens() {
    let clock = ManualClock::new();
    let breaker = expired(builder(&clock).close_after(3), &clock);
    breaker.try_enter().unwrap().success();
    breaker.try_enter().unwrap().success();
    assert_eq!(breaker.stats().window.probe_successes, 2);
    fail(&breaker);
    assert_eq!(refusal(&breaker), (RefusedReason::Open, Some(OPEN_FOR)));
    clock.advance(OPEN_FOR);
    for _ in 0..3 {
        assert_ne!(breaker.state(), State::Closed);
        breaker.try_enter().unwrap().success();
    }
    assert_eq!((breaker.state(), breaker.stats().trips), (State::Closed, 2));
}

#[test]
fn a_late_result_never_touches_the_state() {
    let clock = ManualClock::new();
    let breaker = breaker(&clock);
    let mut slow: Vec<_> = (0..4).map(|_| breaker.try_enter().unwrap()).collect();
    fail(&breaker);
    fail(&breaker);
    slow.pop().unwrap().failure_open_for(Duration::from_secs(3600));
    assert_eq!(refusal(&breaker), (RefusedReason::Open, Some(OPEN_FOR)));
    clock.advance(OPEN_FOR);
    let probe = breaker.try_enter().unwrap();
    slow.pop().unwrap().failure();
    slow.pop().unwrap().success();
    drop(slow);
    assert_eq!((breaker.state(), breaker.stats().probes), (State::HalfOpen, 1));
    probe.success();
    let stats = breaker.stats();
    assert_eq!((stats.late, stats.ignored, stats.failed, stats.succeeded), (3, 1, 2, 1));
    assert_eq!(stats.window.consecutive_failures, 0);
}

#[test]
fn forced_states_change_only_when_told() {
    let clock = ManualClock::new();
    let breaker = breaker(&clock);
    breaker.force_closed();
    for _ in 0..5 {
        fail(&breaker);
    }
    breaker.try_enter().unwrap().failure_open_for(OPEN_FOR);
    assert_eq!((breaker.state(), breaker.stats().trips), (State::ForcedClosed, 0));
    breaker.force_open();
    clock.advance(OPEN_FOR * 1000);
    assert_eq!(refusal(&breaker), (RefusedReason::ForcedOpen, None));
    breaker.observe_only();
    fail(&breaker);
    fail(&breaker);
    assert_eq!((breaker.state(), breaker.stats().trips), (State::ObserveOnly, 1));
    assert!(breaker.try_enter().is_ok());
    breaker.reset();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn reset_closes_with_fresh_counts() {
    let clock = ManualClock::new();
    let breaker = breaker(&clock);
    fail(&breaker);
    breaker.reset();
    fail(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker);
    breaker.reset();
    assert!(breaker.try_enter().is_ok());
}

#[test]
fn the_server_decides_the_open_time() {
    let clock = ManualClock::new();
    let exponential = OpenFor::exponential(Duration::from_secs(1), OPEN_FOR).jitter(0.0);
    let breaker = builder(&clock).open_for(exponential).build().unwrap();
    breaker.try_enter().unwrap().failure_open_for(Duration::from_secs(100));
    assert_eq!(refusal(&breaker).1, Some(Duration::from_secs(100)));
    clock.advance(Duration::from_secs(100));
    // The server may name a time to a probe, too; such a trip does not double the next open time.
    breaker.try_enter().unwrap().failure_open_for(Duration::from_secs(50));
    clock.advance(Duration::from_secs(50));
    fail(&breaker);
    assert_eq!(refusal(&breaker).1, Some(Duration::from_secs(1)));
}

#[test]
fn a_rate_of_exactly_the_ratio_trips() {
    for (ratio, failures) in [(0.07, 7), (0.29, 29), (0.57, 57), (1.0, 100)] {
        let rule = TripRule::failure_rate(ratio, Window::count(100)).minimum_calls(100);
        let breaker = builder(&ManualClock::new()).trip_on(rule).build().unwrap();
        for _ in 0..100 - failures {
            breaker.try_enter().unwrap().success();
        }
        for _ in 0..failures {
            assert_eq!(breaker.state(), State::Closed, "{ratio}");
            fail(&breaker);
        }
        assert_eq!(breaker.state(), State::Open, "{ratio}");
    }
}

#[test]
fn a_count_window_holds_exactly_the_last_calls() {
    let rule = TripRule::failure_rate(1.0, Window::count(3));
    let breaker = builder(&ManualClock::new()).trip_on(rule).build().unwrap();
    breaker.try_enter().unwrap().success();
    fail(&breaker);
    fail(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    // The success has left the window.
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_time_window_forgets_slice_by_slice() {
    let clock = ManualClock::new();
    let window = Window::time(Duration::from_secs(3), 3);
    let rule = TripRule::failure_rate(0.9, window).minimum_calls(3);
    let breaker = builder(&clock).trip_on(rule).build().unwrap();
    for _ in 0..5 {
        fail(&breaker);
        assert_eq!(breaker.state(), State::Closed);
        clock.advance(Duration::from_millis(1500));
    }
    assert_eq!(breaker.stats().window.calls, 1);
    fail(&breaker);
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_panic_is_a_failure_and_a_dropped_future_is_nothing() {
    let breaker = breaker(&ManualClock::new());
    let panicking = || breaker.call(|| -> () { std::panic::resume_unwind(Box::new("oh")) });
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    let unfinished = breaker.call_async(core::future::pending::<()>());
    assert!(unfinished.wait_timeout(Duration::ZERO).is_err());
    let stats = breaker.stats();
    assert_eq!((stats.failed, stats.ignored, stats.calls()), (1, 1, 2));
}

#[test]
fn an_open_breaker_runs_the_fallback_and_not_the_call() {
    let breaker = breaker(&ManualClock::new());
    breaker.force_open();
    let unreachable = || -> Result<u32, ()> { unreachable!("refused") };
    assert!(breaker.call(unreachable).is_err());
    assert_eq!(breaker.call_or_else(unreachable, |_| Ok(3)), Ok(3));
    assert!(breaker.call_async(async { unreachable() }).wait().is_err());
    // What the fallback returns is not an outcome.
    assert_eq!(breaker.call_or_else(unreachable, |_| Err(())), Err(()));
    assert_eq!((breaker.stats().calls(), breaker.stats().refused), (0, 4));
}

#[test]
fn the_caller_says_what_a_failure_is() {
    let breaker = breaker(&ManualClock::new());
    for outcome in [Outcome::Failure, Outcome::Ignored, Outcome::Failure] {
        breaker.call(|| Classified::new((), outcome)).unwrap();
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn equal_seeds_and_times_give_equal_jitter() {
    let open_for = |seed| {
        let open_for = OpenFor::fixed(OPEN_FOR).jitter(0.5);
        let clock = ManualClock::new();
        let breaker = expired(builder(&clock).open_for(open_for).seed(seed), &clock);
        breaker.reset();
        breaker.try_enter().unwrap().failure();
        breaker.try_enter().unwrap().failure();
        breaker.try_enter().unwrap_err().retry_after.unwrap()
    };
    assert_eq!(open_for(1), open_for(1));
    assert_ne!(open_for(1), open_for(2));
    assert!(open_for(3) >= OPEN_FOR / 2 && open_for(3) <= OPEN_FOR * 3 / 2);
}

#[test]
fn a_breaker_is_shared_by_reference_and_by_arc() {
    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    let breaker = Arc::new(shared(breaker(&ManualClock::new())));
    let pass = shared(breaker.try_enter().unwrap());
    std::thread::scope(|s| {
        s.spawn(|| pass.success());
    });
    let _send = shared(breaker.enter());
    assert_eq!(breaker.stats().succeeded, 1);
}

#[test]
fn bad_input_names_the_setting_the_value_and_its_range() {
    let second = Duration::from_secs(1);
    let build = Breaker::builder;
    let count = |ratio, n| TripRule::failure_rate(ratio, Window::count(n));
    let slow = |ratio| TripRule::slow_rate(ratio, second);
    let time =
        |span, slices| build().trip_on(TripRule::failure_rate(0.5, Window::time(span, slices)));
    for (builder, message) in [
        (build().probes(0), "probes is 0, but must be in 1..=8191"),
        (build().probes(8192), "probes is 8192, but must be in 1..=8191"),
        (build().close_after(0), "close_after is 0, but must be in 1..=8191"),
        (build().probe_timeout(Duration::ZERO), "probe_timeout is 0ns, but must be above zero"),
        (build().trip_on(TripRule::consecutive(0)), "consecutive is 0, but must be in 1..=8191"),
        (
            build().trip_on(TripRule::consecutive(5).minimum_calls(2)),
            "minimum_calls is 2, but must be left out of a rule without a rate",
        ),
        (
            build().trip_on(TripRule::consecutive(5).or(TripRule::consecutive(5))),
            "consecutive is given twice, but must be the same for the whole rule",
        ),
        (
            build().trip_on(count(0.5, 5).or(slow(0.5).over(Window::count(6)))),
            "window is given twice, but must be the same for the whole rule",
        ),
        (
            build().trip_on(slow(0.5).or(TripRule::never().slow_after(second * 2))),
            "slow_after is given twice, but must be the same for the whole rule",
        ),
        (build().trip_on(count(0.0, 5)), "failure_rate is 0.0, but must be above 0 and at most 1"),
        (build().trip_on(count(1.1, 5)), "failure_rate is 1.1, but must be above 0 and at most 1"),
        (
            build().trip_on(count(f64::NAN, 5)),
            "failure_rate is NaN, but must be above 0 and at most 1",
        ),
        (build().trip_on(slow(-0.5)), "slow_rate is -0.5, but must be above 0 and at most 1"),
        (
            build().trip_on(TripRule::slow_rate(0.5, Duration::ZERO)),
            "slow_after is 0ns, but must be above zero",
        ),
        (
            build().trip_on(TripRule::consecutive(5).count_inflight_slow()),
            "count_inflight_slow is true, but must be set with a threshold only",
        ),
        (build().trip_on(count(0.5, 0)), "window.count is 0, but must be in 1..=1000000"),
        (
            build().trip_on(count(0.5, 5).minimum_calls(6)),
            "minimum_calls is 6, but must be in 1..=5",
        ),
        (build().trip_on(slow(0.5).minimum_calls(0)), "minimum_calls is 0, but must be in 1..=100"),
        (time(second, 0), "window.slices is 0, but must be in 1..=3600"),
        (time(Duration::ZERO, 2), "window.span is 0ns, but must be at least 2ns"),
        (
            build().open_for(OpenFor::fixed(Duration::ZERO)),
            "open_for is 0ns, but must be above zero and at most its maximum of 0ns",
        ),
        (
            build().open_for(OpenFor::exponential(second * 2, second)),
            "open_for is 2s, but must be above zero and at most its maximum of 1s",
        ),
        (
            build().open_for(OpenFor::fixed(second).jitter(1.5)),
            "jitter is 1.5, but must be in 0..=1",
        ),
        (
            build().open_for(OpenFor::fixed(second).jitter(f64::NAN)),
            "jitter is NaN, but must be in 0..=1",
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().to_string(), message);
    }
    assert!(time(Duration::from_nanos(2), 2).build().is_ok(), "the least that is allowed");
}

#[test]
fn trips_of_one_instant_last_differently_long() {
    let jittered = builder(&ManualClock::new()).open_for(OpenFor::fixed(OPEN_FOR).jitter(0.5));
    let breaker = jittered.build().unwrap();
    let mut times: Vec<_> = (0..8)
        .map(|_| {
            (0..2).for_each(|_| breaker.try_enter().unwrap().failure());
            let time = breaker.try_enter().unwrap_err().retry_after;
            breaker.reset();
            time
        })
        .collect();
    times.sort();
    times.dedup();
    assert_eq!(times.len(), 8, "{times:?}");
}

#[test]
fn a_window_counts_after_any_number_of_changes() {
    let rule = || TripRule::failure_rate(1.0, Window::count(2));
    for changes in 0..5 {
        let breaker = builder(&ManualClock::new()).trip_on(rule()).build().unwrap();
        for _ in 0..changes {
            breaker.force_open();
            breaker.reset();
        }
        (0..2).for_each(|_| breaker.try_enter().unwrap().failure());
        assert_eq!(breaker.state(), State::Open, "after {changes} times two changes");
    }
}
