//! Foreign code panics at each of its calls: at one, at two, or at all from there on. The breaker
//! goes on, and its counts add up.

use core::{
    future::Future,
    num::NonZeroUsize,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::fuse::{Fuse, FusedClock, FusedObserver, quietly, unwind, waker};
use tidegate_circuit_breaker::{
    Breaker, BreakerSettings, KeyedBreaker, ManualClock, OpenFor, Outcome, OwnedFailFast,
    OwnedPass, State, Stats, Throttle, TripRule, Window, gate::Pass,
};

const SECOND: Duration = Duration::from_secs(1);
const OPEN_FOR: Duration = Duration::from_secs(10);

type Judge = Box<dyn Fn(&Result<(), ()>) -> Outcome + Send + Sync>;
type Fused = Breaker<FusedClock, Arc<FusedObserver>, Judge>;
type FusedPass = OwnedPass<FusedClock, Arc<FusedObserver>, Judge>;

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    Ignored,
    Dropped,
    FailFor,
    /// A panic drops the pass.
    Unwinds,
}

const ENDS: [End; 6] =
    [End::Success, End::Failure, End::Ignored, End::Dropped, End::FailFor, End::Unwinds];

fn rules() -> [TripRule; 3] {
    let slow = TripRule::slow_rate(0.9, SECOND).count_inflight_slow().minimum_calls(50);
    let timed = TripRule::failure_rate(0.7, Window::time(SECOND * 60, 6)).minimum_calls(2);
    [TripRule::consecutive(2), timed, TripRule::consecutive(2).or(slow.over(Window::count(60)))]
}

struct World {
    breaker: Arc<Fused>,
    observer: Arc<FusedObserver>,
    clock: ManualClock,
    fuse: Arc<Fuse>,
    /// Passes that were settled, and passes that a panic dropped on their way to the caller.
    settled: u64,
}

impl World {
    fn new(fuse: Arc<Fuse>, rule: TripRule, is_asked: bool) -> Self {
        let (clock, observer) = (ManualClock::new(), FusedObserver::new(&fuse));
        let mut builder = Breaker::builder()
            .trip_on(rule)
            .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
            .probe_timeout(OPEN_FOR * 1000);
        if is_asked {
            let fuse = fuse.clone();
            builder = builder.trip_when(move |_| {
                fuse.call();
                false
            });
        }
        let judge: Judge = {
            let fuse = fuse.clone();
            Box::new(move |result| {
                fuse.call();
                if result.is_ok() { Outcome::Success } else { Outcome::Failure }
            })
        };
        let builder = builder.classifier(judge).clock(FusedClock(clock.clone(), fuse.clone()));
        let breaker = Arc::new(builder.observer(observer.clone()).build().unwrap());
        Self { breaker, observer, clock, fuse, settled: 0 }
    }

    fn stats(&self) -> Stats {
        self.fuse.off(|| self.breaker.stats())
    }

    #[track_caller]
    fn check(&self) {
        let stats = self.stats();
        assert_eq!(stats.calls(), self.settled, "each pass is counted once: {stats:?}");
        let heard = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!(stats.trips, heard(&self.observer.trips), "each trip is told once");
        assert_eq!(stats.refused, heard(&self.observer.refusals), "each refusal is told once");
    }

    fn enter(&mut self) -> Option<FusedPass> {
        let gate = OwnedFailFast::from(self.breaker.clone());
        let Some(entered) = quietly(|| tidegate_circuit_breaker::Gate::try_enter(gate)) else {
            // The panic may have dropped a pass.
            let dropped = self.stats().calls() - self.settled;
            assert!(dropped <= 1);
            self.settled += dropped;
            return None;
        };
        entered.ok()
    }

    fn settle(&mut self, pass: FusedPass, end: End) {
        quietly(|| match end {
            End::Success => pass.success(),
            End::Failure => pass.failure(),
            End::Ignored => pass.ignore(),
            End::Dropped => drop(pass),
            End::FailFor => pass.failure_open_for(OPEN_FOR),
            End::Unwinds => {
                let _pass = pass;
                unwind();
            }
        });
        self.settled += 1;
        self.check();
    }

