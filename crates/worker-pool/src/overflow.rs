//! What becomes of a job that finds the queue full.

/// What [`submit`](crate::WorkerPool::submit) and [`execute`](crate::WorkerPool::execute) do with a job while the queue is
/// full. Default: [`Wait`](Self::Wait).
///
/// [`try_submit`](crate::WorkerPool::try_submit) has no use for it: it hands the job back.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{OnFull, Wait, WorkerPool};
///
/// // A pool that nobody works for, with room for one job.
/// let full = |on_full| {
///     let pool = WorkerPool::builder().queue(1).on_full(on_full).detached();
///     let first = pool.submit(|| 1).wait();
///     let second = pool.submit(|| 2).wait();
///     pool.shutdown_now();
///     (first.wait().ok(), second.wait().ok())
/// };
/// assert_eq!(full(OnFull::CallerRuns), (None, Some(2)));
/// assert_eq!(full(OnFull::Reject), (None, None));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// It waits until there is room: back-pressure on who submits.
    #[default]
    Wait,
    /// The job is dropped, and its submitter told: [`JoinError::Full`](crate::JoinError::Full) and
    /// [`ExecuteError::Full`](crate::ExecuteError::Full).
    Reject,
    /// The submitting call runs the job itself, in its poll, on whatever thread that is.
    ///
    /// The panics of such a job are contained as on a worker. On a worker it runs within the job that submits it, as a
    /// call would: a tree of jobs needs as much stack as it is deep, and no room. A
    /// [future](crate::WorkerPool::submit_future) waits for room all the same: its submitter would wait longer for its end.
    CallerRuns,
    /// The oldest job in the queue is cancelled, and the new one let in. For news that replaces older news.
    ///
    /// A hand-off (a queue of 0) holds no jobs that could be dropped: there the new one is.
    DropOldest,
    /// The new job is cancelled: its handle says [`Cancelled`](crate::JoinError::Cancelled), and `execute` says nothing.
    DropNewest,
}
