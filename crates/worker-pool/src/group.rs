//! Several jobs and their results together.

use core::{
    cell::Cell,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::vec::Vec;

use tidegate_core::{
    future_slots::{FutureSlots, WakerCell},
    primitive::Arc,
    wake_list,
};

use crate::{
    error::JoinError,
    handle::JobHandle,
    panic::{contain, drop_each},
};

/// Handles of jobs that belong together. Their results come in the order in which they were added, however they end
/// ([`join`](Self::join)), or as they end ([`join_next`](Self::join_next)).
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
    /// Those that were added and are not watched.
    handles: Vec<JobHandle<T>>,
    // `None` until somebody asks for results as they come: the order of the group needs less.
    watched: Option<Watched<T>>,
}

impl<T> JobGroup<T> {
    /// Creates a group without jobs.
    pub const fn new() -> Self {
        Self { handles: Vec::new(), watched: None }
    }

    /// Adds a job.
    pub fn push(&mut self, handle: JobHandle<T>) {
        self.handles.push(handle);
    }

    /// Returns how many jobs were added whose results nobody has taken.
    pub fn len(&self) -> usize {
        self.handles.len() + self.watched.as_ref().map_or(0, |watched| watched.slots.in_flight())
    }

    /// Returns whether no result is left to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels the jobs that have not begun; returns how many that were.
    pub fn cancel(&self) -> usize {
        let watched = self.watched.iter().flat_map(|watched| watched.slots.futures());
        // What jobs have captured is foreign: each is cancelled past the panics of others.
        let cancelled = Cell::new(0);
        let all = self.handles.iter().chain(watched).map(|handle| (handle, &cancelled));
        wake_list::each(all, |(handle, cancelled)| {
            cancelled.set(cancelled.get() + usize::from(handle.cancel()));
        });
        cancelled.get()
    }

    /// Waits until every job has ended.
    pub fn join(self) -> Join<T> {
        Join { group: self, ended: Kept(Vec::new()) }
    }

    /// Waits until a job has ended, and takes its result out: `None` if there is none left. Jobs can be added in between.
    ///
    /// A wait costs the same however many jobs there are.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing: a result that was not taken is taken by the next call.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{JobGroup, Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().threads(2).build()?;
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let mut group = JobGroup::new();
    /// group.push(pool.submit(move || receive.recv().unwrap()).wait());
    /// group.push(pool.submit(|| "the second ends first").wait());
    /// assert_eq!(group.join_next().wait().unwrap().unwrap(), "the second ends first");
    /// send.send("and now the first").unwrap();
    /// assert_eq!(group.join_next().wait().unwrap().unwrap(), "and now the first");
    /// assert!(group.join_next().wait().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_next(&mut self) -> JoinNext<'_, T> {
        JoinNext { group: self }
    }

    /// Begins to watch those that were added.
    fn watch(&mut self) -> &mut Watched<T> {
        let watched = self.watched.get_or_insert_with(Watched::new);
        self.handles.drain(..).for_each(|handle| watched.add(handle));
        watched
    }
}

/// Handles that are polled when their jobs have ended.
struct Watched<T> {
    /// By their places in the group.
    slots: FutureSlots<usize, JobHandle<T>>,
    added: usize,
}

impl<T> Watched<T> {
    fn new() -> Self {
        Self { slots: FutureSlots::new(Arc::new(WakerCell::new())), added: 0 }
    }

    fn add(&mut self, handle: JobHandle<T>) {
        let slot = self.slots.start(self.added, handle);
        self.added += 1;
        // Polled once, it leaves its waker.
        self.slots.put_off(slot);
    }

