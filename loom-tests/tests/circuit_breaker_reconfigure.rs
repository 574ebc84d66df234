//! A breaker, or a registry of them, that gets other settings while it is used.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use loom_tests::{model, thread};
use tidegate_circuit_breaker::{
    Breaker, BreakerSettings, KeyedBreaker, ManualClock, State, Window,
};

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

/// A registry whose breakers trip at the ninth failure in a row.
fn keyed() -> Arc<KeyedBreaker<u32, ManualClock>> {
    let builder = consecutive(9).builder().clock(ManualClock::new());
    Arc::new(KeyedBreaker::new(NonZeroUsize::new(2).unwrap(), builder).unwrap())
}

/// After how many failures in a row the breaker of `key` trips.
fn failures_to_trip(keys: &KeyedBreaker<u32, ManualClock>, key: u32) -> u32 {
    let breaker = keys.gate(&key).unwrap();
    let so_far = breaker.stats().window.consecutive_failures;
    let fail = |_: &u32| breaker.try_enter().map(|pass| pass.failure()).is_ok();
    so_far + (1..).take_while(fail).count() as u32
}

#[test]
fn a_breaker_that_is_made_beside_a_change_has_the_new_settings() {
    model(|| {
        let keys = keyed();
        let other = keys.clone();
        let other = thread::spawn(move || other.try_enter(&7).unwrap().failure());
        keys.reconfigure(&consecutive(2)).unwrap();
        other.join().unwrap();
        assert_eq!(failures_to_trip(&keys, 7), 2);
    });
}

#[test]
fn after_two_changes_at_once_all_breakers_have_the_settings_of_one() {
    model(|| {
        let keys = keyed();
        keys.gate(&1).unwrap();
        let other = keys.clone();
        let other = thread::spawn(move || other.reconfigure(&consecutive(2)).unwrap());
        keys.reconfigure(&consecutive(3)).unwrap();
        other.join().unwrap();
        let counts = [1, 2].map(|key| failures_to_trip(&keys, key));
        assert!(counts == [2, 2] || counts == [3, 3], "{counts:?}");
    });
}
