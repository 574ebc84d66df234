//! Refusals as responses.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::{GateError, Refusal};

/// Turns refusals of the layer that it wraps into responses, so that what is left is the error of
/// the service behind it: `Infallible`, for a handler of axum.
///
/// # Panics
///
/// Its services panic in `poll_ready` if the wrapped layer's service refuses there and not in its
/// call: there is no response before there is a request. The layers of this crate do not.
#[derive(Clone, Copy)]
pub struct RespondLayer<L, F> {
    layer: L,
    respond: F,
}

impl<L, F> RespondLayer<L, F> {
    /// Creates a layer that does what `layer` does, and makes responses of its refusals by
    /// `respond`: `|refusal: Refusal<R>| -> Response`.
    pub const fn new(layer: L, respond: F) -> Self {
        Self { layer, respond }
    }
}

impl<I, L: Layer<I>, F: Clone> Layer<I> for RespondLayer<L, F> {
    type Service = RespondService<L::Service, F>;

    fn layer(&self, inner: I) -> Self::Service {
        RespondService { inner: self.layer.layer(inner), respond: self.respond.clone() }
    }
}

impl<L: fmt::Debug, F> fmt::Debug for RespondLayer<L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondLayer").field("layer", &self.layer).finish_non_exhaustive()
    }
}

/// A service whose refusals are responses: what [`RespondLayer`] makes.
#[derive(Clone, Copy)]
pub struct RespondService<I, F> {
    inner: I,
    respond: F,
}

impl<I: fmt::Debug, F> fmt::Debug for RespondService<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<Req, I, F, R, E> Service<Req> for RespondService<I, F>
where
    I: Service<Req, Error = GateError<R, E>>,
    F: Fn(Refusal<R>) -> I::Response + Clone,
{
    type Response = I::Response;
    type Error = E;
    type Future = RespondFuture<I::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.inner.poll_ready(cx).map_err(|error| match error {
            GateError::Inner(error) => error,
            GateError::Refused(_) | GateError::TimedOut => panic!("refused before it was called"),
        })
    }

    fn call(&mut self, request: Req) -> Self::Future {
        RespondFuture { call: self.inner.call(request), respond: self.respond.clone() }
    }
}

pin_project! {
    /// Future of a call whose refusal becomes a response.
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct RespondFuture<C, F> {
        #[pin]
        call: C,
        respond: F,
    }
}

impl<Res, R, E, C, F> Future for RespondFuture<C, F>
where
    C: Future<Output = Result<Res, GateError<R, E>>>,
    F: Fn(Refusal<R>) -> Res,
{
    type Output = Result<Res, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.call.poll(cx).map(|result| {
            result.or_else(|error| error.refusal().map(|refusal| (this.respond)(refusal)))
        })
    }
}

impl<C, F> fmt::Debug for RespondFuture<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondFuture").finish_non_exhaustive()
    }
}
