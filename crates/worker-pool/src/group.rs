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

use tidegate_core::{future_slots::FutureSlots, primitive::Arc, wake_list};

use crate::{
    error::{GroupError, JoinError},
    job::handle::JobHandle,
    unwind::{DropEach, contain},
};

/// Handles of jobs that belong together. Their results come in the order in which the jobs were
/// added ([`join`](Self::join)), or in the order in which they end
/// ([`join_next`](Self::join_next)).
///
/// Dropping it gives the results up and lets the jobs run; [`cancel`](Self::cancel) cancels
/// closures that have not begun, and futures that have not ended.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{JobGroup, Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().build()?;
/// let square = |n: u64| pool.submit(move || n * n).wait();
/// let group: JobGroup<_> = (1..=4).map(square).collect();
/// let squares: Result<Vec<_>, _> = group.join().wait().into_iter().collect();
/// assert_eq!(squares.unwrap(), [1, 4, 9, 16]);
/// # Ok::<(), tidegate_worker_pool::StartError>(())
/// ```
#[must_use = "dropping it gives the results up"]
pub struct JobGroup<T> {
    /// Handles that were added and are not watched yet.
    handles: Vec<JobHandle<T>>,
    // `None` until a caller asks for results as jobs end: results in order need no wake-up per job.
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

    /// Returns how many results were not yet taken.
    pub fn len(&self) -> usize {
        self.handles.len() + self.watched.as_ref().map_or(0, |watched| watched.slots.in_flight())
    }

    /// Returns whether all results were taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels every job as [`JobHandle::cancel`] does: closures that have not begun, and futures
    /// that have not ended. Returns how many were cancelled.
    pub fn cancel(&self) -> usize {
        let watched = self.watched.iter().flat_map(|watched| watched.slots.futures());
        // What a job has captured is foreign: if its destructor panics, the others are cancelled
        // all the same.
        let cancelled = Cell::new(0);
        let all = self.handles.iter().chain(watched).map(|handle| (handle, &cancelled));
        wake_list::each(all, |(handle, cancelled)| {
            cancelled.set(cancelled.get() + usize::from(handle.cancel()));
        });
        cancelled.get()
    }

    /// Waits until every job has ended; resolves to the results in the order in which the jobs were
    /// added.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the results up and cancels no job.
    pub fn join(self) -> Join<T> {
        Join { group: self, ended: Results::default() }
    }

    /// Waits until a job has ended, and takes its result out; `None` if no job is left. Jobs can be
    /// added between two calls.
    ///
    /// Each handle is polled once after it was added and once when its job has ended; beyond that,
    /// the cost of a wait does not depend on the number of jobs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call takes the result that this one did not
    /// take.
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
    /// let next = group.join_next().wait().unwrap()?;
    /// assert_eq!(next, "the second ends first");
    /// send.send("and now the first").unwrap();
    /// assert_eq!(group.join_next().wait().unwrap()?, "and now the first");
    /// assert!(group.join_next().wait().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_next(&mut self) -> JoinNext<'_, T> {
        JoinNext { group: self }
    }

    /// Begins to watch the jobs that were added.
    fn watch(&mut self) -> &mut Watched<T> {
        let new = || Watched { slots: FutureSlots::new(Arc::default()), added: 0 };
        let watched = self.watched.get_or_insert_with(new);
        self.handles.drain(..).for_each(|handle| watched.add(handle));
        watched
    }
}

/// Handles that are polled when their jobs have ended.
struct Watched<T> {
    /// The handles, each with the index of its job in the group.
    slots: FutureSlots<usize, JobHandle<T>>,
    added: usize,
}

impl<T> Watched<T> {
    fn add(&mut self, handle: JobHandle<T>) {
        let slot = self.slots.start(self.added, handle);
        self.added += 1;
        // Counts it as woken: it must be polled once, which leaves a waker in it.
        self.slots.put_off(slot);
    }

