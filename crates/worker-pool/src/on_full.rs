//! What happens to a job that finds the queue full: `OnFull`.

/// What [`submit`](crate::WorkerPool::submit), its kin (`run`, `submit_with_token`,
/// `submit_future`) and [`execute`](crate::WorkerPool::execute) do with a job while the queue is
/// full. A job with a [key](crate::KeyedPool) waits, whatever this says, and
/// [`try_submit`](crate::WorkerPool::try_submit) gives the job back. Default: [`Wait`](Self::Wait).
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
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnFull {
    /// The submitter waits until there is room: back-pressure.
    #[default]
    Wait,
    /// The job is dropped, and its submitter gets [`JoinError::Full`](crate::JoinError::Full) or
    /// [`ExecuteError::Full`](crate::ExecuteError::Full).
    Reject,
    /// The submitter runs the job itself: on its own thread, in the poll that finds no room.
    ///
    /// The panics of such a job are contained as on a worker. If the submitter is itself a job, the
    /// new job runs within it, like a call: jobs that submit jobs use stack for each level, but
    /// never wait for room. A [future](crate::WorkerPool::submit_future) waits for room all the
    /// same: to run it, its submitter would have to wait until the future has ended, which may take
    /// longer than the wait for room.
    CallerRuns,
    /// The oldest job in the queue is cancelled, and the new one accepted: for jobs that make older
    /// ones obsolete.
    ///
    /// A rendezvous (a queue of capacity 0) holds no job that could be dropped: there the new job
    /// is cancelled. This happens in other queues, too, but rarely: if other callers empty the
    /// queue and fill it again meanwhile.
    DropOldest,
    /// The new job is cancelled: its handle resolves to [`Cancelled`](crate::JoinError::Cancelled),
    /// and `execute` returns `Ok`.
    DropNewest,
}
