//! Waiting for room.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{Closed, event::Waiter, primitive::Arc};

use crate::{
    handle::JobHandle,
    intake::NoRoom,
    shared::Shared,
    task::{Job, Task},
};

/// A job on its way into the pool.
struct Admission {
    shared: Arc<Shared>,
    // `None` once it was accepted or refused.
    job: Option<Job>,
    waiter: Waiter,
}

impl Admission {
    fn new(shared: &Arc<Shared>, job: Job) -> Self {
        Self { shared: shared.clone(), job: Some(job), waiter: Waiter::new() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let Self { shared, job, waiter } = self;
        let admitted =
            waiter.poll_until(shared.intake.made_room(), cx, &mut || match shared.reserve() {
                Ok(room) => {
                    let job = job.take().expect("polled after it was ready");
                    Some(shared.accept(room, job).map_err(drop))
                }
                Err(NoRoom::Full) => None,
                Err(NoRoom::Closed) => {
                    drop(job.take());
                    Some(Err(()))
                }
            });
        admitted.map_err(|()| {
            shared.reject();
            Closed
        })
    }
}

/// Future of [`WorkerPool::submit`](crate::WorkerPool::submit).
///
/// It borrows nothing, so it can be sent to another task; it does not keep the pool open.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Submit<T> {
    admission: Admission,
    // `None` once it was given out.
    handle: Option<JobHandle<T>>,
}

impl<T: Send + 'static> Submit<T> {
    pub(crate) fn new<F>(shared: &Arc<Shared>, job: F) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let task = Task::new(job, true);
        let admission = Admission::new(shared, Job::new(task.clone()));
        Self { admission, handle: Some(JobHandle::new(task)) }
    }
}

impl<T> Future for Submit<T> {
    type Output = JobHandle<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let this = &mut *self;
        this.admission.poll(cx).map(|admitted| {
            let handle = this.handle.take().expect("polled after it was ready");
            if admitted.is_ok() { handle } else { JobHandle::refused() }
        })
    }
}

impl<T> fmt::Debug for Submit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit").field("waiter", &self.admission.waiter).finish_non_exhaustive()
    }
}

/// Future of [`WorkerPool::execute`](crate::WorkerPool::execute).
///
/// It borrows nothing, so it can be sent to another task; it does not keep the pool open.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Execute {
    admission: Admission,
}

impl Execute {
    pub(crate) fn new<F>(shared: &Arc<Shared>, job: F) -> Self
    where
        F: FnOnce() + Send + 'static,
    {
        Self { admission: Admission::new(shared, Job::new(Task::new(job, false))) }
    }
}

impl Future for Execute {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.admission.poll(cx)
    }
}

impl fmt::Debug for Execute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute").field("waiter", &self.admission.waiter).finish_non_exhaustive()
    }
}
