//! What a parallel stage does with an item.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{error::BoxError, stage::debug_by_name};

/// What a parallel stage does with an item: starts a future that gives a value or fails. Implemented by this crate.
pub trait Work<In> {
    /// The value.
    type Out;

    /// The future.
    #[doc(hidden)]
    type Future: Future<Output = Result<Self::Out, BoxError>>;

    /// Starts on an item.
    #[doc(hidden)]
    fn start(&self, item: In) -> Self::Future;
}

/// Work by an asynchronous function: what [`map_async`](crate::Pipeline::map_async) does.
pub struct Call<F>(pub(crate) F);

debug_by_name!(Call<F>);

impl<F, In, Fut, Out, E> Work<In> for Call<F>
where
    F: Fn(In) -> Fut,
    Fut: Future<Output = Result<Out, E>>,
    E: Into<BoxError>,
{
    type Out = Out;
    type Future = Boxing<Fut>;

    fn start(&self, item: In) -> Boxing<Fut> {
        Boxing { future: (self.0)(item) }
    }
}

pin_project! {
    /// A future whose error is boxed.
    pub struct Boxing<F> {
        #[pin]
        future: F,
    }
}

impl<F, Out, E> Future for Boxing<F>
where
    F: Future<Output = Result<Out, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Out, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map_err(Into::into)
    }
}

debug_by_name!(Boxing<F>);
