//! What the guard does when the upstream does not do its part.

use test_kit::poll;
use web::upstream::Mode;

use crate::service::Service;

#[tokio::test]
async fn equal_requests_share_one_call() {
    let service = Service::start(|_| {}).await;
    let web = service.server.web();
    web.upstream.set_mode(Mode::Down);
    let mut requests: Vec<_> =
        (1..=10).map(|n| Box::pin(service.item(&format!("203.0.113.{n}"), 7))).collect();
    for request in &mut requests {
        assert!(poll(request).is_pending());
    }
    let parts = &web.current().parts;
    assert_eq!((parts.clients.stats().allowed, parts.limit.stats().in_flight), (10, 1));
    web.upstream.set_mode(Mode::Normal);
    for request in requests {
        let response = request.await;
        assert_eq!((response.status.as_u16(), response.header("x-source")), (200, "fresh"));
    }
    assert_eq!(parts.breaker.stats().succeeded, 1);
}

#[tokio::test]
async fn an_upstream_that_fails_is_left_alone_and_the_fallback_answers() {
    let service = Service::start(|settings| settings.guard.breaker.minimum_calls = Some(2)).await;
    let web = service.server.web();
    web.upstream.set_mode(Mode::Failing);
    for item in 0..2 {
        assert_eq!(service.item("203.0.113.7", item).await.status, 502);
    }
    // It works again, but is not asked before the breaker's time is over.
    web.upstream.set_mode(Mode::Normal);
    let response = service.item("203.0.113.7", 2).await;
    assert_eq!((response.status.as_u16(), response.header("x-source")), (200, "fallback"));
    assert!(response.body.contains("\"text\":null"), "{}", response.body);
}

#[tokio::test]
async fn what_would_wait_too_long_is_shed_and_told_to_come_back() {
    let service = Service::start(|settings| {
        let limit = &mut settings.guard.limit;
        (limit.min, limit.max, limit.initial) = (Some(1), Some(1), None);
        settings.guard.patience = Default::default();
    })
    .await;
    let web = service.server.web();
    web.upstream.set_mode(Mode::Down);
    let mut first = Box::pin(service.item("203.0.113.7", 1));
    assert!(poll(&mut first).is_pending());
    let shed = service.item("203.0.113.7", 2).await;
    assert_eq!((shed.status.as_u16(), shed.header("x-source")), (503, "shed"));
    assert_eq!(shed.header("retry-after"), "1");
    // The client of the first one leaves, which frees its permit.
    drop(first);
    web.upstream.set_mode(Mode::Normal);
    assert_eq!(service.item("203.0.113.7", 3).await.status, 200);
}
