//! A permit that stays until the body of the response has ended.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http::{HeaderMap, Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tidegate_core::{
    Outcome, Pass,
    gate::{Ending, Guarded},
};

use crate::settle::{ClassifyCall, Settle};

/// Settles when the body of the response has ended: with the outcome that `S` found at its head, or
/// as a failure if the body ends with an error, or as ignored if it is dropped before its end. A
/// row of gates is settled by one outcome: the worst that one of them has found at the head.
///
/// Servers drop many a body that has ended before it says so. A body has ended, too, with its
/// trailers, and is dropped at its end if it has given all the bytes that it, or `Content-Length`,
/// has told. A body that is dropped before it was asked for anything, as that of a response to
/// `HEAD` or of a 304, says nothing: the outcome of the head holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct AtBodyEnd<S> {
    pub(crate) settle: S,
}

impl<P, B, E, S> Settle<P, Response<B>, E> for AtBodyEnd<S>
where
    P: Pass,
    B: Body,
    S: ClassifyCall<P, Result<Response<B>, E>>,
{
    type Response = Response<HeldBody<B, P>>;

    fn settle(&self, pass: P, result: Result<Response<B>, E>) -> Result<Self::Response, E> {
        if result.is_err() {
            self.settle.settle_by(pass, &result);
            return result.map(|_| unreachable!("it is an error"));
        }
        let pass = Guarded::new(pass, Ending::Settle(Outcome::Failure));
        let outcome = self.settle.outcome(pass.pass(), &result);
        result.map(|response| {
            let declared = content_length(response.headers());
            response.map(|body| HeldBody::new(pass, body, outcome, declared))
        })
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
        // `None` once it is settled. Its ending is what a drop of the body says.
        pass: Option<Guarded<P>>,
        // If the body ends as it should.
        outcome: Outcome,
        // How many bytes are to come, if the response tells it.
        left: Option<u64>,
    }
}

impl<B: Body, P: Pass> HeldBody<B, P> {
    /// `pass` is guarded as a failure, for as long as foreign code runs.
    fn new(pass: Guarded<P>, body: B, outcome: Outcome, declared: Option<u64>) -> Self {
        let (has_ended, exact) = (body.is_end_stream(), body.size_hint().exact());
        let pass = pass.into_pass();
        let pass = if has_ended {
            pass.settle(outcome);
            None
        } else {
            // A body that is never polled says no more than its head.
            Some(Guarded::new(pass, Ending::Settle(outcome)))
        };
        Self { body, pass, outcome, left: exact.or(declared) }
    }
}

/// An empty body, as that of a refusal: it holds nothing.
impl<B: Default, P: Pass> Default for HeldBody<B, P> {
    fn default() -> Self {
        Self { body: B::default(), pass: None, outcome: Outcome::Ignored, left: None }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Says how a body counts that is dropped: by its head if all of it was given, and a failure that
/// the head told is one, however the body ends.
const fn dropped(outcome: Outcome, left: Option<u64>) -> Ending {
    Ending::Settle(match (outcome, left) {
        (Outcome::Failure, _) | (_, Some(0)) => outcome,
        _ => Outcome::Ignored,
    })
}

impl<B: Body, P: Pass> Body for HeldBody<B, P> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(held) = this.pass.take() else { return this.body.poll_frame(cx) };
        // While foreign code runs: a panic is a failure.
        let held = Guarded::new(held.into_pass(), Ending::Settle(Outcome::Failure));
        let polled = this.body.as_mut().poll_frame(cx);
        let ended = match &polled {
            Poll::Pending => None,
            Poll::Ready(None) => Some(*this.outcome),
            Poll::Ready(Some(Err(_))) => Some(Outcome::Failure),
            Poll::Ready(Some(Ok(frame))) => {
                let given = frame.data_ref().map_or(0, Buf::remaining) as u64;
                *this.left = this.left.map(|left| left.saturating_sub(given));
                // Servers ask no more of a body that has given trailers or says it has ended.
                let has_ended = frame.is_trailers() || this.body.is_end_stream();
                has_ended.then_some(*this.outcome)
            }
        };
        let pass = held.into_pass();
        match ended {
            Some(outcome) => pass.settle(outcome),
            None => *this.pass = Some(Guarded::new(pass, dropped(*this.outcome, *this.left))),
        }
        polled
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
