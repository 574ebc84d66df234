//! Layers among others: behind a buffer, under many connections, in an axum server.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use http::StatusCode;
use tidegate_rate_limiter::Quota;
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

/// Sends one request on a connection of its own and returns the response.
async fn request(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[test]
fn an_axum_server_has_one_limit_over_all_its_connections() {
    TOKIO.block_on(async {
        let quota = Quota::per_hour(5).unwrap();
        let app = Router::new()
            .route("/", get(|| async { "hello" }))
            .layer(GateLayer::rate_limit(quota).refuse().respond_with(respond));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });

        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            tasks.spawn(request(address));
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
