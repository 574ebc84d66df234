//! A job as the pool's queue holds it.

pub(crate) mod future_job;
pub(crate) mod handle;
#[allow(unsafe_code, reason = "a closure and its result in an UnsafeCell, argued there")]
pub(crate) mod job_cell;

use alloc::boxed::Box;

use tidegate_core::Timestamp;

use self::{future_job::FutureJob, job_cell::Runnable};

/// What the queue holds: a closure (one allocation, with or without a handle), a future, or a turn.
/// A job that is dropped before it ran is cancelled.
pub(crate) enum Job {
    /// A closure without a handle.
    Plain(Box<dyn ErasedJob>),
    /// A closure with a handle.
    Tracked(Runnable),
    /// A future.
    Future(Box<FutureJob>),
    /// The right to run one job of a key.
    KeyTurn(Box<dyn ErasedTurn>),
}

/// The right to run one job of a key's queue. A turn that is dropped unused cancels a job there.
pub(crate) trait ErasedTurn: Send {
    /// Takes the oldest job of the key's queue for this worker to run. If another worker runs that
    /// queue, leaves the job to that worker, which then owes one more, and returns `None`. Called
    /// again after [`owes`](Self::owes) has returned true, takes the next owed job.
    fn begin(&mut self) -> Option<Runnable>;
    /// Notes that the job which `begin` returned was found cancelled, and is gone.
    fn note_removed(&mut self);
    /// Returns whether other workers have left this worker another job; if not, it stops running
    /// the key's queue.
    fn owes(&mut self) -> bool;
    /// Cancels the jobs that the turn would run; returns how many of them had not been cancelled
    /// before.
    fn cancel(self: Box<Self>) -> u64;
    /// Marks the turn as used, for a submitter whose job was not accepted.
    fn forget(&mut self);
}

/// A closure without a handle, and when it was accepted.
struct ClosureJob<F> {
    /// `Timestamp::NEVER` if the pool has no clock: an `Option` would take a second word.
    accepted: Timestamp,
    closure: F,
}

/// A [`ClosureJob`] of any type.
pub(crate) trait ErasedJob: Send {
    fn accepted(&mut self) -> &mut Timestamp;
    fn call(self: Box<Self>);
}

impl<F: FnOnce() + Send> ErasedJob for ClosureJob<F> {
    fn accepted(&mut self) -> &mut Timestamp {
        &mut self.accepted
    }

    fn call(self: Box<Self>) {
        (self.closure)();
    }
}

impl Job {
    /// Creates a job without a handle.
    pub(crate) fn plain(closure: impl FnOnce() + Send + 'static) -> Self {
        Self::Plain(Box::new(ClosureJob { accepted: Timestamp::NEVER, closure }))
    }

    /// Returns whether the job was cancelled by its handle: then it takes no slot of the queue.
    pub(crate) fn is_cancelled(&self) -> bool {
        match self {
            Self::Tracked(runnable) => runnable.is_cancelled(),
            Self::Future(future) => future.runnable.is_cancelled(),
            Self::Plain(_) | Self::KeyTurn(_) => false,
        }
    }

    /// Notes when the job was accepted.
    pub(crate) fn accept(&mut self, now: Timestamp) {
        match self {
            Self::Plain(job) => *job.accepted() = now,
            Self::Tracked(runnable) => runnable.accept(now),
            Self::Future(future) => future.runnable.accept(now),
            // The turn's job has a time of its own.
            Self::KeyTurn(_) => {}
        }
    }

    /// Returns when the job was accepted; [`Timestamp::NEVER`] if that was not noted.
    pub(crate) fn accepted(&mut self) -> Timestamp {
        match self {
            Self::Plain(job) => *job.accepted(),
            Self::Tracked(runnable) => runnable.accepted(),
            Self::Future(future) => future.runnable.accepted(),
            Self::KeyTurn(_) => Timestamp::NEVER,
        }
    }
}
