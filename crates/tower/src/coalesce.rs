//! One call for equal requests in flight.
//!
//! ```text
//! call ──▶ key ──┬─ none ──▶ makes the inner service ready and calls it
//!                └─ some ──▶ flight ──┬─ leads ──▶ makes ready and calls ──▶ response ──▶ shared
//!                                     └─ waits ──▶ a clone of the leader's response
//! ```

use core::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tidegate_core::primitive::Arc;

use pin_project_lite::pin_project;
use tidegate_concurrent_map::{DefaultHashBuilder, Flight, future::RunOwned};
use tower_layer::Layer;
use tower_service::Service;

use crate::keyed::KeyOf;

/// Makes equal requests that are in flight at the same time share one call: its response, or its
/// error, is cloned for each. Nothing is cached.
///
/// Requests with the same key are equal; a request without a key has a call of its own. All
/// services that the layer makes, and all clones of these, share their calls. If the caller whose
/// request is in flight gives up, the next caller's request is called for instead.
///
/// It is always ready: a call makes its clone of the inner service ready when it leads, so that
/// those that wait for its response reserve nothing there.
///
/// A response of HTTP can be cloned if its body can: collect the body into `Bytes` first.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, convert::Infallible};
/// use tidegate_tower::CoalesceLayer;
/// use tower::{Layer, Service, service_fn};
///
/// # smol::block_on(async {
/// let calls = Cell::new(0);
/// let inner = service_fn(|path: &'static str| {
///     calls.set(calls.get() + 1);
///     async move {
///         smol::future::yield_now().await;
///         Ok::<_, Infallible>(path.len())
///     }
/// });
/// let mut service = CoalesceLayer::new(|path: &&'static str| Some(*path)).layer(inner);
/// let both = smol::future::zip(service.call("/a"), service.call("/a")).await;
/// assert_eq!((both, calls.get()), ((Ok(2), Ok(2)), 1));
/// # });
/// ```
pub struct CoalesceLayer<F, K, T> {
    key: F,
    flight: Arc<Flight<K, T>>,
}

impl<F, K, T> CoalesceLayer<F, K, T> {
    /// Creates a layer that treats requests as equal if `key` finds the same key for them.
    pub fn new(key: F) -> Self {
        Self { key, flight: Arc::new(Flight::new()) }
    }
}

impl<F: Clone, K, T> Clone for CoalesceLayer<F, K, T> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), flight: self.flight.clone() }
    }
}

impl<F, K, T> fmt::Debug for CoalesceLayer<F, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceLayer").field("flight", &self.flight).finish_non_exhaustive()
    }
}

impl<I, F: Clone, K, T> Layer<I> for CoalesceLayer<F, K, T> {
    type Service = CoalesceService<I, F, K, T>;

    fn layer(&self, inner: I) -> Self::Service {
        CoalesceService { inner, layer: self.clone() }
    }
}

/// A service whose equal requests share one call: what [`CoalesceLayer`] makes.
pub struct CoalesceService<I, F, K, T> {
    inner: I,
    layer: CoalesceLayer<F, K, T>,
}

impl<I: Clone, F: Clone, K, T> Clone for CoalesceService<I, F, K, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<I: fmt::Debug, F, K, T> fmt::Debug for CoalesceService<I, F, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}

impl<Req, I, F> Service<Req> for CoalesceService<I, F, F::Key, Result<I::Response, I::Error>>
where
    I: Service<Req, Response: Clone, Error: Clone> + Clone,
    F: KeyOf<Req, Key: Hash + Eq>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = CoalesceFuture<Req, I, F::Key>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let key = self.layer.key.key_of(&request);
        let call = CallLater::Unready { service: self.inner.clone(), request: Some(request) };
        match key {
            Some(key) => {
                let run = self.layer.flight.clone().run_owned(key, call);
                CoalesceFuture { stage: Stage::Shared { run } }
            }
            None => CoalesceFuture { stage: Stage::Alone { call } },
        }
    }
}

type Shared<Req, I, K> = RunOwned<
    K,
    Result<<I as Service<Req>>::Response, <I as Service<Req>>::Error>,
    DefaultHashBuilder,
    CallLater<Req, I, <I as Service<Req>>::Future>,
>;

pin_project! {
    /// Future of a call through a [`CoalesceService`](crate::CoalesceService).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct CoalesceFuture<Req, I, K>
    where
        I: Service<Req>,
    {
        #[pin]
        stage: Stage<Shared<Req, I, K>, CallLater<Req, I, I::Future>>,
    }
}

pin_project! {
    #[project = StageNow]
    enum Stage<S, A> {
        Shared { #[pin] run: S },
        Alone { #[pin] call: A },
    }
}

impl<Req, I, K> Future for CoalesceFuture<Req, I, K>
where
    I: Service<Req, Response: Clone, Error: Clone>,
    K: Hash + Eq,
{
    type Output = Result<I::Response, I::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            StageNow::Shared { run } => run.poll(cx),
            StageNow::Alone { call } => call.poll(cx),
        }
    }
}

impl<Req, I: Service<Req>, K> fmt::Debug for CoalesceFuture<Req, I, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_shared = matches!(self.stage, Stage::Shared { .. });
        f.debug_struct("CoalesceFuture").field("is_shared", &is_shared).finish_non_exhaustive()
    }
}

pin_project! {
    /// Makes a service ready and calls it, when it is polled.
    #[project = CallNow]
    enum CallLater<Req, I, F> {
        Unready { service: I, request: Option<Req> },
        Calling { #[pin] call: F },
    }
}

impl<Req, I: Service<Req>> Future for CallLater<Req, I, I::Future> {
    type Output = Result<I::Response, I::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let CallNow::Unready { service, request } = self.as_mut().project() {
            ready!(service.poll_ready(cx))?;
            let call = service.call(request.take().expect("polled after it has panicked"));
            self.set(Self::Calling { call });
        }
        let CallNow::Calling { call } = self.project() else { unreachable!("it was called") };
        call.poll(cx)
    }
}