    /// A call by closure; it counts as a failure if anything in it panics.
    fn call(&mut self, end: End) {
        let (before, mut ran) = (self.stats(), false);
        let act = || {
            ran = true;
            match end {
                End::Success => Ok(()),
                End::Unwinds => unwind(),
                _ => Err(()),
            }
        };
        let called = quietly(|| self.breaker.call(act));
        let after = self.stats();
        if ran {
            self.settled += 1;
            let is_late = after.late > before.late;
            let has_failed = after.failed > before.failed;
            assert!(is_late || has_failed || called.is_some() || end == End::Success);
        } else {
            self.settled += after.calls() - before.calls();
        }
        self.check();
    }

    /// Whatever has panicked: in the end a caller gets in, and the breaker closes.
    fn recovers(&mut self) {
        self.fuse.clone().off(|| {
            self.clock.advance(OPEN_FOR * 2);
            let pass = self.breaker.try_enter().expect("admits a next probe");
            pass.success();
            self.settled += 1;
            assert_eq!(self.breaker.state(), State::Closed);
            assert_eq!(self.breaker.stats().probes, 0);
        });
    }

    fn open(&mut self) {
        self.fuse.clone().off(|| {
            if self.breaker.state() != State::Closed {
                self.breaker.reset();
            }
            self.breaker.try_enter().unwrap().failure_open_for(OPEN_FOR);
            self.settled += 1;
            assert_eq!(self.breaker.state(), State::Open);
        });
    }

    /// Goes through all states once; `end` is how calls end.
    fn live(&mut self, end: End) {
        // Closed: a call, one that waits for a later gate, one by closure, and then a trip.
        if let Some(pass) = self.enter() {
            self.settle(pass, end);
        }
        if let Some(mut pass) = self.enter() {
            quietly(|| pass.pause());
            quietly(|| pass.renew().is_ok());
            self.settle(pass, end);
        }
        self.call(end);
        for _ in 0..2 {
            if let Some(pass) = self.enter() {
                self.settle(pass, End::Failure);
            }
        }
        self.open();
        // Open: a caller waits to enter, and two watch the state.
        let breaker = self.breaker.clone();
        let waker = waker(&self.fuse);
        let mut cx = Context::from_waker(&waker);
        {
            let mut changes = breaker.state_changes();
            let mut enter = pin!(breaker.enter());
            let (mut closed, mut next) = (pin!(breaker.closed()), pin!(changes.next()));
            let entered = quietly(|| enter.as_mut().poll(&mut cx).is_pending());
            assert_ne!(entered, Some(false));
            quietly(|| closed.as_mut().poll(&mut cx).is_pending());
            quietly(|| next.as_mut().poll(&mut cx).is_pending());
            assert!(self.enter().is_none());
            quietly(|| self.clock.advance(OPEN_FOR));
            // Half-open: this caller is the probe, or the waiter is.
            if let Some(pass) = self.enter() {
                self.settle(pass, end);
            }
        }
        self.recovers();
        self.check();
        // A probe that waits for a later gate, a probe by closure, and a probe of a waiter.
        self.open();
        quietly(|| self.clock.advance(OPEN_FOR));
        if let Some(mut pass) = self.enter() {
            quietly(|| pass.pause());
            quietly(|| pass.renew().is_ok());
            self.settle(pass, end);
        }
        self.recovers();
        self.open();
        quietly(|| self.clock.advance(OPEN_FOR));
        self.call(end);
        self.recovers();
        self.open();
        quietly(|| self.clock.advance(OPEN_FOR));
        {
            let mut enter = pin!(tidegate_circuit_breaker::Gate::enter(self.breaker.clone()));
            let entered = quietly(|| enter.as_mut().poll(&mut cx));
            match entered {
                Some(core::task::Poll::Ready(Ok(pass))) => self.settle(pass, end),
                _ => self.settled = self.stats().calls().min(self.settled + 1),
            }
        }
        self.recovers();
        self.check();
        // A forced state is set although something panics.
        type Told = (fn(&Fused), State);
        let told: [Told; 4] = [
            (Fused::force_open, State::ForcedOpen),
            (Fused::force_closed, State::ForcedClosed),
            (Fused::observe_only, State::ObserveOnly),
            (Fused::reset, State::Closed),
        ];
        for (tell, state) in told {
            quietly(|| tell(&self.breaker));
            assert_eq!(self.breaker.state(), state);
            if let Some(pass) = self.enter() {
                self.settle(pass, end);
            }
        }
        let forced = self.observer.forced.load(Ordering::Relaxed);
        assert_eq!(forced % 3, 0, "each is told once");
        self.recovers();
    }
}

