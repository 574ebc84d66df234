//! A breaker per key, for a bounded number of keys.

use core::{num::NonZeroUsize, time::Duration};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use tidegate_circuit_breaker::{
    Breaker, Builder, KeyedBreaker, ManualClock, Observer, OpenFor, State, Transition, TripRule,
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
fn a_key_enters_its_breaker_or_is_refused_by_it_or_has_none() {
    let (breakers, _clock) = keyed(1);
    breakers.try_enter(&1).unwrap().failure();
    breakers.try_enter(&1).unwrap().failure();
    assert_eq!(breakers.state(&1), State::Open);
    let refused = breakers.try_enter(&1).unwrap_err();
    assert_eq!((refused.retry_after(), refused.is_too_many_keys()), (Some(OPEN_FOR), false));
    assert_eq!(refused.to_string(), format!("circuit open, retry after {OPEN_FOR:?}"));
    let refused = breakers.try_enter(&2).unwrap_err();
    assert_eq!((refused.retry_after(), refused.is_too_many_keys()), (None, true));
    assert_eq!(refused.to_string(), "too many keys: 1 of 1 in use");
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
fn a_half_open_breaker_that_nobody_holds_is_forgotten() {
    let (breakers, clock) = keyed(1);
    assert!(breakers.is_empty());
    trip(&breakers, 1);
    clock.advance(OPEN_FOR);
    breakers.gate(&1).unwrap().try_enter().unwrap().ignore();
    assert_eq!(breakers.state(&1), State::HalfOpen);
    breakers.gate(&2).unwrap();
    assert_eq!((breakers.len(), breakers.state(&1)), (1, State::Closed));
    assert!(!breakers.is_empty());
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
    assert!(breakers.forget(&2).is_some());
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
    assert_eq!((error.setting(), error.range()), ("close_after", "in 1..=8191"));
}

/// A registry with so many keys; the share `ratio` of their breakers may be open.
fn shared(keys: u32, ratio: f64) -> (KeyedBreaker<u32, ManualClock>, ManualClock) {
    let (breakers, clock) = keyed(100);
    let breakers = breakers.max_open_ratio(ratio).unwrap();
    (0..keys).for_each(|key| drop(breakers.gate(&key).unwrap()));
    (breakers, clock)
}

fn open(breakers: &KeyedBreaker<u32, ManualClock>) -> Vec<u32> {
    let mut open = Vec::new();
    breakers.for_each(|&key, breaker| open.extend((breaker.state() == State::Open).then_some(key)));
    open.sort_unstable();
    open
}

#[test]
fn no_more_than_the_ratio_is_open_and_always_one_may_be() {
    for (keys, most_open) in [(1, 1), (4, 1), (9, 2), (40, 10)] {
        let (breakers, _clock) = shared(keys, 0.25);
        (0..keys).for_each(|key| trip(&breakers, key));
        assert_eq!(open(&breakers), Vec::from_iter(0..most_open));
        let withheld = breakers.gate(&(keys - 1)).unwrap().stats();
        assert_eq!((withheld.trips, withheld.window.consecutive_failures), (1, 0));
    }
}

#[test]
fn an_open_slot_is_free_again_when_the_open_time_is_over_or_was_ended() {
    let (breakers, clock) = shared(4, 0.25);
    trip(&breakers, 0);
    trip(&breakers, 1);
    assert_eq!(open(&breakers), [0]);
    breakers.gate(&0).unwrap().reset();
    trip(&breakers, 1);
    assert_eq!(open(&breakers), [1]);
    breakers.forget(&1);
    trip(&breakers, 2);
    assert_eq!(open(&breakers), [2]);
    // No caller comes for key 2, but its open time is over.
    clock.advance(OPEN_FOR);
    trip(&breakers, 3);
    assert!(breakers.gate(&3).unwrap().try_enter().is_err());
    assert!(breakers.gate(&2).unwrap().try_enter().is_ok());
}

#[test]
fn a_probe_that_fails_when_too_many_are_open_closes() {
    let (breakers, clock) = shared(2, 0.5);
    trip(&breakers, 0);
    clock.advance(OPEN_FOR);
    let first = breakers.gate(&0).unwrap();
    let probe = first.try_enter().unwrap();
    trip(&breakers, 1);
    assert_eq!(open(&breakers), [1]);
    probe.failure();
    assert_eq!((first.state(), first.stats().trips), (State::Closed, 2));
}

#[test]
fn a_withheld_trip_is_observed_as_one_to_closed() {
    #[derive(Default)]
    struct Told(Mutex<Vec<State>>);
    impl Observer for Told {
        fn on_trip(&self, trip: &Transition) {
            self.0.lock().unwrap().push(trip.to);
        }
        fn on_close(&self, _: &Transition) {
            unreachable!("nothing was half-open");
        }
    }
    let (clock, told) = (ManualClock::new(), Arc::new(Told::default()));
    let settings = builder(&clock).observer(told.clone());
    let breakers = KeyedBreaker::<u32, _, _>::new(NonZeroUsize::new(2).unwrap(), settings).unwrap();
    let breakers = breakers.max_open_ratio(1e-9).unwrap();
    for key in 0..2 {
        breakers.gate(&key).unwrap().try_enter().unwrap().failure_open_for(OPEN_FOR);
    }
    assert_eq!(*told.0.lock().unwrap(), [State::Open, State::Closed]);
}

#[test]
fn a_ratio_out_of_range_is_refused() {
    for (ratio, given) in [(0.0, "0.0"), (1.5, "1.5"), (f64::NAN, "NaN")] {
        let error = keyed(1).0.max_open_ratio(ratio).unwrap_err();
        let message = format!("max_open_ratio is {given}, but must be above 0 and at most 1");
        assert_eq!(error.to_string(), message);
    }
}
