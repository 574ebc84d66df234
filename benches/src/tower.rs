//! Calls through layers of tower, over a service that is always ready.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
    task::{Context, Waker},
    time::Duration,
};

use axum::{body::Body, extract::ConnectInfo};
use http::{Request, Response};
use tidegate_circuit_breaker::Breaker;
use tidegate_rate_limiter::{KeyedLimiter, Quota};
use tidegate_tower::{GateLayer, http::PeerIp};
use tower::{
    Layer, Service,
    buffer::BufferLayer,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    service_fn,
};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_resilience_bulkhead::BulkheadLayer;
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_ratelimiter::RateLimiterLayer;

use crate::{
    clocks::Quanta,
    timing::timed,
    workload::{Contender, REFERENCE, Workload, ours, rival},
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload { name: "tower/concurrency limit, call", unit: "call", contenders: concurrency },
    Workload { name: "tower/concurrency limit, shed", unit: "call", contenders: shedding },
    Workload { name: "tower/rate limit, call", unit: "call", contenders: rate },
    Workload { name: "tower/circuit breaker, call", unit: "call", contenders: breaking },
    Workload { name: "tower/rate limit per client, call", unit: "call", contenders: per_client },
];

/// What a call does that finds no room.
const WAITS: &str = "waits";
const REFUSES: &str = "refuses";

/// A call that finds no room waits; each clone of the service has a limit of its own, and only a
/// buffer makes it one.
const PER_CLONE: &str = "per clone";

/// The service without a layer: what the loop costs.
const NO_LAYER: &str = "no layer";

/// More calls than any run makes.
const MANY: u32 = 1_000_000_000;

/// Drives all contenders: some rivals need its timers. One rival refuses by a time limit of zero,
/// which ends with the timer's next millisecond.
static TOKIO: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());

/// Answers `true` with `true`, and `false` never.
fn answers() -> impl Service<bool, Response = bool, Error = Infallible, Future: Send> + Clone + Send
{
    service_fn(|answers: bool| async move {
        if !answers {
            pending::<()>().await;
        }
        Ok::<_, Infallible>(answers)
    })
}

/// Makes calls one after the other, each when the service is ready, and returns how many succeeded.
#[inline]
fn call<S: Service<R>, R>(service: &mut S, n: u64, request: impl Fn() -> R) -> u64 {
    TOKIO.block_on(async {
        let mut succeeded = 0;
        for _ in 0..n {
            let service = black_box(&mut *service);
            if poll_fn(|cx| service.poll_ready(cx)).await.is_ok() {
                succeeded += u64::from(service.call(black_box(request())).await.is_ok());
            }
        }
        succeeded
    })
}

/// Calls that all succeed.
fn calls<S: Service<bool> + 'static>(mut service: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let _tokio = TOKIO.enter();
        let mut succeeded = 0;
        let elapsed = timed(|| succeeded = call(&mut service, n, || true));
        assert_eq!(succeeded, n, "all of {n} succeed");
        elapsed
    }
}

/// Calls that find no room, because a call that never ends takes it.
fn refused<S>(mut service: S) -> impl FnMut(u64) -> Duration
where
    S: Service<bool, Future: 'static> + Clone + 'static,
{
    let _tokio = TOKIO.enter();
    let mut holder = service.clone();
    let ready = TOKIO.block_on(poll_fn(|cx| holder.poll_ready(cx)));
    assert!(ready.is_ok(), "there is room for one");
    let mut held = Box::pin(holder.call(false));
    let first = held.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(first.is_pending(), "it never ends");
    move |n| {
        let (_tokio, _held) = (TOKIO.enter(), &held);
        let mut succeeded = 0;
        let elapsed = timed(|| succeeded = call(&mut service, n, || true));
        assert_eq!(succeeded, 0, "none of {n} is let through");
        elapsed
    }
}

