//! The client of the upstream: a service of tower, so that layers fit before it.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, header::RETRY_AFTER},
};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Service, util::BoxCloneSyncService};

use crate::answer::{Answer, UpstreamError};

/// The client behind its guard.
pub type GuardedUpstream = BoxCloneSyncService<u32, Answer, UpstreamError>;

/// Fetches items, by their numbers.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    client: Client<HttpConnector, Empty<Bytes>>,
    address: SocketAddr,
    timeout: Option<Duration>,
}

impl UpstreamClient {
    /// Creates a client of the upstream at `address`. A call has failed after `timeout`; with
    /// `None` it may take any time.
    pub fn new(address: SocketAddr, timeout: Option<Duration>) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), address, timeout }
    }
}

impl Service<u32> for UpstreamClient {
    type Response = Answer;
    type Error = UpstreamError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, UpstreamError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, item: u32) -> Self::Future {
        let uri = format!("http://{}/items/{item}", self.address);
        let call = fetch(self.client.clone(), uri);
        match self.timeout {
            None => Box::pin(call),
            Some(timeout) => Box::pin(async move {
                tokio::time::timeout(timeout, call).await.unwrap_or(Err(UpstreamError::TimedOut))
            }),
        }
    }
}

async fn fetch(
    client: Client<HttpConnector, Empty<Bytes>>,
    uri: String,
) -> Result<Answer, UpstreamError> {
    let uri = uri.parse().expect("an address and a number make a URI");
    let response = client.get(uri).await.map_err(|_| UpstreamError::Unreachable)?;
    if !response.status().is_success() {
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        return Err(UpstreamError::Status { status, retry_after });
    }
    let body = response.into_body().collect().await.map_err(|_| UpstreamError::Unreachable)?;
    Ok(Answer::Fresh(body.to_bytes()))
}

/// Reads `Retry-After` in seconds, its other form being a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
