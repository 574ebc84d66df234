//! What every layer promises to the services around it.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate_circuit_breaker::{Breaker, State, TripRule};
use tidegate_core::{Gate, ManualClock};
use tidegate_rate_limiter::{Quota, RateLimiter};
use tidegate_semaphore::Semaphore;
use tidegate_tower::{GateError, GateLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::everywhere;

/// Answers with its request.
fn echo() -> impl Service<u32, Response = u32, Error = Infallible, Future: Send> + Clone + Send {
    service_fn(|n: u32| async move { Ok(n) })
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn being_ready_takes_no_permit() {
    everywhere(|| async {
        let semaphore = Arc::new(Semaphore::new(1));
        let service = GateLayer::new(semaphore.clone()).layer(echo());
        let mut ready = vec![service; 100];
        for service in &mut ready {
            for _ in 0..3 {
                poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
            }
        }
        assert_eq!(semaphore.available_permits(), 1);
        assert_eq!(ready.pop().unwrap().call(7).await, Ok(7));
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_call_enters_in_its_future_and_not_before() {
    everywhere(|| async {
        let semaphore = Arc::new(Semaphore::new(1));
        let mut service =
            GateLayer::new(semaphore.clone()).layer(service_fn(|()| pending::<Result<(), ()>>()));
        let mut call = pin!(service.ready().await.unwrap().call(()));
        assert_eq!(semaphore.available_permits(), 1);
        assert!(poll(call.as_mut()).is_pending());
        assert_eq!(semaphore.available_permits(), 0);
    });
}

/// Panics if it is called without having been made ready. Its clones are not ready.
#[derive(Default)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<u32> for Strict {
    type Response = u32;
    type Error = Infallible;
    type Future = std::future::Ready<Result<u32, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        std::future::ready(Ok(n))
    }
}

#[test]
fn the_instance_that_was_made_ready_is_called() {
    everywhere(|| async {
        let mut service = GateLayer::concurrency(1).layer(Strict::default());
        for n in 0..3 {
            assert_eq!(service.ready().await.unwrap().call(n).await, Ok(n));
        }
    });
}

#[test]
fn clones_share_one_gate() {
    everywhere(|| async {
        let layer = GateLayer::concurrency(1).refuse();
        let inner = service_fn(|()| pending::<Result<(), ()>>());
        let (mut one, mut other) = (layer.layer(inner), layer.clone().layer(inner));
        let mut clone = one.clone();
        let mut held = pin!(one.ready().await.unwrap().call(()));
        assert!(poll(held.as_mut()).is_pending());
        for service in [&mut other, &mut clone] {
            let refused = service.ready().await.unwrap().call(()).await;
            assert!(matches!(refused, Err(GateError::Refused(_))), "{refused:?}");
        }
    });
}

#[test]
fn a_dropped_call_gives_back() {
    everywhere(|| async {
        let semaphore = Arc::new(Semaphore::new(1));
        let mut service =
            GateLayer::new(semaphore.clone()).layer(service_fn(|()| pending::<Result<(), ()>>()));
        let unpolled = service.ready().await.unwrap().call(());
        let mut inside = Box::pin(service.ready().await.unwrap().call(()));
        assert!(poll(inside.as_mut()).is_pending());
        let mut waiting = Box::pin(service.ready().await.unwrap().call(()));
        assert!(poll(waiting.as_mut()).is_pending());
        drop((unpolled, waiting));
        assert_eq!(semaphore.available_permits(), 0);
        drop(inside);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_refusal_comes_before_the_inner_call() {
    everywhere(|| async {
        let calls = Arc::new(AtomicUsize::new(0));
        let counting = calls.clone();
        let inner = service_fn(move |()| {
            counting.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(()) }
        });
        let quota = Quota::per_hour(2);
        let limiter = Arc::new(RateLimiter::new(quota));
        let mut service = GateLayer::new(limiter).refuse().layer(inner);
        let mut refused = 0;
        for _ in 0..5 {
            refused += usize::from(service.ready().await.unwrap().call(()).await.is_err());
        }
        assert_eq!((calls.load(Ordering::Relaxed), refused), (2, 3));
    });
}

#[test]
fn inner_errors_pass_unchanged() {
    everywhere(|| async {
        let inner = service_fn(|n: u16| async move { Err::<(), _>(n) });
        let mut service = GateLayer::concurrency(1).layer(inner);
        assert_eq!(service.ready().await.unwrap().call(7).await, Err(GateError::Inner(7)));
    });
}

#[test]
fn a_failure_to_become_ready_passes_unchanged() {
    struct Broken;
    impl Clone for Broken {
        fn clone(&self) -> Self {
            Self
        }
    }
    impl Service<()> for Broken {
        type Response = ();
        type Error = u8;
        type Future = std::future::Ready<Result<(), u8>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), u8>> {
            Poll::Ready(Err(9))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    everywhere(|| async {
        let mut service = GateLayer::concurrency(1).layer(Broken);
        assert_eq!(poll_fn(|cx| service.poll_ready(cx)).await, Err(GateError::Inner(9)));
    });
}

#[test]
fn a_call_that_waits_too_long_times_out_and_leaves_the_queue() {
    everywhere(|| async {
        let clock = ManualClock::new();
        let semaphore = Arc::new(Semaphore::new(1));
        let layer =
            GateLayer::new(semaphore.clone()).wait_at_most(Duration::from_secs(5), clock.clone());
        let mut service = layer.layer(echo());
        let held = semaphore.try_acquire(1).unwrap();
        let mut call = pin!(service.ready().await.unwrap().call(7));
        assert!(poll(call.as_mut()).is_pending());
        clock.advance(Duration::from_secs(5));
        assert_eq!(poll(call.as_mut()), Poll::Ready(Err(GateError::TimedOut)));
        drop(held);
        // The call is not dropped yet, and holds nothing.
        assert!(semaphore.try_acquire(1).is_ok());
    });
}

#[test]
fn what_is_granted_in_time_counts_however_late_the_task_is_polled() {
    let clock = ManualClock::new();
    let semaphore = Arc::new(Semaphore::new(1));
    let layer =
        GateLayer::new(semaphore.clone()).wait_at_most(Duration::from_secs(5), clock.clone());
    let mut service = layer.layer(echo());
    let held = semaphore.try_acquire(1).unwrap();
    let mut call = pin!(service.call(7));
    assert!(poll(call.as_mut()).is_pending());
    drop(held);
    clock.advance(Duration::from_secs(50));
    assert_eq!(poll(call.as_mut()), Poll::Ready(Ok(7)));
}

fn trips_at_once() -> Arc<Breaker> {
    Arc::new(Breaker::builder().trip_on(TripRule::consecutive(1)).build().unwrap())
}

#[test]
fn a_panic_is_a_failure() {
    let panicking = || -> std::future::Ready<Result<(), ()>> { panic!("as the test wants it") };
    // Once in `call`, and once in the future.
    let at_once = service_fn(move |()| panicking());
    let later = service_fn(move |()| async move { panicking().await });

    let breaker = trips_at_once();
    let mut service = GateLayer::breaker(breaker.clone()).layer(at_once);
    let mut call = pin!(service.call(()));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(call.as_mut()))).is_err());
    assert_eq!((breaker.state(), breaker.stats().failed), (State::Open, 1));

    let breaker = trips_at_once();
    let mut service = GateLayer::new(breaker.clone()).layer(later);
    let mut call = pin!(service.call(()));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(call.as_mut()))).is_err());
    assert_eq!((breaker.state(), breaker.stats().failed), (State::Open, 1));
}

