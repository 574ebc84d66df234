//! What clients are told of their limits, and what they cannot do.

use std::{env, net::Ipv4Addr, num::NonZeroUsize};

use crate::service::Service;

#[tokio::test]
async fn a_client_is_told_what_is_left_of_its_limit() {
    let service = Service::start(|settings| {
        settings.guard.quota = "1/h burst 2".parse().unwrap();
    })
    .await;
    for left in ["1", "0"] {
        let response = service.item("203.0.113.7", 1).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("ratelimit-policy"), "\"default\";q=2");
        assert!(response.header("ratelimit").starts_with(&format!("\"default\";r={left};t=")));
        assert_eq!(response.header("x-ratelimit-limit"), "2");
        assert_eq!(response.header("x-ratelimit-remaining"), left);
    }
    let refused = service.item("203.0.113.7", 1).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("ratelimit").starts_with("\"default\";r=0;t="));
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 3000);
    assert_eq!(service.item("203.0.113.8", 1).await.status, 200);
}

#[tokio::test]
async fn a_client_cannot_choose_its_address() {
    let service = Service::start(|settings| {
        settings.guard.quota = "1/h".parse().unwrap();
    })
    .await;
    // The last entry is the proxy's; what stands before it is the client's own invention.
    assert_eq!(service.item("1.1.1.1, 203.0.113.7", 1).await.status, 200);
    assert_eq!(service.item("2.2.2.2, 203.0.113.7", 1).await.status, 429);
    assert_eq!(service.item("", 1).await.status, 400);
}

/// A million clients, but in debug fewer, unless `TIDEGATE_ROUNDS` says otherwise.
fn spoofed_clients() -> u32 {
    match env::var("TIDEGATE_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("TIDEGATE_ROUNDS is no number"),
        Err(_) if cfg!(debug_assertions) => 5_000,
        Err(_) => 1_000_000,
    }
}

#[tokio::test]
async fn a_million_spoofed_clients_stay_within_max_clients() {
    const MAX: usize = 100;
    let service = Service::start(|settings| {
        settings.guard.max_clients = NonZeroUsize::new(MAX).unwrap();
    })
    .await;
    let current = service.server.web().current();
    let mut answered = 0;
    for client in 0..spoofed_clients() {
        let response = service.item(&Ipv4Addr::from_bits(client).to_string(), 1).await;
        if response.status == 200 {
            answered += 1;
        } else {
            assert_eq!(response.status, 503);
        }
        assert!(current.parts.clients.len() <= MAX);
    }
    assert_eq!(answered, MAX);
}
