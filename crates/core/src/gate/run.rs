//! Acting behind a gate, with the pass settled whatever happens.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Ending, Gate, Guarded, Outcome, SettleBy};

pin_project! {
    /// Future of [`Gate::run_async`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct RunAsync<G, F>
    where
        G: Gate,
    {
        // Declared before the pass, and so dropped before it: what the future holds is gone when
        // another caller is let in.
        #[pin]
        future: F,
        #[pin]
        stage: Stage<G::Enter, G::Pass>,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `Entering` | `future` was not polled | the gate's answer |
    /// | `Inside` | `future` runs | its output, or its panic |
    /// | `Done` | refused, settled or panicked | nothing |
    #[project = StageNow]
    #[project_replace = StageLeft]
    enum Stage<E, P> {
        Entering { #[pin] enter: E },
        Inside { pass: P },
        Done,
    }
}

impl<G: Gate, F> RunAsync<G, F> {
    pub(super) fn new(gate: G, future: F) -> Self {
        Self { future, stage: Stage::Entering { enter: gate.enter() } }
    }
}

impl<G, F> Future for RunAsync<G, F>
where
    G: Gate<Pass: SettleBy<F::Output>>,
    F: Future,
{
    type Output = Result<F::Output, G::Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StageNow::Entering { enter } = this.stage.as_mut().project() {
            match ready!(enter.poll(cx)) {
                Ok(pass) => this.stage.set(Stage::Inside { pass }),
                Err(refused) => {
                    this.stage.set(Stage::Done);
                    return Poll::Ready(Err(refused));
                }
            }
        }
        // The pass is out of the stage while foreign code runs: a panic settles it, and the stage
        // stays `Done`, in which nothing is polled.
        let StageLeft::Inside { pass } = this.stage.as_mut().project_replace(Stage::Done) else {
            panic!("polled after it was ready");
        };
        let pass = Guarded::new(pass, Ending::Settle(Outcome::Failure));
        match this.future.poll(cx) {
            Poll::Ready(output) => {
                pass.into_pass().settle_by(&output);
                Poll::Ready(Ok(output))
            }
            Poll::Pending => {
                this.stage.set(Stage::Inside { pass: pass.into_pass() });
                Poll::Pending
            }
        }
    }
}

impl<G: Gate, F> fmt::Debug for RunAsync<G, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Entering { .. } => "entering",
            Stage::Inside { .. } => "inside",
            Stage::Done => "done",
        };
        f.debug_struct("RunAsync").field("stage", &stage).finish_non_exhaustive()
    }
}
