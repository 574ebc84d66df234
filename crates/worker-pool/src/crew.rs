//! Who works: how many workers there are, and whether jobs have anybody left to run them.

use tidegate_core::{
    Event,
    primitive::atomic::{AtomicU64, Ordering},
};

use crate::panic::contain;

/// The pool is gone: no worker will join any more.
const ORPHANED: u64 = 1;
/// One worker that exists, whether it was polled or not.
const MEMBER: u64 = 2;
/// One worker that was polled.
const STARTED: u64 = 1 << 32;
const MEMBERS: u64 = STARTED - MEMBER;

pub(crate) struct Crew {
    /// | bits | name | meaning | changed by |
    /// | --- | --- | --- | --- |
    /// | 0 | `ORPHANED` | the pool is gone, final | `orphan` |
    /// | 1..32 | `MEMBER` | workers that exist | `join`, `leave` |
    /// | 32.. | `STARTED` | those that may hold a job | `start`, `leave` |
    ///
    /// One word, so that exactly one finds itself the last: a member that leaves, or the pool.
    word: AtomicU64,
    /// A worker has left, or the queue was emptied by somebody else.
    pub(crate) changed: Event,
}

impl Crew {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(0), changed: Event::new() }
    }

    /// Counts a worker that will come.
    pub(crate) fn join(&self) {
        // ORDERING: Relaxed: only the number counts.
        self.word.fetch_add(MEMBER, Ordering::Relaxed);
    }

    /// Counts a worker that is here.
    pub(crate) fn start(&self) {
        // ORDERING: Relaxed: who must see it finds a job gone that was taken after this (`Intake::is_drained`).
        self.word.fetch_add(STARTED, Ordering::Relaxed);
    }

    /// Takes a worker out of the count; returns whether the jobs that are left have nobody.
    #[must_use]
    pub(crate) fn leave(&self, started: bool) -> bool {
        let gone = if started { MEMBER + STARTED } else { MEMBER };
        // ORDERING: Release: what the worker has done is seen by who finds it gone (`started`). The last one of a pool that is
        // gone finds all its jobs without Acquire: it closes the intake once more (`Intake::take_all`), by a
        // read-modify-write, which comes after every push that was let in.
        let left = self.word.fetch_sub(gone, Ordering::Release) - gone;
        contain(|| self.changed.notify_all());
        left == ORPHANED
    }

    /// Notes that the pool is gone; returns whether the jobs that are left have nobody.
    #[must_use]
    pub(crate) fn orphan(&self) -> bool {
        // ORDERING: Relaxed: only the number counts; see `leave`.
        self.word.fetch_or(ORPHANED, Ordering::Relaxed) & MEMBERS == 0
    }

    /// Returns how many workers have started and not left.
    pub(crate) fn started(&self) -> usize {
        // ORDERING: Acquire: pairs with the Release in `leave`.
        usize::try_from(self.word.load(Ordering::Acquire) / STARTED).unwrap_or(usize::MAX)
    }

    /// Returns how many workers exist. A snapshot.
    pub(crate) fn members(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        usize::try_from((self.word.load(Ordering::Relaxed) & MEMBERS) / MEMBER)
            .unwrap_or(usize::MAX)
    }
}
