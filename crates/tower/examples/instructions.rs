//! A call through each layer, a function of its own, to be counted by callgrind:
//!
//! ```sh
//! cargo build --release -p tidegate-tower --example instructions
//! for path in no_layer concurrency shed rate rate_refusing breaker no_layer_http per_client; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="*::$path" \
//!         target/release/examples/instructions 2>&1 | grep Collected
//! done
//! ```
//!
//! Divide by [`CALLS`]; what `no_layer` or, for `per_client`, `no_layer_http` takes is not the layer's.

use std::{
    convert::Infallible,
    future::{Future, pending},
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::extract::ConnectInfo;
use http::{Request, Response};
use tidegate_circuit_breaker::Breaker;
use tidegate_rate_limiter::{KeyedLimiter, Quota};
use tidegate_tower::{GateLayer, http::PeerIp};
use tower::{Layer, Service, service_fn};

/// How often each path is gone.
const CALLS: u32 = 1000;

/// Answers what it is asked, and `false` never.
fn answers() -> impl Service<bool, Response = bool, Error = Infallible> + Clone {
    service_fn(|answers: bool| async move {
        if !answers {
            pending::<()>().await;
        }
        Ok(answers)
    })
}

/// Answers with an empty body.
fn server() -> impl Service<Request<()>, Response = Response<()>, Error = Infallible> + Clone {
    service_fn(|_: Request<()>| async { Ok(Response::new(())) })
}

/// Makes `service` ready, calls it and polls its future once.
#[inline(always)]
fn call<R, S: Service<R>>(service: &mut S, request: R) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    let call = pin!(service.call(black_box(request)));
    matches!(call.poll(&mut cx), Poll::Ready(Ok(_)))
}

/// A request of one client.
fn request() -> Request<()> {
    let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 1234);
    let mut request = Request::new(());
    request.extensions_mut().insert(ConnectInfo(client));
    request
}

/// The service alone.
#[inline(never)]
fn no_layer(service: &mut impl Service<bool>, request: bool) -> bool {
    call(service, request)
}

/// A limit of concurrency that has room.
#[inline(never)]
fn concurrency(service: &mut impl Service<bool>, request: bool) -> bool {
    call(service, request)
}

/// A limit of concurrency that has none, and refuses.
#[inline(never)]
fn shed(service: &mut impl Service<bool>, request: bool) -> bool {
    call(service, request)
}

/// A rate limit that lets callers wait.
#[inline(never)]
fn rate(service: &mut impl Service<bool>, request: bool) -> bool {
    call(service, request)
}

/// A rate limit that refuses.
#[inline(never)]
fn rate_refusing(service: &mut impl Service<bool>, request: bool) -> bool {
    call(service, request)
}

/// A breaker that is closed.
#[inline(never)]
fn breaker(service: &mut impl Service<bool>, request: bool) -> bool {
    call(service, request)
}

/// The server alone.
#[inline(never)]
fn no_layer_http(service: &mut impl Service<Request<()>>, request: Request<()>) -> bool {
    call(service, request)
}

/// A rate limit for each client, by its address.
#[inline(never)]
fn per_client(service: &mut impl Service<Request<()>>, request: Request<()>) -> bool {
    call(service, request)
}

/// Has `call` done [`CALLS`] times; all of them succeed, or none does.
fn repeat(mut call: impl FnMut() -> bool, succeeds: bool) {
    for _ in 0..CALLS {
        assert_eq!(call(), succeeds);
    }
}

fn main() {
    let quota = Quota::per_second(1_000_000_000);
    let mut alone = answers();
    repeat(|| no_layer(&mut alone, true), true);
    let mut limited = GateLayer::concurrency(8).layer(answers());
    repeat(|| concurrency(&mut limited, true), true);
    let full = GateLayer::concurrency(1).refuse();
    let _held = full.gate().clone().try_acquire_owned(1).expect("there is one");
    let mut full = full.layer(answers());
    repeat(|| shed(&mut full, true), false);
    let mut waiting = GateLayer::rate_limit(quota).layer(answers());
    repeat(|| rate(&mut waiting, true), true);
    let mut refusing = GateLayer::rate_limit(quota).refuse().layer(answers());
    repeat(|| rate_refusing(&mut refusing, true), true);
    let closed = Arc::new(Breaker::builder().build().expect("valid"));
    let mut closed = GateLayer::breaker(closed).layer(answers());
    repeat(|| breaker(&mut closed, true), true);

    let client = PeerIp::of_connection(|extensions| {
        extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
    });
    let clients = Arc::new(KeyedLimiter::new(quota, NonZeroUsize::new(100_000).expect("not 0")));
    let mut alone = server();
    repeat(|| no_layer_http(&mut alone, request()), true);
    let mut limited = GateLayer::keyed(clients, client).refuse().layer(server());
    repeat(|| per_client(&mut limited, request()), true);
}
