//! One call for equal requests in flight.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use test_kit::Task;
use tidegate_tower::CoalesceLayer;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

use crate::everywhere;

#[test]
fn equal_requests_in_flight_share_one_call() {
    everywhere(|| async {
        let calls = Arc::new(AtomicUsize::new(0));
        let counting = calls.clone();
        let inner = service_fn(move |path: String| {
            counting.fetch_add(1, Ordering::Relaxed);
            async move {
                smol::future::yield_now().await;
                if path == "/down" { Err(503) } else { Ok(path.len()) }
            }
        });
        let layer = CoalesceLayer::new(|path: &String| Some(path.clone()));
        let (mut one, mut other) = (layer.layer(inner.clone()), layer.layer(inner));
        let mut clone = one.clone();
        for (path, result) in [("/a", Ok(2)), ("/down", Err(503))] {
            calls.store(0, Ordering::Relaxed);
            let mut tasks = Vec::new();
            for service in [&mut one, &mut other, &mut clone] {
                tasks.push(Task::waiting(service.ready().await.unwrap().call(path.to_owned())));
            }
            for task in &mut tasks {
                assert_eq!(task.run(), Poll::Ready(result));
            }
            assert_eq!(calls.load(Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn a_request_without_a_key_is_called_for_by_itself() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = calls.clone();
    let inner = service_fn(move |()| {
        counting.fetch_add(1, Ordering::Relaxed);
        pending::<Result<(), Infallible>>()
    });
    let mut service = CoalesceLayer::new(|(): &()| None::<u8>).layer(inner);
    let _both = [(); 2].map(|()| Task::waiting(service.call(())));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn callers_that_wait_for_a_response_reserve_nothing_of_the_inner_service() {
    let inner = service_fn(|n: u8| async move {
        if n == 1 {
            pending::<()>().await
        }
        Ok::<_, Infallible>(n)
    });
    let mut service = CoalesceLayer::new(|n: &u8| Some(*n)).layer(ConcurrencyLimit::new(inner, 2));
    let mut call = |n| {
        assert!(Task::new(service.ready()).poll().is_ready());
        service.call(n)
    };
    let _waiting = [1; 3].map(|n| Task::waiting(call(n)));
    assert_eq!(Task::new(call(2)).poll(), Poll::Ready(Ok(2)));
}

#[test]
fn a_caller_that_gives_up_takes_no_other_along() {
    let inner = service_fn(|n: u8| async move {
        if n == 1 {
            pending::<()>().await
        }
        Ok::<_, Infallible>(n)
    });
    let mut service = CoalesceLayer::new(|_: &u8| Some(())).layer(inner);
    let first = Task::waiting(service.call(1));
    let mut second = Task::waiting(service.call(2));
    drop(first);
    assert_eq!((second.woken(), second.poll()), (1, Poll::Ready(Ok(2))));
}
