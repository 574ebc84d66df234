//! A service behind a gate.
//!
//! ```text
//! poll_ready ──▶ the inner service's, and nothing else: what is ready holds no permit
//! call ──▶ takes the instance that was made ready, leaves a clone of it
//!   │
//!   └─▶ CallFuture   entering ──▶ calling ──▶ settled ──▶ response
//!                       │            └ dropped: ignored     panicked: failure
//!                       └ refused, timed out: the service is not called
//! ```

use core::{
    mem,
    task::{Context, Poll},
    time::Duration,
};

use tidegate_core::{Gate, Timer};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    admission::{AdmissionPolicy, Refusing, Waiting, WaitingAtMost},
    error::GateError,
    future::CallFuture,
    keyed::GateByKey,
    respond::RespondLayer,
    settle::{AtHead, ByGate, Settle},
    source::GateSource,
};

/// Puts a service behind a [gate](Gate): a semaphore, an adaptive limit, a rate limiter, a circuit
/// breaker, a row of them, or one for each client.
///
/// All services that the layer makes, and all clones of these, share the one gate.
///
/// `poll_ready` asks the inner service only. What that reserves (a permit of tower's own
/// `ConcurrencyLimit`, a place in a `Buffer`) is held while the call waits for the gate. Gates in a
/// row reserve nothing: put a semaphore into the row instead, or let the gate
/// [refuse](Self::refuse).
///
/// # Examples
///
/// At most two calls at once, whichever clone they come through:
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
/// use tidegate_semaphore::Semaphore;
/// use tidegate_tower::{GateError, GateLayer};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # smol::block_on(async {
/// let semaphore = Arc::new(Semaphore::new(2));
/// let mut service = ServiceBuilder::new()
///     .layer(GateLayer::new(semaphore.clone()).refuse())
///     .service(service_fn(|n: u32| async move { Ok::<_, Infallible>(2 * n) }));
/// assert_eq!(service.ready().await?.call(21).await?, 42);
///
/// let _both = semaphore.try_acquire(2)?;
/// let refused = service.ready().await?.call(21).await;
/// assert!(matches!(refused, Err(GateError::Refused(_))));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy)]
pub struct GateLayer<G, A = Waiting, S = ByGate> {
    gate: G,
    admission: A,
    settle: S,
}

impl<G> GateLayer<G> {
    /// Creates a layer whose calls wait until `gate` lets them in, and that settles by the
    /// service's result, as the gate's own rule says: a breaker's classifier, for example. Where a
    /// gate has none, `Ok` is a success and `Err` a failure.
    ///
    /// `gate` is entered by a clone of it for each call: give an `Arc` of what is shared, or a
    /// reference to a static.
    pub const fn new(gate: G) -> Self {
        Self { gate, admission: Waiting, settle: ByGate }
    }
}

impl<G, F> GateLayer<GateByKey<G, F>> {
    /// Creates a layer with a gate for each key of its requests: a
    /// [`KeyedLimiter`](tidegate_rate_limiter::KeyedLimiter), a
    /// [`KeyedBreaker`](tidegate_circuit_breaker::KeyedBreaker).
    ///
    /// `gates` bounds the number of keys. However many a flood of forged requests has, memory does
    /// not grow past it, and requests with new keys are refused or share what is left, as `gates`
    /// was told.
    ///
    /// # Examples
    ///
    /// One request an hour from each tenant:
    ///
    /// ```
    /// use std::{convert::Infallible, num::NonZeroUsize, sync::Arc};
    /// use tidegate_rate_limiter::{KeyedLimiter, Quota};
    /// use tidegate_tower::GateLayer;
    /// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # smol::block_on(async {
    /// let max_keys = NonZeroUsize::new(10_000).unwrap();
    /// let limiter = Arc::new(KeyedLimiter::<String>::new(Quota::per_hour(1), max_keys));
    /// let tenant = |request: &String| Some(request.clone());
    /// let mut service = ServiceBuilder::new()
    ///     .layer(GateLayer::keyed(limiter, tenant).refuse())
    ///     .service(service_fn(|_: String| async { Ok::<_, Infallible>(()) }));
    /// assert!(service.ready().await?.call("ann".into()).await.is_ok());
    /// assert!(service.ready().await?.call("ann".into()).await.is_err());
    /// assert!(service.ready().await?.call("bob".into()).await.is_ok());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub const fn keyed(gates: G, key: F) -> Self {
        Self::new(GateByKey { gates, key })
    }
}

