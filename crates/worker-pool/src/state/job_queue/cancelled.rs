//! How many of the queue's jobs were cancelled, and so take no slot.

use tidegate_core::primitive::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
pub(super) struct CancelledJobs {
    /// Jobs that were ever cancelled while they were queued.
    total: AtomicUsize,
    /// Those of them that have left the queue. For an instant it may exceed `total`: a worker may
    /// remove a job before its cancel is counted.
    removed: AtomicUsize,
}

impl CancelledJobs {
    /// Counts a job that was cancelled while it was queued.
    pub(super) fn add(&self) {
        // ORDERING: Release: pairs with the Acquire in `total`. The fence in `Event::notify`, which
        // follows in `release_slot`, pairs with the fence of a submitter that registers.
        self.total.fetch_add(1, Ordering::Release);
    }

    /// Counts cancelled jobs that have left the queue.
    pub(super) fn remove(&self, jobs: usize) {
        // ORDERING: Relaxed: a count, which publishes nothing.
        self.removed.fetch_add(jobs, Ordering::Relaxed);
    }

    /// Returns how many cancelled jobs are in the queue. A snapshot.
    #[inline]
    pub(super) fn count(&self) -> usize {
        // ORDERING: Relaxed: see `add`.
        self.count_of(self.total.load(Ordering::Relaxed))
    }

    /// Returns how many jobs were ever cancelled. A length of the queue that is read after this
    /// includes those of them that are still queued.
    pub(super) fn total(&self) -> usize {
        // ORDERING: Acquire: pairs with the Release in `add`.
        self.total.load(Ordering::Acquire)
    }

    /// Returns how many of the first `total` cancelled jobs are in the queue; it may return fewer.
    #[inline]
    pub(super) fn count_of(&self, total: usize) -> usize {
        // ORDERING: Relaxed: a snapshot.
        let number = total.wrapping_sub(self.removed.load(Ordering::Relaxed));
        if number > usize::MAX / 2 { 0 } else { number }
    }
}
