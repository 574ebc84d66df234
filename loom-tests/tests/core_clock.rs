//! Models of `core`'s cached clock.

use std::{sync::Arc, time::Duration};

use loom_tests::{model, thread};
use tidegate_core::{CachedClock, Clock, ManualClock, Timer, Timestamp, Wait};

#[test]
fn refreshes_that_race_never_turn_a_cached_clock_back() {
    model(|| {
        let hand = ManualClock::new();
        let clock = Arc::new(CachedClock::new(hand.clone()));
        let other = {
            let clock = clock.clone();
            thread::spawn(move || (clock.refresh(), clock.now()))
        };
        hand.advance(Duration::from_nanos(5));
        let refreshed = clock.refresh();
        let (theirs, after) = other.join().unwrap();
        assert!(theirs <= after);
        assert_eq!(refreshed, Timestamp::from_nanos(5));
        assert_eq!(clock.now(), refreshed);
    });
}

#[test]
fn who_sleeps_by_a_cached_clock_is_woken_and_finds_the_time_come() {
    model(|| {
        let hand = ManualClock::new();
        let clock = Arc::new(CachedClock::new(hand.clone()));
        let time = Timestamp::from_nanos(5);
        let sleeper = {
            let clock = clock.clone();
            thread::spawn(move || {
                clock.sleep_until(time).wait();
                assert!(clock.now() >= time);
            })
        };
        hand.advance_to(time);
        sleeper.join().unwrap();
    });
}
