//! Other settings while the breaker, or a registry of breakers, is used.

use core::{
    num::NonZeroUsize,
    panic::AssertUnwindSafe,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    future::Future,
    panic::{catch_unwind, resume_unwind},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use proptest::prelude::*;
use tidegate_circuit_breaker::{
    Breaker, BreakerSettings, Builder, KeyedBreaker, ManualClock, Observer, RefusedReason, State,
    Transition, Window,
};

const SECOND: Duration = Duration::from_secs(1);

/// Trips at the `n`-th failure in a row, for a second.
fn consecutive(n: u32) -> BreakerSettings {
    let mut settings = BreakerSettings::default();
    settings.consecutive = Some(n);
    settings.open_for = Some(SECOND);
    settings.jitter = Some(0.0);
    settings
}

fn build(settings: &BreakerSettings, clock: &ManualClock) -> Breaker<ManualClock> {
    settings.builder().clock(clock.clone()).build().unwrap()
}

#[test]
fn calls_from_before_settle_into_nothing() {
    let clock = ManualClock::new();
    let mut counting = consecutive(1);
    counting.slow_after = Some(SECOND);
    counting.count_inflight_slow = Some(true);
    for (old, new) in [
        (consecutive(1), consecutive(1)),
        (consecutive(1), counting.clone()),
        (counting.clone(), consecutive(1)),
        (counting.clone(), counting),
    ] {
        let breaker = build(&old, &clock);
        let passes = [(); 3].map(|()| breaker.try_enter().unwrap());
        breaker.reconfigure(&new).unwrap();
        let [failed, succeeded, ignored] = passes;
        failed.failure();
        succeeded.success();
        drop(ignored);
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.late, stats.ignored), (State::Closed, 2, 1));
        assert_eq!((stats.failed, stats.window), (0, Default::default()));
    }
}

#[test]
fn an_open_breaker_stays_open_until_its_time_is_over() {
    let clock = ManualClock::new();
    let breaker = build(&consecutive(1), &clock);
    breaker.try_enter().unwrap().failure();
    let mut longer = consecutive(3);
    longer.open_for = Some(9 * SECOND);
    breaker.reconfigure(&longer).unwrap();
    assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND));
    clock.advance(SECOND);
    breaker.try_enter().unwrap().failure();
    assert!(breaker.try_enter().unwrap_err().retry_after > Some(SECOND), "the new time");
}

#[test]
fn a_half_open_breaker_has_all_its_slots_again() {
    let clock = ManualClock::new();
    let breaker = build(&consecutive(1), &clock);
    breaker.try_enter().unwrap().failure();
    clock.advance(SECOND);
    let probe = breaker.try_enter().unwrap();
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Probing);
    let mut waiter = pin!(breaker.enter());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiter.as_mut().poll(&mut cx).is_pending());

    let mut settings = consecutive(1);
    (settings.probes, settings.close_after) = (Some(2), Some(2));
    settings.probe_timeout = Some(SECOND);
    breaker.reconfigure(&settings).unwrap();
    assert_eq!((breaker.state(), breaker.stats().probes), (State::HalfOpen, 0));
    probe.failure();
    assert_eq!((breaker.state(), breaker.stats().late), (State::HalfOpen, 1));
    let Poll::Ready(Ok(first)) = waiter.poll(&mut cx) else { panic!("there is room") };
    let second = breaker.try_enter().unwrap();
    first.success();
    assert_eq!(breaker.state(), State::HalfOpen);
    second.success();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_forced_state_stays() {
    let breaker = build(&consecutive(1), &ManualClock::new());
    breaker.force_open();
    breaker.reconfigure(&consecutive(2)).unwrap();
    assert_eq!(breaker.state(), State::ForcedOpen);
}

