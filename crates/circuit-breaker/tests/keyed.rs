//! A breaker per key, for a bounded number of keys.

use core::{num::NonZeroUsize, time::Duration};
use std::{collections::HashSet, sync::Arc};

use tidegate_circuit_breaker::{
    Breaker, Builder, KeyedBreaker, ManualClock, OpenFor, State, TripRule,
};

const OPEN_FOR: Duration = Duration::from_secs(1);

fn builder(clock: &ManualClock) -> Builder<ManualClock> {
    Breaker::builder()
        .trip_on(TripRule::consecutive(2))
        .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
        .clock(clock.clone())
}

fn keyed(max_keys: usize) -> (KeyedBreaker<u32, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (KeyedBreaker::new(NonZeroUsize::new(max_keys).unwrap(), builder(&clock)).unwrap(), clock)
}

fn trip(breakers: &KeyedBreaker<u32, ManualClock>, key: u32) {
    breakers.gate(&key).unwrap().try_enter().unwrap().failure_open_for(OPEN_FOR);
}

#[test]
fn keys_do_not_disturb_each_other() {
    let (breakers, _clock) = keyed(10);
    trip(&breakers, 1);
    assert_eq!((breakers.state(&1), breakers.state(&2)), (State::Open, State::Closed));
    assert!(breakers.gate(&2).unwrap().try_enter().is_ok());
    assert!(Arc::ptr_eq(&breakers.gate(&1).unwrap(), &breakers.gate(&1).unwrap()));
}

#[test]
fn any_number_of_passing_keys_stays_within_the_bound() {
    let (breakers, _clock) = keyed(100);
    for key in 0..10_000 {
        breakers.gate(&key).unwrap().call(|| Err::<(), ()>(())).unwrap().unwrap_err();
        assert!(breakers.len() <= breakers.max_keys());
    }
}

#[test]
fn a_breaker_that_refuses_is_not_forgotten_and_one_whose_time_is_over_is() {
    let (breakers, clock) = keyed(3);
    (0..3).for_each(|key| trip(&breakers, key));
    assert_eq!(breakers.gate(&9).unwrap_err().to_string(), "too many keys: 3 of 3 in use");
    clock.advance(OPEN_FOR);
    breakers.gate(&9).unwrap();
    let mut left = 0;
    breakers.for_each(|_, breaker| left += usize::from(breaker.state() == State::Open));
    assert_eq!((left, breakers.len()), (2, 3));
}

#[test]
fn a_breaker_in_use_or_forced_is_not_forgotten() {
    let (breakers, _clock) = keyed(2);
    let held = breakers.gate(&1).unwrap();
    let pass = held.try_enter().unwrap();
    breakers.gate(&2).unwrap().force_closed();
    assert!(breakers.gate(&3).is_err());
    pass.failure();
    drop(held);
    assert!(breakers.gate(&3).is_ok());
    assert_eq!((breakers.state(&1), breakers.state(&2)), (State::Closed, State::ForcedClosed));
    assert!(breakers.remove(&2).is_some());
}

#[test]
fn breakers_made_alike_draw_different_jitter() {
    let clock = ManualClock::new();
    let builder = builder(&clock).open_for(OpenFor::fixed(OPEN_FOR).jitter(1.0));
    let breakers = KeyedBreaker::<u32, _>::new(NonZeroUsize::new(8).unwrap(), builder).unwrap();
    let open_for = |key| {
        let breaker = breakers.gate(&key).unwrap();
        breaker.try_enter().unwrap().failure();
        breaker.try_enter().unwrap().failure();
        breaker.try_enter().unwrap_err().retry_after
    };
    assert_eq!((0..8).map(open_for).collect::<HashSet<_>>().len(), 8);
}

#[test]
fn bad_settings_are_refused_before_the_first_key() {
    let builder = Breaker::builder().close_after(0);
    let error = KeyedBreaker::<u32>::new(NonZeroUsize::MIN, builder).unwrap_err();
    assert_eq!((error.field(), error.range()), ("close_after", "in 1..=8191"));
}
