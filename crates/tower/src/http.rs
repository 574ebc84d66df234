//! For services of HTTP: refusals as responses, headers, clients by their address, and permits that
//! are held until the body of the response has ended.

mod body;
mod headers;
mod peer_ip;
mod refusal;
mod retry_after;

use core::time::Duration;

use http::Response;
use tidegate_circuit_breaker::Classifier;
use tidegate_core::Outcome;

pub use self::{
    body::{AtBodyEnd, HeldBody},
    headers::{Allowance, HasAllowance, RateLimitHeaders, WithHeaders},
    peer_ip::PeerIp,
    refusal::{HttpRefusal, respond},
    retry_after::{HeedRetryAfter, OpensFor},
};
use crate::GateLayer;

/// Classifies by status: 500 and above, and 429, are the server's failures; other statuses of 400
/// and above are the caller's own fault, and ignored; an error is a failure.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByStatus;

impl<B, E> Classifier<Result<Response<B>, E>> for ByStatus {
    fn outcome(&self, result: &Result<Response<B>, E>) -> Outcome {
        match result.as_ref().map(|response| response.status().as_u16()) {
            Err(_) | Ok(429 | 500..) => Outcome::Failure,
            Ok(400..) => Outcome::Ignored,
            Ok(_) => Outcome::Success,
        }
    }
}

impl<G, A, S> GateLayer<G, A, S> {
    /// Holds the pass until the body of the response has ended, not only until its head is there.
    pub fn hold_until_body_ends(self) -> GateLayer<G, A, AtBodyEnd<S>> {
        self.settle_by(|settle| AtBodyEnd { settle })
    }

    /// Lets the server say for how long its breaker stays open: a failure whose response has
    /// `Retry-After` opens it at once for that time, but at most for `at_most`. The layer's
    /// classifier says what a failure is, or else the breaker's own.
    ///
    /// For a [breaker](GateLayer::breaker), and for a row that begins with one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{convert::Infallible, sync::Arc, time::Duration};
    /// use http::Response;
    /// use tidegate_circuit_breaker::Breaker;
    /// use tidegate_tower::{GateError, GateLayer, http::ByStatus};
    /// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # smol::block_on(async {
    /// let breaker = Arc::new(Breaker::builder().classifier(ByStatus).build()?);
    /// let busy = || Response::builder().status(503).header("retry-after", "120");
    /// let mut service = ServiceBuilder::new()
    ///     .layer(GateLayer::breaker(breaker).heed_retry_after(Duration::from_secs(600)))
    ///     .service(service_fn(|()| async { Ok::<_, Infallible>(busy().body(()).unwrap()) }));
    /// assert_eq!(service.ready().await?.call(()).await?.status(), 503);
    /// let Err(GateError::Refused(refused)) = service.ready().await?.call(()).await else {
    ///     panic!("the breaker is closed")
    /// };
    /// assert!(refused.retry_after > Some(Duration::from_secs(110)));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn heed_retry_after(self, at_most: Duration) -> GateLayer<G, A, HeedRetryAfter<S>> {
        self.settle_by(|settle| HeedRetryAfter { settle, at_most })
    }

    /// Writes into each response what is left of the client's limit. If several such layers, or the
    /// server behind them, do so, the response tells of the limit with least left. [`respond`]
    /// writes the standard headers into a refusal, whatever `headers` says.
    pub fn rate_limit_headers(self, headers: RateLimitHeaders) -> GateLayer<G, A, WithHeaders<S>> {
        self.settle_by(|settle| WithHeaders { settle, headers })
    }
}
