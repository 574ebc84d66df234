//! Where a request is noted: around everything else.

use std::time::{Instant, SystemTime};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tidegate_tower::{KeyOf, http::PeerIp};

use super::{WayIn, record::Record};
use crate::api::SOURCE;

/// Notes a request when it has been answered, or when its client has left.
pub async fn note(
    State((log, client)): State<(WayIn, PeerIp)>,
    request: Request,
    next: Next,
) -> Response {
    let record = Record {
        came: SystemTime::now(),
        client: client.key_of(&request),
        request: format!("{} {}", request.method(), request.uri().path()),
        status: 499,
        source: String::new(),
        took: Default::default(),
    };
    let mut open = Open { log, began: Instant::now(), record: Some(record) };
    let response = next.run(request).await;
    let source = response.headers().get(SOURCE).and_then(|source| source.to_str().ok());
    let source = source.unwrap_or_default().to_owned();
    open.answered(response.status().as_u16(), source).await;
    response
}

/// A request that was not answered yet.
struct Open {
    log: WayIn,
    began: Instant,
    record: Option<Record>,
}

impl Open {
    /// Waits for room in the queue: that is what holds clients back if the database is slow.
    async fn answered(&mut self, status: u16, source: String) {
        let Some(record) = self.record.take() else { return };
        let mut record = Record { status, source, ..record };
        record.took = self.began.elapsed();
        // The queue is closed only when the server has ended and no request is left.
        let _ = self.log.queue.push(record).await;
    }
}

/// The client has left, so nothing waits for room in the queue.
impl Drop for Open {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.took = self.began.elapsed();
            if self.log.queue.try_push(record).is_err() {
                tracing::warn!("the access log has no room for a client that has left");
            }
        }
    }
}
