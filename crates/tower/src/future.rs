//! The futures of the services.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{
    Gate, Outcome,
    gate::{Ending, Guarded},
};
use tower_service::Service;

use crate::{
    admission::AdmissionPolicy,
    error::{GateError, Refusal},
    settle::Settle,
    source::GateSource,
};
pub use crate::{
    admission::{Enter, EnterAtMost},
    batch::{BatchFuture, CallBatch},
    coalesce::CoalesceFuture,
    respond::RespondFuture,
};

pin_project! {
    /// Future of a call through a [`GateService`](crate::GateService).
    ///
    /// Dropped while it waits, it leaves no trace. Dropped while the service works, its pass counts
    /// as [`Outcome::Ignored`]; if the service panics, as [`Outcome::Failure`].
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct CallFuture<Req, I, G, A, S>
    where
        I: Service<Req>,
        G: GateSource<Req>,
        A: AdmissionPolicy<G::Gate>,
    {
        #[pin]
        stage: Stage<Req, I, A::Enter, G::Refused, I::Future, <G::Gate as Gate>::Pass>,
        settle: S,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `Refused` | the request has no gate | that answer |
    /// | `Entering` | the service was not called | the gate's answer |
    /// | `Calling` | the service works | its result, or its panic |
    /// | `Done` | refused, settled or panicked | nothing |
    #[project = StageNow]
    #[project_replace = StageLeft]
    enum Stage<Req, I, E, R, F, P> {
        Refused { refused: R },
        Entering { #[pin] enter: E, service: I, request: Req },
        // The call before its pass: what it holds is gone when the next caller is let in. `None`
        // while foreign code runs.
        Calling { #[pin] call: F, pass: Option<P> },
        Done,
    }
}

impl<Req, I, G, A, S> CallFuture<Req, I, G, A, S>
where
    I: Service<Req>,
    G: GateSource<Req>,
    A: AdmissionPolicy<G::Gate>,
{
    pub(crate) fn new(
        enter: Result<A::Enter, G::Refused>,
        service: I,
        request: Req,
        settle: S,
    ) -> Self {
        let stage = match enter {
            Ok(enter) => Stage::Entering { enter, service, request },
            Err(refused) => Stage::Refused { refused },
        };
        Self { stage, settle }
    }
}

impl<Req, I, G, A, S> Future for CallFuture<Req, I, G, A, S>
where
    I: Service<Req>,
    G: GateSource<Req>,
    A: AdmissionPolicy<G::Gate>,
    S: Settle<<G::Gate as Gate>::Pass, I::Response, I::Error>,
{
    type Output = Result<S::Response, GateError<G::Refused, I::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StageNow::Entering { enter, .. } = this.stage.as_mut().project() {
            let entered = ready!(enter.poll(cx));
            // Out of the stage while foreign code runs: a panic leaves nothing to be polled.
            let left = this.stage.as_mut().project_replace(Stage::Done);
            let StageLeft::Entering { mut service, request, .. } = left else { unreachable!() };
            let pass = match entered {
                Ok(pass) => Guarded::new(pass, Ending::Settle(Outcome::Failure)),
                Err(Refusal::TimedOut) => return Poll::Ready(Err(GateError::TimedOut)),
                Err(Refusal::Refused(refused)) => {
                    return Poll::Ready(Err(GateError::Refused(G::refused(refused))));
                }
            };
            let call = service.call(request);
            this.stage.set(Stage::Calling { call, pass: Some(pass.into_pass()) });
        }
        let StageNow::Calling { call, pass } = this.stage.as_mut().project() else {
            return Poll::Ready(Err(GateError::Refused(refused(this.stage))));
        };
        let held = pass.take().expect(POLLED_AGAIN);
        let held = Guarded::new(held, Ending::Settle(Outcome::Failure));
        let result = match call.poll(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                *pass = Some(held.into_pass());
                return Poll::Pending;
            }
        };
        // What the call holds is gone when the next caller is let in.
        this.stage.set(Stage::Done);
        let settled = this.settle.settle(held.into_pass(), result);
        Poll::Ready(settled.map_err(GateError::Inner))
    }
}

const POLLED_AGAIN: &str = "polled after it was ready";

/// Returns why the request has no gate, the only stage that is left.
fn refused<Req, I, E, R, F, P>(stage: Pin<&mut Stage<Req, I, E, R, F, P>>) -> R {
    match stage.project_replace(Stage::Done) {
        StageLeft::Refused { refused } => refused,
        _ => panic!("{POLLED_AGAIN}"),
    }
}

impl<Req, I, G, A, S> fmt::Debug for CallFuture<Req, I, G, A, S>
where
    I: Service<Req>,
    G: GateSource<Req>,
    A: AdmissionPolicy<G::Gate>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Refused { .. } => "refused",
            Stage::Entering { .. } => "entering",
            Stage::Calling { .. } => "calling",
            Stage::Done => "done",
        };
        f.debug_struct("CallFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