#[test]
fn a_panic_at_any_foreign_call_leaves_the_next_probe_its_slot_and_the_counts_whole() {
    let mut runs = 0;
    for rule in rules() {
        for is_asked in [false, true] {
            for end in ENDS {
                for times in [1, 2, u64::MAX] {
                    for at in 0.. {
                        let fuse = Fuse::new(at, times);
                        World::new(fuse.clone(), rule, is_asked).live(end);
                        runs += 1;
                        if fuse.is_whole() {
                            break;
                        }
                    }
                }
            }
        }
    }
    assert!(runs > 3000, "{runs}");
}

#[test]
fn a_panic_of_the_predicate_while_the_call_panics_does_not_abort() {
    let breaker = Breaker::builder().trip_when(|_| unwind()).build().unwrap();
    assert!(quietly(|| breaker.call(|| -> Result<(), ()> { unwind() })).is_none());
    let unwinding = breaker.try_enter().unwrap();
    assert!(
        quietly(|| {
            let _settled_while_unwinding = FailsWhenDropped(Some(unwinding));
            unwind();
        })
        .is_none()
    );
    assert_eq!((breaker.stats().failed, breaker.stats().ignored), (2, 0));
}

struct FailsWhenDropped<'a>(
    Option<tidegate_circuit_breaker::Pass<'a, tidegate_circuit_breaker::SystemClock>>,
);

impl Drop for FailsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.take().unwrap().failure();
    }
}

#[test]
fn a_panicking_classifier_has_seen_a_failure() {
    let breaker =
        Arc::new(Breaker::builder().classify(|_: &u32| -> Outcome { unwind() }).build().unwrap());
    assert!(quietly(|| breaker.call(|| 7)).is_none());
    assert!(quietly(|| breaker.call_or_else(|| 7, |_| 8)).is_none());
    assert!(quietly(|| breaker.run(|| 7)).is_none());
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls = pin!(breaker.call_async(async { 7 }));
    assert!(quietly(|| calls.as_mut().poll(&mut cx)).is_none());
    let mut runs = pin!(breaker.run_async(async { 7 }));
    assert!(quietly(|| runs.as_mut().poll(&mut cx)).is_none());
    assert_eq!(breaker.stats().failed, 5);
    breaker.reset();
    let mut owned = pin!(breaker.clone().call_async_owned(async { 7 }));
    assert!(quietly(|| owned.as_mut().poll(&mut cx)).is_none());
    assert_eq!((breaker.stats().failed, breaker.stats().ignored), (6, 0));
}

