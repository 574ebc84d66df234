//! What the layers do for services of HTTP.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use test_kit::panics;
use tidegate_circuit_breaker::{Breaker, State, TripRule};
use tidegate_core::ManualClock;
use tidegate_rate_limiter::{Quota, RateLimiter};
use tidegate_semaphore::Semaphore;
use tidegate_tower::{
    GateError, GateLayer, KeyOf, KeyedRefused, RespondLayer,
    http::{ByStatus, HttpRefusal, PeerIp, RateLimitHeaders, respond},
};
use tower::{Layer, Service, ServiceExt, layer::layer_fn, service_fn};

use crate::everywhere;

/// A body of so many frames, which may end with an error.
#[derive(Default)]
struct Frames(VecDeque<Result<&'static str, &'static str>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.0.pop_front().map(|frame| frame.map(|text| Frame::data(text.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the server is to answer.
struct Answer(u16, Vec<Result<&'static str, &'static str>>);

/// Answers as its request says.
fn server()
-> impl Service<Answer, Response = Response<Frames>, Error = Infallible, Future: Send> + Clone + Send
{
    service_fn(|Answer(status, frames): Answer| async move {
        let body = Frames(frames.into());
        Ok(Response::builder().status(status).body(body).unwrap())
    })
}

#[test]
fn the_permit_lasts_until_the_body_has_ended() {
    everywhere(|| async {
        let semaphore = Arc::new(Semaphore::new(1));
        let mut service = GateLayer::new(semaphore.clone()).hold_until_body_ends().layer(server());
        let answer = Answer(200, vec![Ok("a"), Ok("b")]);
        let mut response = service.ready().await.unwrap().call(answer).await.unwrap();
        assert_eq!(semaphore.available_permits(), 0);
        response.frame().await.unwrap().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
        // After the last frame a server polls no more, as the body says that it has ended.
        response.frame().await.unwrap().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
        assert!(response.frame().await.is_none());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn an_empty_body_has_ended_with_its_head() {
    everywhere(|| async {
        let semaphore = Arc::new(Semaphore::new(1));
        let mut service = GateLayer::new(semaphore.clone()).hold_until_body_ends().layer(server());
        let _response = service.ready().await.unwrap().call(Answer(204, vec![])).await.unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_body_counts_by_how_it_ends() {
    everywhere(|| async {
        let breaker =
            Arc::new(Breaker::builder().trip_on(TripRule::consecutive(9)).build().unwrap());
        let layer = GateLayer::new(breaker.clone().fail_fast_owned())
            .classify(ByStatus)
            .hold_until_body_ends();
        let mut service = layer.layer(server());
        let outcomes = || {
            let stats = breaker.stats();
            (stats.succeeded, stats.failed, stats.ignored)
        };
        for (answer, read, counted) in [
            (Answer(200, vec![Ok("a"), Ok("b")]), 2, (1, 0, 0)),
            (Answer(200, vec![Ok("a"), Err("cut")]), 2, (1, 1, 0)),
            // A body that is dropped before its end says nothing.
            (Answer(200, vec![Ok("a"), Ok("b")]), 1, (1, 1, 1)),
            (Answer(503, vec![Ok("a"), Ok("b")]), 2, (1, 2, 1)),
            // But a head of 503 says enough, even without its body.
            (Answer(503, vec![Ok("a"), Ok("b")]), 0, (1, 3, 1)),
            (Answer(404, vec![Ok("a")]), 1, (1, 3, 2)),
            (Answer(429, vec![]), 0, (1, 4, 2)),
        ] {
            let mut response = service.ready().await.unwrap().call(answer).await.unwrap();
            for _ in 0..read {
                let _ = response.frame().await;
            }
            drop(response);
            assert_eq!(outcomes(), counted);
        }
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn a_body_that_was_given_in_full_has_ended_whether_it_says_so_or_not() {
    everywhere(|| async {
        let breaker = Arc::new(Breaker::builder().build().unwrap());
        let inner = service_fn(|(length, has_trailers): (Option<u64>, bool)| async move {
            let mut frames = vec![Frame::data(Bytes::from("ab")), Frame::data(Bytes::from("c"))];
            frames.extend(has_trailers.then(|| Frame::trailers(HeaderMap::new())));
            let frames = frames.into_iter().map(Ok::<_, Infallible>);
            let mut response = Response::new(StreamBody::new(smol::stream::iter(frames)));
            if let Some(length) = length {
                response.headers_mut().insert("content-length", length.into());
            }
            Ok::<_, Infallible>(response)
        });
        let layer = GateLayer::new(breaker.clone().fail_fast_owned()).hold_until_body_ends();
        let mut service = layer.layer(inner);
        for (length, has_trailers, read, counted) in [
            (None, true, 3, (1, 0)),
            (Some(3), false, 2, (2, 0)),
            // More data was to come, or may have been.
            (None, true, 2, (2, 1)),
            (Some(4), false, 2, (2, 2)),
            (Some(3), false, 1, (2, 3)),
            // If no frame is asked for, only the head counts.
            (Some(3), false, 0, (3, 3)),
            (None, false, 0, (4, 3)),
        ] {
            let call = service.ready().await.unwrap().call((length, has_trailers));
            let mut response = call.await.unwrap();
            for _ in 0..read {
                response.frame().await.unwrap().unwrap();
            }
            drop(response);
            let stats = breaker.stats();
            assert_eq!((stats.succeeded, stats.ignored), counted, "{length:?}, {read}");
            assert_eq!(stats.failed, 0);
        }
    });
}

#[test]
fn a_refusal_of_a_layer_that_holds_bodies_has_an_empty_one() {
    everywhere(|| async {
        let layer = GateLayer::concurrency(0).refuse().hold_until_body_ends();
        let service = layer.respond_with(respond).layer(server());
        let response = service.oneshot(Answer(200, vec![])).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.collect().await.unwrap().to_bytes().is_empty());
    });
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

#[test]
fn responses_say_what_is_left() {
    everywhere(|| async {
        for (headers, standard, older) in [
            (RateLimitHeaders::Standard, true, false),
            (RateLimitHeaders::Older, false, true),
            (RateLimitHeaders::Both, true, true),
        ] {
            let limiter = Arc::new(RateLimiter::new(Quota::per_minute(60)));
            let layer = GateLayer::new(limiter).refuse().rate_limit_headers(headers);
            let mut service = layer.layer(server());
            let response = service.ready().await.unwrap().call(Answer(200, vec![])).await.unwrap();
            let headers = response.headers();
            let when = |there: bool, value: &str| there.then(|| value.to_owned());
            assert_eq!(text(headers, "ratelimit"), when(standard, "\"default\";r=59;t=1"));
            assert_eq!(text(headers, "ratelimit-policy"), when(standard, "\"default\";q=60"));
            assert_eq!(text(headers, "x-ratelimit-limit"), when(older, "60"));
            assert_eq!(text(headers, "x-ratelimit-remaining"), when(older, "59"));
            assert_eq!(text(headers, "x-ratelimit-reset"), when(older, "1"));
        }
    });
}

#[test]
fn of_several_limits_the_one_with_least_left_is_told() {
    everywhere(|| async {
        for quotas in [[60, 2], [2, 60]] {
            let [outer, inner] = quotas.map(|quota| {
                let limiter = Arc::new(RateLimiter::new(Quota::per_minute(quota)));
                let layer = GateLayer::new(limiter).refuse();
                layer.rate_limit_headers(RateLimitHeaders::Both).respond_with(respond)
            });
            let mut service = outer.layer(inner.layer(server()));
            for (status, left, older) in
                [(200, "1", Some("1")), (200, "0", Some("0")), (429, "0", None)]
            {
                let call = service.ready().await.unwrap().call(Answer(200, vec![]));
                let response = call.await.unwrap();
                let headers = response.headers();
                let standard = text(headers, "ratelimit").unwrap();
                assert!(standard.contains(&format!(";r={left};")), "{standard}");
                assert_eq!(text(headers, "x-ratelimit-remaining").as_deref(), older);
                assert_eq!(response.status(), status);
            }
        }
    });
}

#[test]
fn a_tighter_limit_that_the_server_tells_stays() {
    everywhere(|| async {
        for (theirs, stays) in [
            (r#""burst";r=100, "day";r=1;t=60"#, true),
            (r#""day"; t=60; r=1"#, true),
            (r#""burst";r=100, "day";r=80;t=60"#, false),
            ("nonsense", false),
        ] {
            let server = service_fn(move |()| async move {
                let response = Response::builder().header("ratelimit", r#""first";r=90"#);
                Ok::<_, Infallible>(response.header("ratelimit", theirs).body(()).unwrap())
            });
            let limiter = Arc::new(RateLimiter::new(Quota::per_minute(60)));
            let layer = GateLayer::new(limiter).refuse();
            let layer = layer.rate_limit_headers(RateLimitHeaders::Standard);
            let response = layer.layer(server).oneshot(()).await.unwrap();
            let told: Vec<_> = response.headers().get_all("ratelimit").into_iter().collect();
            let theirs = [r#""first";r=90"#, theirs];
            assert_eq!(told, if stays { &theirs[..] } else { &[r#""default";r=59;t=1"#] });
        }
    });
}

/// Refuses before it is called.
#[derive(Clone)]
struct Early;

impl Service<()> for Early {
    type Response = Response<String>;
    type Error = GateError<tidegate_core::Closed, Infallible>;
    type Future = std::future::Ready<Result<Response<String>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err(GateError::TimedOut))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[test]
#[should_panic(expected = "refused before it was called")]
fn a_refusal_before_there_is_a_request_cannot_be_answered() {
    let mut service = RespondLayer::new(layer_fn(|()| Early), respond).layer(());
    let _ = service.poll_ready(&mut Context::from_waker(std::task::Waker::noop()));
}

#[test]
fn too_many_keys_are_the_service_that_has_too_much_to_do() {
    let refused = KeyedRefused::<Infallible>::TooManyKeys;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(KeyedRefused::<Infallible>::NoKey.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn a_refusal_becomes_a_response_and_no_error_is_left() {
    everywhere(|| async {
        let limiter = Arc::new(RateLimiter::new(Quota::per_hour(1)));
        let layer = GateLayer::new(limiter).refuse().respond_with(respond);
        let mut service = layer.layer(server());
        let call = service.ready().await.unwrap().call(Answer(200, vec![]));
        let response: Result<Response<Frames>, Infallible> = call.await;
        assert_eq!(response.unwrap().status(), 200);
        let response = service.ready().await.unwrap().call(Answer(200, vec![])).await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(text(response.headers(), "retry-after").as_deref(), Some("3600"));

        let busy = GateLayer::concurrency(0).refuse().respond_with(respond).layer(server());
        let response = busy.oneshot(Answer(200, vec![])).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    });
}

fn key(peer: PeerIp, headers: &[&str]) -> Option<String> {
    let mut request = Request::builder();
    for header in headers {
        request = request.header("X-Forwarded-For", *header);
    }
    peer.key_of(&request.body(()).unwrap()).map(|address| address.to_string())
}

#[test]
fn a_client_cannot_choose_its_address() {
    let two = PeerIp::behind(2);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(key(two, &["203.0.113.7, 10.0.0.1"]), some("203.0.113.7"));
    assert_eq!(key(two, &["6.6.6.6, 203.0.113.7, 10.0.0.1"]), some("203.0.113.7"));
    assert_eq!(key(two, &["6.6.6.6", "203.0.113.7", "10.0.0.1"]), some("203.0.113.7"));
    assert_eq!(key(two, &["6.6.6.6,203.0.113.7 ", "10.0.0.1"]), some("203.0.113.7"));
    // A request past the proxies, or with something else than an address, has no key.
    assert_eq!(key(two, &[]), None);
    assert_eq!(key(two, &["203.0.113.7"]), None);
    assert_eq!(key(two, &["unknown, 10.0.0.1"]), None);
    assert_eq!(key(two, &[", 10.0.0.1"]), None);
}

#[test]
fn an_address_is_its_network() {
    let one = PeerIp::behind(1);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(key(one, &["2001:db8:1:2:3:4:5:6"]), some("2001:db8:1:2::"));
    assert_eq!(key(one, &["2001:db8:1:2:ffff::1"]), some("2001:db8:1:2::"));
    assert_eq!(key(one, &["[2001:db8:1:2::1]:443"]), some("2001:db8:1:2::"));
    assert_eq!(key(one, &["[2001:db8:1:2::1]"]), some("2001:db8:1:2::"));
    assert_eq!(key(one, &["::ffff:203.0.113.7"]), some("203.0.113.7"));
    assert_eq!(key(one, &["203.0.113.7:1234"]), some("203.0.113.7"));
    // Translated by `64:ff9b::/96`, an IPv4 address is its own key; else the network is the key.
    assert_eq!(key(one, &["64:ff9b::203.0.113.7"]), some("203.0.113.7"));
    assert_eq!(key(one, &["64:ff9b:1::203.0.113.7"]), some("64:ff9b:1::"));
}

#[test]
fn a_network_is_as_large_as_its_prefix_is_short() {
    for (bits, network) in [
        (1, "::"),
        (48, "2001:db8:1::"),
        (56, "2001:db8:1:200::"),
        (64, "2001:db8:1:2ff::"),
        (128, "2001:db8:1:2ff::1"),
    ] {
        let peer = PeerIp::behind(1).ipv6_prefix(bits);
        assert_eq!(key(peer, &["2001:db8:1:2ff::1"]).as_deref(), Some(network));
        assert_eq!(key(peer, &["203.0.113.7"]).as_deref(), Some("203.0.113.7"));
    }
    for wrong in [0, 129] {
        assert!(panics(|| PeerIp::behind(1).ipv6_prefix(wrong)));
    }
}

#[test]
fn an_address_of_the_connection_needs_no_header() {
    let direct = PeerIp::of_connection(|extensions| extensions.get::<SocketAddr>().copied());
    let address: SocketAddr = "203.0.113.7:1234".parse().unwrap();
    let request = Request::builder().extension(address).body(()).unwrap();
    assert_eq!(direct.key_of(&request), Some("203.0.113.7".parse::<IpAddr>().unwrap()));
    assert_eq!(direct.key_of(&Request::new(())), None);
}

#[test]
#[should_panic(expected = "trusted_hops is 0, but must be at least 1")]
fn nobody_in_front_can_be_trusted_for_a_header() {
    let _ = PeerIp::behind(0);
}

#[test]
fn a_wait_that_was_too_long_is_a_service_that_is_not_available() {
    everywhere(|| async {
        let semaphore = Arc::new(Semaphore::new(1));
        let layer = GateLayer::new(semaphore.clone())
            .wait_at_most(Duration::ZERO, tidegate_core::SystemClock)
            .respond_with(respond);
        let _held = semaphore.try_acquire(1).unwrap();
        let response = layer.layer(server()).oneshot(Answer(200, vec![])).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    });
}

#[test]
fn an_answer_says_for_how_long_its_breaker_stays_open() {
    everywhere(|| async {
        for (after, at_most, open_for) in [("120", 600, Some(120)), ("9999999", 600, Some(600))] {
            let clock = ManualClock::new();
            let builder = Breaker::builder().clock(clock.clone()).classifier(ByStatus);
            let breaker = Arc::new(builder.build().unwrap());
            let inner = service_fn(move |status: u16| async move {
                let head = Response::builder().status(status).header("retry-after", after);
                Ok::<_, Infallible>(head.body(()).unwrap())
            });
            let layer = GateLayer::breaker(breaker.clone());
            let mut service = layer.heed_retry_after(Duration::from_secs(at_most)).layer(inner);
            // A response that is no failure opens no breaker.
            for status in [200, 404] {
                service.ready().await.unwrap().call(status).await.unwrap();
                assert_eq!(breaker.state(), State::Closed);
            }
            service.ready().await.unwrap().call(503).await.unwrap();
            let Err(GateError::Refused(refused)) = service.ready().await.unwrap().call(200).await
            else {
                panic!("it is closed")
            };
            assert_eq!(refused.retry_after, open_for.map(Duration::from_secs));
        }
    });
}

#[test]
fn a_row_that_begins_with_a_breaker_heeds_its_server_too() {
    everywhere(|| async {
        let breaker = Arc::new(Breaker::builder().clock(ManualClock::new()).build().unwrap());
        let semaphore = Arc::new(Semaphore::new(1));
        let inner = service_fn(|()| async {
            let head = Response::builder().status(503).header("retry-after", "7");
            Ok::<_, Infallible>(head.body(()).unwrap())
        });
        let mut service = GateLayer::new((breaker.clone().fail_fast_owned(), semaphore.clone()))
            .classify(ByStatus)
            .heed_retry_after(Duration::MAX)
            .layer(inner);
        service.ready().await.unwrap().call(()).await.unwrap();
        assert_eq!((breaker.state(), semaphore.available_permits()), (State::Open, 1));
    });
}
