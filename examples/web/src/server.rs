//! The server: its routes, its start and its end.

use std::{error::Error, io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use tidegate_metrics::CONTENT_TYPE as OPENMETRICS;
use tidegate_tower::{GateLayer, http::respond};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tower::ServiceExt;

use crate::{
    access_log::AccessLog,
    control::{self, Token},
    events::{self, Events},
    load::Load,
    settings::Settings,
    upstream::Upstream,
    web::{Guarding, Web},
};

/// A server that was started.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    web: Arc<Web>,
    log: AccessLog,
    token: Token,
    stop: watch::Sender<bool>,
    serving: JoinHandle<io::Result<()>>,
    sampling: JoinHandle<()>,
}

impl Server {
    /// Starts the upstream, the service in front of it and the load generator, which is idle.
    ///
    /// # Errors
    ///
    /// A setting is out of range, a port is taken, or the log cannot be opened.
    pub async fn start(
        settings: Settings,
        guarding: Guarding,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let listener = TcpListener::bind(settings.service.address).await?;
        let address = listener.local_addr()?;
        let upstream = Upstream::start(settings.upstream).await?;
        let load = Load::start(address, settings.load);
        let log = AccessLog::start(&settings.log)?;
        let way_in = log.way_in().clone();
        let web = Arc::new(Web::new(settings, upstream, load, way_in, guarding)?);
        let token = Token::new();
        let (samples, events) = watch::channel("".into());
        let sampling = tokio::spawn(events::sample(web.clone(), samples));
        let app = routes(web.clone(), token.clone(), events);
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let (stop, mut stopped) = watch::channel(false);
        let serving = tokio::spawn(async move {
            let end = async move { drop(stopped.wait_for(|is_stopped| *is_stopped).await) };
            axum::serve(listener, app).with_graceful_shutdown(end).await
        });
        Ok(Self { address, web, log, token, stop, serving, sampling })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what its handlers share.
    pub fn web(&self) -> &Arc<Web> {
        &self.web
    }

    /// Returns what a change of the settings must show.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Ends the streams of events: the page shows nothing any more.
    pub fn stop_sampling(&self) {
        self.sampling.abort();
    }

    /// Takes no new connections, answers the requests in flight, and writes the log to its end.
    /// Returns how many records the log got.
    ///
    /// # Errors
    ///
    /// The log could not be written.
    pub async fn shutdown(self) -> Result<u64, Box<dyn Error + Send + Sync>> {
        let Self { web, log, stop, serving, sampling, .. } = self;
        web.load.stop();
        // A stream of events is served until its source ends: otherwise the server would never end.
        sampling.abort();
        let _ = sampling.await;
        stop.send_replace(true);
        serving.await??;
        web.pool.shutdown().await;
        log.shutdown().await
    }
}

fn routes(web: Arc<Web>, token: Token, events: Events) -> Router {
    let pages = GateLayer::new(web.pages.clone()).refuse().hold_until_body_ends();
    Router::new()
        .route("/events", get(events::stream).with_state(events))
        .layer(pages.respond_with(respond))
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/metrics", get(metrics))
        .route("/control", post(control::control))
        // All else is the guarded service.
        .fallback(guarded)
        .with_state(web.clone())
        .route("/settings", get(control::settings).post(control::change).with_state((web, token)))
}

/// Passes a request to the present guard.
async fn guarded(State(web): State<Arc<Web>>, request: Request) -> Response {
    let routes = web.current().routes.clone();
    routes.oneshot(request).await.unwrap_or_else(|never| match never {})
}

async fn metrics(State(web): State<Arc<Web>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPENMETRICS)], web.registry.openmetrics())
}
