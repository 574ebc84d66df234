//! Several jobs and their results together.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::vec::Vec;

use crate::{error::JoinError, handle::JobHandle};

/// Handles of jobs that belong together. Their results come in the order in which they were added, however they end.
///
/// Dropping it gives the results up, not the jobs; [`cancel`](Self::cancel) ends those that have not begun.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{JobGroup, Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().build()?;
/// let group: JobGroup<_> = (1..=4_u64).map(|n| pool.submit(move || n * n).wait()).collect();
/// let squares: Result<Vec<_>, _> = group.join().wait().into_iter().collect();
/// assert_eq!(squares.unwrap(), [1, 4, 9, 16]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping it gives the results up"]
pub struct JobGroup<T> {
    handles: Vec<JobHandle<T>>,
}

impl<T> JobGroup<T> {
    /// Creates a group without jobs.
    pub const fn new() -> Self {
        Self { handles: Vec::new() }
    }

    /// Adds a job.
    pub fn push(&mut self, handle: JobHandle<T>) {
        self.handles.push(handle);
    }

    /// Returns how many jobs were added.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Returns whether no job was added.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Cancels the jobs that have not begun; returns how many that were.
    pub fn cancel(&self) -> usize {
        self.handles.iter().filter(|handle| handle.cancel()).count()
    }

    /// Waits until every job has ended.
    pub fn join(self) -> Join<T> {
        Join { waiting: self.handles, ended: Vec::new() }
    }
}

impl<T, E> JobGroup<Result<T, E>> {
    /// Waits until every job has returned `Ok`, or one has not: then those that have not begun are cancelled, and nobody waits
    /// for those that have.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it gives the results up; no job is cancelled.
    ///
    /// # Errors
    ///
    /// [`GroupError`] of the first job that was found to have failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{GroupError, JobGroup, Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let parse = |text: &'static str| pool.submit(move || text.parse::<u8>()).wait();
    /// let group: JobGroup<_> = ["1", "2"].into_iter().map(parse).collect();
    /// assert_eq!(group.try_join().wait().unwrap(), [1, 2]);
    ///
    /// let group: JobGroup<_> = ["1", "two", "3"].into_iter().map(parse).collect();
    /// assert!(matches!(group.try_join().wait(), Err(GroupError::Failed { index: 1, .. })));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_join(self) -> TryJoin<T, E> {
        let slots = self.handles.into_iter().map(Slot::Waiting).collect();
        TryJoin { slots }
    }
}

impl<T> Default for JobGroup<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FromIterator<JobHandle<T>> for JobGroup<T> {
    fn from_iter<I: IntoIterator<Item = JobHandle<T>>>(handles: I) -> Self {
        Self { handles: handles.into_iter().collect() }
    }
}

impl<T> Extend<JobHandle<T>> for JobGroup<T> {
    fn extend<I: IntoIterator<Item = JobHandle<T>>>(&mut self, handles: I) {
        self.handles.extend(handles);
    }
}

impl<T> fmt::Debug for JobGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobGroup").field("len", &self.len()).finish()
    }
}

/// Future of [`JobGroup::join`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Join<T> {
    waiting: Vec<JobHandle<T>>,
    ended: Vec<Result<T, JoinError>>,
}

// Nothing in it is pinned: handles are polled through `&mut`.
impl<T> Unpin for Join<T> {}

impl<T> Future for Join<T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { waiting, ended } = &mut *self;
        // One after the other: all must end anyway, so each is waited for only when those before it have.
        while let Some(handle) = waiting.get_mut(ended.len()) {
            match Pin::new(handle).poll(cx) {
                Poll::Ready(result) => ended.push(result),
                Poll::Pending => return Poll::Pending,
            }
        }
        waiting.clear();
        Poll::Ready(core::mem::take(ended))
    }
}

impl<T> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("ended", &self.ended.len()).finish_non_exhaustive()
    }
}

/// Future of [`JobGroup::try_join`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct TryJoin<T, E> {
    slots: Vec<Slot<T, E>>,
}

enum Slot<T, E> {
    Waiting(JobHandle<Result<T, E>>),
    Done(T),
}

// Nothing in it is pinned: handles are polled through `&mut`.
impl<T, E> Unpin for TryJoin<T, E> {}

impl<T, E> TryJoin<T, E> {
    fn fail(&mut self, error: GroupError<E>) -> GroupError<E> {
        for slot in self.slots.drain(..) {
            if let Slot::Waiting(handle) = slot {
                handle.cancel();
            }
        }
        error
    }
}

impl<T, E> Future for TryJoin<T, E> {
    type Output = Result<Vec<T>, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waits = false;
        let mut failed = None;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Slot::Waiting(handle) = slot else { continue };
            match Pin::new(handle).poll(cx) {
                Poll::Pending => waits = true,
                Poll::Ready(Ok(Ok(value))) => *slot = Slot::Done(value),
                Poll::Ready(Ok(Err(error))) => {
                    failed = Some((slot, GroupError::Failed { index, error }));
                    break;
                }
                Poll::Ready(Err(error)) => {
                    failed = Some((slot, GroupError::Lost { index, error }));
                    break;
                }
            }
        }
        if let Some((_slot, error)) = failed {
            return Poll::Ready(Err(self.fail(error)));
        }
        if waits {
            return Poll::Pending;
        }
        let values = self.slots.drain(..).filter_map(|slot| match slot {
            Slot::Done(value) => Some(value),
            Slot::Waiting(_) => None,
        });
        Poll::Ready(Ok(values.collect()))
    }
}

impl<T, E> fmt::Debug for TryJoin<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoin").field("jobs", &self.slots.len()).finish_non_exhaustive()
    }
}

/// Why a group has not all of its results.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupError<E> {
    /// A job returned an error.
    Failed {
        /// The place of the job in the group, from 0.
        index: usize,
        /// What it returned.
        error: E,
    },
    /// A job has no result: it panicked, was cancelled, or was not accepted.
    Lost {
        /// The place of the job in the group, from 0.
        index: usize,
        /// Why.
        error: JoinError,
    },
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { index, error } => write!(f, "job {index} of the group failed: {error}"),
            Self::Lost { index, error } => write!(f, "job {index} of the group: {error}"),
        }
    }
}

// The error is part of the message, so it is not a source, too: a report would print it twice.
impl<E: fmt::Debug + fmt::Display> core::error::Error for GroupError<E> {}
