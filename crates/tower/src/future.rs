//! The futures of the services.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tidegate_core::{
    Gate, Outcome, Pass,
    gate::{Ending, Guarded},
};
use tower_service::Service;

use crate::{admission::AdmissionPolicy, error::GateError, settle::Settle, source::GateSource};
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
        // The call before its pass: what it holds is gone when the next caller is let in.
        #[pin]
        stage: Stage<Req, I, A::Enter, G::Refused, I::Future>,
        // `Some` from when the gate lets the call in until it is settled. It stays here while
        // foreign code runs.
        pass: Option<<G::Gate as Gate>::Pass>,
        settle: S,
    }
}

pin_project! {
    /// | stage | meaning | left by |
    /// | --- | --- | --- |
    /// | `Refused` | the request has no gate | that answer |
    /// | `Entering` | the service was not called | the gate's answer |
    /// | `Calling` | the service works | its result |
    /// | `Done` | refused or settled | nothing |
    ///
    /// A panic leaves `Entering` without a call, or `Calling` without a pass.
    #[project = StageNow]
    #[project_replace = StageLeft]
    enum Stage<Req, I, E, R, F> {
        Refused { refused: R },
        Entering { #[pin] enter: E, call: Option<(I, Req)> },
        Calling { #[pin] call: F },
        Done,
    }
}

impl<Req, I, G, A, S> CallFuture<Req, I, G, A, S>
where
    I: Service<Req>,
    G: GateSource<Req>,
    A: AdmissionPolicy<G::Gate>,
{
    /// Creates the future of a call that has a gate to enter by.
    // Always inlined, so that the request moves into the future in one step.
    #[inline(always)]
    pub(crate) fn new(enter: A::Enter, service: I, request: Req, settle: S) -> Self {
        let call = Some((service, request));
        Self { stage: Stage::Entering { enter, call }, pass: None, settle }
    }

    /// Creates the future of a call whose request has no gate.
    pub(crate) const fn refused(refused: G::Refused, settle: S) -> Self {
        Self { stage: Stage::Refused { refused }, pass: None, settle }
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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StageNow::Entering { enter, call } = this.stage.as_mut().project() {
            assert!(call.is_some(), "{POLLED_AGAIN}");
            match ready!(enter.poll(cx)) {
                Ok(pass) => *this.pass = Some(pass),
                Err(refusal) => {
                    this.stage.set(Stage::Done);
                    return Poll::Ready(Err(GateError::from(refusal.map(G::refused))));
                }
            }
            let held = FailedByPanic(this.pass);
            let (mut service, request) = call.take().expect("the gate does not take it");
            let call = service.call(request);
            this.stage.set(Stage::Calling { call });
            mem::forget(held);
        }
        let StageNow::Calling { call } = this.stage.as_mut().project() else {
            return Poll::Ready(Err(GateError::Refused(refused(this.stage))));
        };
        assert!(this.pass.is_some(), "{POLLED_AGAIN}");
        let held = FailedByPanic(this.pass);
        let Poll::Ready(result) = call.poll(cx) else {
            mem::forget(held);
            return Poll::Pending;
        };
        // What the call holds is gone when the next caller is let in.
        this.stage.set(Stage::Done);
        let pass = held.into_pass();
        Poll::Ready(this.settle.settle(pass, result).map_err(GateError::Inner))
    }
}

/// The pass of a call while foreign code runs. If that panics, the drop of this settles the pass as
/// a failure; on every other way there is no drop.
struct FailedByPanic<'a, P: Pass>(&'a mut Option<P>);

impl<P: Pass> FailedByPanic<'_, P> {
    /// Takes the pass out.
    #[inline]
    fn into_pass(self) -> P {
        let pass = self.0.take().expect("the call does not take it");
        mem::forget(self);
        pass
    }
}

impl<P: Pass> Drop for FailedByPanic<'_, P> {
    #[cold]
    fn drop(&mut self) {
        if let Some(pass) = self.0.take() {
            drop(Guarded::new(pass, Ending::Settle(Outcome::Failure)));
        }
    }
}

const POLLED_AGAIN: &str = "polled after it was ready";

/// Returns why the request has no gate, the only stage that is left.
#[cold]
fn refused<Req, I, E, R, F>(stage: Pin<&mut Stage<Req, I, E, R, F>>) -> R {
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