    /// Takes the result of a job that has ended, with its place in the group; `None` if no job is left.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        let slots = &mut self.slots;
        slots.task().set(cx.waker());
        let mut has_looked = false;
        loop {
            let Some(slot) = slots.next_woken() else {
                if has_looked {
                    break;
                }
                slots.look();
                has_looked = true;
                continue;
            };
            if let Some(Poll::Ready(result)) = slots.poll(slot) {
                slots.drop_future(slot);
                if let Some(place) = slots.free(slot) {
                    return Poll::Ready(Some((place, result)));
                }
            }
        }
        if slots.in_flight() == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// What has come of jobs, by their places, until all is there. It is foreign: each is dropped on its own.
struct Kept<T>(Vec<(usize, T)>);

impl<T> Kept<T> {
    fn drop_all(&mut self) {
        drop_each(mem::take(&mut self.0));
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        self.drop_all();
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
        TryJoin { group: self, values: Kept(Vec::new()) }
    }
}

impl<T> Default for JobGroup<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FromIterator<JobHandle<T>> for JobGroup<T> {
    fn from_iter<I: IntoIterator<Item = JobHandle<T>>>(handles: I) -> Self {
        Self { handles: handles.into_iter().collect(), watched: None }
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

/// Future of [`JobGroup::join_next`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct JoinNext<'a, T> {
    group: &'a mut JobGroup<T>,
}

impl<T> Future for JoinNext<'_, T> {
    type Output = Option<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.group.watch().poll_next(cx).map(|next| next.map(|(_place, result)| result))
    }
}

impl<T> fmt::Debug for JoinNext<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinNext").field("len", &self.group.len()).finish()
    }
}

/// Future of [`JobGroup::join`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Join<T> {
    group: JobGroup<T>,
    /// With their places in the group.
    ended: Kept<Result<T, JoinError>>,
}

// Nothing in it is pinned: handles are polled through `&mut`.
impl<T> Unpin for Join<T> {}

impl<T> Future for Join<T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { group, ended: Kept(ended) } = &mut *self;
        if group.watched.is_some() {
            while let Some(next) = ready!(group.watch().poll_next(cx)) {
                ended.push(next);
            }
            ended.sort_unstable_by_key(|(place, _)| *place);
        } else {
            // One after the other: all must end anyway, so each is waited for only when those before it have.
            while let Some(handle) = group.handles.get_mut(ended.len()) {
                let result = ready!(Pin::new(handle).poll(cx));
                ended.push((ended.len(), result));
            }
            group.handles.clear();
        }
        Poll::Ready(ended.drain(..).map(|(_place, result)| result).collect())
    }
}

impl<T> fmt::Debug for Join<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("ended", &self.ended.0.len()).finish_non_exhaustive()
    }
}

/// Future of [`JobGroup::try_join`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct TryJoin<T, E> {
    group: JobGroup<Result<T, E>>,
    /// With their places in the group.
    values: Kept<T>,
}

// Nothing in it is pinned: handles are polled through `&mut`.
impl<T, E> Unpin for TryJoin<T, E> {}

impl<T, E> TryJoin<T, E> {
    fn fail(&mut self, error: GroupError<E>) -> GroupError<E> {
        let group = mem::take(&mut self.group);
        // Jobs and results are foreign, and what they panic with when they are dropped is not what the caller is to hear.
        contain(|| _ = group.cancel());
        contain(|| drop(group));
        self.values.drop_all();
        error
    }
}

impl<T, E> Future for TryJoin<T, E> {
    type Output = Result<Vec<T>, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some((index, result)) = ready!(self.group.watch().poll_next(cx)) {
            let error = match result {
                Ok(Ok(value)) => {
                    self.values.0.push((index, value));
                    continue;
                }
                Ok(Err(error)) => GroupError::Failed { index, error },
                Err(error) => GroupError::Lost { index, error },
            };
            return Poll::Ready(Err(self.fail(error)));
        }
        let Kept(values) = &mut self.values;
        values.sort_unstable_by_key(|(index, _)| *index);
        Poll::Ready(Ok(values.drain(..).map(|(_index, value)| value).collect()))
    }
}

impl<T, E> fmt::Debug for TryJoin<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoin").field("jobs", &self.group.len()).finish_non_exhaustive()
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