#[test]
fn a_wrong_setting_changes_nothing() {
    let breaker = build(&consecutive(1), &ManualClock::new());
    let mut wrong = consecutive(2);
    wrong.failure_rate = Some(1.5);
    let error = breaker.reconfigure(&wrong).unwrap_err();
    assert_eq!(error, wrong.builder().build().unwrap_err());
    assert_eq!(breaker.stats().generation, 0);
    breaker.try_enter().unwrap().failure();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn the_predicate_stays() {
    let builder: Builder = consecutive(100).builder();
    let breaker = builder.trip_when(|seen| seen.consecutive_failures == 2).build().unwrap();
    breaker.reconfigure(&consecutive(99)).unwrap();
    breaker.try_enter().unwrap().failure();
    assert_eq!(breaker.state(), State::Closed);
    breaker.try_enter().unwrap().failure();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn the_observer_is_told_what_the_old_settings_have_seen() {
    #[derive(Default)]
    struct Heard(AtomicU32);

    impl Observer for Heard {
        fn on_reconfigure(&self, transition: &Transition) {
            assert_eq!((transition.from, transition.to), (State::Closed, State::Closed));
            assert_eq!((transition.window.calls, transition.window.failed), (1, 1));
            self.0.fetch_add(transition.generation, Ordering::Relaxed);
        }
    }

    let heard = Arc::new(Heard::default());
    let mut rate = BreakerSettings::default();
    (rate.failure_rate, rate.window) = (Some(0.5), Some(Window::count(10)));
    let breaker = rate.builder().observer(heard.clone()).build().unwrap();
    breaker.try_enter().unwrap().failure();
    breaker.reconfigure(&consecutive(1)).unwrap();
    assert_eq!(heard.0.load(Ordering::Relaxed), 1);
}

/// A registry for up to 99 keys.
fn keyed(settings: &BreakerSettings) -> KeyedBreaker<u32, ManualClock> {
    let builder = settings.builder().clock(ManualClock::new());
    KeyedBreaker::new(NonZeroUsize::new(99).unwrap(), builder).unwrap()
}

/// Lets a call of `key` fail; returns the state after it.
fn fail<O: Observer>(keys: &KeyedBreaker<u32, ManualClock, O>, key: u32) -> State {
    keys.try_enter(&key).unwrap().failure();
    keys.state(&key)
}

#[test]
fn all_breakers_of_a_registry_have_the_new_settings_and_so_have_later_ones() {
    let keys = keyed(&consecutive(9));
    let from_before = keys.try_enter(&0).unwrap();
    (0..50).for_each(|key| assert_eq!(fail(&keys, key), State::Closed));
    keys.gate(&0).unwrap().force_open();
    keys.forget(&49);
    keys.reconfigure(&consecutive(2)).unwrap();
    assert_eq!(keys.state(&0), State::ForcedOpen);
    keys.gate(&0).unwrap().reset();
    from_before.failure();
    assert_eq!(keys.gate(&0).unwrap().stats().late, 1);
    for key in 0..99 {
        assert_eq!([fail(&keys, key), fail(&keys, key)], [State::Closed, State::Open]);
    }
}

#[test]
fn a_wrong_setting_changes_nothing_in_a_registry() {
    let keys = keyed(&consecutive(1));
    keys.gate(&1).unwrap();
    let mut wrong = consecutive(2);
    wrong.probes = Some(0);
    let error = keys.reconfigure(&wrong).unwrap_err();
    assert_eq!(error.to_string(), "probes is 0, but must be in 1..=8191");
    assert_eq!([fail(&keys, 1), fail(&keys, 2)], [State::Open; 2]);
}

#[test]
fn the_predicate_and_the_observer_of_each_key_stay() {
    struct Named(u32, Arc<AtomicU32>);

    impl Observer for Named {
        fn on_trip(&self, _: &Transition) {
            self.1.fetch_add(self.0, Ordering::Relaxed);
        }
    }

    let tripped = Arc::new(AtomicU32::new(0));
    let observer = tripped.clone();
    let keys = KeyedBreaker::from_fn(NonZeroUsize::new(9).unwrap(), move |&key: &u32| {
        Breaker::builder()
            .trip_when(move |seen| seen.consecutive_failures == key)
            .observer(Named(key, observer.clone()))
            .clock(ManualClock::new())
            .build()
            .unwrap()
    });
    keys.gate(&1).unwrap();
    keys.reconfigure(&consecutive(3)).unwrap();
    assert_eq!(fail(&keys, 1), State::Open);
    assert_eq!([2; 2].map(|key| fail(&keys, key)), [State::Closed, State::Open]);
    let (closed, open) = (State::Closed, State::Open);
    assert_eq!([4; 3].map(|key| fail(&keys, key)), [closed, closed, open]);
    assert_eq!(tripped.load(Ordering::Relaxed), 1 + 2 + 4);
}

#[test]
fn an_observer_of_the_change_may_use_the_registry_and_panic() {
    type Keys = KeyedBreaker<u32, ManualClock, Told>;

    #[derive(Clone, Default)]
    struct Told(Arc<OnceLock<Weak<Keys>>>, Arc<AtomicU32>);

    impl Observer for Told {
        fn on_reconfigure(&self, _: &Transition) {
            let keys = self.0.get().and_then(Weak::upgrade).unwrap();
            assert!(keys.try_enter(&100).is_ok());
            self.1.fetch_add(1, Ordering::Relaxed);
            resume_unwind(Box::new("observer"));
        }
    }

    let told = Told::default();
    let builder = consecutive(9).builder().clock(ManualClock::new()).observer(told.clone());
    let keys = Arc::new(Keys::new(NonZeroUsize::new(9).unwrap(), builder).unwrap());
    told.0.set(Arc::downgrade(&keys)).unwrap();
    (0..5).for_each(|key| drop(keys.gate(&key)));
    let settings = consecutive(1);
    catch_unwind(AssertUnwindSafe(|| keys.reconfigure(&settings))).unwrap_err();
    assert_eq!(told.1.load(Ordering::Relaxed), 5);
    (0..7).for_each(|key| assert_eq!(fail(&keys, key), State::Open));
}

/// Any of the kinds of rules, some of which record, or time, every call.
fn any_settings() -> impl Strategy<Value = BreakerSettings> {
    let window = prop_oneof![
        (1..4_u32).prop_map(Window::count),
        (1..4_u32).prop_map(|slices| Window::time(3 * SECOND, slices)),
    ];
    let rates = (prop::option::of(0.1..=1.0), prop::option::of(0.1..=1.0));
    (prop::option::of(1..4_u32), rates, prop::option::of(window), any::<bool>(), 1..4_u32).prop_map(
        |(n, (failure_rate, slow_rate), window, counts, probes)| {
            let mut settings = consecutive(1);
            settings.consecutive = n;
            (settings.failure_rate, settings.slow_rate) = (failure_rate, slow_rate);
            settings.slow_after = slow_rate.map(|_| SECOND);
            settings.count_inflight_slow = Some(counts && slow_rate.is_some());
            if failure_rate.is_some() || slow_rate.is_some() {
                settings.minimum_calls = Some(1);
            }
            (settings.window, settings.probes) = (window, Some(probes));
            settings.probe_timeout = counts.then_some(2 * SECOND);
            settings
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reconfigured_breaker_does_what_a_new_one_does(
        (old, between, new) in (any_settings(), any_settings(), any_settings()),
        before in prop::collection::vec(any::<bool>(), 0..5),
        steps in prop::collection::vec((any::<bool>(), 0..3_u32), 0..30),
    ) {
        let clock = ManualClock::new();
        let builder = old.builder().clock(clock.clone());
        let keys = KeyedBreaker::<u32, _>::new(NonZeroUsize::MIN, builder).unwrap();
        let changed = build(&old, &clock);
        for failed in before {
            if let Ok(pass) = changed.try_enter() {
                if failed { pass.failure() } else { pass.success() }
            }
        }
        let lasting = changed.try_enter();
        changed.reset();
        changed.reconfigure(&between).unwrap();
        changed.reconfigure(&new).unwrap();
        keys.reconfigure(&between).unwrap();
        keys.reconfigure(&new).unwrap();
        let (later, fresh) = (keys.gate(&1).unwrap(), build(&new, &clock));
        let _ = lasting.map(|pass| pass.failure());
        for (failed, seconds) in steps {
            let breakers = [&changed, &*later, &fresh];
            let passes = breakers.map(Breaker::try_enter);
            clock.advance(seconds * SECOND);
            let [one, other, expected] = passes.map(|pass| {
                pass.map(|pass| if failed { pass.failure() } else { pass.success() })
            });
            prop_assert_eq!([one, other], [expected; 2]);
            let states = breakers.map(|breaker| (breaker.state(), breaker.stats().window));
            prop_assert_eq!(&states[..2], [states[2]; 2]);
        }
    }
}
