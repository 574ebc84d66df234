//! Acting behind a gate, with the pass settled whatever happens.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Gate, Outcome, Pass, Verdict};

/// Settles a pass as a failure if the action unwinds.
pub(super) struct FailOnUnwind<P: Pass> {
    // `None` only after it was settled or handed back.
    pass: Option<P>,
}

impl<P: Pass> FailOnUnwind<P> {
    pub(super) fn new(pass: P) -> Self {
        Self { pass: Some(pass) }
    }

    pub(super) fn settle_by<R: Verdict>(mut self, act: impl FnOnce() -> R) -> R {
        let result = act();
        if let Some(pass) = self.pass.take() {
            pass.settle(result.outcome());
        }
        result
    }
}

impl<P: Pass> Drop for FailOnUnwind<P> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            pass.settle(Outcome::Failure);
        }
    }
}

pin_project! {
    /// Future of [`Gate::run_async`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct RunAsync<'a, G, F>
    where
        G: Gate,
        G: 'a,
    {
        #[pin]
        stage: Stage<G::Enter<'a>>,
        // Before the pass: what the future holds is gone when somebody else is let in.
        #[pin]
        future: F,
        // `Some` while `future` runs.
        pass: Option<G::Pass<'a>>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<E> {
        Entering { #[pin] enter: E },
        Inside,
    }
}

impl<'a, G: Gate + 'a, F> RunAsync<'a, G, F> {
    pub(super) fn new(gate: &'a G, future: F) -> Self {
        Self { stage: Stage::Entering { enter: gate.enter() }, pass: None, future }
    }
}

impl<'a, G: Gate + 'a, F: Future<Output: Verdict>> Future for RunAsync<'a, G, F> {
    type Output = Result<F::Output, G::Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StageProjection::Entering { enter } = this.stage.as_mut().project() {
            let entered = ready!(enter.poll(cx));
            this.stage.set(Stage::Inside);
            *this.pass = Some(entered?);
        }
        let mut guard = FailOnUnwind { pass: this.pass.take() };
        let polled = this.future.poll(cx);
        let pass = guard.pass.take().expect("polled after it was ready");
        match polled {
            Poll::Ready(output) => {
                pass.settle(output.outcome());
                Poll::Ready(Ok(output))
            }
            Poll::Pending => {
                *this.pass = Some(pass);
                Poll::Pending
            }
        }
    }
}

impl<'a, G: Gate + 'a, F> fmt::Debug for RunAsync<'a, G, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAsync").field("inside", &self.pass.is_some()).finish_non_exhaustive()
    }
}
