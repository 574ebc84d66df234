//! A permit that stays until the body of the response has ended.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tidegate_circuit_breaker::Classifier;
use tidegate_core::{
    Outcome, Pass,
    gate::{Ending, Guarded},
};

use crate::settle::Settle;

/// Settles when the body of the response has ended: with the outcome that the classifier found, or
/// as a failure if the body ends with an error, or as ignored if it is dropped before its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct AtBodyEnd<C> {
    pub(crate) classifier: C,
}

impl<P, B, E, C> Settle<P, Response<B>, E> for AtBodyEnd<C>
where
    P: Pass,
    B: Body,
    C: Classifier<Result<Response<B>, E>>,
{
    type Response = Response<HeldBody<B, P>>;

    fn settle(&self, pass: P, result: Result<Response<B>, E>) -> Result<Self::Response, E> {
        let pass = Guarded::new(pass, Ending::Settle(Outcome::Failure));
        let outcome = self.classifier.outcome(&result);
        match result {
            Ok(response) => {
                let pass = pass.into_pass();
                Ok(response.map(|body| HeldBody::new(body, pass, outcome)))
            }
            Err(error) => {
                pass.into_pass().settle(outcome);
                Err(error)
            }
        }
    }
}

pin_project! {
    /// The body of a response that holds the pass of its call until it has ended.
    #[must_use = "dropping it ends the call"]
    pub struct HeldBody<B, P>
    where
        P: Pass,
    {
        // Before the pass: what the body holds is gone when the next caller is let in.
        #[pin]
        body: B,
        // `None` once it is settled. Dropped as a failure, while the body is polled; else as
        // ignored, or as the failure that the head told.
        pass: Option<Guarded<P>>,
        // If the body ends as it should.
        outcome: Outcome,
    }
}

impl<B: Body, P: Pass> HeldBody<B, P> {
    fn new(body: B, pass: P, outcome: Outcome) -> Self {
        let mut pass = Some(guarded(pass, outcome));
        if body.is_end_stream() {
            settle(&mut pass, outcome);
        }
        Self { body, pass, outcome }
    }
}

/// Guards a pass against a body that is dropped: a failure that the head told is one, however the
/// body ends.
fn guarded<P: Pass>(pass: P, outcome: Outcome) -> Guarded<P> {
    let dropped = if outcome == Outcome::Failure { outcome } else { Outcome::Ignored };
    Guarded::new(pass, Ending::Settle(dropped))
}

fn settle<P: Pass>(pass: &mut Option<Guarded<P>>, outcome: Outcome) {
    if let Some(pass) = pass.take() {
        pass.into_pass().settle(outcome);
    }
}

impl<B: Body, P: Pass> Body for HeldBody<B, P> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let held = this.pass.take().map(Guarded::into_pass);
        // While foreign code runs: a panic is a failure.
        let held = held.map(|pass| Guarded::new(pass, Ending::Settle(Outcome::Failure)));
        let frame = this.body.as_mut().poll_frame(cx);
        *this.pass = held.map(|pass| guarded(pass.into_pass(), *this.outcome));
        let frame = ready!(frame);
        match &frame {
            // Servers ask no more of a body that says it has ended.
            Some(Ok(_)) if !this.body.is_end_stream() => {}
            Some(Ok(_)) | None => settle(this.pass, *this.outcome),
            Some(Err(_)) => settle(this.pass, Outcome::Failure),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug, P: Pass> fmt::Debug for HeldBody<B, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBody")
            .field("body", &self.body)
            .field("holds", &self.pass.is_some())
            .finish()
    }
}
