//! Passes that are renewed after the wait for a later gate, raced against trips and write-offs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use loom_tests::{model, thread};
use tidegate_circuit_breaker::{
    Breaker, ManualClock, OpenFor, RefusedReason, State, TripRule, Window,
};
use tidegate_core::{Gate, Pass, primitive};

const OPEN_FOR: Duration = Duration::from_secs(1);

/// Outcomes of all executions. Not part of the model.
#[derive(Default)]
struct Seen([AtomicUsize; 2]);

impl Seen {
    fn note(&self, which: bool) {
        self.0[usize::from(which)].fetch_add(1, Ordering::SeqCst);
    }

    /// Asserts that both outcomes were among the executions; on real threads chance decides.
    fn both(&self) {
        let seen = self.0.each_ref().map(|count| count.load(Ordering::SeqCst));
        assert!(seen.iter().all(|&count| count > 0) || !cfg!(loom), "{seen:?}");
    }
}

fn rules() -> [TripRule; 2] {
    let slow = TripRule::slow_rate(1.0, OPEN_FOR).count_inflight_slow().over(Window::count(4));
    [TripRule::consecutive(1), TripRule::consecutive(1).or(slow.minimum_calls(4))]
}

#[test]
fn a_renewal_beside_a_trip_is_refused_or_comes_before_it() {
    for rule in rules() {
        let seen = Arc::new(Seen::default());
        let renewed = seen.clone();
        model(move || {
            let builder = Breaker::builder().trip_on(rule).clock(ManualClock::new());
            let open_for = OpenFor::fixed(OPEN_FOR).jitter(0.0);
            let breaker = Arc::new(builder.open_for(open_for).build().unwrap());
            let mut pass = breaker.fail_fast().try_enter().unwrap();
            let mut last = breaker.fail_fast().try_enter().unwrap();
            pass.pause();
            last.pause();
            // Loom would not see that the renewal's load and the trip depend on each other: the
            // loads of the trip hide it.
            let order = Arc::new(primitive::atomic::AtomicUsize::new(0));
            let (failing, last_step) = (breaker.clone(), order.clone());
            let other = thread::spawn(move || {
                failing.call(|| Err::<(), _>(())).unwrap().unwrap_err();
                last_step.fetch_add(1, Ordering::Relaxed);
            });
            order.fetch_add(1, Ordering::Relaxed);
            match pass.renew() {
                Ok(()) => {
                    renewed.note(true);
                    pass.success();
                }
                Err(refused) => {
                    renewed.note(false);
                    assert_eq!(
                        (refused.reason, breaker.state()),
                        (RefusedReason::Open, State::Open)
                    );
                    pass.give_back();
                }
            }
            other.join().unwrap();
            assert_eq!(breaker.state(), State::Open);
            assert_eq!(last.renew().unwrap_err().reason, RefusedReason::Open);
            last.give_back();
            let stats = breaker.stats();
            assert_eq!((stats.calls(), stats.trips, stats.window.slow_in_flight), (3, 1, 0));
        });
        seen.both();
    }
}

#[test]
fn a_paused_probe_keeps_its_slot_from_a_racing_write_off() {
    let seen = Arc::new(Seen::default());
    let closed = seen.clone();
    model(move || {
        let clock = ManualClock::new();
        let breaker = Breaker::builder()
            .trip_on(TripRule::consecutive(1))
            .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
            .probe_timeout(OPEN_FOR)
            .clock(clock.clone());
        let breaker = Arc::new(breaker.build().unwrap());
        breaker.fail_fast().try_enter().unwrap().failure();
        clock.advance(OPEN_FOR);
        let mut probe = breaker.fail_fast().try_enter().unwrap();
        probe.pause();
        clock.advance(OPEN_FOR * 2);
        let coming = breaker.clone();
        let other = thread::spawn(move || match coming.fail_fast().try_enter() {
            Ok(pass) => {
                pass.success();
                None
            }
            Err(refused) => Some(refused.reason),
        });
        probe.renew().unwrap();
        probe.success();
        let refused = other.join().unwrap();
        closed.note(refused.is_none());
        assert!(refused.is_none_or(|reason| reason == RefusedReason::Probing));
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.written_off, stats.late), (State::Closed, 0, 0));
    });
    seen.both();
}

#[test]
fn a_pass_that_is_renewed_in_a_closed_state_is_not_late() {
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    model(move || {
        let builder = Breaker::builder().trip_on(TripRule::consecutive(2));
        let breaker = Arc::new(builder.clock(ManualClock::new()).build().unwrap());
        let mut pass = breaker.fail_fast().try_enter().unwrap();
        let resetting = breaker.clone();
        let other = thread::spawn(move || resetting.reset());
        pass.renew().unwrap();
        pass.failure();
        other.join().unwrap();
        let stats = breaker.stats();
        counted.note(stats.late == 0);
        assert_eq!((stats.failed + stats.late, stats.generation), (1, 1));
        assert_eq!(stats.probes, 0);
    });
    seen.both();
}
