//! What stands before the service, and before its upstream.

use axum::Router;
use tidegate::SystemClock;
use tidegate_metrics::{NameTaken, Registry};
use tidegate_tower::{CoalesceLayer, GateLayer, http::RateLimitHeaders, http::respond};
use tower::{Layer, util::BoxCloneSyncService};

use crate::{answer::Answer, client::GuardedUpstream, client::UpstreamClient, parts::Parts};

/// Limits each client, and tells it what is left.
pub fn before_service(parts: &Parts, routes: Router) -> Router {
    let clients = GateLayer::keyed(parts.clients.clone(), parts.client).refuse();
    routes.layer(clients.rate_limit_headers(RateLimitHeaders::Both).respond_with(respond))
}

/// Shares equal calls, tries again, answers while the breaker is open, sheds what waits too long.
pub fn before_upstream(parts: &Parts, upstream: UpstreamClient) -> GuardedUpstream {
    let gates = (parts.breaker.clone().fail_fast_owned(), parts.limit.clone());
    let gates = GateLayer::new(gates).wait_at_most(parts.patience, SystemClock);
    let guarded = parts.retry.layer(gates.respond_with(Answer::instead).layer(upstream));
    BoxCloneSyncService::new(CoalesceLayer::new(|item: &u32| Some(*item)).layer(guarded))
}

/// Shows operators the state of all parts.
pub fn watch(parts: &Parts, registry: &Registry) -> Result<(), NameTaken> {
    registry.watch("clients", &parts.clients)?;
    registry.watch("upstream", &parts.breaker)?;
    registry.watch("upstream", &parts.limit)
}
