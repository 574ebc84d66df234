//! The threads of a run: what there is to do for them, and how they wait for it.
//!
//! ```text
//! a wake of the flow ─▶ WANTED ─┐                       ┌─ drive the flow: one of them, whichever is free
//!                               ├─▶ a thread that waits ┤
//! a stage calls a worker ───────┘                       └─ work on the stage's chunks, one after the other
//! ```
//!
//! No thread is the flow's own. One that is in a long item is missed by nobody: another drives.

use alloc::collections::VecDeque;

use tidegate_core::{
    Event,
    lock::Lock,
    primitive::{
        Arc, OnWake, Wakeable,
        atomic::{AtomicU8, Ordering},
    },
};

/// Where workers are wanted.
pub trait Workplace: Send + Sync {
    /// Works on a chunk; returns whether there is more to do. A worker that was called goes on until there is not.
    fn work_one(&self) -> bool;
}

/// What the threads of a run have to do.
pub(crate) struct Crew<'h> {
    calls: Lock<VecDeque<Arc<dyn Workplace + 'h>>>,
    pub(crate) turn: Arc<Wakeable<DriveTurn>>,
}

/// What a thread has to do next.
#[cfg(feature = "std")]
pub(crate) enum Duty<'h> {
    Drive,
    Work(Arc<dyn Workplace + 'h>),
    GoHome,
}

impl<'h> Crew<'h> {
    pub(crate) fn new() -> Self {
        let turn = DriveTurn { state: AtomicU8::new(WANTED), came: Event::new() };
        Self { calls: Lock::new(VecDeque::new()), turn: Arc::new(Wakeable(turn)) }
    }

    /// Calls a worker to a place.
    pub(crate) fn call(&self, place: Arc<dyn Workplace + 'h>) {
        self.calls.with(|calls| calls.push_back(place));
        self.turn.0.came.notify(1);
    }

    /// Returns what there is to do, `None` if nothing is now. The flow comes first: what it does feeds everybody.
    #[cfg(feature = "std")]
    pub(crate) fn duty(&self) -> Option<Duty<'h>> {
        if self.turn.0.is_over() {
            return Some(Duty::GoHome);
        }
        if self.turn.0.claim() {
            return Some(Duty::Drive);
        }
        self.calls.with(VecDeque::pop_front).map(Duty::Work)
    }

    /// Waits for something to do.
    #[cfg(feature = "std")]
    pub(crate) fn wait(&self) -> Duty<'h> {
        tidegate_core::Wait::wait(self.turn.0.came.wait_until(|| self.duty()))
    }
}

/// The flow was woken, and is to be driven.
const WANTED: u8 = 1;
/// A thread drives it.
#[cfg(feature = "std")]
const DRIVEN: u8 = 2;
/// It has ended.
#[cfg(feature = "std")]
const OVER: u8 = 4;

/// Whose turn it is to drive the flow. Wakers are made of it.
pub(crate) struct DriveTurn {
    /// | bit | name | meaning | set by | cleared by |
    /// | --- | --- | --- | --- | --- |
    /// | 0 | `WANTED` | woken since a thread last began to drive | `on_wake` | `claim` |
    /// | 1 | `DRIVEN` | a thread drives, and looks at `WANTED` after it | `claim` | `pass` |
    /// | 2 | `OVER` | the run has ended, final | `end` | nobody |
    state: AtomicU8,
    /// There is something to do, or the run is over.
    came: Event,
}

impl OnWake for DriveTurn {
    fn on_wake(&self) {
        // ORDERING: Release: what the waking thread did is seen by the thread that claims the turn. A thread that drives finds
        // the bit when it passes the turn on.
        if self.state.fetch_or(WANTED, Ordering::Release) == 0 {
            self.came.notify(1);
        }
    }
}

#[cfg(feature = "std")]
impl DriveTurn {
    /// Takes the turn, if the flow was woken and nobody drives it.
    fn claim(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `on_wake`.
        self.state.compare_exchange(WANTED, DRIVEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Passes the turn on. The thread that calls this looks for something to do next, and so for a wake that came meanwhile.
    pub(crate) fn pass(&self) {
        // ORDERING: Relaxed: the flow itself lies behind a lock, and a wake before this is of this word's release sequence.
        self.state.fetch_and(!DRIVEN, Ordering::Relaxed);
    }

    /// Returns whether the flow is to be driven, and nobody does.
    pub(crate) fn is_wanted(&self) -> bool {
        // ORDERING: Relaxed: a hint; `claim` decides.
        self.state.load(Ordering::Relaxed) == WANTED
    }

    /// Sends everybody home.
    pub(crate) fn end(&self) {
        // ORDERING: Relaxed: the output lies behind a lock; the fence in `notify_all` pairs with that of a thread that goes to wait.
        self.state.fetch_or(OVER, Ordering::Relaxed);
        self.came.notify_all();
    }

    fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) & OVER != 0
    }
}
