//! A breaker that gets other settings while it is used.

use std::{sync::Arc, time::Duration};

use loom_tests::{model, thread};
use tidegate_circuit_breaker::{Breaker, BreakerSettings, ManualClock, State, Window};

fn build(settings: &BreakerSettings) -> Arc<Breaker<ManualClock>> {
    Arc::new(settings.builder().clock(ManualClock::new()).build().unwrap())
}

fn consecutive(n: u32) -> BreakerSettings {
    let mut settings = BreakerSettings::default();
    (settings.consecutive, settings.jitter) = (Some(n), Some(0.0));
    settings
}

#[test]
fn a_call_is_judged_by_the_settings_of_its_generation() {
    model(|| {
        let breaker = build(&consecutive(1));
        let other = breaker.clone();
        let other = thread::spawn(move || other.try_enter().map(|pass| pass.failure()).is_ok());
        breaker.reconfigure(&consecutive(2)).unwrap();
        assert!(other.join().unwrap(), "it was closed");
        let stats = breaker.stats();
        match (stats.generation, stats.state) {
            // Before: the breaker has tripped, and stays open.
            (2, State::Open) => assert_eq!((stats.failed, stats.trips), (1, 1)),
            // Between: it is late, or has failed and tripped nothing.
            (1, State::Closed) if stats.window.consecutive_failures == 0 => {
                assert_eq!((stats.failed + stats.late, stats.trips), (1, 0));
            }
            // After: it is the first of two.
            (1, State::Closed) => assert_eq!((stats.failed, stats.trips), (1, 0)),
            (generation, state) => panic!("{state} in generation {generation}"),
        }
    });
}

#[test]
fn a_call_of_the_new_generation_is_in_the_new_window() {
    model(|| {
        let breaker = build(&consecutive(9));
        let mut rate = BreakerSettings::default();
        (rate.failure_rate, rate.window) = (Some(1.0), Some(Window::count(2)));
        let other = breaker.clone();
        let other = thread::spawn(move || other.try_enter().unwrap().failure());
        breaker.reconfigure(&rate).unwrap();
        other.join().unwrap();
        let stats = breaker.stats();
        assert_eq!(stats.window.calls, u64::from(stats.window.consecutive_failures));
    });
}

#[test]
fn a_slow_call_in_flight_is_counted_by_one_window_or_none() {
    model(|| {
        let mut counting = BreakerSettings::default();
        (counting.slow_rate, counting.slow_after) = (Some(1.0), Some(Duration::from_secs(1)));
        (counting.count_inflight_slow, counting.window) = (Some(true), Some(Window::count(2)));
        let breaker = build(&counting);
        let other = breaker.clone();
        let other = thread::spawn(move || other.try_enter().unwrap().success());
        breaker.reconfigure(&counting).unwrap();
        other.join().unwrap();
        let stats = breaker.stats();
        assert_eq!(stats.window.slow_in_flight, 0);
        assert!(stats.window.calls <= 1 && stats.succeeded + stats.late == 1);
    });
}
