//! Waiting for room.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "std")]
use tidegate_core::wait::may_linger;
use tidegate_core::{Closed, event::Waiter};

use crate::{cell::errand, handle::JobHandle, intake::Refused, shared::Shared, task::Job};

/// A job that waits to be let in. Dropped, the job is cancelled with it.
struct Admission<'a> {
    shared: &'a Shared,
    // `None` once it was accepted or refused.
    job: Option<Job>,
    waiter: Waiter,
}

impl<'a> Admission<'a> {
    fn new(shared: &'a Shared, job: Job) -> Self {
        Self { shared, job: Some(job), waiter: Waiter::new() }
    }

    /// Lets the job in once there is room.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        match self.offer() {
            Some(admitted) => Poll::Ready(admitted),
            None => self.poll_slow(cx),
        }
    }

    /// Lets the job in if there is room now.
    #[inline]
    fn offer(&mut self) -> Option<Result<(), Closed>> {
        let job = self.job.take().expect("polled after it was ready");
        match self.shared.accept(job) {
            Ok(()) => Some(Ok(())),
            Err(Refused::Full(job)) => {
                self.job = Some(job);
                None
            }
            Err(Refused::Closed(job)) => {
                self.shared.counters.reject();
                drop(job);
                Some(Err(Closed))
            }
        }
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
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
    handle: Option<JobHandle<T>>,
}

impl<'a, T: Send + 'static> Submit<'a, T> {
    pub(crate) fn new<F>(shared: &'a Shared, job: F) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let (errand, draft) = errand(job);
        let admission = Admission::new(shared, Job::tracked(errand));
        Self { admission, handle: Some(JobHandle::new(draft.into_reply())) }
    }
}

impl<T> Future for Submit<'_, T> {
    type Output = JobHandle<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let this = &mut *self;
        this.admission.poll(cx).map(|admitted| {
            let handle = this.handle.take().expect("polled after it was ready");
            if admitted.is_ok() { handle } else { JobHandle::refused() }
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
pub struct Execute<'a> {
    admission: Admission<'a>,
}

impl<'a> Execute<'a> {
    pub(crate) fn new<F>(shared: &'a Shared, job: F) -> Self
    where
        F: FnOnce() + Send + 'static,
    {
        Self { admission: Admission::new(shared, Job::plain(job)) }
    }
}

impl Future for Execute<'_> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.admission.poll(cx)
    }
}

impl fmt::Debug for Execute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute").field("waiter", &self.admission.waiter).finish_non_exhaustive()
    }
}
