//! The threads of a run: what there is to do for them, and how they wait for it.
//!
//! ```text
//! a wake of the flow ─▶ WOKEN ─┐                       ┌─ drive the flow: one of them, whichever is free
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
pub trait WorkQueue: Send + Sync {
    /// Works on a chunk; returns whether there is more to do. A worker that was called goes on until there is not.
    fn work_one(&self) -> bool;
}

/// What the threads of a run have to do.
pub(crate) struct RunThreads<'h> {
    calls: Lock<VecDeque<Arc<dyn WorkQueue + 'h>>>,
    pub(crate) drive: Arc<Wakeable<DriveState>>,
}

/// What a thread has to do next.
#[cfg(feature = "std")]
pub(crate) enum ThreadTask<'h> {
    Drive,
    Work(Arc<dyn WorkQueue + 'h>),
    Exit,
}

impl<'h> RunThreads<'h> {
    pub(crate) fn new() -> Self {
        let drive = DriveState { state: AtomicU8::new(WOKEN), event: Event::new() };
        Self { calls: Lock::new(VecDeque::new()), drive: Arc::new(Wakeable(drive)) }
    }

    /// Calls a worker to a queue.
    pub(crate) fn call(&self, queue: Arc<dyn WorkQueue + 'h>) {
        self.calls.with(|calls| calls.push_back(queue));
        self.drive.0.event.notify(1);
    }

    /// Returns what there is to do, `None` if nothing is now. The flow comes first: what it does feeds everybody.
    #[cfg(feature = "std")]
    pub(crate) fn next_task(&self) -> Option<ThreadTask<'h>> {
        if self.drive.0.is_over() {
            return Some(ThreadTask::Exit);
        }
        if self.drive.0.claim() {
            return Some(ThreadTask::Drive);
        }
        self.calls.with(VecDeque::pop_front).map(ThreadTask::Work)
    }

    /// Waits for something to do.
    #[cfg(feature = "std")]
    pub(crate) fn wait(&self) -> ThreadTask<'h> {
        tidegate_core::Wait::wait(self.drive.0.event.wait_until(|| self.next_task()))
    }
}

/// The flow was woken, and is to be driven.
const WOKEN: u8 = 1;
/// A thread drives it.
#[cfg(feature = "std")]
const DRIVEN: u8 = 2;
/// It has ended.
#[cfg(feature = "std")]
const OVER: u8 = 4;

/// Whose drive it is to drive the flow. Wakers are made of it.
pub(crate) struct DriveState {
    /// | bit | name | meaning | set by | cleared by |
    /// | --- | --- | --- | --- | --- |
    /// | 0 | `WOKEN` | woken since a thread last began to drive | `on_wake` | `claim` |
    /// | 1 | `DRIVEN` | a thread drives, and looks at `WOKEN` after it | `claim` | `release` |
    /// | 2 | `OVER` | the run has ended, final | `finish` | nobody |
    state: AtomicU8,
    /// There is something to do, or the run is over.
    event: Event,
}

impl OnWake for DriveState {
    fn on_wake(&self) {
        // ORDERING: Release: what the waking thread did is seen by the thread that claims the drive. A thread that drives finds
        // the bit when it passes the drive on.
        if self.state.fetch_or(WOKEN, Ordering::Release) == 0 {
            self.event.notify(1);
        }
    }
}

#[cfg(feature = "std")]
impl DriveState {
    /// Takes the drive, if the flow was woken and nobody drives it.
    fn claim(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `on_wake`.
        self.state.compare_exchange(WOKEN, DRIVEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Passes the drive on. The thread that calls this looks for something to do next, and so for a wake that event meanwhile.
    pub(crate) fn release(&self) {
        // ORDERING: Relaxed: the flow itself lies behind a lock, and a wake before this is of this word's release sequence.
        self.state.fetch_and(!DRIVEN, Ordering::Relaxed);
    }

    /// Returns whether the flow is to be driven, and nobody does.
    pub(crate) fn is_woken(&self) -> bool {
        // ORDERING: Relaxed: a hint; `claim` decides.
        self.state.load(Ordering::Relaxed) == WOKEN
    }

    /// Sends everybody home.
    pub(crate) fn finish(&self) {
        // ORDERING: Relaxed: the output lies behind a lock; the fence in `notify_all` pairs with that of a thread that goes to wait.
        self.state.fetch_or(OVER, Ordering::Relaxed);
        self.event.notify_all();
    }

    fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) & OVER != 0
    }
}
