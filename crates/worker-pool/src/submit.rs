//! The futures of `submit`, `execute` and `run`, which wait for room.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "std")]
use tidegate_core::wait::may_spin;
use tidegate_core::{event::Waiter, primitive::Arc, ring::NotPushed, unwind::in_drop};

use crate::{
    error::{ExecuteError, JoinError},
    job::{Job, handle::JobHandle, job_cell::ResultReceiver},
    on_full::OnFull,
    state::Shared,
};

/// A job that waits for room in the queue. Dropping this drops the job, which was not submitted.
struct WaitForRoom<'a> {
    shared: &'a Arc<Shared>,
    // `None` once it was accepted or refused; in an `Execute` also before the first poll.
    job: Option<Job>,
    waiter: Waiter,
}

impl<'a> WaitForRoom<'a> {
    fn new(shared: &'a Arc<Shared>, job: Option<Job>) -> Self {
        Self { shared, job, waiter: Waiter::new() }
    }

    /// Submits the job if there is room now; otherwise settles it as [`settle`](Self::settle) says,
    /// or begins to wait.
    #[inline]
    fn begin(&mut self, job: Job, cx: &mut Context<'_>) -> Poll<Result<(), ExecuteError>> {
        match self.shared.accept(job) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(refused) => self.begin_slow(refused, cx),
        }
    }

    #[cold]
    fn begin_slow(
        &mut self,
        refused: NotPushed<Job>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ExecuteError>> {
        match self.settle(refused) {
            Some(settled) => Poll::Ready(settled),
            None => self.poll_slow(cx),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExecuteError>> {
        if !self.waiter.is_registered() {
            if let Some(accepted) = self.try_submit() {
                return Poll::Ready(accepted);
            }
        }
        self.poll_slow(cx)
    }

    /// Submits the job if there is room now; otherwise settles it as [`settle`](Self::settle) says.
    /// Returns `None` if the job has to wait.
    #[inline]
    fn try_submit(&mut self) -> Option<Result<(), ExecuteError>> {
        let job = self.job.take().expect("polled after it was ready");
        match self.shared.accept(job) {
            Ok(()) => Some(Ok(())),
            Err(refused) => self.settle(refused),
        }
    }

    /// Refuses the job if the pool is closed; otherwise does with it what `on_full` says. Returns
    /// `None` if the job has to wait.
    #[cold]
    fn settle(&mut self, refused: NotPushed<Job>) -> Option<Result<(), ExecuteError>> {
        match refused {
            NotPushed::Full(job) => self.overflow(job),
            NotPushed::Closed(job) => Some(self.refuse(job, ExecuteError::Closed)),
        }
    }

    #[cold]
    fn overflow(&mut self, job: Job) -> Option<Result<(), ExecuteError>> {
        let shared = self.shared;
        match shared.settings.on_full {
            OnFull::CallerRuns if !matches!(job, Job::Future(_)) => shared.run_on_caller(job),
            OnFull::Wait | OnFull::CallerRuns => {
                self.job = Some(job);
                return None;
            }
            OnFull::Reject => return Some(self.refuse(job, ExecuteError::Full)),
            OnFull::DropNewest => shared.cancel(job),
            OnFull::DropOldest => return Some(self.replace_oldest(job)),
        }
        Some(Ok(()))
    }

    /// Cancels the oldest job until there is room for this one; cancels this one if there is no
    /// room and no job to cancel.
    fn replace_oldest(&mut self, mut job: Job) -> Result<(), ExecuteError> {
        loop {
            let has_freed_slot = self.shared.drop_oldest();
            job = match self.shared.accept(job) {
                Ok(()) => return Ok(()),
                Err(NotPushed::Closed(job)) => return self.refuse(job, ExecuteError::Closed),
                // Another submitter has taken the slot that was freed.
                Err(NotPushed::Full(job)) if has_freed_slot => job,
                // No job was there to cancel: other threads have emptied and refilled the queue
                // meanwhile, or it is a rendezvous.
                Err(NotPushed::Full(job)) => {
                    self.shared.cancel(job);
                    return Ok(());
                }
            };
        }
    }

    #[cold]
    fn refuse(&self, job: Job, why: ExecuteError) -> Result<(), ExecuteError> {
        self.shared.note_refused(why);
        drop(job);
        Err(why)
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExecuteError>> {
        #[cfg(feature = "std")]
        if may_spin(cx) {
            self.shared.job_queue.spin_for_room();
        }
        let (shared, mut waiter) = (self.shared, mem::take(&mut self.waiter));
        let accepted = shared.job_queue.poll_room(&mut waiter, cx, || self.try_submit());
        self.waiter = waiter;
        accepted
    }
}

/// Future of [`WorkerPool::submit`](crate::WorkerPool::submit).
///
/// It borrows the pool: a task can create and await it if it owns a clone of the pool.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Submit<'a, T> {
    room: WaitForRoom<'a>,
    // `None` once this is ready.
    receiver: Option<ResultReceiver<T>>,
}

impl<'a, T: Send + 'static> Submit<'a, T> {
    #[inline]
    pub(crate) fn new(shared: &'a Arc<Shared>, job: Job, receiver: ResultReceiver<T>) -> Self {
        Self { room: WaitForRoom::new(shared, Some(job)), receiver: Some(receiver) }
    }
}

impl<T> Future for Submit<'_, T> {
    type Output = JobHandle<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let this = &mut *self;
        this.room.poll(cx).map(|accepted| {
            let receiver = this.receiver.take().expect("polled after it was ready");
            match accepted {
                Ok(()) => JobHandle::new(receiver, Arc::downgrade(this.room.shared) as _),
                Err(why) => JobHandle::refused(why),
            }
        })
    }
}

