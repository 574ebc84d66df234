//! Many calls, one batch.

use std::{convert::Infallible, task::Poll};

use test_kit::{Task, quiet_panic};
use tidegate_batch_processor::{BatchError, Batcher, OnFull, SubmitError};
use tidegate_core::ManualClock;
use tidegate_tower::{BatchService, GateError, GateLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::everywhere;

/// Answers each item with the size of its batch.
fn sizes()
-> impl Service<Vec<u32>, Response = Vec<(u32, usize)>, Error = &'static str, Future: Send>
+ Clone
+ Send {
    service_fn(|items: Vec<u32>| async move {
        smol::future::yield_now().await;
        if items.contains(&13) {
            return Err("unlucky");
        }
        let size = items.len();
        Ok(items.into_iter().map(|item| (item, size)).collect())
    })
}

#[test]
fn calls_of_all_clones_share_a_batch_and_each_gets_its_own_response() {
    everywhere(|| async {
        let settings = Batcher::builder().max_items(3).clock(ManualClock::new());
        let (mut one, driver) = BatchService::pair(sizes(), settings).unwrap();
        let mut driver = Task::new(driver);
        let mut other = one.clone();
        let mut calls = [
            Task::waiting(one.ready().await.unwrap().call(1)),
            Task::waiting(other.ready().await.unwrap().call(2)),
            Task::waiting(other.ready().await.unwrap().call(3)),
        ];
        assert!(driver.run().is_pending());
        for (call, n) in calls.iter_mut().zip(1..) {
            assert!(matches!(call.poll(), Poll::Ready(Ok(response)) if response == (n, 3)));
        }
    });
}

#[test]
fn a_failure_of_the_inner_service_reaches_the_calls_of_its_batch() {
    everywhere(|| async {
        let settings = Batcher::builder().max_items(1).clock(ManualClock::new());
        let (mut service, driver) = BatchService::pair(sizes(), settings).unwrap();
        let mut driver = Task::new(driver);
        for (item, fails) in [(13, true), (7, false)] {
            let mut call = Task::waiting(service.ready().await.unwrap().call(item));
            assert!(driver.run().is_pending());
            match call.poll() {
                Poll::Ready(Err(SubmitError::Failed(BatchError::Handler(error)))) => {
                    assert_eq!((*error, fails), ("unlucky", true));
                }
                Poll::Ready(Ok(response)) => assert_eq!((response, fails), ((7, 1), false)),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_panic_of_the_inner_service_fails_its_batch_alone() {
    for at in 0..2 {
        let inner = service_fn(move |items: Vec<u32>| {
            if at == 0 && items.contains(&13) {
                quiet_panic("in the call");
            }
            async move {
                if items.contains(&13) {
                    quiet_panic("in its future");
                }
                Ok::<_, Infallible>(items)
            }
        });
        let settings = Batcher::builder().max_items(1).clock(ManualClock::new());
        let (mut service, driver) = BatchService::pair(inner, settings).unwrap();
        let mut driver = Task::new(driver);
        let mut call = Task::waiting(service.call(13));
        assert!(driver.run().is_pending());
        assert!(matches!(
            call.poll(),
            Poll::Ready(Err(SubmitError::Failed(BatchError::Panicked(_))))
        ));
        let mut call = Task::waiting(service.call(7));
        assert!(driver.run().is_pending());
        assert!(matches!(call.poll(), Poll::Ready(Ok(7))));
    }
}

#[test]
fn nothing_is_handed_in_before_the_first_poll_and_a_full_batcher_refuses() {
    everywhere(|| async {
        let settings = Batcher::builder()
            .max_items(2)
            .capacity(2)
            .on_full(OnFull::Wait)
            .clock(ManualClock::new());
        let (mut service, driver) = BatchService::pair(sizes(), settings).unwrap();
        let mut driver = Task::new(driver);
        let unpolled = service.ready().await.unwrap().call(1);
        let mut inside = [2, 3].map(|n| Task::waiting(service.call(n)));
        let mut refused = Task::new(service.ready().await.unwrap().call(4));
        let Poll::Ready(Err(SubmitError::Refused(refused))) = refused.poll() else {
            panic!("there is room")
        };
        assert_eq!((refused.is_full(), refused.into_inner()), (true, 4));
        assert!(driver.run().is_pending());
        assert!(inside.iter_mut().all(|call| matches!(call.poll(), Poll::Ready(Ok((_, 2))))));
        drop(unpolled);
    });
}

#[test]
fn behind_a_gate_of_its_size_calls_wait_for_room() {
    everywhere(|| async {
        let settings = Batcher::builder().max_items(2).capacity(2).clock(ManualClock::new());
        let (service, driver) = BatchService::pair(sizes(), settings).unwrap();
        let mut driver = Task::new(driver);
        let mut service = GateLayer::concurrency(2).layer(service);
        let mut calls: Vec<_> = (0..4).map(|n| Task::waiting(service.call(n))).collect();
        assert!(driver.run().is_pending());
        assert!(calls.drain(..2).all(|mut call| call.poll().is_ready()));
        assert!(calls.iter_mut().all(|call| call.is_pending()));
        assert!(driver.run().is_pending());
        assert!(calls.drain(..).all(|mut call| matches!(call.poll(), Poll::Ready(Ok((_, 2))))));
    });
}

#[test]
fn a_call_that_is_dropped_leaves_its_item_and_so_no_room() {
    everywhere(|| async {
        let settings = Batcher::builder().max_items(2).capacity(2).clock(ManualClock::new());
        let (service, driver) = BatchService::pair(sizes(), settings).unwrap();
        let batcher = service.batcher().clone();
        let mut driver = Task::new(driver);
        let mut service = GateLayer::concurrency(2).layer(service);
        let [dropped, mut other] = [1, 2].map(|n| Task::waiting(service.call(n)));
        drop(dropped);
        assert_eq!(batcher.stats().waiting, 2);
        let refused = Task::new(service.call(3)).poll();
        let Poll::Ready(Err(GateError::Inner(SubmitError::Refused(refused)))) = refused else {
            panic!("there is room")
        };
        assert_eq!((refused.is_full(), refused.into_inner()), (true, 3));
        assert!(driver.run().is_pending());
        assert!(matches!(other.poll(), Poll::Ready(Ok((2, 2)))));
    });
}

#[test]
fn the_last_clone_ends_the_driver() {
    let inner = service_fn(|items: Vec<u32>| async { Ok::<_, Infallible>(items) });
    let (service, driver) =
        BatchService::pair(inner, Batcher::builder().clock(ManualClock::new())).unwrap();
    let mut driver = Task::waiting(driver);
    let clone = service.clone();
    drop(service);
    assert!(driver.is_pending());
    drop(clone);
    assert!(driver.is_ready());
}
