//! A future that runs with permits held.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::{acquire::Acquire, error::AcquireError, permit::Permit};

pin_project! {
    /// Future of [`Semaphore::with_async`](crate::Semaphore::with_async). It is hardly larger than
    /// the future that it runs: its stages share the memory of that future.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct WithAsync<'a, F> {
        #[pin]
        stage: Stage<'a, F>,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `Waiting` | `future` was not polled | a grant of the permits, or an error |
    /// | `Inside` | `future` runs | its output, or its panic |
    /// | `Done` | over: the future was dropped, then the permits, if there were any | nothing |
    #[project = StageNow]
    enum Stage<'a, F> {
        // `None` only while the stage changes.
        Waiting { acquire: Acquire<'a>, future: Option<F> },
        Inside { #[pin] future: F, _permit: Permit<'a> },
        Done,
    }
}

impl<'a, F> WithAsync<'a, F> {
    pub(crate) fn new(acquire: Acquire<'a>, future: F) -> Self {
        Self { stage: Stage::Waiting { acquire, future: Some(future) } }
    }
}

/// Ends the stage when it is dropped: after an output, or by a panic.
struct End<'p, 'a, F>(Pin<&'p mut Stage<'a, F>>);

impl<F> Drop for End<'_, '_, F> {
    fn drop(&mut self) {
        self.0.set(Stage::Done);
    }
}

impl<F: Future> Future for WithAsync<'_, F> {
    type Output = Result<F::Output, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        if let StageNow::Waiting { acquire, future } = stage.as_mut().project() {
            let answer = ready!(Pin::new(acquire).poll(cx));
            let future = future.take();
            match (answer, future) {
                (Ok(_permit), Some(future)) => stage.set(Stage::Inside { future, _permit }),
                (Err(error), _unpolled) => {
                    stage.set(Stage::Done);
                    return Poll::Ready(Err(error));
                }
                (Ok(_), None) => stage.set(Stage::Done),
            }
        }
        let mut end = End(stage);
        let StageNow::Inside { future, .. } = end.0.as_mut().project() else {
            panic!("polled after it was ready");
        };
        let output = future.poll(cx);
        if output.is_pending() {
            mem::forget(end);
        }
        output.map(Ok)
    }
}

impl<F> fmt::Debug for WithAsync<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Waiting { .. } => "waiting",
            Stage::Inside { .. } => "inside",
            Stage::Done => "done",
        };
        f.debug_struct("WithAsync").field("stage", &stage).finish_non_exhaustive()
    }
}