    /// Takes the result of a job that has ended, with the job's index in the group; `None` if no
    /// job is left.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        let slots = &mut self.slots;
        slots.task().set(cx.waker());
        let mut has_checked = false;
        loop {
            let Some(slot) = slots.next_woken() else {
                if has_checked {
                    break;
                }
                slots.look();
                has_checked = true;
                continue;
            };
            if let Some(Poll::Ready(result)) = slots.poll(slot) {
                slots.drop_future(slot);
                if let Some(index) = slots.free(slot) {
                    return Poll::Ready(Some((index, result)));
                }
            }
        }
        if slots.in_flight() == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// The results so far, each with the index of its job in the group. They are foreign: each is
/// dropped on its own.
type Results<T> = DropEach<Vec<(usize, T)>>;

impl<T, E> JobGroup<Result<T, E>> {
    /// Waits until every job has returned `Ok`; resolves to the values in the order in which the
    /// jobs were added. If a job fails, [cancels](Self::cancel) the others and waits for none of
    /// them: closures that have begun go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the results up and cancels no job.
    ///
    /// # Errors
    ///
    /// The [`GroupError`] of the first job that was found to have failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{GroupError, JobGroup, Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let parse = |text: &'static str| pool.submit(move || text.parse::<u8>()).wait();
    /// let group: JobGroup<_> = ["1", "2"].map(parse).into_iter().collect();
    /// assert_eq!(group.try_join().wait().unwrap(), [1, 2]);
    ///
    /// let group: JobGroup<_> = ["1", "two"].map(parse).into_iter().collect();
    /// let failed = group.try_join().wait().unwrap_err();
    /// assert!(matches!(failed, GroupError::Failed { index: 1, .. }));
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    pub fn try_join(self) -> TryJoin<T, E> {
        TryJoin { group: self, values: Results::default() }
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
        self.group.watch().poll_next(cx).map(|next| next.map(|(_index, result)| result))
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
    /// Each with the index of its job; sorted by that index once all are there.
    ended: Results<Result<T, JoinError>>,
}

// Nothing in it is pinned: handles are polled through `&mut`.
impl<T> Unpin for Join<T> {}

impl<T> Future for Join<T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { group, ended } = &mut *self;
        let ended: &mut Vec<_> = ended;
        if group.watched.is_some() {
            while let Some(next) = ready!(group.watch().poll_next(cx)) {
                ended.push(next);
            }
            ended.sort_unstable_by_key(|(index, _)| *index);
        } else {
            // All must end anyway, so each handle is polled only when those before it have ended.
            while let Some(handle) = group.handles.get_mut(ended.len()) {
                let result = ready!(Pin::new(handle).poll(cx));
                ended.push((ended.len(), result));
            }
            group.handles.clear();
        }
        Poll::Ready(ended.drain(..).map(|(_index, result)| result).collect())
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
    group: JobGroup<Result<T, E>>,
    /// Each with the index of its job; sorted by that index once all are there.
    values: Results<T>,
}

// Nothing in it is pinned: handles are polled through `&mut`.
impl<T, E> Unpin for TryJoin<T, E> {}

impl<T, E> TryJoin<T, E> {
    fn fail(&mut self, error: GroupError<E>) -> GroupError<E> {
        let group = mem::take(&mut self.group);
        // What jobs have captured, and results, are foreign: a panic of their destructors must not
        // hide the error.
        contain(|| _ = group.cancel());
        contain(|| drop(group));
        drop(mem::take(&mut self.values));
        error
    }
}

impl<T, E> Future for TryJoin<T, E> {
    type Output = Result<Vec<T>, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some((index, result)) = ready!(self.group.watch().poll_next(cx)) {
            let error = match result {
                Ok(Ok(value)) => {
                    self.values.push((index, value));
                    continue;
                }
                Ok(Err(error)) => GroupError::Failed { index, error },
                Err(error) => GroupError::Lost { index, error },
            };
            return Poll::Ready(Err(self.fail(error)));
        }
        let values = &mut self.values;
        values.sort_unstable_by_key(|(index, _)| *index);
        Poll::Ready(Ok(values.drain(..).map(|(_index, value)| value).collect()))
    }
}

impl<T, E> fmt::Debug for TryJoin<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoin").field("jobs", &self.group.len()).finish_non_exhaustive()
    }
}
