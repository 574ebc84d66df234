//! A breaker's own classifier decides how that breaker counts a call, in whatever layer it stands.

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc, time::Duration};

use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use tidegate_circuit_breaker::{Breaker, Builder, KeyedBreaker, TripRule};
use tidegate_core::SystemClock;
use tidegate_rate_limiter::{Quota, RateLimiter};
use tidegate_semaphore::{
    Semaphore,
    adaptive::{AdaptiveSemaphore, Aimd},
};
use tidegate_tower::{GateLayer, http::ByStatus};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};

type Judged = Breaker<SystemClock, (), ByStatus>;
type Server = BoxCloneService<u16, Response<String>, Infallible>;

fn builder() -> Builder<SystemClock, (), ByStatus> {
    Breaker::builder().trip_on(TripRule::never()).classifier(ByStatus)
}

/// Makes three calls: a success, a failure, and one that the breaker ignores. Without its
/// classifier they would be three successes.
#[track_caller]
fn expect_its_classifier<L, B>(breaker: &Judged, layer: L)
where
    L: Layer<Server>,
    L::Service: Service<u16, Response = Response<B>>,
    B: Body,
{
    let server = service_fn(|status: u16| async move {
        let response = Response::builder().status(status).header("retry-after", "7");
        Ok(response.body("a body".to_owned()).unwrap())
    });
    let mut service = layer.layer(Server::new(server));
    let counts = || {
        let stats = breaker.stats();
        (stats.succeeded, stats.ignored, stats.failed)
    };
    let (succeeded, ignored, failed) = counts();
    smol::block_on(async {
        // The failure comes last, as it may open the breaker.
        for status in [200, 404, 503] {
            let ready = service.ready().await.unwrap_or_else(|_| panic!("it is ready"));
            let response = ready.call(status).await.unwrap_or_else(|_| panic!("it is let in"));
            assert!(response.into_body().collect().await.is_ok());
        }
    });
    assert_eq!(counts(), (succeeded + 1, ignored + 1, failed + 1));
    breaker.reset();
}

#[test]
fn a_breakers_classifier_decides_in_every_layer() {
    let breaker = Arc::new(builder().build().unwrap());
    let owned = || breaker.clone().fail_fast_owned();
    let semaphore = Arc::new(Semaphore::new(1));
    let limiter = Arc::new(RateLimiter::new(Quota::per_second(1_000_000)));
    let adaptive = Arc::new(AdaptiveSemaphore::builder(Aimd::new()).build().unwrap());
    let hour = Duration::from_secs(3600);

    expect_its_classifier(&breaker, GateLayer::breaker(breaker.clone()));
    expect_its_classifier(&breaker, GateLayer::new(breaker.clone()));
    expect_its_classifier(&breaker, GateLayer::new(owned()));
    expect_its_classifier(&breaker, GateLayer::new((owned(), semaphore.clone())));
    expect_its_classifier(&breaker, GateLayer::new((limiter, (breaker.clone(), adaptive.clone()))));
    let held = GateLayer::new(owned()).hold_until_body_ends();
    expect_its_classifier(&breaker, held);
    let held = GateLayer::new((adaptive.clone(), owned())).hold_until_body_ends();
    expect_its_classifier(&breaker, held);
    let heeding = GateLayer::new((owned(), adaptive)).heed_retry_after(hour);
    expect_its_classifier(&breaker, heeding);
    assert_eq!(semaphore.available_permits(), 1);

    let servers =
        Arc::new(KeyedBreaker::<u32, _, _, _>::new(NonZeroUsize::MIN, builder()).unwrap());
    let layer = GateLayer::keyed(servers.clone(), |_: &u16| Some(7_u32));
    expect_its_classifier(&servers.gate(&7).unwrap(), layer);
}
