//! A future as a job: it occupies its worker until it ends.

use core::{
    future::{Future, pending},
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use tidegate_core::{CancelToken, Wait, lock::Lock, primitive::Arc};

use super::job_cell::{OnEnd, Runnable, Unsubmitted, runnable};
use crate::unwind::{Contained, Payload, catch};

/// The worker's end of a job that is a future. Dropping it before the future has ended cancels the
/// job.
///
/// The future stores its output where the runnable's closure takes it. So the job's handle is like
/// every other handle, and a panic or a cancel settles the same cell.
pub(crate) struct FutureJob {
    // Declared before the runnable: so the future is dropped before the handle resolves.
    future: StoringFuture,
    pub(crate) runnable: Runnable,
}

/// The user's future, which stores its output. It resolves to false if it was cancelled.
type StoringFuture = Pin<Box<dyn Future<Output = bool> + Send>>;

/// How a future ended.
pub(crate) enum FutureEnd {
    /// With an output, which its runnable passes to the handle.
    Output,
    Cancelled,
    Panicked(Payload),
}

/// Creates both ends of a future that `token` can cancel at any of its awaits.
///
/// When the future starts, `start_token` derives from `token` the one that the future observes.
pub(crate) fn future_job<F>(
    future: F,
    token: CancelToken,
    start_token: impl FnOnce(CancelToken) -> CancelToken + Send + 'static,
) -> (FutureJob, Unsubmitted<impl FnOnce() -> F::Output + Send + 'static, F::Output>)
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let stored = Arc::new(Lock::new(None));
    let slot = stored.clone();
    let parent = token.clone();
    let future = Contained::new(future);
    let future: StoringFuture = Box::pin(async move {
        let output = future.or_cancelled(&start_token(parent)).await.ok();
        let has_ended = output.is_some();
        slot.with(|slot| *slot = output);
        has_ended
    });
    let take = move || stored.with(Option::take).expect("called after the future stored it");
    let (runnable, unsubmitted) = runnable(take, Some(token));
    (FutureJob { future, runnable }, unsubmitted)
}

impl FutureJob {
    /// Polls the future.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<FutureEnd> {
        match catch(|| self.future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(true)) => Poll::Ready(FutureEnd::Output),
            Ok(Poll::Ready(false)) => Poll::Ready(FutureEnd::Cancelled),
            Err(payload) => Poll::Ready(FutureEnd::Panicked(payload)),
        }
    }

    /// Drops the future, then settles what the handle waits for with a panic of the future.
    pub(crate) fn fail(&mut self, payload: Payload, on_end: OnEnd<'_>) {
        self.future = Box::pin(pending());
        mem::take(&mut self.runnable).fail(payload, on_end);
    }

    /// Drops the future, and returns the runnable, which settles what the handle waits for.
    pub(crate) fn into_runnable(self) -> Runnable {
        self.runnable
    }
}