#[test]
fn a_panic_in_a_registry_leaves_its_breakers_whole() {
    for times in [1, 2] {
        for at in 0.. {
            let fuse = Fuse::new(at, times);
            let (clock, made) = (ManualClock::new(), fuse.clone());
            let fused = FusedClock(clock.clone(), fuse.clone());
            let hosts = KeyedBreaker::from_fn(NonZeroUsize::MIN, move |_: &u32| {
                made.call();
                Breaker::builder().clock(fused.clone()).build().unwrap()
            });
            let hosts = hosts.max_open_ratio(1.0).unwrap();
            let mut settings = BreakerSettings::default();
            settings.consecutive = Some(1);
            for host in [1, 2, 1] {
                let gate = quietly(|| hosts.gate(&host));
                let Some(Ok(gate)) = gate else { continue };
                quietly(|| gate.try_enter().map(|pass| pass.failure_open_for(OPEN_FOR)));
                quietly(|| clock.advance(OPEN_FOR));
                quietly(|| gate.try_enter().map(|pass| pass.failure()));
                quietly(|| clock.advance(OPEN_FOR * 10));
                fuse.off(|| gate.try_enter().expect("admits a next probe").success());
                assert_eq!(gate.state(), State::Closed);
                quietly(|| hosts.reconfigure(&settings));
                fuse.off(|| gate.try_enter().expect("is closed").failure());
                assert_eq!(gate.state(), State::Open);
                fuse.off(|| gate.reset());
            }
            fuse.off(|| assert!(hosts.gate(&3).unwrap().try_enter().is_ok()));
            assert_eq!(hosts.len(), 1);
            if fuse.is_whole() {
                break;
            }
        }
    }
}

#[test]
fn a_throttles_clock_that_panics_takes_no_outcome_along() {
    for owned in [false, true] {
        for times in [1, 2, u64::MAX] {
            for at in 0.. {
                let fuse = Fuse::new(at, times);
                let clock = FusedClock(ManualClock::new(), fuse.clone());
                let throttle = Arc::new(Throttle::with_clock(1.0, SECOND * 100, clock).unwrap());
                let mut settled = [0; 3];
                for step in 0..9 {
                    let outcome = [Outcome::Failure, Outcome::Success, Outcome::Ignored][step % 3];
                    let settles = if owned {
                        let pass =
                            quietly(|| tidegate_circuit_breaker::Gate::try_enter(throttle.clone()));
                        pass.and_then(Result::ok).map(|pass| quietly(|| pass.settle(outcome)))
                    } else {
                        let pass = quietly(|| throttle.as_ref().try_enter());
                        pass.and_then(Result::ok).map(|pass| quietly(|| pass.settle(outcome)))
                    };
                    settled[step % 3] += u64::from(settles.is_some());
                }
                let stats = fuse.off(|| throttle.stats());
                assert_eq!([stats.failed, stats.succeeded, stats.ignored], settled);
                // All these outcomes, and the refusals, are in the window.
                let requests = (stats.failed + stats.succeeded + stats.refused) as f64;
                let expected = (requests - stats.succeeded as f64) / (requests + 1.0);
                assert!((stats.probability - expected).abs() < 1e-9, "{stats:?}, {expected}");
                if fuse.is_whole() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_waiter_that_panics_passes_a_freed_slot_on() {
    for at in 0..10 {
        let (clock, fuse) = (ManualClock::new(), Fuse::new(at, 1));
        let clock_of = FusedClock(clock.clone(), fuse.clone());
        let breaker =
            Breaker::builder().probe_timeout(OPEN_FOR * 9).clock(clock_of).build().unwrap();
        let (first, woken) = fuse.off(|| {
            breaker.try_enter().unwrap().failure_open_for(OPEN_FOR);
            clock.advance(OPEN_FOR);
            (breaker.try_enter().unwrap(), Arc::new(Woken::default()))
        });
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut a, mut b) = (pin!(breaker.enter()), pin!(breaker.enter()));
        fuse.off(|| {
            assert!(a.as_mut().poll(&mut cx).is_pending());
            assert!(b.as_mut().poll(&mut cx).is_pending());
            first.ignore();
        });
        let woken_before = woken.0.load(Ordering::Relaxed);
        // The first waiter was notified of the free slot, and panics.
        if quietly(|| a.as_mut().poll(&mut cx).is_ready()).is_some() {
            assert!(fuse.is_whole());
            return;
        }
        assert!(woken.0.load(Ordering::Relaxed) > woken_before, "the next one is told");
        assert!(fuse.off(|| b.as_mut().poll(&mut cx).is_ready()));
    }
}

#[derive(Default)]
struct Woken(AtomicU64);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
