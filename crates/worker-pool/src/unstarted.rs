//! Jobs that a shutdown left unstarted: `UnstartedJob`.

use core::fmt;

use tidegate_core::primitive::Arc;

use crate::{job::Job, state::Shared};

/// A job that was accepted and has not begun, returned by
/// [`WorkerPool::shutdown_now`](crate::WorkerPool::shutdown_now).
///
/// Dropping it cancels the job: its handle resolves to
/// [`JoinError::Cancelled`](crate::JoinError::Cancelled).
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::detached(2);
/// let (one, two) = (pool.try_submit(|| 1)?, pool.try_submit(|| 2)?);
/// let mut left = pool.shutdown_now().into_iter();
/// left.next().unwrap().run();
/// drop(left);
/// assert_eq!(one.wait()?, 1);
/// assert!(two.wait().unwrap_err().is_cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it cancels the job"]
pub struct UnstartedJob {
    // `None` once it was run.
    job: Option<Job>,
    shared: Arc<Shared>,
}

impl UnstartedJob {
    pub(crate) fn new(shared: &Arc<Shared>, job: Job) -> Self {
        Self { job: Some(job), shared: shared.clone() }
    }

    /// Runs the job on the calling thread, as a worker would: its panic is contained, and its
    /// handle gets the result. A job with a [key](crate::KeyedPool) is left to the worker that runs
    /// another job of the key, if there is one.
    pub fn run(mut self) {
        if let Some(job) = self.job.take() {
            self.shared.run_on_caller(job);
        }
    }
}

impl Drop for UnstartedJob {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.shared.cancel(job);
        }
    }
}

impl fmt::Debug for UnstartedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnstartedJob").finish_non_exhaustive()
    }
}
