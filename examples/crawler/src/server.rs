//! A real HTTP server on a free loopback port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, Response, StatusCode, Uri};
use axum::serve::ListenerExt;
use axum::{Router, serve};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::faults::{Fault, Faults, HANG};
use crate::site::{Found, Site};

/// Serves a [`Site`] on `127.0.0.1`, on threads of its own, until it is dropped. Dropping it closes
/// the port and every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Taken in `drop` only.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Served {
    site: Site,
    faults: Faults,
}

impl Server {
    /// Binds a free port and starts to serve.
    ///
    /// # Errors
    ///
    /// The port could not be bound, or the threads not be started.
    pub fn start(site: Site, faults: Faults) -> io::Result<Server> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("loopback-server")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        // A page leaves in two writes; without this the second could wait for the first's
        // acknowledgement.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        let app = Router::new().fallback(answer).with_state(Arc::new(Served { site, faults }));
        runtime.spawn(async move { serve(listener, app).await });
        Ok(Server { address, runtime: Some(runtime) })
    }

    /// Scheme, address and port, with no slash at the end.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of a path on this server.
    ///
    /// # Panics
    ///
    /// The path does not begin with a slash.
    #[track_caller]
    pub fn url(&self, path: &str) -> Url {
        assert!(path.starts_with('/'), "not an absolute path: {path}");
        Url::parse(&format!("{}{path}", self.origin())).expect("a path on a parsed origin parses")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Drops the tasks at their next await. Waiting for them would wait for hung requests.
            runtime.shutdown_background();
        }
    }
}

async fn answer(State(served): State<Arc<Served>>, uri: Uri) -> Response<Body> {
    match served.faults.next(uri.path()) {
        Fault::None => {}
        Fault::Late(delay) => tokio::time::sleep(delay).await,
        Fault::TooManyRequests => return empty(StatusCode::TOO_MANY_REQUESTS, RETRY_AFTER, "1"),
        Fault::Unavailable => return status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::Hang => tokio::time::sleep(HANG).await,
    }
    // Read on this thread on purpose: a small file from the page cache costs less than the hop to a
    // thread for blocking work.
    match served.site.get(uri.path(), uri.query().is_some()) {
        Found::File(bytes, kind) => file(bytes.into_owned().into(), kind),
        Found::Redirect(path) => empty(StatusCode::PERMANENT_REDIRECT, LOCATION, &path),
        Found::Nothing => status(StatusCode::NOT_FOUND),
    }
}

fn file(bytes: Bytes, kind: &'static str) -> Response<Body> {
    Response::builder()
        .header(CONTENT_TYPE, kind)
        .body(Body::from(bytes))
        .expect("a known content type is a valid header")
}

fn empty(status: StatusCode, name: HeaderName, value: &str) -> Response<Body> {
    let answer = Response::builder().status(status).header(name, value).body(Body::empty());
    // Every byte in the path of a request line may be in a header. A path with any other byte is
    // none of ours.
    answer.unwrap_or_else(|_| self::status(StatusCode::NOT_FOUND))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}
