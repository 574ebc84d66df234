//! The layers before tower's own mocks, which count what is made ready, called and dropped.

use std::sync::Arc;

use tidegate_semaphore::Semaphore;
use tidegate_tower::{GateError, GateLayer};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower_test::mock;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[test]
fn a_service_that_is_not_ready_makes_nothing_ready_and_takes_no_permit() {
    let semaphore = Arc::new(Semaphore::new(1));
    let layer = GateLayer::new(semaphore.clone());
    let (mut service, mut handle) = mock::spawn_layer::<u32, u32, _>(layer);
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    assert_ready_ok!(service.poll_ready());
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_request_reaches_the_service_when_its_gate_lets_it_in() {
    let semaphore = Arc::new(Semaphore::new(1));
    let layer = GateLayer::new(semaphore.clone());
    let (mut service, mut handle) = mock::spawn_layer::<u32, u32, _>(layer);
    let mut requests = task::spawn(async { handle.next_request().await });
    let held = semaphore.try_acquire(1).unwrap();
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    assert_pending!(requests.poll());
    drop(held);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    let (request, response) = assert_ready!(requests.poll()).unwrap();
    assert_eq!((request, semaphore.available_permits()), (7, 0));
    response.send_response(8);
    assert_eq!(assert_ready_ok!(call.poll()), 8);
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn an_error_of_the_mock_passes_unchanged() {
    let (mut service, mut handle) = mock::spawn_layer::<u32, u32, _>(GateLayer::concurrency(1));
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    let mut requests = task::spawn(handle.next_request());
    let (_, response) = assert_ready!(requests.poll()).unwrap();
    response.send_error("down");
    let error: Error = match assert_ready!(call.poll()) {
        Err(GateError::Inner(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error.to_string(), "down");
}
