//! What the observer is notified of, and when.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex},
};

use tidegate_circuit_breaker::{
    Breaker, ManualClock, Observer, OpenFor, Refused, RefusedReason, State, Transition, TripRule,
    Wait, Window,
};

/// An observer that records its notifications, and panics on demand.
#[derive(Default)]
struct Diary {
    heard: Mutex<Vec<(State, State, u64, u32)>>,
    refusals: Mutex<Vec<RefusedReason>>,
    panics: bool,
}

impl Diary {
    fn note(&self, transition: &Transition) {
        let Transition { from, to, window, .. } = *transition;
        self.heard.lock().unwrap().push((from, to, window.failed, window.probe_successes));
        if self.panics {
            resume_unwind(Box::new("an observer panicked"));
        }
    }
}

impl Observer for Diary {
    fn on_trip(&self, trip: &Transition) {
        assert!(trip.open_for.is_some());
        self.note(trip);
    }

    fn on_half_open(&self, transition: &Transition) {
        assert_eq!(transition.to, State::HalfOpen);
        self.note(transition);
    }

    fn on_close(&self, transition: &Transition) {
        assert_eq!(transition.to, State::Closed);
        self.note(transition);
    }

    fn on_refuse(&self, refused: &Refused) {
        self.refusals.lock().unwrap().push(refused.reason);
    }
}

const OPEN_FOR: Duration = Duration::from_secs(1);

fn observed(panics: bool) -> (Breaker<ManualClock, Arc<Diary>>, Arc<Diary>, ManualClock) {
    let (clock, diary) = (ManualClock::new(), Arc::new(Diary { panics, ..Diary::default() }));
    let breaker = Breaker::builder()
        .trip_on(TripRule::failure_rate(0.5, Window::count(4)).minimum_calls(2))
        .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
        .close_after(2)
        .clock(clock.clone())
        .observer(diary.clone())
        .build()
        .unwrap();
    (breaker, diary, clock)
}

#[test]
fn each_automatic_change_is_observed_once_with_the_old_statistics() {
    let (breaker, diary, clock) = observed(false);
    breaker.try_enter().unwrap().failure();
    breaker.try_enter().unwrap().failure();
    assert!(breaker.try_enter().is_err());
    clock.advance(OPEN_FOR);
    let probe = breaker.try_enter().unwrap();
    assert!(breaker.try_enter().is_err());
    probe.success();
    breaker.try_enter().unwrap().success();
    breaker.observe_only();
    breaker.try_enter().unwrap().failure();
    breaker.try_enter().unwrap().failure();
    breaker.reset();
    assert_eq!(
        *diary.heard.lock().unwrap(),
        [
            (State::Closed, State::Open, 2, 0),
            (State::Open, State::HalfOpen, 0, 0),
            (State::HalfOpen, State::Closed, 0, 2),
            (State::ObserveOnly, State::ObserveOnly, 2, 0),
        ]
    );
    assert_eq!(*diary.refusals.lock().unwrap(), [RefusedReason::Open, RefusedReason::Probing]);
}

#[test]
fn a_rejected_waiter_is_counted_and_notified_once() {
    let (breaker, diary, _clock) = observed(false);
    breaker.try_enter().unwrap().failure_open_for(OPEN_FOR);
    let mut cx = Context::from_waker(Waker::noop());
    let mut enter = pin!(breaker.enter());
    assert!(enter.as_mut().poll(&mut cx).is_pending());
    assert_eq!(breaker.stats().refused, 0);
    breaker.force_open();
    assert!(enter.poll(&mut cx).is_ready());
    breaker.enter().wait().unwrap_err();
    assert_eq!(*diary.refusals.lock().unwrap(), [RefusedReason::ForcedOpen; 2]);
    assert_eq!(breaker.stats().refused, 2);
}

#[test]
fn a_panicking_observer_leaves_the_breaker_whole() {
    let (breaker, diary, clock) = observed(true);
    breaker.try_enter().unwrap().failure();
    let trip = AssertUnwindSafe(|| breaker.try_enter().unwrap().failure());
    assert!(catch_unwind(trip).is_err());
    assert_eq!(breaker.state(), State::Open);
    clock.advance(OPEN_FOR);
    let half_open = AssertUnwindSafe(|| drop(breaker.try_enter()));
    assert!(catch_unwind(half_open).is_err());
    // The half-made probe that no caller got has freed its slot.
    assert_eq!((breaker.state(), breaker.stats().probes), (State::HalfOpen, 0));
    breaker.try_enter().unwrap().success();
    let close = AssertUnwindSafe(|| breaker.try_enter().unwrap().success());
    assert!(catch_unwind(close).is_err());
    assert_eq!((breaker.state(), diary.heard.lock().unwrap().len()), (State::Closed, 3));
}

#[test]
fn an_observer_may_use_the_breaker() {
    type Undone = Breaker<ManualClock, Arc<Undo>>;
    struct Undo(Mutex<Option<Arc<Undone>>>);
    impl Observer for Undo {
        fn on_trip(&self, _: &Transition) {
            let breaker = self.0.lock().unwrap().take().unwrap();
            assert_eq!(breaker.state(), State::Open);
            breaker.reset();
        }
    }
    let undo = Arc::new(Undo(Mutex::new(None)));
    let breaker =
        Breaker::builder().clock(ManualClock::new()).observer(undo.clone()).build().unwrap();
    let breaker = Arc::new(breaker);
    *undo.0.lock().unwrap() = Some(breaker.clone());
    breaker.try_enter().unwrap().failure_open_for(OPEN_FOR);
    assert_eq!(breaker.state(), State::Closed);
}

/// An observer that records resets and forced states.
#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

/// The kind of event, the old and the new state, the generation, and the failures of the old state.
type Event = (&'static str, State, State, u32, u64);

impl Told {
    fn note(&self, what: &'static str, transition: &Transition) {
        let Transition { from, to, generation, window, open_for, .. } = *transition;
        assert_eq!(open_for, None);
        self.0.lock().unwrap().push((what, from, to, generation, window.failed));
    }
}

impl Observer for Told {
    fn on_reset(&self, transition: &Transition) {
        self.note("reset", transition);
    }

    fn on_force(&self, transition: &Transition) {
        self.note("forced", transition);
    }

    fn on_close(&self, _: &Transition) {
        panic!("it does not close by itself");
    }
}

#[test]
fn an_observer_is_notified_of_resets_and_forced_states() {
    let told = Arc::new(Told::default());
    let breaker = Breaker::builder()
        .trip_on(TripRule::failure_rate(1.0, Window::time(OPEN_FOR, 10)))
        .clock(ManualClock::new())
        .observer(told.clone())
        .build()
        .unwrap();
    breaker.try_enter().unwrap().failure();
    breaker.reset();
    breaker.force_open();
    breaker.force_open();
    breaker.force_closed();
    breaker.observe_only();
    breaker.try_enter().unwrap().failure();
    breaker.reset();
    assert_eq!(
        *told.0.lock().unwrap(),
        [
            ("reset", State::Closed, State::Closed, 1, 1),
            ("forced", State::Closed, State::ForcedOpen, 2, 0),
            ("forced", State::ForcedOpen, State::ForcedOpen, 3, 0),
            ("forced", State::ForcedOpen, State::ForcedClosed, 4, 0),
            ("forced", State::ForcedClosed, State::ObserveOnly, 5, 0),
            ("reset", State::ObserveOnly, State::Closed, 6, 1),
        ]
    );
}
