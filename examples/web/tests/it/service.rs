//! A service under test, on a port of loopback, with a log of its own.

use std::{error::Error, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, StatusCode, request},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tempfile::TempDir;
use tidegate::Backoff;
use tower::ServiceExt;
use web::{server::Server, settings::Settings, web::Guarding};

/// The service, and the folder of its log.
pub(crate) struct Service {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
}

pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Service {
    /// Starts a service whose upstream answers at once. Its timeouts are so long that no test
    /// depends on how long it takes.
    pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        const LONG: Duration = Duration::from_secs(3600);
        let change = |settings: &mut Settings| {
            settings.upstream.call = Duration::ZERO;
            settings.guard.quota = "20/h burst 40".parse().unwrap();
            settings.guard.patience = LONG;
            settings.guard.timeout = LONG;
            settings.guard.breaker.open_for = Some(LONG);
            settings.guard.retry = Backoff::fixed(Duration::ZERO).max_attempts(1);
            change(settings);
        };
        Self::try_start(Settings::default(), change).await.unwrap()
    }

    /// Starts a service with these settings.
    pub(crate) async fn try_start(
        mut settings: Settings,
        change: impl FnOnce(&mut Settings),
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let folder = TempDir::new().unwrap();
        settings.service.address = ([127, 0, 0, 1], 0).into();
        settings.log.database = folder.path().join("access.db");
        change(&mut settings);
        Ok(Self { server: Server::start(settings, Guarding::On).await?, folder })
    }

    /// Asks for an item as `client`, through everything but the sockets.
    pub(crate) fn item(
        &self,
        client: &str,
        item: u32,
    ) -> impl Future<Output = Response> + Send + use<> {
        let routes = self.server.web().current().routes.clone();
        let request = Request::get(format!("/api/items/{item}"));
        let request = request.header("X-Forwarded-For", client).body(Body::empty()).unwrap();
        async move {
            let (head, body) = routes.oneshot(request).await.unwrap().into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            Response::new(head.status, head.headers, &body)
        }
    }

    /// Sends a request through a socket; `None` if there is no answer.
    pub(crate) fn send(
        &self,
        path: &str,
        request: request::Builder,
        body: &str,
    ) -> impl Future<Output = Option<Response>> + Send + use<> {
        let uri = format!("http://{}{path}", self.server.address());
        let request = request.uri(uri).body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        async move {
            let (head, body) = client.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Response::new(head.status, head.headers, &body))
        }
    }
}

impl Response {
    fn new(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Self {
        Self { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Returns a header's value; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
