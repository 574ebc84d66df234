//! A breaker's slow calls, lost probes, registry and watchers, raced against each other.

use std::{
    mem,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use loom_tests::{model, poll_quietly, thread};
use tidegate_circuit_breaker::{
    Breaker, Builder, KeyedBreaker, ManualClock, Observer, OpenFor, Outcome, RefusedReason, State,
    Throttle, Transition, TripRule, Wait, Window,
};
use tidegate_core::Pass;

const OPEN_FOR: Duration = Duration::from_secs(1);

/// Trips at once, and lets `probes` through when [`OPEN_FOR`] is over.
fn builder(clock: &ManualClock, probes: u32) -> Builder<ManualClock> {
    Breaker::builder()
        .trip_on(TripRule::consecutive(1))
        .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
        .probes(probes)
        .clock(clock.clone())
}

/// Runs `act` on a thread of its own.
fn spawn<T: Send + 'static, O: Observer + Send + Sync + 'static>(
    breaker: &Arc<Breaker<ManualClock, O>>,
    act: impl FnOnce(&Breaker<ManualClock, O>) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let breaker = breaker.clone();
    thread::spawn(move || act(&breaker))
}

/// A breaker whose open time is over, so that the next caller is its first probe.
fn expired(probes: u32) -> Arc<Breaker<ManualClock>> {
    let clock = ManualClock::new();
    let breaker = Arc::new(builder(&clock, probes).build().unwrap());
    breaker.try_enter().unwrap().failure();
    clock.advance(OPEN_FOR);
    breaker
}

/// Counts trips. Not part of the model: read only when all threads are joined.
#[derive(Default)]
struct Trips(AtomicUsize);

impl Observer for Trips {
    fn on_trip(&self, _: &Transition) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_success_that_is_slow_and_a_failure_trip_once() {
    model(|| {
        let clock = ManualClock::new();
        let slow = TripRule::slow_rate(1.0, OPEN_FOR).over(Window::count(2)).minimum_calls(1);
        let trips = Arc::new(Trips::default());
        let builder = builder(&clock, 1).trip_on(TripRule::consecutive(1).or(slow));
        let breaker = Arc::new(builder.observer(trips.clone()).build().unwrap());
        let slow = breaker.try_enter().unwrap();
        clock.advance(OPEN_FOR * 2);
        let other =
            spawn(&breaker, |breaker| breaker.try_enter().map(|pass| pass.failure()).is_ok());
        slow.success();
        other.join().unwrap();
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.generation, stats.trips), (State::Open, 1, 1));
        assert_eq!(trips.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_written_off_probe_that_settles_late_changes_nothing() {
    model(|| {
        let clock = ManualClock::new();
        let builder = builder(&clock, 1).probe_timeout(OPEN_FOR);
        let breaker = Arc::new(builder.build().unwrap());
        breaker.try_enter().unwrap().failure();
        clock.advance(OPEN_FOR);
        let probe = breaker.try_enter().unwrap();
        clock.advance(OPEN_FOR);
        let other =
            spawn(&breaker, |breaker| breaker.try_enter().map(|pass| pass.ignore()).is_ok());
        probe.success();
        let entered = other.join().unwrap();
        let stats = breaker.stats();
        // The result came first and closed, or the write-off came first and the result is late.
        match stats.state {
            State::Closed => {
                assert_eq!((stats.succeeded, stats.late, stats.written_off), (1, 0, 0))
            }
            State::Open => assert_eq!((stats.succeeded, stats.late, stats.written_off), (0, 1, 1)),
            state => panic!("{state}"),
        }
        assert_eq!((entered, stats.probes), (stats.state == State::Closed, 0));
    });
}

#[test]
fn a_lost_probe_is_written_off_once_by_racing_callers() {
    model(|| {
        let clock = ManualClock::new();
        let trips = Arc::new(Trips::default());
        let builder = builder(&clock, 1).probe_timeout(OPEN_FOR).observer(trips.clone());
        let breaker = Arc::new(builder.build().unwrap());
        breaker.try_enter().unwrap().failure();
        clock.advance(OPEN_FOR);
        mem::forget(breaker.try_enter().unwrap());
        clock.advance(OPEN_FOR);
        let enter =
            |breaker: &Breaker<ManualClock, Arc<Trips>>| breaker.try_enter().unwrap_err().reason;
        let other = spawn(&breaker, enter);
        let reasons = [enter(&breaker), other.join().unwrap()];
        assert_eq!(reasons, [RefusedReason::Open; 2]);
        assert_eq!((breaker.stats().written_off, trips.0.load(Ordering::SeqCst)), (1, 2));
    });
}

#[test]
fn a_waiter_outlives_a_lost_probe() {
    model(|| {
        let clock = ManualClock::new();
        let breaker = Arc::new(builder(&clock, 1).probe_timeout(OPEN_FOR).build().unwrap());
        breaker.try_enter().unwrap().failure();
        clock.advance(OPEN_FOR);
        mem::forget(breaker.try_enter().unwrap());
        let waiter = spawn(&breaker, |breaker| breaker.enter().wait().unwrap().success());
        clock.advance(OPEN_FOR);
        // One of the two writes the probe off.
        assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open);
        clock.advance(OPEN_FOR);
        waiter.join().unwrap();
        assert_eq!((breaker.state(), breaker.stats().written_off), (State::Closed, 1));
    });
}

#[test]
fn a_cancelled_probe_never_closes() {
    model(|| {
        let breaker = expired(2);
        let first = breaker.try_enter().unwrap();
        let other = spawn(&breaker, |breaker| {
            let mut enter = breaker.enter();
            let _ = poll_quietly(&mut enter);
        });
        drop(first);
        other.join().unwrap();
        assert_eq!((breaker.state(), breaker.stats().probes), (State::HalfOpen, 0));
    });
}

#[test]
fn a_waiter_for_closed_is_notified() {
    model(|| {
        let breaker = expired(1);
        let probe = breaker.try_enter().unwrap();
        let waiter = spawn(&breaker, |breaker| breaker.closed().wait());
        probe.success();
        waiter.join().unwrap();
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn a_watcher_sees_the_last_of_all_changes() {
    model(|| {
        let breaker = Arc::new(builder(&ManualClock::new(), 1).build().unwrap());
        let mut changes = breaker.state_changes();
        let other = spawn(&breaker, |breaker| {
            breaker.force_open();
            breaker.observe_only();
        });
        let mut seen = changes.next().wait();
        if seen.generation == 1 {
            assert_eq!(seen.state, State::ForcedOpen);
            seen = changes.next().wait();
        }
        assert_eq!((seen.state, seen.generation), (State::ObserveOnly, 2));
        other.join().unwrap();
    });
}

#[test]
fn a_watcher_takes_no_wake_up_from_a_waiter() {
    model(|| {
        let breaker = expired(1);
        let probe = breaker.try_enter().unwrap();
        let mut closed = breaker.closed();
        assert!(poll_quietly(&mut closed).is_pending());
        let waiter = spawn(&breaker, |breaker| breaker.enter().wait().unwrap().ignore());
        drop(probe);
        waiter.join().unwrap();
        assert_eq!(breaker.stats().probes, 0);
    });
}

#[test]
fn two_keys_that_race_for_the_last_open_slot_do_not_both_get_it() {
    model(|| {
        let settings = builder(&ManualClock::new(), 1);
        let keys = KeyedBreaker::<u32, ManualClock>::new(NonZeroUsize::new(2).unwrap(), settings);
        let keys = keys.unwrap().max_open_ratio(0.5).unwrap();
        let [one, two] = [1, 2].map(|key| keys.gate(&key).unwrap());
        let other = spawn(&two, |two| two.try_enter().unwrap().failure());
        one.try_enter().unwrap().failure();
        other.join().unwrap();
        let states = [one.state(), two.state()];
        assert!(states == [State::Open, State::Closed] || states == [State::Closed, State::Open]);
        assert_eq!([one.stats().trips, two.stats().trips], [1, 1]);
    });
}

#[test]
fn a_slow_call_in_flight_counts_once_however_it_ends() {
    model(|| {
        let clock = ManualClock::new();
        let slow = TripRule::slow_rate(1.0, OPEN_FOR).minimum_calls(2).count_inflight_slow();
        let breaker = Arc::new(builder(&clock, 1).trip_on(slow).build().unwrap());
        let pass = breaker.try_enter().unwrap();
        clock.advance(OPEN_FOR * 2);
        // As it enters, it checks the calls in flight; it is quick itself.
        let other = spawn(&breaker, |breaker| breaker.try_enter().unwrap().success());
        pass.success();
        other.join().unwrap();
        let window = breaker.stats().window;
        assert_eq!((breaker.state(), window.calls, window.slow), (State::Closed, 2, 1));
        assert_eq!(window.slow_in_flight, 0);
    });
}

#[test]
fn outcomes_of_two_threads_are_added_up() {
    model(|| {
        let clock = ManualClock::new();
        let throttle = Arc::new(Throttle::with_clock(1.0, OPEN_FOR, clock.clone()).unwrap());
        let fail = |throttle: &Throttle<ManualClock>| {
            if let Ok(pass) = throttle.try_enter() {
                pass.settle(Outcome::Failure);
            }
        };
        let other = {
            let throttle = throttle.clone();
            thread::spawn(move || fail(&throttle))
        };
        fail(&throttle);
        other.join().unwrap();
        let stats = throttle.stats();
        assert_eq!(stats.failed + stats.refused, 2);
        // There were two requests; none was accepted.
        assert_eq!(stats.probability, 2.0 / 3.0);
    });
}
