//! Another attempt, where one may help.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tidegate::{
    Backoff, SystemClock, Timer,
    backoff::Retries,
    retry::{RetryError, Retryable, retry},
};
use tower::{Layer, Service, ServiceExt};

use crate::answer::{Answer, UpstreamError};

/// Asks the upstream again after an error that may pass. Clones share the budget.
///
/// The gates belong behind it, so that each attempt is let in and counted for itself: a breaker
/// that has opened meanwhile ends the attempts. An item is only read, so it may be asked for twice.
#[derive(Debug, Clone)]
pub struct RetryLayer<T = SystemClock> {
    retries: Arc<Retries>,
    max_retry_after: Duration,
    timer: T,
}

impl<T> RetryLayer<T> {
    /// Creates a layer that pauses as `backoff` says, and at least for what the upstream asks for.
    /// If it asks for more than `max_retry_after`, there is no further attempt.
    pub fn new(backoff: Backoff, max_retry_after: Duration, timer: T) -> Self {
        Self { retries: Arc::new(Retries::new(backoff)), max_retry_after, timer }
    }

    /// Returns the layer with other settings. The budget goes on, unless `backoff` has changed.
    pub fn with(self, backoff: Backoff, max_retry_after: Duration) -> Self {
        if backoff == *self.retries.backoff() {
            return Self { max_retry_after, ..self };
        }
        Self::new(backoff, max_retry_after, self.timer)
    }
}

impl<S, T: Clone> Layer<S> for RetryLayer<T> {
    type Service = Retrying<S, T>;

    fn layer(&self, inner: S) -> Retrying<S, T> {
        Retrying { inner, layer: self.clone() }
    }
}

/// A service that is asked again: see [`RetryLayer`].
#[derive(Debug, Clone)]
pub struct Retrying<S, T = SystemClock> {
    inner: S,
    layer: RetryLayer<T>,
}

impl<S, T> Service<u32> for Retrying<S, T>
where
    S: Service<u32, Response = Answer, Error = UpstreamError> + Clone + Send + 'static,
    S::Future: Send,
    T: Timer<Sleep: Send> + Clone + Send + 'static,
{
    type Response = Answer;
    type Error = UpstreamError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, UpstreamError>> + Send>>;

    /// Each attempt waits until its own clone of the service is ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, item: u32) -> Self::Future {
        let RetryLayer { retries, max_retry_after, timer } = self.layer.clone();
        let inner = self.inner.clone();
        let call = retry(retries, timer, move || inner.clone().oneshot(item));
        let call = call.classify(retryable).max_retry_after(max_retry_after);
        Box::pin(async { call.await.map_err(RetryError::into_inner) })
    }
}

fn retryable(error: &UpstreamError) -> Retryable {
    match *error {
        UpstreamError::Status { retry_after: Some(time), .. } => Retryable::After(time),
        UpstreamError::Status { status: 500.., .. } | UpstreamError::Unreachable => Retryable::Yes,
        // The upstream would answer a wrong request as before, and works on a slow one still.
        UpstreamError::Status { .. } | UpstreamError::TimedOut => Retryable::No,
    }
}
