//! The one driver: a thread as the executor of one future.
//!
//! ```text
//! poll with the probe ──ready──▶ return            (no parker, no clock, no allocation)
//!        │ pending
//! take the thread's driver, or make one
//!        ▼
//! poll with its waker ──ready──▶ return
//!        │ pending
//! deadline had passed before this poll? ──yes──▶ drop the future ──▶ TimedOut
//!        │ no
//! spin for the wake-up, for as long as that has paid lately (`spin.rs`)
//!        │ not woken
//! park until woken, the deadline, or the first sleep of this future ──▶ poll again
//! ```

use core::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::time::Instant;

use alloc::rc::Rc;

use parking::Parker;

use crate::{
    error::TimedOut,
    primitive::{
        LocalKey, has_passed, may_spin, park_until, spin_loop, take_wake_up, thread_local,
        yield_now,
    },
    time::{Timers, driven},
    wait::spin::Spin,
};

/// How many polls of a spin there are between two readings of the clock.
const POLLS_PER_LOOK: u32 = 32;

/// How many polls of a spin there are before it begins to yield to other threads.
const POLLS_ALONE: u32 = 128;

/// The waker of the first poll: does nothing. A static, so that there is one copy to compare with.
static PROBE: &Waker = Waker::noop();

/// Returns whether `waker` belongs to a first poll, after which the driver polls again with its own
/// waker.
pub(crate) fn is_probe(waker: &Waker) -> bool {
    waker.will_wake(PROBE)
}

/// Returns how many polls for a wake-up the thread would take before it parks.
pub(crate) fn polls_that_pay() -> u32 {
    let spin = |driver: &Option<Rc<Driver>>| driver.as_ref().map(|driver| driver.spin.get());
    SPARE.try_with(|spare| spin(&spare.borrow()).unwrap_or_default().polls()).unwrap_or(0)
}

/// How long a thread may wait for a future.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    After(Duration),
    At(Instant),
}

impl Limit {
    /// Returns the deadline; `None` if it is too far away for an `Instant`.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::After(duration) => Instant::now().checked_add(duration),
            Self::At(deadline) => Some(deadline),
        }
    }
}

/// Polls `future` on this thread until it is ready or the limit is reached.
#[inline]
pub(super) fn drive<F: Future>(future: F, limit: Option<Limit>) -> Result<F::Output, TimedOut> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(PROBE)) {
        return Ok(output);
    }
    drive_on(future, limit)
}

/// Goes on after a first poll that was pending.
#[cold]
#[inline(never)]
fn drive_on<F: Future>(
    mut future: Pin<&mut F>,
    limit: Option<Limit>,
) -> Result<F::Output, TimedOut> {
    let deadline = limit.and_then(Limit::deadline);
    let driver = Driver::take();
    let mut is_over = false;
    let result = loop {
        if let Poll::Ready(output) = driver.poll(|cx| future.as_mut().poll(cx)) {
            break Ok(output);
        }
        // Only a poll after the deadline may decide that the wait has timed out: a grant that came
        // in time counts.
        if is_over {
            break Err(TimedOut);
        }
        is_over = driver.park(deadline);
    };
    driver.put_back();
    result
}

/// A parker, the waker that unparks it, and the sleeps that the parked thread times itself.
struct Driver {
    parker: Parker,
    waker: Waker,
    timers: Timers,
    spin: Cell<Spin>,
}

thread_local! {
    /// The driver this thread used last and may use again. A wait within a wait finds it gone and
    /// makes another.
    static SPARE: RefCell<Option<Rc<Driver>>> = RefCell::default();
    /// The driver whose poll runs on this thread.
    static CURRENT: RefCell<Option<Rc<Driver>>> = RefCell::default();
}

/// Puts `driver` into a thread-local place and returns what was there; a thread that is ending
/// keeps nothing.
fn swap(
    place: &'static LocalKey<RefCell<Option<Rc<Driver>>>>,
    driver: Option<Rc<Driver>>,
) -> Option<Rc<Driver>> {
    place.try_with(|place| place.replace(driver)).unwrap_or(None)
}

impl Driver {
    fn take() -> Rc<Self> {
        swap(&SPARE, None).unwrap_or_else(|| {
            let (parker, unparker) = parking::pair();
            let spin = Cell::new(Spin::new());
            Rc::new(Self { parker, waker: unparker.into(), timers: Timers::default(), spin })
        })
    }

    fn put_back(self: Rc<Self>) {
        swap(&SPARE, Some(self));
    }

    /// Runs one poll, during which this driver is the thread's current one. Afterwards the driver
    /// that was current before is current again: a poll may itself block for another future.
    fn poll<R>(self: &Rc<Self>, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        struct Restore(Option<Rc<Driver>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                swap(&CURRENT, self.0.take());
            }
        }
        let _restore = Restore(swap(&CURRENT, Some(self.clone())));
        poll(&mut Context::from_waker(&self.waker))
    }

    /// Parks the thread until it is woken, the first sleep is due or the deadline has come. Returns
    /// whether the deadline has come.
    fn park(&self, deadline: Option<Instant>) -> bool {
        let sleep = driven(&self.timers);
        let until = deadline.into_iter().chain(sleep).min();
        if !self.is_woken_soon(until) {
            match until {
                None => self.parker.park(),
                Some(until) => park_until(&self.parker, until),
            }
        }
        deadline.is_some_and(has_passed)
    }

    /// Spins for as long as that has paid lately, at most until `until`; returns whether the
    /// wake-up came.
    fn is_woken_soon(&self, until: Option<Instant>) -> bool {
        if !may_spin() {
            return false;
        }
        let spin = self.spin.get();
        for poll in 0..spin.polls() {
            // Costs one step on an atomic of this thread's own parker.
            if take_wake_up(&self.parker) {
                self.spin.set(spin.after(true));
                return true;
            }
            if poll % POLLS_PER_LOOK == 0 {
                if until.is_some_and(has_passed) {
                    // The spin was cut short, so nothing is learned from it.
                    return false;
                }
                if poll >= POLLS_ALONE {
                    // The awaited thread may be waiting for this very processor.
                    yield_now();
                }
            }
            spin_loop();
        }
        self.spin.set(spin.after(false));
        false
    }
}

/// Returns the timers of the driver that polls on this thread, if `waker` is its own.
///
/// Returns `None` if an executor inside of the driven future polls with a waker of its own: that
/// waker must be called.
pub(crate) fn timers_of(waker: &Waker) -> Option<Timers> {
    CURRENT
        .try_with(|current| {
            let current = current.borrow();
            current
                .as_ref()
                .filter(|driver| driver.waker.will_wake(waker))
                .map(|driver| driver.timers.clone())
        })
        .ok()
        .flatten()
}