impl<G, A, S> GateLayer<G, A, S> {
    /// Returns the gate: to close what [`concurrency`](GateLayer::concurrency) and its like have
    /// made, to read its statistics, to have it watched by a registry of metrics.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_tower::GateLayer;
    ///
    /// let layer = GateLayer::concurrency(64);
    /// let semaphore = layer.gate().clone();
    /// assert_eq!(semaphore.available_permits(), 64);
    /// ```
    pub const fn gate(&self) -> &G {
        &self.gate
    }

    /// Lets calls wait until the gate lets them in, or refuses. The default.
    pub fn wait(self) -> GateLayer<G, Waiting, S> {
        self.admit(Waiting)
    }

    /// Lets calls wait for `duration` at most, then end as [`GateError::TimedOut`].
    pub fn wait_at_most<T: Timer>(
        self,
        duration: Duration,
        timer: T,
    ) -> GateLayer<G, WaitingAtMost<T>, S> {
        self.admit(WaitingAtMost { timer, duration })
    }

    /// Makes no call wait: a call that cannot enter at once is refused.
    pub fn refuse(self) -> GateLayer<G, Refusing, S> {
        self.admit(Refusing)
    }

    fn admit<B>(self, admission: B) -> GateLayer<G, B, S> {
        GateLayer { gate: self.gate, admission, settle: self.settle }
    }

    /// Settles by `classifier` instead of the gate's own rule: `|result: &Result<Response, Error>|
    /// Outcome`. In a row it decides for every gate.
    pub fn classify<C>(self, classifier: C) -> GateLayer<G, A, AtHead<C>> {
        self.settle_by(|_| AtHead { classifier })
    }

    pub(crate) fn settle_by<T>(self, map: impl FnOnce(S) -> T) -> GateLayer<G, A, T> {
        GateLayer { gate: self.gate, admission: self.admission, settle: map(self.settle) }
    }

    /// Makes responses of refusals by `respond`: `|refusal: Refusal<R>| -> Response`. What is left
    /// is the error of the service behind the gate.
    pub const fn respond_with<F>(self, respond: F) -> RespondLayer<Self, F> {
        RespondLayer::new(self, respond)
    }
}

impl<I, G: Clone, A: Clone, S: Clone> Layer<I> for GateLayer<G, A, S> {
    type Service = GateService<I, G, A, S>;

    fn layer(&self, inner: I) -> Self::Service {
        GateService { inner, layer: self.clone() }
    }
}

/// A service behind a gate: what [`GateLayer`] makes.
#[derive(Debug, Clone, Copy)]
pub struct GateService<I, G, A = Waiting, S = ByGate> {
    inner: I,
    layer: GateLayer<G, A, S>,
}

impl<Req, I, G, A, S> Service<Req> for GateService<I, G, A, S>
where
    I: Service<Req> + Clone,
    G: GateSource<Req>,
    A: AdmissionPolicy<G::Gate>,
    S: Settle<<G::Gate as Gate>::Pass, I::Response, I::Error> + Clone,
{
    type Response = S::Response;
    type Error = GateError<G::Refused, I::Error>;
    type Future = CallFuture<Req, I, G, A, S>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(GateError::Inner)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        // What was made ready is called; its clone has yet to be made ready.
        let next = self.inner.clone();
        let ready = mem::replace(&mut self.inner, next);
        let GateLayer { gate, admission, settle } = &self.layer;
        match gate.gate(&request) {
            Ok(gate) => CallFuture::new(admission.enter(gate), ready, request, settle.clone()),
            Err(refused) => CallFuture::refused(refused, settle.clone()),
        }
    }
}
