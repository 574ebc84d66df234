//! Layers among others: behind a buffer, under many connections, in an axum server.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use tidegate_circuit_breaker::Breaker;
use tidegate_rate_limiter::Quota;
use tidegate_semaphore::Semaphore;
use tidegate_tower::{GateLayer, http::respond};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Service, ServiceBuilder, ServiceExt, buffer::BufferLayer, service_fn};

use crate::TOKIO;

/// Counts how many calls are in flight, and the most that ever were.
#[derive(Default)]
struct InFlight {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl InFlight {
    async fn call(&self) {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn under_a_buffer_and_64_connections_the_limit_is_one() {
    TOKIO.block_on(async {
        let in_flight = Arc::new(InFlight::default());
        let counting = in_flight.clone();
        let service = ServiceBuilder::new()
            .layer(BufferLayer::new(8))
            .layer(GateLayer::concurrency(5))
            .service(service_fn(move |()| {
                let counting = counting.clone();
                async move {
                    counting.call().await;
                    Ok::<_, Infallible>(())
                }
            }));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let mut service = service.clone();
            tasks.spawn(async move {
                for _ in 0..10 {
                    service.ready().await.unwrap().call(()).await.unwrap();
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        assert_eq!(in_flight.most.load(Ordering::SeqCst), 5);
    });
}

/// Serves on loopback and returns where.
async fn serve(app: Router) -> (SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, app).await }))
}

/// Sends one request on a connection of its own and returns the response.
async fn request(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[test]
fn an_axum_server_has_one_limit_over_all_its_connections() {
    TOKIO.block_on(async {
        let quota = Quota::per_hour(5);
        let app = Router::new()
            .route("/", get(|| async { "hello" }))
            .layer(GateLayer::rate_limit(quota).refuse().respond_with(respond));
        let (address, server) = serve(app).await;

        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            tasks.spawn(request(address, "GET /"));
        }
        let responses = tasks.join_all().await;
        let (ok, refused): (Vec<_>, Vec<_>) =
            responses.iter().partition(|response| response.starts_with("HTTP/1.1 200"));
        assert_eq!((ok.len(), refused.len()), (5, 59));
        for response in refused {
            let status = StatusCode::TOO_MANY_REQUESTS.as_u16().to_string();
            assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
            assert!(response.contains("retry-after: 720\r\n"), "{response}");
            assert!(response.contains("ratelimit-policy: \"default\";q=5\r\n"), "{response}");
        }
        server.abort();
    });
}

/// Returns a body that does not say beforehand that it has ended.
fn hello(has_trailers: bool) -> Body {
    let mut frames = vec![Frame::data(Bytes::from("hel")), Frame::data(Bytes::from("lo"))];
    frames.extend(has_trailers.then(|| Frame::trailers(HeaderMap::new())));
    let frames = frames.into_iter().map(Ok::<_, Infallible>);
    Body::new(StreamBody::new(smol::stream::iter(frames)))
}

#[test]
fn an_axum_server_gives_its_bodies_in_full_and_each_call_is_a_success() {
    TOKIO.block_on(async {
        let breaker = Arc::new(Breaker::builder().build().unwrap());
        let semaphore = Arc::new(Semaphore::new(64));
        let gates = (breaker.clone().fail_fast_owned(), semaphore.clone());
        let app = Router::new()
            .route("/text", get(|| async { "hello" }))
            .route("/length", get(|| async { ([("content-length", "5")], hello(false)) }))
            .route("/stream", get(|| async { hello(false) }))
            .route("/trailers", get(|| async { hello(true) }))
            .layer(GateLayer::new(gates).hold_until_body_ends().respond_with(respond));
        let (address, server) = serve(app).await;
        for (succeeded, line) in
            (1..).zip(["GET /text", "GET /length", "GET /stream", "GET /trailers", "HEAD /length"])
        {
            let response = request(address, line).await;
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
            let stats = breaker.stats();
            assert_eq!((stats.succeeded, stats.ignored), (succeeded, 0), "{line}");
            assert_eq!(semaphore.available_permits(), 64);
        }
        server.abort();
    });
}