#[test]
fn a_classifier_that_panics_is_a_failure() {
    let breaker = trips_at_once();
    let layer = GateLayer::new(breaker.clone())
        .classify(|_: &Result<u32, Infallible>| panic!("as the test wants it"));
    let mut service = layer.layer(echo());
    let mut call = pin!(service.call(7));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(call.as_mut()))).is_err());
    assert_eq!((breaker.state(), breaker.stats().failed), (State::Open, 1));
}

#[test]
fn a_breakers_refusal_is_no_outcome() {
    everywhere(|| async {
        let breaker = trips_at_once();
        let inner = service_fn(|()| async { Err::<(), _>(io::ErrorKind::TimedOut) });
        let mut service = GateLayer::breaker(breaker.clone()).layer(inner);
        for _ in 0..10 {
            service.ready().await.unwrap().call(()).await.unwrap_err();
        }
        let stats = breaker.stats();
        assert_eq!((stats.failed, stats.succeeded, stats.ignored), (1, 0, 0));
    });
}

#[test]
fn a_breaker_judges_by_its_own_classifier() {
    everywhere(|| async {
        let breaker = Breaker::builder()
            .trip_on(TripRule::consecutive(1))
            .classify_errors(|error: &io::ErrorKind| match error {
                io::ErrorKind::NotFound => tidegate_core::Outcome::Ignored,
                _ => tidegate_core::Outcome::Failure,
            })
            .build()
            .unwrap();
        let breaker = Arc::new(breaker);
        let inner = service_fn(|error: io::ErrorKind| async move { Err::<(), _>(error) });
        let mut service = GateLayer::breaker(breaker.clone()).layer(inner);
        service.ready().await.unwrap().call(io::ErrorKind::NotFound).await.unwrap_err();
        assert_eq!(breaker.state(), State::Closed);
        service.ready().await.unwrap().call(io::ErrorKind::TimedOut).await.unwrap_err();
        assert_eq!(breaker.state(), State::Open);
    });
}

#[test]
fn a_row_is_entered_left_to_right_and_given_back_as_a_whole() {
    everywhere(|| async {
        let breaker = trips_at_once();
        let limiter = Arc::new(RateLimiter::new(Quota::per_hour(1)));
        let semaphore = Arc::new(Semaphore::new(1));
        let row = (breaker.clone().fail_fast_owned(), (limiter.clone(), semaphore.clone()));
        let mut service = GateLayer::new(row).refuse().layer(echo());

        let held = semaphore.try_acquire(1).unwrap();
        assert!(service.ready().await.unwrap().call(7).await.is_err());
        drop(held);
        // The token came back with the refusal.
        assert_eq!(service.ready().await.unwrap().call(7).await, Ok(7));
        assert_eq!((semaphore.available_permits(), breaker.stats().succeeded), (1, 1));
        assert!(limiter.try_enter().is_err());
    });
}

#[test]
fn a_refused_call_runs_nothing_when_it_is_polled_again() {
    let mut service = GateLayer::concurrency(0).refuse().layer(echo());
    let mut call = pin!(service.call(7));
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Err(GateError::Refused(_)))));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(call.as_mut()))).is_err());
}

/// Fails to compile where a type is not what its users need it to be.
#[test]
fn services_and_futures_can_be_spawned() {
    fn send<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn future<T: Send + 'static>(_: &T) {}
    let mut service = GateLayer::concurrency(1).layer(Strict::default());
    future(&service.call_unready());
    send(&GateLayer::breaker(trips_at_once()));
    send(&GateLayer::concurrency(1).wait_at_most(Duration::from_secs(1), ManualClock::new()));

    trait CallUnready: Service<u32> {
        fn call_unready(&mut self) -> Self::Future {
            self.call(1)
        }
    }
    impl<S: Service<u32>> CallUnready for S {}
}
