//! For services of HTTP: refusals as responses, headers, clients by their address, and permits that
//! are held until the body of the response has ended.

mod body;
mod headers;
mod peer_ip;
mod refusal;

use http::Response;
use tidegate_circuit_breaker::Classifier;
use tidegate_core::Outcome;

pub use self::{
    body::{AtBodyEnd, HeldBody},
    headers::{Allowance, HasAllowance, RateLimitHeaders, WithHeaders},
    peer_ip::PeerIp,
    refusal::{HttpRefusal, respond},
};
use crate::{AtHead, GateLayer};

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

impl<G, A, C> GateLayer<G, A, AtHead<C>> {
    /// Holds the pass until the body of the response has ended, instead of its head.
    pub fn hold_until_body_ends(self) -> GateLayer<G, A, AtBodyEnd<C>> {
        self.settle_by(|AtHead { classifier }| AtBodyEnd { classifier })
    }
}

impl<G, A, S> GateLayer<G, A, S> {
    /// Writes into each response what is left of the client's limit.
    pub fn rate_limit_headers(self, headers: RateLimitHeaders) -> GateLayer<G, A, WithHeaders<S>> {
        self.settle_by(|settle| WithHeaders { settle, headers })
    }
}
