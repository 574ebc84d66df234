//! A server and a client of tonic.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::Response;
use tidegate_circuit_breaker::{Breaker, State, TripRule};
use tidegate_core::Outcome;
use tidegate_rate_limiter::{Quota, RateLimiter, Refused};
use tidegate_semaphore::Semaphore;
use tidegate_tower::{
    Classifier, GateLayer, Refusal,
    grpc::{self, ByGrpcStatus},
};
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Layer, ServiceBuilder};

use crate::TOKIO;

/// Serves tonic's own health service behind a limit, and returns where.
async fn serve(limiter: Arc<RateLimiter>) -> SocketAddr {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let layer = GateLayer::new(limiter).refuse().respond_with(grpc::respond);
    let server = Server::builder().layer(layer).add_service(health);
    tokio::spawn(async move {
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    });
    address
}

async fn connect(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

#[test]
fn a_refusal_is_a_status_that_says_when_to_come_back() {
    TOKIO.block_on(async {
        let address = serve(Arc::new(RateLimiter::new(Quota::per_hour(2)))).await;
        // One limit over all connections.
        for codes in
            [[None, None, Some(Code::ResourceExhausted)], [Some(Code::ResourceExhausted); 3]]
        {
            let mut client = HealthClient::new(connect(address).await);
            for code in codes {
                let answer = client.check(HealthCheckRequest::default()).await;
                let error = answer.err();
                assert_eq!(error.as_ref().map(tonic::Status::code), code, "{error:?}");
                if let Some(status) = error {
                    let after = status.metadata().get("grpc-retry-pushback-ms").unwrap();
                    let after: u32 = after.to_str().unwrap().parse().unwrap();
                    assert!((1_700_000..=1_800_000).contains(&after), "{after}");
                }
            }
        }
    });
}

#[test]
fn a_client_behind_a_breaker_leaves_a_server_alone_that_is_exhausted() {
    TOKIO.block_on(async {
        let address = serve(Arc::new(RateLimiter::new(Quota::per_hour(1)))).await;
        let builder = Breaker::builder().trip_on(TripRule::consecutive(1));
        let breaker = Arc::new(builder.classifier(ByGrpcStatus).build().unwrap());
        let semaphore = Arc::new(Semaphore::new(1));
        let channel = ServiceBuilder::new()
            .layer(GateLayer::breaker(breaker.clone()))
            .layer(GateLayer::new(semaphore.clone()))
            .service(connect(address).await);
        let mut client = HealthClient::new(channel);
        assert!(client.check(HealthCheckRequest::default()).await.is_ok());
        let refused = client.check(HealthCheckRequest::default()).await.unwrap_err();
        assert_eq!((refused.code(), breaker.state()), (Code::ResourceExhausted, State::Open));
        client.check(HealthCheckRequest::default()).await.unwrap_err();
        assert_eq!(breaker.stats().failed, 1);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_pushback_fits_into_the_number_that_clients_read() {
    let month = Duration::from_secs(30 * 24 * 60 * 60);
    let refused = Refused::NotNow { retry_after: month, reset_after: month, limit: 1 };
    let status = grpc::status(&Refusal::Refused(refused));
    let after = status.metadata().get("grpc-retry-pushback-ms").unwrap();
    assert_eq!(after.to_str().unwrap().parse(), Ok(i32::MAX));
}

#[test]
fn what_has_no_room_is_unavailable_and_a_status_says_what_it_was() {
    let service =
        tower::service_fn(|()| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let mut full = GateLayer::concurrency(0).refuse().respond_with(grpc::respond).layer(service);
    let response = smol::block_on(tower::Service::call(&mut full, ())).unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let outcome = |code: &'static str| {
        let head = Response::builder().header("grpc-status", code);
        ByGrpcStatus.outcome(&Ok::<_, Infallible>(head.body(()).unwrap()))
    };
    assert_eq!(response.headers()["grpc-status"], "14");
    for (code, is) in [
        ("0", Outcome::Success),
        ("5", Outcome::Ignored),
        ("8", Outcome::Failure),
        ("14", Outcome::Failure),
    ] {
        assert_eq!(outcome(code), is, "{code}");
    }
}
