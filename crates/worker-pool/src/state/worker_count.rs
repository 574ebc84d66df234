//! How many workers there are, and whether any is left to run the jobs.

use tidegate_core::{
    Event,
    primitive::atomic::{AtomicU64, Ordering},
};

use crate::unwind::contain;

/// The pool was dropped: no worker will join any more.
const ORPHANED: u64 = 1;
/// One worker that exists, whether it was polled or not.
const WORKER: u64 = 2;
/// One worker that was polled.
const STARTED: u64 = 1 << 32;
const WORKERS: u64 = STARTED - WORKER;

#[derive(Default)]
pub(crate) struct WorkerCount {
    /// | bits | name | meaning | changed by |
    /// | --- | --- | --- | --- |
    /// | 0 | `ORPHANED` | the pool was dropped, final | `orphan` |
    /// | 1..32 | `WORKER` | workers that exist | `join`, `leave` |
    /// | 32.. | `STARTED` | those that may hold a job | `start`, `leave` |
    ///
    /// One word for all, so that exactly one finds that it is the last: a worker that leaves, or
    /// the pool that is dropped.
    word: AtomicU64,
    /// Notified when the pool may have become idle or terminated: a worker has left or become idle,
    /// or jobs have left the queue without being run.
    pub(crate) changed: Event,
}

impl WorkerCount {
    /// Counts a worker that was created.
    pub(crate) fn join(&self) {
        // ORDERING: Relaxed: only the number counts.
        self.word.fetch_add(WORKER, Ordering::Relaxed);
    }

    /// Counts a worker that is polled for the first time.
    pub(crate) fn start(&self) {
        // ORDERING: Relaxed: only a caller that finds the queue drained must see this count. The
        // worker takes its jobs after it has counted itself, so a caller that finds the last job
        // taken sees the count, too (`JobQueue::is_drained`).
        self.word.fetch_add(STARTED, Ordering::Relaxed);
    }

    /// Removes a worker; returns whether no worker is left and none will come.
    #[must_use]
    pub(crate) fn leave(&self, started: bool) -> bool {
        let gone = if started { WORKER + STARTED } else { WORKER };
        // ORDERING: Release: a caller that finds the worker gone (`started`) sees what it has done.
        // The last worker of a pool that was dropped finds all its jobs without Acquire: it closes
        // the queue once more (`JobQueue::take_all`), by a read-modify-write, which comes after
        // every push that was accepted.
        let left = self.word.fetch_sub(gone, Ordering::Release) - gone;
        contain(|| self.changed.notify_all());
        left == ORPHANED
    }

    /// Notes that the pool was dropped; returns whether no worker is left.
    #[must_use]
    pub(crate) fn orphan(&self) -> bool {
        // ORDERING: Relaxed: only the number counts; see `leave`.
        self.word.fetch_or(ORPHANED, Ordering::Relaxed) & WORKERS == 0
    }

    /// Returns how many workers have started and not left.
    pub(crate) fn started(&self) -> usize {
        // ORDERING: Acquire: pairs with the Release in `leave`.
        usize::try_from(self.word.load(Ordering::Acquire) / STARTED).unwrap_or(usize::MAX)
    }

    /// Returns how many workers exist. A snapshot.
    pub(crate) fn total(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        usize::try_from((self.word.load(Ordering::Relaxed) & WORKERS) / WORKER)
            .unwrap_or(usize::MAX)
    }
}
