//! Waiting for room, and for the result, too.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "std")]
use tidegate_core::wait::may_linger;
use tidegate_core::{event::Waiter, primitive::Arc, unwind::in_drop};

use crate::{
    cell::Reply,
    error::{ExecuteError, JoinError},
    handle::JobHandle,
    intake::Refused,
    overflow::OnFull,
    shared::Shared,
    task::Job,
};

/// A job that waits to be let in. Dropped, the job is cancelled with it.
struct Admission<'a> {
    shared: &'a Arc<Shared>,
    // `None` once it was accepted or refused.
    job: Option<Job>,
    waiter: Waiter,
}

impl<'a> Admission<'a> {
    fn new(shared: &'a Arc<Shared>, job: Option<Job>) -> Self {
        Self { shared, job, waiter: Waiter::new() }
    }

    /// Lets the job in, if there is room at once.
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
        refused: Refused<Job>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ExecuteError>> {
        match self.settle(refused) {
            Some(settled) => Poll::Ready(settled),
            None => self.poll_slow(cx),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExecuteError>> {
        if !self.waiter.is_registered() {
            if let Some(admitted) = self.offer() {
                return Poll::Ready(admitted);
            }
        }
        self.poll_slow(cx)
    }

    /// Lets the job in if there is room now, or does what else is to be done with it.
    #[inline]
    fn offer(&mut self) -> Option<Result<(), ExecuteError>> {
        let job = self.job.take().expect("polled after it was ready");
        match self.shared.accept(job) {
            Ok(()) => Some(Ok(())),
            Err(refused) => self.settle(refused),
        }
    }

    /// Does with a refused job what is to be done with it; `None` if it waits.
    #[cold]
    fn settle(&mut self, refused: Refused<Job>) -> Option<Result<(), ExecuteError>> {
        match refused {
            Refused::Full(job) => self.overflow(job),
            Refused::Closed(job) => Some(self.refuse(job, ExecuteError::Closed)),
        }
    }

    #[cold]
    fn overflow(&mut self, job: Job) -> Option<Result<(), ExecuteError>> {
        let shared = self.shared;
        match shared.on_full {
            OnFull::CallerRuns if !job.is_driven() => shared.run_here(job),
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

    /// Lets the job in for an older one.
    fn replace_oldest(&mut self, mut job: Job) -> Result<(), ExecuteError> {
        while self.shared.drop_oldest() {
            // Somebody else may be faster than us in the place that we have made.
            job = match self.shared.accept(job) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(job)) => job,
                Err(Refused::Closed(job)) => return self.refuse(job, ExecuteError::Closed),
            };
        }
        // Emptied by others meanwhile, or a hand-off.
        match self.shared.accept(job) {
            Ok(()) => {}
            Err(Refused::Full(job)) => self.shared.cancel(job),
            Err(Refused::Closed(job)) => return self.refuse(job, ExecuteError::Closed),
        }
        Ok(())
    }

    #[cold]
    fn refuse(&self, job: Job, why: ExecuteError) -> Result<(), ExecuteError> {
        self.shared.counters.reject();
        drop(job);
        Err(why)
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExecuteError>> {
        #[cfg(feature = "std")]
        if may_linger(cx) {
            self.shared.intake.linger();
        }
        let (shared, mut waiter) = (self.shared, mem::take(&mut self.waiter));
        let admitted = shared.intake.poll_room(&mut waiter, cx, || self.offer());
        self.waiter = waiter;
        admitted
    }
}

/// Future of [`WorkerPool::submit`](crate::WorkerPool::submit).
///
/// It borrows the pool; a task that has a clone of its own makes the future there.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Submit<'a, T> {
    admission: Admission<'a>,
    // `None` once it was given out.
    reply: Option<Reply<T>>,
}

impl<'a, T: Send + 'static> Submit<'a, T> {
    #[inline]
    pub(crate) fn new(shared: &'a Arc<Shared>, job: Job, reply: Reply<T>) -> Self {
        Self { admission: Admission::new(shared, Some(job)), reply: Some(reply) }
    }
}

impl<T> Future for Submit<'_, T> {
    type Output = JobHandle<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let this = &mut *self;
        this.admission.poll(cx).map(|admitted| {
            let reply = this.reply.take().expect("polled after it was ready");
            match admitted {
                Ok(()) => JobHandle::new(reply, Arc::downgrade(this.admission.shared) as _),
                Err(why) => JobHandle::refused(why),
            }
        })
    }
}

impl<T> fmt::Debug for Submit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit").field("waiter", &self.admission.waiter).finish_non_exhaustive()
    }
}

/// Future of [`WorkerPool::execute`](crate::WorkerPool::execute).
///
/// It borrows the pool; a task that has a clone of its own makes the future there.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Execute<'a, F> {
    // Until the first poll. Who runs it then need not be known before, so it may never have to be a job.
    closure: Option<F>,
    admission: Admission<'a>,
}

impl<'a, F: FnOnce() + Send + 'static> Execute<'a, F> {
    pub(crate) fn new(shared: &'a Arc<Shared>, closure: F) -> Self {
        Self { closure: Some(closure), admission: Admission::new(shared, None) }
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
            if this.admission.shared.is_left_to_callers() {
                this.admission.shared.call_here(closure);
                return Poll::Ready(Ok(()));
            }
            return this.admission.begin(Job::plain(closure), cx);
        }
        this.admission.poll(cx)
    }
}

impl<F> fmt::Debug for Execute<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute").field("waiter", &self.admission.waiter).finish_non_exhaustive()
    }
}

/// Future of [`WorkerPool::run`](crate::WorkerPool::run).
///
/// It borrows the pool; a task that has a clone of its own makes the future there.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct RunJob<'a, T> {
    state: State<'a, T>,
}

enum State<'a, T> {
    Submits(Submit<'a, T>),
    Joins(JobHandle<T>),
    Over,
}

impl<'a, T> RunJob<'a, T> {
    pub(crate) fn new(submit: Submit<'a, T>) -> Self {
        Self { state: State::Submits(submit) }
    }
}

impl<T> Future for RunJob<'_, T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.state {
                State::Submits(submit) => match Pin::new(submit).poll(cx) {
                    Poll::Ready(handle) => self.state = State::Joins(handle),
                    Poll::Pending => return Poll::Pending,
                },
                State::Joins(handle) => match Pin::new(handle).poll(cx) {
                    Poll::Ready(result) => {
                        self.state = State::Over;
                        return Poll::Ready(result);
                    }
                    Poll::Pending => return Poll::Pending,
                },
                State::Over => panic!("polled after it was ready"),
            }
        }
    }
}

impl<T> Drop for RunJob<'_, T> {
    /// Nobody wants the result any more.
    fn drop(&mut self) {
        if let State::Joins(handle) = &self.state {
            // The closure, which is foreign, is dropped with it.
            in_drop(|| _ = handle.cancel());
        }
    }
}

impl<T> fmt::Debug for RunJob<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_accepted = !matches!(self.state, State::Submits(_));
        f.debug_struct("RunJob").field("is_accepted", &is_accepted).finish()
    }
}
