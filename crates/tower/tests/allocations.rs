//! A call through a layer allocates nothing. The allocator counts, so this is a process of its own.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn, ready},
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use tidegate_circuit_breaker::Breaker;
use tidegate_core::ManualClock;
use tidegate_rate_limiter::{KeyedLimiter, Quota, RateLimiter};
use tidegate_semaphore::Semaphore;
use tidegate_tower::GateLayer;
use tower::{Layer, Service, service_fn};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
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

/// Returns how often ten calls allocate, after a first one.
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

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_call_through_a_layer_allocates_nothing() {
    let quota = Quota::per_second(1_000_000);
    let breaker = || Arc::new(Breaker::builder().build().unwrap());
    let semaphore = || Arc::new(Semaphore::new(1));
    let limiter = || Arc::new(RateLimiter::new(quota));
    let max_keys = NonZeroUsize::new(10).unwrap();
    let clients = Arc::new(KeyedLimiter::<u32>::new(quota, max_keys));
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
        ("keyed", of_ten_calls(GateLayer::keyed(clients, |n: &u32| Some(*n)).refuse())),
    ] {
        assert_eq!(count, 0, "{name}");
    }
}