impl<T> fmt::Debug for Submit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit").field("waiter", &self.room.waiter).finish_non_exhaustive()
    }
}

/// Future of [`WorkerPool::execute`](crate::WorkerPool::execute).
///
/// It borrows the pool: a task can create and await it if it owns a clone of the pool.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Execute<'a, F> {
    // Taken by the first poll, which makes a job of it, or calls it if the submitter has to run it.
    closure: Option<F>,
    room: WaitForRoom<'a>,
}

impl<'a, F: FnOnce() + Send + 'static> Execute<'a, F> {
    pub(crate) fn new(shared: &'a Arc<Shared>, closure: F) -> Self {
        Self { closure: Some(closure), room: WaitForRoom::new(shared, None) }
    }
}

// The closure is never pinned: it is moved out before it is called.
impl<F> Unpin for Execute<'_, F> {}

impl<F: FnOnce() + Send + 'static> Future for Execute<'_, F> {
    type Output = Result<(), ExecuteError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(closure) = this.closure.take() {
            if this.room.shared.caller_runs() {
                this.room.shared.call_on_caller(closure);
                return Poll::Ready(Ok(()));
            }
            return this.room.begin(Job::plain(closure), cx);
        }
        this.room.poll(cx)
    }
}

impl<F> fmt::Debug for Execute<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute").field("waiter", &self.room.waiter).finish_non_exhaustive()
    }
}

/// Future of [`WorkerPool::run`](crate::WorkerPool::run).
///
/// It borrows the pool: a task can create and await it if it owns a clone of the pool.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct RunJob<'a, T> {
    state: RunState<'a, T>,
}

enum RunState<'a, T> {
    Submits(Submit<'a, T>),
    Joins(JobHandle<T>),
}

impl<'a, T> RunJob<'a, T> {
    pub(crate) fn new(submit: Submit<'a, T>) -> Self {
        Self { state: RunState::Submits(submit) }
    }
}

impl<T> Future for RunJob<'_, T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.state {
                RunState::Submits(submit) => match Pin::new(submit).poll(cx) {
                    Poll::Ready(handle) => self.state = RunState::Joins(handle),
                    Poll::Pending => return Poll::Pending,
                },
                RunState::Joins(handle) => return Pin::new(handle).poll(cx),
            }
        }
    }
}

impl<T> Drop for RunJob<'_, T> {
    /// Cancels the job unless it has begun: no caller can get its result any more.
    fn drop(&mut self) {
        if let RunState::Joins(handle) = &self.state {
            // A cancelled job's closure is dropped here, and is foreign.
            in_drop(|| _ = handle.cancel());
        }
    }
}

impl<T> fmt::Debug for RunJob<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_accepted = !matches!(self.state, RunState::Submits(_));
        f.debug_struct("RunJob").field("is_accepted", &is_accepted).finish()
    }
}
