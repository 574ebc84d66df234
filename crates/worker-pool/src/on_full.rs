//! What happens to a job that finds the queue full: `OnFull`.

/// What [`submit`](crate::WorkerPool::submit) and [`execute`](crate::WorkerPool::execute) do with a
/// job while the queue is full. Default: [`Wait`](Self::Wait).
///
/// [`try_submit`](crate::WorkerPool::try_submit) ignores it: it gives the job back.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{OnFull, Wait, WorkerPool};
///
/// // A pool without workers, with room for one job.
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
    /// The submitter waits until there is room: back-pressure.
    #[default]
    Wait,
    /// The job is dropped, and its submitter gets [`JoinError::Full`](crate::JoinError::Full) or
    /// [`ExecuteError::Full`](crate::ExecuteError::Full).
    Reject,
    /// The submitting call runs the job itself, in its poll, on the calling thread.
    ///
    /// The panics of such a job are contained as on a worker. On a worker it runs within the job
    /// that submits it, like a call: a tree of jobs needs as much stack as it is deep, and no room.
    /// A [future](crate::WorkerPool::submit_future) waits for room nevertheless: its submitter
    /// would have to wait for its end, which takes longer.
    CallerRuns,
    /// The oldest job in the queue is cancelled, and the new one accepted: for news that replaces
    /// older news.
    ///
    /// A rendezvous (a queue of 0) holds no job that could be dropped: there the new one is.
    DropOldest,
    /// The new job is cancelled: its handle resolves to [`Cancelled`](crate::JoinError::Cancelled),
    /// and `execute` returns `Ok`.
    DropNewest,
}
