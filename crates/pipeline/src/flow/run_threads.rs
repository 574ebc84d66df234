//! What the threads of a run do, and how they wait for something to do.
//!
//! ```text
//! a wake of the flow ─▶ WOKEN ─┐                       ┌─ drive the flow, one thread at a time
//!                              ├─▶ a thread that waits ┤
//! a stage requests a thread ───┘                       └─ work on the stage's chunks
//! ```
//!
//! No thread is reserved for driving the flow: while one works on a long item, another drives.

use alloc::collections::VecDeque;

#[cfg(feature = "std")]
use tidegate_core::{Closed, Wait};
use tidegate_core::{
    Event,
    lock::Lock,
    primitive::{
        Arc, OnWake, Wakeable,
        atomic::{AtomicU8, Ordering},
    },
};
use tidegate_worker_pool::JoinError;

/// The waiting chunks of a stage, for the workers that it has requested. Each worker works on
/// chunks until none waits, or leaves early.
pub(crate) trait WorkQueue: Send + Sync {
    /// Works on a chunk, if one waits. Returns whether there is another; if not, the worker has
    /// left.
    fn work_one(&self) -> bool;
    /// Lets the calling worker leave early. The flow requests another one if a chunk waits.
    fn leave(&self);
    /// Notes that a requested worker does not come: the items of all waiting chunks fail with
    /// `why()`.
    fn lose(&self, why: fn() -> JoinError);
}

/// What the threads of a run share.
pub(crate) struct RunThreads<'h> {
    requests: Lock<VecDeque<Arc<dyn WorkQueue + 'h>>>,
    pub(crate) drive: Arc<Wakeable<DriveState>>,
}

/// What a thread does next.
#[cfg(feature = "std")]
pub(crate) enum ThreadTask<'h> {
    Drive,
    Work(Arc<dyn WorkQueue + 'h>),
}

impl<'h> RunThreads<'h> {
    pub(crate) fn new() -> Self {
        let drive = DriveState { state: AtomicU8::new(WOKEN), event: Event::new() };
        Self { requests: Lock::default(), drive: Arc::new(Wakeable(drive)) }
    }

    /// Requests a thread that works on a queue.
    pub(crate) fn request_worker(&self, queue: Arc<dyn WorkQueue + 'h>) {
        self.requests.with(|requests| requests.push_back(queue));
        self.drive.0.event.notify(1);
    }

    /// Returns the next task, or `Closed` if the run is over; `None` if there is no task now.
    /// Driving the flow comes first, because it feeds all threads.
    #[cfg(feature = "std")]
    fn poll_task(&self) -> Option<Result<ThreadTask<'h>, Closed>> {
        if self.drive.0.is_over() {
            return Some(Err(Closed));
        }
        if self.drive.0.claim() {
            return Some(Ok(ThreadTask::Drive));
        }
        self.requests.with(VecDeque::pop_front).map(|queue| Ok(ThreadTask::Work(queue)))
    }

    /// Waits for the next task.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the run is over.
    #[cfg(feature = "std")]
    pub(crate) fn next_task(&self) -> Result<ThreadTask<'h>, Closed> {
        let waited = || self.drive.0.event.wait_until(|| self.poll_task()).wait();
        self.poll_task().unwrap_or_else(waited)
    }
}

/// The flow was woken, and is to be driven.
const WOKEN: u8 = 1;
/// A thread drives the flow.
#[cfg(feature = "std")]
const DRIVEN: u8 = 2;
/// The run has ended.
#[cfg(feature = "std")]
const OVER: u8 = 4;

/// Whether the flow is to be driven, and whether a thread drives it; at most one thread does at a
/// time. The flow's wakers are made from this state.
pub(crate) struct DriveState {
    /// | bit | name | meaning | set by | cleared by |
    /// | --- | --- | --- | --- | --- |
    /// | 0 | `WOKEN` | woken since a thread last began to drive | `on_wake` | `claim` |
    /// | 1 | `DRIVEN` | a thread drives, and checks `WOKEN` afterwards | `claim` | `release` |
    /// | 2 | `OVER` | the run has ended, final | `finish` | – |
    state: AtomicU8,
    /// Notified when there is something to do, and when the run is over.
    event: Event,
}

impl OnWake for DriveState {
    fn on_wake(&self) {
        // ORDERING: Release: the thread that drives next sees what the waking thread did. A thread
        // that drives now finds the bit after `release`.
        if self.state.fetch_or(WOKEN, Ordering::Release) == 0 {
            self.event.notify(1);
        }
    }
}

#[cfg(feature = "std")]
impl DriveState {
    /// Makes the calling thread the one that drives, if the flow was woken and no thread drives it.
    /// Returns whether it did.
    fn claim(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `on_wake`.
        self.state.compare_exchange(WOKEN, DRIVEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends driving. The caller polls for its next task afterwards, and so finds a wake that came
    /// meanwhile.
    pub(crate) fn release(&self) {
        // ORDERING: Relaxed: the flow itself lies behind a lock, and this read-modify-write
        // continues the release sequence of a wake before it.
        self.state.fetch_and(!DRIVEN, Ordering::Relaxed);
    }

    /// Returns whether the flow was woken and no thread drives it.
    pub(crate) fn is_woken(&self) -> bool {
        // ORDERING: Relaxed: a hint; `claim` decides.
        self.state.load(Ordering::Relaxed) == WOKEN
    }

    /// Ends the run: all threads exit.
    pub(crate) fn finish(&self) {
        // ORDERING: Relaxed: the output lies behind a lock; the fence in `notify_all` pairs with
        // that of a thread that begins to wait.
        self.state.fetch_or(OVER, Ordering::Relaxed);
        self.event.notify_all();
    }

    fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) & OVER != 0
    }
}
