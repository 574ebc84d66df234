//! What the threads of a run do, and how they wait for it.
//!
//! ```text
//! a wake of the flow ─▶ WOKEN ─┐                       ┌─ drive the flow, one thread at a time
//!                              ├─▶ a thread that waits ┤
//! a stage calls a thread ──────┘                       └─ work on the stage's chunks
//! ```
//!
//! No thread belongs to the flow. While one works on a long item, another drives.

use alloc::collections::VecDeque;

use tidegate_core::{
    Event,
    lock::Lock,
    primitive::{
        Arc, OnWake, Wakeable,
        atomic::{AtomicU8, Ordering},
    },
};

/// Chunks that threads of the run work on.
pub trait WorkQueue: Send + Sync {
    /// Works on a chunk. Returns whether there is more to do; a thread that was called goes on
    /// until there is not.
    fn work_one(&self) -> bool;
}

/// What the threads of a run share.
pub(crate) struct RunThreads<'h> {
    calls: Lock<VecDeque<Arc<dyn WorkQueue + 'h>>>,
    pub(crate) drive: Arc<Wakeable<DriveState>>,
}

/// What a thread does next.
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

    /// Calls a thread to a queue.
    pub(crate) fn call(&self, queue: Arc<dyn WorkQueue + 'h>) {
        self.calls.with(|calls| calls.push_back(queue));
        self.drive.0.event.notify(1);
    }

    /// Returns the next task, `None` if there is none now. Driving the flow comes first, because it
    /// feeds all threads.
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

    /// Waits for the next task.
    #[cfg(feature = "std")]
    pub(crate) fn wait(&self) -> ThreadTask<'h> {
        tidegate_core::Wait::wait(self.drive.0.event.wait_until(|| self.next_task()))
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

/// Which thread may drive the flow. The wakers of the flow are made of it.
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
    /// Becomes the thread that drives, if the flow was woken and no thread drives it.
    fn claim(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `on_wake`.
        self.state.compare_exchange(WOKEN, DRIVEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends driving. The caller looks for its next task afterwards, and so finds a wake that came
    /// meanwhile.
    pub(crate) fn release(&self) {
        // ORDERING: Relaxed: the flow itself lies behind a lock, and a wake before this is of this
        // word's release sequence.
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
