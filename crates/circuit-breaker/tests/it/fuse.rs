//! Foreign code that panics at a chosen call: clock, timer, observer, waker, predicate, classifier.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Wake, Waker},
};

use tidegate_circuit_breaker::{
    Clock, ManualClock, Observer, Refused, State, Timer, Timestamp, Transition,
};

/// Counts the calls of foreign code. Panics at call number `at` and those after it, `times` in all.
#[derive(Default)]
pub(crate) struct Fuse {
    calls: AtomicU64,
    at: u64,
    times: u64,
    is_off: AtomicBool,
}

impl Fuse {
    pub(crate) fn new(at: u64, times: u64) -> Arc<Self> {
        Arc::new(Self { at, times, ..Self::default() })
    }

    pub(crate) fn call(&self) {
        if self.is_off.load(Ordering::Relaxed) {
            return;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if (self.at..self.at.saturating_add(self.times)).contains(&call) {
            unwind();
        }
    }

    /// Runs `step` without panics.
    pub(crate) fn off<R>(&self, step: impl FnOnce() -> R) -> R {
        self.is_off.store(true, Ordering::Relaxed);
        let found = step();
        self.is_off.store(false, Ordering::Relaxed);
        found
    }

    /// Returns whether the calls have ended before number `at`.
    pub(crate) fn is_whole(&self) -> bool {
        self.calls.load(Ordering::Relaxed) <= self.at
    }
}

/// Panics without a message on the screen.
pub(crate) fn unwind() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// Returns what `step` returns, or `None` if it panics.
pub(crate) fn quietly<R>(step: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(step)).ok()
}

#[derive(Clone)]
pub(crate) struct FusedClock(pub(crate) ManualClock, pub(crate) Arc<Fuse>);

impl Clock for FusedClock {
    fn now(&self) -> Timestamp {
        self.1.call();
        self.0.now()
    }
}

impl Timer for FusedClock {
    type Sleep = <ManualClock as Timer>::Sleep;

    fn sleep_until(&self, time: Timestamp) -> Self::Sleep {
        self.1.call();
        self.0.sleep_until(time)
    }
}

/// An observer that counts its notifications.
pub(crate) struct FusedObserver {
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) trips: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) forced: AtomicU64,
    pub(crate) refusals: AtomicU64,
}

impl FusedObserver {
    pub(crate) fn new(fuse: &Arc<Fuse>) -> Arc<Self> {
        let zero = AtomicU64::default;
        let (trips, resets, forced, refusals) = (zero(), zero(), zero(), zero());
        Arc::new(Self { fuse: fuse.clone(), trips, resets, forced, refusals })
    }

    fn hear(&self, count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
        self.fuse.call();
    }
}

impl Observer for FusedObserver {
    fn on_trip(&self, trip: &Transition) {
        assert!(trip.open_for.is_some());
        self.hear(&self.trips);
    }

    fn on_half_open(&self, _: &Transition) {
        self.fuse.call();
    }

    fn on_close(&self, _: &Transition) {
        self.fuse.call();
    }

    fn on_reset(&self, transition: &Transition) {
        assert_eq!(transition.to, State::Closed);
        self.hear(&self.resets);
    }

    fn on_force(&self, _: &Transition) {
        self.hear(&self.forced);
    }

    fn on_refuse(&self, _: &Refused) {
        self.hear(&self.refusals);
    }
}

struct FusedWaker(Arc<Fuse>);

impl Wake for FusedWaker {
    fn wake(self: Arc<Self>) {
        self.0.call();
    }
}

pub(crate) fn waker(fuse: &Arc<Fuse>) -> Waker {
    Waker::from(Arc::new(FusedWaker(fuse.clone())))
}
