//! The caller's end of a job.

use core::{
    fmt,
    future::Future,
    panic::{RefUnwindSafe, UnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::primitive::Weak;

use crate::{
    cell::Reply,
    error::{ExecuteError, JoinError},
    panic::contain,
};

/// The result of a job that was submitted: a future, to be awaited in a task or waited for on a thread.
///
/// Dropping the handle does not cancel the job: it runs, and its result is dropped.
///
/// # Cancel safety
///
/// Polling a handle loses nothing. But `handle.wait_timeout(d)` consumes the handle; to try again later, wait for
/// `&mut handle`.
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
    end: End<T>,
}

enum End<T> {
    // Weak: what is gone with the place is foreign, as a key is, and none of the handle's.
    Job(Reply<T>, Weak<dyn Waiting>),
    /// The pool did not accept the job.
    Refused(ExecuteError),
    Taken,
}

/// Where an accepted job waits until a worker begins with it.
pub(crate) trait Waiting: Send + Sync {
    /// A job was called off that no worker has begun with: its place is free.
    fn vacate(&self);
}

impl<T> JobHandle<T> {
    pub(crate) fn new(reply: Reply<T>, place: Weak<dyn Waiting>) -> Self {
        Self { end: End::Job(reply, place) }
    }

    pub(crate) fn refused(why: ExecuteError) -> Self {
        Self { end: End::Refused(why) }
    }

    /// Cancels the job if it has not begun; returns whether it had not.
    ///
    /// The handle resolves to [`JoinError::Cancelled`], a closure is dropped at once, and its place in the queue is free at once:
    /// a submission that waits gets it. A closure that has begun goes on; one that [takes a token](crate::WorkerPool::submit_with_token)
    /// is told.
    ///
    /// A [future](crate::WorkerPool::submit_future) can be cancelled as long as it has not ended. Its worker drops it: at its
    /// next await, or when it comes by.
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
        match &self.end {
            End::Job(reply, place) => reply.cancel(&mut || {
                if let Some(place) = place.upgrade() {
                    place.vacate();
                    contain(|| drop(place));
                }
            }),
            End::Refused(..) | End::Taken => false,
        }
    }

    /// Returns whether the job has ended, in whatever way: the next poll gives its result.
    pub fn is_finished(&self) -> bool {
        match &self.end {
            End::Job(reply, _) => reply.is_ended(),
            End::Refused(_) | End::Taken => true,
        }
    }
}

impl<T> Future for JobHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.end {
            End::Job(reply, _) => match reply.poll(cx) {
                Poll::Ready(result) => result,
                Poll::Pending => return Poll::Pending,
            },
            End::Refused(ExecuteError::Full) => Err(JoinError::Full),
            End::Refused(ExecuteError::Closed) => Err(JoinError::Closed),
            End::Taken => panic!("polled after it was ready"),
        };
        self.end = End::Taken;
        Poll::Ready(result)
    }
}

// A result is there or is not: nobody finds one half done.
impl<T> UnwindSafe for JobHandle<T> {}
impl<T> RefUnwindSafe for JobHandle<T> {}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("is_finished", &self.is_finished()).finish()
    }
}
