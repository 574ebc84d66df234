//! How often the upstream is asked again, and when.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use serde_json::json;
use test_kit::Task;
use tidegate::{Backoff, ManualClock};
use tower::{Layer, ServiceExt, service_fn};
use web::{
    answer::{Answer, UpstreamError},
    retry::RetryLayer,
    upstream::Mode,
};

use crate::service::Service;

const SECOND: Duration = Duration::from_secs(1);

fn status(status: u16, retry_after: Option<u64>) -> UpstreamError {
    UpstreamError::Status { status, retry_after: retry_after.map(Duration::from_secs) }
}

/// A call to an upstream that fails with `error` except at attempt `good`, and the number of
/// attempts so far. A pause lasts a second, there are at most three attempts, and no longer pause
/// than ten seconds may be asked for.
fn call(
    clock: &ManualClock,
    error: UpstreamError,
    good: usize,
) -> (Task<impl Future<Output = Result<Answer, UpstreamError>>>, Arc<AtomicUsize>) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let upstream = {
        let attempts = attempts.clone();
        service_fn(move |_: u32| {
            let attempt = attempts.fetch_add(1, Ordering::Relaxed) + 1;
            ready(if attempt == good { Ok(Answer::Fresh(Bytes::new())) } else { Err(error) })
        })
    };
    let backoff = Backoff::fixed(SECOND).jitter(0.0);
    let layer = RetryLayer::new(backoff, 10 * SECOND, clock.clone());
    (Task::new(layer.layer(upstream).oneshot(7)), attempts)
}

#[test]
fn what_may_pass_is_tried_again_after_a_pause() {
    for (error, attempts) in [
        (UpstreamError::Unreachable, 3),
        (status(500, None), 3),
        (status(503, None), 3),
        (status(404, None), 1),
        // The upstream goes on with a call that has timed out: another would double its work.
        (UpstreamError::TimedOut, 1),
    ] {
        let clock = ManualClock::new();
        let (mut call, made) = call(&clock, error, usize::MAX);
        for attempt in 1..attempts {
            assert!(!call.is_ready());
            assert_eq!(made.load(Ordering::Relaxed), attempt, "{error}");
            clock.advance(SECOND);
        }
        assert_eq!(call.output(), Err(error));
        assert_eq!(made.load(Ordering::Relaxed), attempts, "{error}");
    }
    let clock = ManualClock::new();
    let (mut call, _) = call(&clock, UpstreamError::Unreachable, 2);
    assert!(!call.is_ready());
    clock.advance(SECOND);
    assert_eq!(call.output(), Ok(Answer::Fresh(Bytes::new())));
}

#[test]
fn an_upstream_that_asks_for_a_pause_is_not_asked_again_before_its_end() {
    let clock = ManualClock::new();
    let (mut wait, made) = call(&clock, status(503, Some(10)), 2);
    assert!(!wait.is_ready());
    clock.advance(10 * SECOND - Duration::from_nanos(1));
    assert!(!wait.is_ready());
    assert_eq!(made.load(Ordering::Relaxed), 1);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(wait.output(), Ok(Answer::Fresh(Bytes::new())));

    let (mut wait, made) = call(&clock, status(503, Some(11)), 2);
    assert_eq!(wait.output(), Err(status(503, Some(11))), "that is too long");
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

/// Starts a service whose upstream fails, with a breaker that never opens.
async fn failing(budget: u32, retry_after: Option<Duration>) -> Service {
    let service = Service::start(|settings| {
        let guard = &mut settings.guard;
        guard.quota = "1000000/s".parse().unwrap();
        guard.retry = Backoff::fixed(Duration::ZERO).budget(budget);
        let breaker = &mut guard.breaker;
        (breaker.failure_rate, breaker.minimum_calls, breaker.window) = (None, None, None);
        breaker.consecutive = Some(8000);
        settings.upstream.retry_after = retry_after;
    })
    .await;
    service.server.web().upstream.set_mode(Mode::Failing);
    service
}

#[tokio::test]
async fn a_failing_upstream_is_asked_no_more_often_than_the_budget_allows() {
    const REQUESTS: u32 = 200;
    let service = failing(20, None).await;
    for item in 0..REQUESTS {
        assert_eq!(service.item("203.0.113.7", item).await.status, 502);
    }
    // Each of them would be tried three times; but 10 retries are there at the start, and each
    // request earns a fifth of one.
    let web = service.server.web();
    let most = (REQUESTS + 10 + REQUESTS / 5) as usize;
    assert_eq!(web.upstream.calls(), most);

    // A change of another setting leaves the budget as it is: spent.
    let changes = json!({"guard": {"patience": "1s", "max_retry_after": "1s"}});
    web.change(changes.as_object().unwrap().clone()).unwrap();
    assert_eq!(service.item("203.0.113.7", REQUESTS).await.status, 502);
    assert_eq!(web.upstream.calls(), most + 1);
}

#[tokio::test]
async fn a_client_is_told_what_the_upstream_asks_for() {
    let service = failing(20, Some(SECOND)).await;
    let response = service.item("203.0.113.7", 1).await;
    assert_eq!((response.status.as_u16(), response.header("retry-after")), (503, "1"));
    assert_eq!(service.server.web().upstream.calls(), 1, "a second is longer than it would wait");
}

#[tokio::test]
async fn a_retry_that_finds_the_breaker_open_ends_in_the_fallback() {
    let service = Service::start(|settings| {
        settings.guard.retry = Backoff::fixed(Duration::ZERO);
        settings.guard.breaker.consecutive = Some(2);
    })
    .await;
    let upstream = &service.server.web().upstream;
    upstream.set_mode(Mode::Failing);
    let response = service.item("203.0.113.7", 1).await;
    assert_eq!((response.status.as_u16(), response.header("x-source")), (200, "fallback"));
    assert_eq!(upstream.calls(), 2);
}
