//! The upstream: a server of items that misbehaves on request.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use tidegate::Semaphore;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::settings::UpstreamSettings;

/// How the upstream behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As it should.
    #[default]
    Normal,
    /// Each call takes several times as long.
    Slow,
    /// Each call fails at once.
    Failing,
    /// No call is answered until it is up again.
    Down,
}

/// A server of items, on a port of loopback. Its clones are the same server.
#[derive(Debug, Clone)]
pub struct Upstream {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    calls: Arc<AtomicUsize>,
    // Ends with the last clone.
    _server: Arc<Server>,
}

#[derive(Debug)]
struct Server(JoinHandle<io::Result<()>>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug, Clone)]
struct Shop {
    settings: UpstreamSettings,
    mode: watch::Receiver<Mode>,
    slots: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
}

impl Upstream {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub async fn start(settings: UpstreamSettings) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, receiver) = watch::channel(Mode::Normal);
        let slots = Arc::new(Semaphore::new(settings.slots));
        let calls = Arc::new(AtomicUsize::new(0));
        let shop = Shop { settings, mode: receiver, slots, calls: calls.clone() };
        let app = Router::new().route("/items/{item}", get(item)).with_state(shop);
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, mode, calls, _server: Arc::new(Server(server)) })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how often it was asked.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns how it behaves.
    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Changes how it behaves from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

/// Works in a task of its own: like many servers, it goes on when its caller has left.
async fn item(State(shop): State<Shop>, Path(item): Path<u32>) -> Response {
    shop.calls.fetch_add(1, Ordering::Relaxed);
    let retry_after = shop.settings.retry_after;
    let work = tokio::spawn(work(shop, item));
    match work.await.unwrap_or(Err(StatusCode::INTERNAL_SERVER_ERROR)) {
        Ok(text) => text.into_response(),
        Err(status) => match retry_after {
            None => status.into_response(),
            Some(time) => (status, [(RETRY_AFTER, time.as_secs().to_string())]).into_response(),
        },
    }
}

async fn work(mut shop: Shop, item: u32) -> Result<String, StatusCode> {
    let is_up = shop.mode.wait_for(|mode| *mode != Mode::Down);
    is_up.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let mode = *shop.mode.borrow();
    if mode == Mode::Failing {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    // The queue is first in, first out, and unbounded: this is what guards are for.
    let slot = shop.slots.acquire(1).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let UpstreamSettings { call, slow_factor, .. } = shop.settings;
    let slower = if *shop.mode.borrow() == Mode::Slow { slow_factor } else { 1 };
    tokio::time::sleep(call * slower).await;
    drop(slot);
    Ok(format!("item {item}: an article of the catalogue"))
}
