//! The share that a throttle refuses.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use tidegate_circuit_breaker::{Gate, ManualClock, Outcome, Throttle, Wait};
use tidegate_core::Pass;

const SPAN: Duration = Duration::from_secs(100);

fn throttle(factor: f64) -> (Throttle<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (Throttle::with_clock(factor, SPAN, clock.clone()).unwrap(), clock)
}

/// Makes `calls` calls to a server that accepts the first `capacity` that are sent among each
/// hundred; returns how many were sent.
fn load(throttle: &Throttle<ManualClock>, clock: &ManualClock, calls: u32, capacity: u32) -> u32 {
    let (mut sent, mut left) = (0, 0);
    for call in 0..calls {
        clock.advance(SPAN / 1000);
        if call % 100 == 0 {
            left = capacity;
        }
        let Ok(pass) = throttle.try_enter() else { continue };
        sent += 1;
        pass.settle(if left > 0 { Outcome::Success } else { Outcome::Failure });
        left = left.saturating_sub(1);
    }
    sent
}

#[test]
fn no_call_is_refused_while_enough_calls_succeed() {
    let (throttle, clock) = throttle(2.0);
    assert_eq!(load(&throttle, &clock, 5000, 60), 5000);
    assert_eq!(throttle.stats().probability, 0.0);
}

#[test]
fn it_lets_about_factor_times_as_many_through_as_succeed() {
    for factor in [1.5, 2.0, 4.0] {
        let (throttle, clock) = throttle(factor);
        load(&throttle, &clock, 2000, 10);
        let before = throttle.stats();
        let sent = load(&throttle, &clock, 5000, 10);
        let accepts = throttle.stats().succeeded - before.succeeded;
        let share = f64::from(sent) / accepts as f64;
        assert!((share / factor - 1.0).abs() < 0.15, "{factor}: {share}");
    }
}

#[test]
fn some_always_get_through_so_that_it_recovers() {
    let (throttle, clock) = throttle(2.0);
    let sent = load(&throttle, &clock, 5000, 0);
    assert!((1..500).contains(&sent), "{sent}");
    assert!(throttle.stats().probability < 1.0);
    load(&throttle, &clock, 50_000, 100);
    assert_eq!(throttle.stats().probability, 0.0);
    assert_eq!(load(&throttle, &clock, 1000, 100), 1000);
}

#[test]
fn what_was_refused_is_forgotten_with_the_window() {
    let (throttle, clock) = throttle(2.0);
    load(&throttle, &clock, 1000, 0);
    clock.advance(SPAN);
    assert_eq!(throttle.stats().probability, 0.0);
    let refused = throttle.stats().refused;
    throttle.enter().wait().unwrap().settle(Outcome::Success);
    drop(throttle.try_enter().unwrap());
    let stats = throttle.stats();
    assert_eq!((stats.succeeded, stats.ignored, stats.refused), (1, 1, refused));
}

#[test]
fn bad_input_names_the_setting_the_value_and_its_range() {
    for (factor, span, message) in [
        (0.5, SPAN, "factor is 0.5, but must be at least 1 and finite"),
        (f64::NAN, SPAN, "factor is NaN, but must be at least 1 and finite"),
        (f64::INFINITY, SPAN, "factor is inf, but must be at least 1 and finite"),
        (2.0, Duration::from_nanos(99), "span is 99ns, but must be at least 100ns"),
    ] {
        let error = Throttle::with_clock(factor, span, ManualClock::new()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let least = Duration::from_nanos(100);
    assert!(Throttle::with_clock(1.0, least, ManualClock::new()).is_ok());
}

#[test]
fn a_throttle_decides_when_its_enter_is_first_polled() {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Arc,
    };

    let (throttle, clock) = throttle(1.0);
    let throttle = Arc::new(throttle);
    // Made while nothing is refused. In either form, those dropped unpolled leave no trace.
    let (borrowed, owned) = ((&*throttle).enter(), throttle.clone().enter());
    drop((throttle.clone().enter(), (&*throttle).enter()));
    assert_eq!(throttle.stats().ignored, 0);
    for _ in 0..200 {
        clock.advance(SPAN / 1000);
        if let Ok(pass) = Throttle::try_enter(&throttle) {
            pass.settle(Outcome::Failure);
        }
    }
    let refused = throttle.stats().refused;
    assert!(refused > 0 && throttle.stats().probability > 0.9, "{:?}", throttle.stats());
    // Each is decided once, by what is known when it is polled.
    let outcomes = [borrowed.wait().is_err(), owned.wait().is_err()];
    let told = outcomes.iter().filter(|is_refused| **is_refused).count();
    assert_eq!(throttle.stats().refused, refused + told as u64);
    assert_eq!(throttle.stats().ignored, 2 - told as u64);
    let mut enter = pin!((&*throttle).enter());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(enter.as_mut().poll(&mut cx).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| enter.as_mut().poll(&mut cx).is_ready())).is_err());
}
