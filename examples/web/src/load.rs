//! The load generator: an open loop, which sends at its rate whether requests are answered or not.

use std::{
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    http::{Request, StatusCode},
};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;
use tidegate::{Semaphore, random::Random};
use tokio::{sync::Notify, task::JoinHandle, time};

use crate::{api::SOURCE, settings::LoadSettings};

/// How a request has ended, for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With the upstream's item.
    Fresh,
    /// With the service's fallback.
    Fallback,
    /// Refused, for this client has asked too often.
    Limited,
    /// Refused, for there was too much to do.
    Shed,
    /// With an error.
    Failed,
    /// With nothing: the client has given up.
    GaveUp,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// When it was sent.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub end: End,
}

/// The most requests at once: this process has only so many sockets.
const MOST_AT_ONCE: usize = 220;

/// Sends requests to the service, at a rate that can be changed. Ends when it is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    sending: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    settings: LoadSettings,
    service: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
    /// Requests in a minute.
    rate: AtomicU32,
    changed: Notify,
    at_once: Arc<Semaphore>,
    ended: Mutex<Vec<Sent>>,
}

impl Load {
    /// Starts a load generator that sends nothing yet. It plays the proxy in front of `service`,
    /// and its clients, whose addresses it writes into `X-Forwarded-For`.
    pub fn start(service: SocketAddr, settings: LoadSettings) -> Self {
        let shared = Arc::new(Shared {
            settings,
            service,
            client: Client::builder(TokioExecutor::new()).build_http(),
            rate: AtomicU32::new(0),
            changed: Notify::new(),
            at_once: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            ended: Mutex::default(),
        });
        Self { sending: tokio::spawn(send(shared.clone())), shared }
    }

    /// Sends at so many times the rate of the settings.
    pub fn set_factor(&self, factor: u32) {
        self.set_rate(f64::from(factor * self.shared.settings.rate));
    }

    /// Sends so many requests a second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    pub fn set_rate(&self, per_second: f64) {
        self.shared.rate.store((per_second * 60.0) as u32, Ordering::Relaxed);
        self.shared.changed.notify_one();
    }

    /// Returns how many times the rate of the settings it sends.
    pub fn factor(&self) -> u32 {
        let per_minute = self.shared.rate.load(Ordering::Relaxed);
        per_minute / 60 / self.shared.settings.rate.max(1)
    }

    /// Returns the requests that have ended since the last call.
    pub fn take(&self) -> Vec<Sent> {
        mem::take(&mut *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops sending. Requests under way are still answered.
    pub fn stop(&self) {
        self.sending.abort();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn send(shared: Arc<Shared>) {
    const TICK: Duration = Duration::from_millis(5);
    let mut random = Random::new(1);
    let (mut owed, mut last) = (0.0, Instant::now());
    loop {
        if shared.rate.load(Ordering::Relaxed) == 0 {
            shared.changed.notified().await;
            last = Instant::now();
        }
        time::sleep(TICK).await;
        let now = Instant::now();
        owed += f64::from(shared.rate.load(Ordering::Relaxed)) / 60.0 * (now - last).as_secs_f64();
        last = now;
        while owed >= 1.0 {
            owed -= 1.0;
            let request = shared.request(&mut random);
            if let Ok(permit) = shared.at_once.clone().try_acquire_owned(1) {
                let shared = shared.clone();
                tokio::spawn(async move {
                    shared.note(now, shared.end_of(request).await);
                    drop(permit);
                });
            } else {
                // The client would wait for a connection until it gives up.
                let took = shared.settings.timeout;
                shared.push(Sent { at: now, took, end: End::GaveUp });
            }
        }
    }
}

impl Shared {
    fn request(&self, random: &mut Random) -> Request<Empty<Bytes>> {
        const ITEMS: usize = 1_000_000;
        let LoadSettings { clients, hot_one_in, greedy_one_in, .. } = self.settings;
        let is = |one_in: usize, random: &mut Random| one_in > 0 && random.is_one_in(one_in);
        let item = if is(hot_one_in, random) { 0 } else { 1 + random.below(ITEMS) };
        let client = if is(greedy_one_in, random) {
            0
        } else {
            1 + random.below(usize::from(clients.clamp(1, 254)))
        };
        Request::get(format!("http://{}/api/items/{item}", self.service))
            .header("X-Forwarded-For", format!("{CLIENTS}{client}"))
            .body(Empty::new())
            .expect("numbers make a request")
    }

    /// Sends a request and waits for the end, the body included.
    async fn end_of(&self, request: Request<Empty<Bytes>>) -> End {
        let answer = async {
            let response = self.client.request(request).await.ok()?;
            let (head, body) = response.into_parts();
            body.collect().await.ok()?;
            let source = head.headers.get(SOURCE).map(|source| source.as_bytes().to_vec());
            Some((head.status, source.unwrap_or_default()))
        };
        match time::timeout(self.settings.timeout, answer).await {
            Err(_) => End::GaveUp,
            Ok(None) => End::Failed,
            Ok(Some((status, source))) => match (status, source.as_slice()) {
                (StatusCode::OK, b"fresh") => End::Fresh,
                (StatusCode::OK, _) => End::Fallback,
                (StatusCode::TOO_MANY_REQUESTS, _) => End::Limited,
                (StatusCode::SERVICE_UNAVAILABLE, _) => End::Shed,
                _ => End::Failed,
            },
        }
    }

    fn note(&self, at: Instant, end: End) {
        self.push(Sent { at, took: at.elapsed(), end });
    }

    fn push(&self, sent: Sent) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
    }
}

/// The network of the clients, reserved for documentation; the client's number follows.
pub const CLIENTS: &str = "203.0.113.";
