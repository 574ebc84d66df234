//! What a parallel stage does with an item.

use core::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{debug::debug_by_name, error::BoxError, flow::Returns};

/// What a parallel stage does with an item: it starts a future that ends with a value or fails.
/// Implemented by this crate.
pub trait Work<In> {
    /// The value that a future returns if its work does not fail.
    type Out;

    /// The future that works on an item.
    #[doc(hidden)]
    type Future: Future<Output = Result<Self::Out, BoxError>>;

    /// Starts work on an item.
    #[doc(hidden)]
    fn start(&self, item: In) -> Self::Future;
}

/// Calls an asynchronous function: the work of [`map_async`](crate::Pipeline::map_async).
pub struct Call<F, R> {
    f: F,
    returns: PhantomData<fn() -> R>,
}

debug_by_name!(Call<F, R>);

impl<F, R> Call<F, R> {
    pub(crate) fn new(f: F) -> Self {
        Self { f, returns: PhantomData }
    }
}

impl<F, In, Fut, R> Work<In> for Call<F, R>
where
    F: Fn(In) -> Fut,
    Fut: Future,
    R: Returns<Fut::Output>,
{
    type Out = R::Out;
    type Future = Calling<Fut, R>;

    fn start(&self, item: In) -> Calling<Fut, R> {
        Calling { future: (self.f)(item), returns: PhantomData }
    }
}

pin_project! {
    /// The future of a [`Call`]: it polls the function's future, whose output `R` turns into a
    /// `Result`.
    pub struct Calling<F, R> {
        #[pin]
        future: F,
        returns: PhantomData<fn() -> R>,
    }
}

impl<F: Future, R: Returns<F::Output>> Future for Calling<F, R> {
    type Output = Result<R::Out, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(R::result)
    }
}

debug_by_name!(Calling<F, R>);
