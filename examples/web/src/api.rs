//! What the service does: it fetches an item from the upstream, and makes something of it.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tidegate::WorkerPool;
use tower::ServiceExt;

use crate::{
    answer::{Answer, UpstreamError},
    client::GuardedUpstream,
};

/// Says what an answer was made from: `fresh` or `fallback`; `shed` if the call was refused.
pub const SOURCE: HeaderName = HeaderName::from_static("x-source");

/// What a handler needs.
#[derive(Clone)]
struct Api {
    upstream: GuardedUpstream,
    pool: Arc<WorkerPool>,
}

/// The body of an answer.
#[derive(Serialize)]
struct Item {
    item: u32,
    text: Option<String>,
    digest: Option<String>,
}

/// Returns the routes of the service.
pub fn routes(upstream: GuardedUpstream, pool: Arc<WorkerPool>) -> Router {
    Router::new().route("/api/items/{item}", get(item)).with_state(Api { upstream, pool })
}

async fn item(State(api): State<Api>, Path(item): Path<u32>) -> Response {
    match api.upstream.oneshot(item).await {
        Ok(Answer::Fresh(text)) => fresh(&api.pool, item, text).await,
        Ok(Answer::Fallback) => {
            ([(SOURCE, "fallback")], Json(Item { item, text: None, digest: None })).into_response()
        }
        Ok(Answer::Shed) => shed(),
        Err(UpstreamError::Status { retry_after: Some(time), .. }) => {
            let seconds = [(RETRY_AFTER, time.as_secs().to_string())];
            (StatusCode::SERVICE_UNAVAILABLE, seconds).into_response()
        }
        Err(UpstreamError::TimedOut) => StatusCode::GATEWAY_TIMEOUT.into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// Computes on the pool, because the threads of tokio are for tasks that wait.
async fn fresh(pool: &WorkerPool, item: u32, text: Bytes) -> Response {
    let job = pool.run(move || (digest(&text), String::from_utf8_lossy(&text).into_owned()));
    match job.await {
        Ok((digest, text)) => {
            let digest = Some(format!("{digest:016x}"));
            ([(SOURCE, "fresh")], Json(Item { item, text: Some(text), digest })).into_response()
        }
        Err(error) if error.is_panic() => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(_) => shed(),
    }
}

fn shed() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1"), (SOURCE, "shed")]).into_response()
}

/// Stands for work that takes the processor's time: FNV-1a, many times over.
fn digest(text: &[u8]) -> u64 {
    const ROUNDS: usize = 1000;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    (0..ROUNDS).fold(0xcbf2_9ce4_8422_2325, |hash, _| text.iter().fold(hash, step))
}
