//! The caller's end of a job: `JobHandle`.

use core::{
    fmt,
    future::Future,
    panic::{RefUnwindSafe, UnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::primitive::Weak;

use super::job_cell::ResultReceiver;
use crate::{
    error::{ExecuteError, JoinError},
    unwind::contain,
};

/// The result of a job that was submitted: a future, to be awaited in a task or waited for on a
/// thread.
///
/// Dropping the handle does not cancel the job, which runs; its result is dropped.
///
/// # Cancel safety
///
/// Polling a handle loses nothing. But `handle.wait_timeout(d)` consumes the handle; to try again
/// later, call it on `&mut handle`.
///
/// # Panics
///
/// Panics if it is polled again after it gave its result.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_worker_pool::{TimedOut, Wait, WorkerPool};
///
/// let pool = WorkerPool::detached(1);
/// let mut handle = pool.try_submit(|| 6 * 7)?;
/// assert_eq!((&mut handle).wait_timeout(Duration::ZERO).unwrap_err(), TimedOut);
///
/// pool.close();
/// pool.worker().wait(); // this thread is the worker, until nothing is left to do
/// assert!(handle.is_finished());
/// assert_eq!(handle.wait()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the handle gives the result up; `execute` says so"]
pub struct JobHandle<T> {
    state: HandleState<T>,
}

enum HandleState<T> {
    // Weak: the queue may own foreign values, such as a key, and a handle must not drop them.
    Accepted(ResultReceiver<T>, Weak<dyn ReleaseSlot>),
    /// The pool did not accept the job.
    Refused(ExecuteError),
    /// The result was given out.
    Over,
}

/// The queue in which an accepted job waits for a worker.
pub(crate) trait ReleaseSlot: Send + Sync {
    /// Counts a job that was cancelled before a worker began with it, and frees its slot.
    fn release_slot(&self);
}

impl<T> JobHandle<T> {
    pub(crate) fn new(receiver: ResultReceiver<T>, queue: Weak<dyn ReleaseSlot>) -> Self {
        Self { state: HandleState::Accepted(receiver, queue) }
    }

    pub(crate) fn refused(why: ExecuteError) -> Self {
        Self { state: HandleState::Refused(why) }
    }

    /// Cancels a closure that has not begun, or a future that has not ended; returns whether it has
    /// cancelled the job.
    ///
    /// The handle resolves to [`JoinError::Cancelled`]. The closure is dropped at once, and its
    /// slot in the queue goes to a submitter that waits. A closure that has begun goes on; its
    /// token is cancelled if it [takes one](crate::WorkerPool::submit_with_token).
    ///
    /// A [future](crate::WorkerPool::submit_future) is dropped by a worker: at the future's next
    /// await, or when the worker takes it out of the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::detached(1);
    /// let handle = pool.try_submit(|| unreachable!()).unwrap();
    /// assert!(handle.cancel());
    /// assert!(handle.wait().unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(&self) -> bool {
        match &self.state {
            HandleState::Accepted(receiver, queue) => receiver.cancel(&mut || {
                if let Some(queue) = queue.upgrade() {
                    queue.release_slot();
                    contain(|| drop(queue));
                }
            }),
            HandleState::Refused(..) | HandleState::Over => false,
        }
    }

    /// Returns whether the job has ended, in whatever way: the next poll gives its result, unless
    /// an earlier poll has given it.
    pub fn is_finished(&self) -> bool {
        match &self.state {
            HandleState::Accepted(receiver, _) => receiver.is_ended(),
            HandleState::Refused(_) | HandleState::Over => true,
        }
    }
}

impl<T> Future for JobHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.state {
            HandleState::Accepted(receiver, _) => match receiver.poll(cx) {
                Poll::Ready(result) => result,
                Poll::Pending => return Poll::Pending,
            },
            HandleState::Refused(ExecuteError::Full) => Err(JoinError::Full),
            HandleState::Refused(ExecuteError::Closed) => Err(JoinError::Closed),
            HandleState::Over => panic!("polled after it was ready"),
        };
        self.state = HandleState::Over;
        Poll::Ready(result)
    }
}

// A result is either stored or not: no caller finds one half stored.
impl<T> UnwindSafe for JobHandle<T> {}
impl<T> RefUnwindSafe for JobHandle<T> {}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("is_finished", &self.is_finished()).finish()
    }
}