fn concurrency() -> Vec<Contender> {
    let ours_of = || GateLayer::concurrency(8);
    let bulkhead = || BulkheadLayer::builder().max_concurrent_calls(8);
    let tower = || ConcurrencyLimitLayer::new(8).layer(answers());
    let refusing = bulkhead().reject_when_full().build().unwrap();
    vec![
        ours("tidegate", WAITS, calls(ours_of().layer(answers()))),
        ours("tidegate, refusing", REFUSES, calls(ours_of().refuse().layer(answers()))),
        rival("tower", WAITS, calls(tower())),
        rival("tower, shedding", REFUSES, calls(LoadShedLayer::new().layer(tower()))),
        rival("tower-resilience", WAITS, calls(bulkhead().build().unwrap().layer(answers()))),
        rival("tower-resilience, refusing", REFUSES, calls(refusing.layer(answers()))),
        rival(NO_LAYER, REFERENCE, calls(answers())),
    ]
}

fn shedding() -> Vec<Contender> {
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(1).reject_when_full();
    let tower = ConcurrencyLimitLayer::new(1).layer(answers());
    vec![
        ours("tidegate", REFUSES, refused(GateLayer::concurrency(1).refuse().layer(answers()))),
        rival("tower, shedding", REFUSES, refused(LoadShedLayer::new().layer(tower))),
        rival("tower-resilience", REFUSES, refused(bulkhead.build().unwrap().layer(answers()))),
    ]
}

/// The most that a limiter lets through, so that no call of a run waits.
fn quota() -> Quota {
    Quota::per_second(MANY)
}

fn rate() -> Vec<Contender> {
    let _tokio = TOKIO.enter();
    let period = Duration::from_secs(1);
    let ours_of = || GateLayer::rate_limit(quota());
    let tower = || RateLimitLayer::new(MANY.into(), period).layer(answers());
    let resilience = RateLimiterLayer::builder().limit_for_period(MANY as usize);
    let resilience = resilience.refresh_period(period).build().unwrap();
    vec![
        ours("tidegate", WAITS, calls(ours_of().layer(answers()))),
        ours("tidegate, refusing", REFUSES, calls(ours_of().refuse().layer(answers()))),
        rival("tower", PER_CLONE, calls(tower())),
        rival("tower, buffered", WAITS, calls(BufferLayer::new(8).layer(tower()))),
        rival("tower-resilience", REFUSES, calls(resilience.layer(answers()))),
        rival(NO_LAYER, REFERENCE, calls(answers())),
    ]
}

fn breaking() -> Vec<Contender> {
    let breaker = Arc::new(Breaker::builder().build().unwrap());
    let rate = CircuitBreakerLayer::builder().build().unwrap();
    let streak = CircuitBreakerLayer::builder().consecutive_failures(5).build().unwrap();
    vec![
        ours("tidegate", "in a row", calls(GateLayer::breaker(breaker).layer(answers()))),
        rival("tower-resilience", "rate", calls(rate.layer(answers()))),
        rival("tower-resilience, in a row", "in a row", calls(streak.layer(answers()))),
        rival(NO_LAYER, REFERENCE, calls(answers())),
    ]
}

/// A request of one client, made anew for each call, as in a server.
fn request() -> Request<()> {
    let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 1234);
    let mut request = Request::new(());
    request.extensions_mut().insert(ConnectInfo(client));
    request
}

fn client_calls<S>(mut service: S) -> impl FnMut(u64) -> Duration
where
    S: Service<Request<()>> + 'static,
{
    move |n| {
        let mut succeeded = 0;
        let elapsed = timed(|| succeeded = call(&mut service, n, request));
        assert_eq!(succeeded, n, "all of {n} succeed");
        elapsed
    }
}

fn per_client() -> Vec<Contender> {
    let server =
        || service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let max_clients = NonZeroUsize::new(100_000).unwrap();
    let client = PeerIp::of_connection(|extensions| {
        extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
    });
    let clients = Arc::new(KeyedLimiter::new(quota(), max_clients));
    let by_tsc = Arc::new(KeyedLimiter::with_clock(quota(), max_clients, Quanta::new()));
    let governor =
        GovernorConfigBuilder::default().per_nanosecond(1).burst_size(MANY).finish().unwrap();
    vec![
        ours("tidegate", REFUSES, {
            client_calls(GateLayer::keyed(clients, client).refuse().layer(server()))
        }),
        ours("tidegate, quanta", REFUSES, {
            client_calls(GateLayer::keyed(by_tsc, client).refuse().layer(server()))
        }),
        rival("tower_governor", REFUSES, {
            client_calls(GovernorLayer::new(governor).layer(server()))
        }),
        rival(NO_LAYER, REFERENCE, client_calls(server())),
    ]
}
