//! The laws of waiting for a breaker's probes, and its transitions raced against each other.

use std::{
    future::{Future, pending, poll_fn},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use loom_tests::{laws::Subject, laws_of_waiting, model, poll_quietly, thread};
use tidegate_circuit_breaker::{
    Breaker, Builder, ManualClock, Observer, OpenFor, RefusedReason, State, Transition, TripRule,
    Wait, Window,
};
use tidegate_core::{Closed, primitive};

laws_of_waiting!(probes: crate::Probes);

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

/// A breaker that has tripped, and its clock.
fn tripped(probes: u32) -> (Arc<Breaker<ManualClock>>, ManualClock) {
    let clock = ManualClock::new();
    let breaker = Arc::new(builder(&clock, probes).build().unwrap());
    breaker.try_enter().unwrap().failure();
    (breaker, clock)
}

/// A breaker whose open time is over, so that the next caller is its first probe.
fn expired(probes: u32) -> Arc<Breaker<ManualClock>> {
    let (breaker, clock) = tripped(probes);
    clock.advance(OPEN_FOR);
    breaker
}

/// More probes than any law uses.
const PROBES: u32 = 4;

/// Units are free slots for probes. Slots not put in yet are held; taken ones are never settled.
struct Probes {
    breaker: Arc<Breaker<ManualClock>>,
    // Outside of the model: the lock is not held over a step of it.
    unused: Mutex<Vec<Held>>,
}

/// A probe in flight that owns its breaker; to drop it drops its pass.
type Held = Pin<Box<dyn Future<Output = ()> + Send>>;

fn hold(breaker: &Arc<Breaker<ManualClock>>) -> Held {
    let breaker = breaker.clone();
    let mut held: Held = Box::pin(async move {
        let _pass = breaker.try_enter().unwrap();
        pending().await
    });
    assert!(poll_quietly(&mut held).is_pending());
    held
}

impl Subject for Probes {
    const FIFO: bool = false;

    fn new() -> Self {
        let breaker = expired(PROBES);
        let unused = (0..PROBES).map(|_| hold(&breaker)).collect();
        Self { breaker, unused: Mutex::new(unused) }
    }

    fn put(&self) {
        let held = self.unused.lock().unwrap().pop();
        drop(held.expect("enough probes"));
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        let mut enter = self.breaker.enter();
        poll_fn(move |cx| {
            // The pass is held for ever.
            Pin::new(&mut enter).poll(cx).map(|entered| entered.map(mem::forget).or(Err(Closed)))
        })
    }

    fn close(&self) {
        self.breaker.force_open();
    }

    fn units(&self) -> usize {
        (PROBES - self.breaker.stats().probes) as usize
    }
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
fn racing_trips_make_one_transition_and_one_event() {
    for failures_needed in [1, 2] {
        model(move || {
            let trips = Arc::new(Trips::default());
            let breaker = builder(&ManualClock::new(), 1)
                .trip_on(TripRule::consecutive(failures_needed))
                .observer(trips.clone());
            let breaker = Arc::new(breaker.build().unwrap());
            let fail = |breaker: &Breaker<ManualClock, Arc<Trips>>| {
                if let Ok(pass) = breaker.try_enter() {
                    pass.failure();
                }
            };
            let other = spawn(&breaker, fail);
            fail(&breaker);
            other.join().unwrap();
            let stats = breaker.stats();
            assert_eq!((stats.state, stats.generation, stats.trips), (State::Open, 1, 1));
            assert_eq!(trips.0.load(Ordering::SeqCst), 1);
            assert_eq!(stats.failed + stats.late + stats.refused, 2);
            assert!(stats.failed >= u64::from(failures_needed));
        });
    }
}

/// Accepts only trips whose window has failures.
struct Figures;

impl Observer for Figures {
    fn on_trip(&self, trip: &Transition) {
        assert!(trip.window.failed > 0 && trip.window.consecutive_failures > 0, "{trip:?}");
    }
}

#[test]
fn a_trip_has_the_statistics_of_the_state_it_ends() {
    model(|| {
        let breaker = builder(&ManualClock::new(), 1)
            .trip_on(TripRule::failure_rate(1.0, Window::count(1)))
            .observer(Figures);
        let breaker = Arc::new(breaker.build().unwrap());
        breaker.observe_only();
        let fail = |breaker: &Breaker<ManualClock, Figures>| breaker.try_enter().unwrap().failure();
        let other = spawn(&breaker, fail);
        fail(&breaker);
        other.join().unwrap();
        assert!(breaker.stats().trips > 0);
    });
}

#[test]
fn probes_are_never_above_the_limit() {
    model(|| {
        let breaker = expired(1);
        let inside = Arc::new(primitive::atomic::AtomicUsize::new(0));
        let probe = {
            let inside = inside.clone();
            move |breaker: &Breaker<ManualClock>| {
                let Ok(pass) = breaker.try_enter() else { return false };
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                inside.fetch_sub(1, Ordering::Relaxed);
                drop(pass);
                true
            }
        };
        let others = [spawn(&breaker, probe.clone()), spawn(&breaker, probe.clone())];
        let entered = probe(&breaker);
        let all = others.map(|other| other.join().unwrap());
        assert!(entered || all.contains(&true), "somebody is the first probe");
        assert_eq!((breaker.state(), breaker.stats().probes), (State::HalfOpen, 0));
    });
}

#[test]
fn a_dropped_probe_frees_its_slot() {
    model(|| {
        let breaker = expired(1);
        let probe = breaker.try_enter().unwrap();
        let waiter = spawn(&breaker, |breaker| breaker.enter().wait().unwrap().success());
        drop(probe);
        waiter.join().unwrap();
        assert_eq!(breaker.state(), State::Closed);
    });
}

/// There is one probe at a time, and nothing else orders them: each adds to the sum that it finds.
#[test]
fn what_a_probe_did_is_seen_by_the_next_in_its_slot() {
    model(|| {
        let breaker = expired(1);
        breaker.try_enter().unwrap().ignore();
        let sum = Arc::new(primitive::atomic::AtomicU32::new(0));
        let probe = |breaker: &Breaker<ManualClock>, sum: &primitive::atomic::AtomicU32| {
            let Ok(pass) = breaker.try_enter() else { return 0 };
            sum.store(sum.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            pass.ignore();
            1
        };
        let other = {
            let sum = sum.clone();
            spawn(&breaker, move |breaker| probe(breaker, &sum))
        };
        let probes = probe(&breaker, &sum) + other.join().unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), probes);
    });
}

#[test]
fn a_stale_result_never_reaches_the_next_generation() {
    let rate = |window| TripRule::failure_rate(1.0, window).minimum_calls(2);
    let rules = [
        (TripRule::consecutive(2), 0),
        (rate(Window::count(4)), 1),
        (rate(Window::time(Duration::from_secs(1), 2)), 1),
    ];
    for (rule, failures_in_window) in rules {
        model(move || {
            let breaker = builder(&ManualClock::new(), 1).trip_on(rule).build().unwrap();
            let breaker = Arc::new(breaker);
            let pass = breaker.try_enter().unwrap();
            let other = spawn(&breaker, |breaker| {
                breaker.reset();
                breaker.try_enter().unwrap().failure();
            });
            pass.failure();
            other.join().unwrap();
            let stats = breaker.stats();
            // The stale failure does not count beside this generation's.
            assert_eq!((stats.state, stats.window.consecutive_failures), (State::Closed, 1));
            assert_eq!(stats.window.failed, failures_in_window);
            assert_eq!((stats.failed + stats.late, stats.generation), (2, 1));
        });
    }
}

#[test]
fn a_forced_state_outlives_a_racing_trip() {
    model(|| {
        let breaker = Arc::new(builder(&ManualClock::new(), 1).build().unwrap());
        let other = spawn(&breaker, Breaker::force_closed);
        if let Ok(pass) = breaker.try_enter() {
            pass.failure();
        }
        other.join().unwrap();
        assert_eq!(breaker.state(), State::ForcedClosed);
    });
}

#[test]
fn a_forced_state_outlives_a_racing_first_probe() {
    model(|| {
        let breaker = expired(1);
        let other = spawn(&breaker, Breaker::force_open);
        if let Ok(pass) = breaker.try_enter() {
            pass.success();
        }
        other.join().unwrap();
        assert_eq!((breaker.state(), breaker.stats().probes), (State::ForcedOpen, 0));
    });
}

#[test]
fn a_probe_that_fails_and_one_that_succeeds_make_one_transition() {
    model(|| {
        let breaker = expired(2);
        let failing = breaker.try_enter().unwrap();
        let before = breaker.stats().generation;
        let other = spawn(&breaker, |breaker| {
            if let Ok(pass) = breaker.try_enter() {
                pass.success();
            }
        });
        failing.failure();
        other.join().unwrap();
        let stats = breaker.stats();
        assert_eq!(stats.generation, before + 1);
        match stats.state {
            State::Open => assert_eq!((stats.trips, stats.succeeded), (2, 0)),
            State::Closed => assert_eq!((stats.trips, stats.late), (1, 1)),
            state => panic!("{state}"),
        }
    });
}

#[test]
fn a_trip_and_its_open_time_are_seen_together() {
    model(|| {
        let breaker = Arc::new(builder(&ManualClock::new(), 1).build().unwrap());
        let pass = breaker.try_enter().unwrap();
        let other = spawn(&breaker, |breaker| breaker.try_enter().map(drop));
        pass.failure();
        if let Err(refused) = other.join().unwrap() {
            assert_eq!(refused.retry_after, Some(OPEN_FOR));
        }
        assert_eq!(breaker.state(), State::Open, "nobody found the open time over");
    });
}

#[test]
fn a_waiter_enters_when_the_open_time_is_over() {
    model(|| {
        let (breaker, clock) = tripped(1);
        let waiter = spawn(&breaker, |breaker| breaker.enter().wait().unwrap().success());
        clock.advance(OPEN_FOR);
        waiter.join().unwrap();
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(clock.next_due(), None);
    });
}

#[test]
fn a_probe_that_closes_lets_all_waiters_in() {
    model(|| {
        let breaker = expired(1);
        let probe = breaker.try_enter().unwrap();
        let enter = |breaker: &Breaker<ManualClock>| breaker.enter().wait().unwrap().success();
        let waiters = [spawn(&breaker, enter), spawn(&breaker, enter)];
        probe.success();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(breaker.stats().succeeded, 3);
    });
}

#[test]
fn a_probe_that_fails_sends_a_waiter_back_to_the_clock() {
    model(|| {
        let (breaker, clock) = tripped(1);
        clock.advance(OPEN_FOR);
        let probe = breaker.try_enter().unwrap();
        let waiter = spawn(&breaker, |breaker| breaker.enter().wait().unwrap().success());
        probe.failure();
        clock.advance(OPEN_FOR);
        waiter.join().unwrap();
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn forcing_open_rejects_a_waiter() {
    model(|| {
        let (breaker, _clock) = tripped(1);
        let waiter = spawn(&breaker, |breaker| breaker.enter().wait().unwrap_err().reason);
        breaker.force_open();
        assert_eq!(waiter.join().unwrap(), RefusedReason::ForcedOpen);
    });
}
