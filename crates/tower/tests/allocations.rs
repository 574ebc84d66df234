//! A call through a layer allocates nothing. The allocator counts, so this is a process of its own.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn, ready},
    iter,
    net::SocketAddr,
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tidegate_circuit_breaker::{Breaker, KeyedBreaker};
use tidegate_core::ManualClock;
use tidegate_rate_limiter::{KeyedLimiter, Quota, RateLimiter};
use tidegate_semaphore::Semaphore;
use tidegate_tower::{
    CoalesceLayer, GateLayer, Refusal,
    http::{PeerIp, respond},
};
use tower::{Layer, Service, service_fn};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static REFUSED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: each call goes unchanged to the system's allocator, whose contract is the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns how often `steps` allocated on this thread.
fn allocations(steps: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    steps();
    ALLOCATIONS.with(Cell::get) - before
}

/// Returns how often ten calls that are answered by 7 allocate, after a first one.
fn of_ten_calls<L>(layer: L) -> usize
where
    L: Layer<tower::util::ServiceFn<fn(u32) -> std::future::Ready<Result<u32, Infallible>>>>,
    L::Service: Service<u32, Response = u32>,
{
    let inner: fn(u32) -> std::future::Ready<Result<u32, Infallible>> = |n| ready(Ok(n));
    let mut service = layer.layer(service_fn(inner));
    let mut call = || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(poll_fn(|cx| service.poll_ready(cx))).poll(&mut cx).is_ready());
        let call = pin!(service.call(7));
        assert!(call.poll(&mut cx).map(|result| result.is_ok_and(|n| n == 7)).is_ready());
    };
    call();
    allocations(|| (0..10).for_each(|_| call()))
}

/// Answers a refusal as the service does, and counts it.
fn seven<R>(_: Refusal<R>) -> u32 {
    REFUSED.with(|count| count.set(count.get() + 1));
    7
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_call_through_a_layer_allocates_nothing() {
    let quota = Quota::per_second(1_000_000);
    let builder = Breaker::builder;
    let breaker = || Arc::new(builder().build().unwrap());
    let semaphore = || Arc::new(Semaphore::new(1));
    let limiter = || Arc::new(RateLimiter::new(quota));
    let max_keys = NonZeroUsize::new(10).unwrap();
    let clients = || Arc::new(KeyedLimiter::<u32>::new(quota, max_keys));
    let servers = Arc::new(KeyedBreaker::<u32>::new(max_keys, builder()).unwrap());
    let key = |n: &u32| Some(*n);
    let row = (breaker().fail_fast_owned(), (limiter(), semaphore()));
    for (name, count) in [
        ("waiting", of_ten_calls(GateLayer::new(semaphore()))),
        ("refusing", of_ten_calls(GateLayer::new(semaphore()).refuse())),
        (
            "waiting at most",
            of_ten_calls(
                GateLayer::new(semaphore())
                    .wait_at_most(Duration::from_secs(1), ManualClock::new()),
            ),
        ),
        ("adaptive", of_ten_calls(GateLayer::adaptive(1..=10).unwrap())),
        ("rate limit", of_ten_calls(GateLayer::new(limiter()))),
        ("breaker", of_ten_calls(GateLayer::breaker(breaker()))),
        ("row", of_ten_calls(GateLayer::new(row))),
        ("rate limit, refusing", of_ten_calls(GateLayer::new(limiter()).refuse())),
        ("keyed, waiting", of_ten_calls(GateLayer::keyed(clients(), key))),
        ("keyed, refusing", of_ten_calls(GateLayer::keyed(clients(), key).refuse())),
        ("keyed breaker", of_ten_calls(GateLayer::keyed(servers, key))),
        ("responding", of_ten_calls(GateLayer::new(semaphore()).respond_with(seven))),
    ] {
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn a_refusal_allocates_nothing() {
    let layer = GateLayer::concurrency(1).refuse();
    let _held = layer.gate().clone().try_acquire_owned(1).unwrap();
    let limiter = Arc::new(RateLimiter::new(Quota::per_hour(1)));
    let max_keys = NonZeroUsize::new(10).unwrap();
    let clients = Arc::new(KeyedLimiter::<u32>::new(Quota::per_hour(1), max_keys));
    let breaker = Arc::new(Breaker::builder().build().unwrap());
    breaker.force_open();
    let by_key = GateLayer::keyed(clients, |n: &u32| Some(*n)).refuse();
    for (name, count) in [
        ("concurrency", of_ten_calls(layer.respond_with(seven))),
        ("rate limit", of_ten_calls(GateLayer::new(limiter).refuse().respond_with(seven))),
        ("breaker", of_ten_calls(GateLayer::breaker(breaker).respond_with(seven))),
        ("keyed", of_ten_calls(by_key.respond_with(seven))),
    ] {
        assert_eq!(count, 0, "{name}");
    }
    // Of the limits, the first call has the one token.
    assert_eq!(REFUSED.with(Cell::get), 2 * 11 + 2 * 10);
}

#[test]
fn a_response_of_http_costs_no_allocation_to_hold_its_permit_or_to_find_its_client() {
    let client = SocketAddr::from(([203, 0, 113, 7], 1234));
    let max_keys = NonZeroUsize::new(10).unwrap();
    let clients = KeyedLimiter::new(Quota::per_second(1_000_000), max_keys);
    let peer = PeerIp::of_connection(|extensions| extensions.get::<SocketAddr>().copied());
    let per_client = GateLayer::keyed(Arc::new(clients), peer).refuse().respond_with(respond);
    let held = GateLayer::concurrency(1).hold_until_body_ends().respond_with(respond);
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let mut service = per_client.layer(held.layer(inner));
    let from_client = || {
        let mut request = Request::new(());
        request.extensions_mut().insert(client);
        request
    };
    let mut requests = iter::repeat_with(from_client).take(11).collect::<Vec<_>>().into_iter();
    let mut call = || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        let call = pin!(service.call(requests.next().unwrap()));
        let Poll::Ready(Ok(response)) = call.poll(&mut cx) else { panic!("there is room") };
        assert_eq!(response.status(), 200);
    };
    call();
    assert_eq!(allocations(|| (0..10).for_each(|_| call())), 0);
}

/// A flight, or an item's way back, is one allocation: it is shared with those that wait.
#[test]
fn a_call_that_is_shared_or_batched_allocates_its_meeting_place() {
    let coalesced = of_ten_calls(CoalesceLayer::new(|n: &u32| Some(*n)));
    assert!(coalesced <= 10, "{coalesced}");
    let alone = of_ten_calls(CoalesceLayer::new(|_: &u32| None::<u32>));
    assert_eq!(alone, 0);
}
