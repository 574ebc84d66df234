//! A gate for each key.

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc};

use tidegate_circuit_breaker::{Breaker, KeyedBreaker, State, TripRule};
use tidegate_rate_limiter::{KeyedLimiter, Quota};
use tidegate_tower::{GateError, GateLayer, KeyedRefused};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::everywhere;

const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

fn echo() -> impl Service<u32, Response = u32, Error = Infallible, Future: Send> + Clone + Send {
    service_fn(|n: u32| async move { Ok(n) })
}

fn clients(per_hour: u32) -> Arc<KeyedLimiter<u32>> {
    Arc::new(KeyedLimiter::new(Quota::per_hour(per_hour), MAX_KEYS))
}

#[test]
fn each_key_has_a_limit_of_its_own() {
    everywhere(|| async {
        let layer = GateLayer::keyed(clients(2), |client: &u32| Some(*client)).refuse();
        let mut service = layer.layer(echo());
        for client in [1, 2] {
            let mut calls = Vec::new();
            for _ in 0..3 {
                calls.push(service.ready().await.unwrap().call(client).await.is_ok());
            }
            assert_eq!(calls, [true, true, false]);
        }
    });
}

#[test]
fn a_request_without_a_key_is_refused() {
    everywhere(|| async {
        let layer = GateLayer::keyed(clients(2), |_: &u32| None::<u32>);
        let refused = layer.layer(echo()).oneshot(7).await;
        assert!(matches!(refused, Err(GateError::Refused(KeyedRefused::NoKey))), "{refused:?}");
    });
}

/// A million clients, but in debug fewer, unless `TIDEGATE_ROUNDS` says otherwise.
fn forged_clients() -> u32 {
    match std::env::var("TIDEGATE_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("TIDEGATE_ROUNDS is no number"),
        Err(_) if cfg!(debug_assertions) => 20_000,
        Err(_) => 1_000_000,
    }
}

#[test]
fn keys_stay_bounded_under_a_million_forged_ones() {
    let forged = forged_clients();
    let limiter = clients(2);
    let layer = GateLayer::keyed(limiter.clone(), |client: &u32| Some(*client)).refuse();
    let mut service = layer.layer(echo());
    let (mut answered, mut too_many) = (0, 0);
    smol::block_on(async {
        for client in 0..forged {
            match service.ready().await.unwrap().call(client).await {
                Ok(_) => answered += 1,
                Err(GateError::Refused(KeyedRefused::TooManyKeys)) => too_many += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(limiter.len() <= MAX_KEYS.get());
        }
    });
    assert_eq!((answered, too_many), (MAX_KEYS.get(), forged as usize - MAX_KEYS.get()));
}

#[test]
fn one_servers_breaker_stops_no_other_server() {
    everywhere(|| async {
        let builder = Breaker::builder().trip_on(TripRule::consecutive(1));
        let servers = Arc::new(KeyedBreaker::<u32>::new(MAX_KEYS, builder).unwrap());
        let inner =
            service_fn(
                |server: u32| async move { if server == 1 { Err("down") } else { Ok(server) } },
            );
        let mut service =
            GateLayer::keyed(servers.clone(), |server: &u32| Some(*server)).layer(inner);
        assert_eq!(service.ready().await.unwrap().call(1).await, Err(GateError::Inner("down")));
        let refused = service.ready().await.unwrap().call(1).await;
        assert!(matches!(refused, Err(GateError::Refused(KeyedRefused::Refused(_)))));
        assert_eq!(service.ready().await.unwrap().call(2).await, Ok(2));
        assert_eq!((servers.state(&1), servers.state(&2)), (State::Open, State::Closed));
    });
}
