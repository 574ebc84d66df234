//! One request for one page, on the calling thread.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use ureq::http::Response;
use ureq::http::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use ureq::{Agent, Body, Error};
use url::Url;

/// The name under which the crawler asks, and which robots.txt may address.
pub const USER_AGENT: &str = "tidegate-crawler";

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub struct FetchSettings {
    /// The whole request, from the name lookup to the last byte of the body.
    pub timeout: Duration,
    /// A longer body is refused. In bytes.
    pub max_body: u64,
    /// Connections kept open between requests: as many as there are requests at once.
    pub connections: usize,
    /// Whether the environment's proxy is used; not for the loopback site.
    pub proxy: bool,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(15), max_body: 32 << 20, connections: 16, proxy: true }
    }
}

/// A client with its open connections. Cheap to share by reference between threads.
#[derive(Debug)]
pub struct Fetcher {
    agent: Agent,
    max_body: u64,
}

/// A good answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The page.
    Page {
        /// 200 to 299.
        status: u16,
        /// As it came.
        body: Vec<u8>,
    },
    /// The page is elsewhere. Not followed here: the next hop passes the gates like any page.
    Redirect(Url),
}

impl Fetcher {
    /// A client without connections yet.
    pub fn new(settings: &FetchSettings) -> Self {
        let mut config = Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(settings.connections.saturating_mul(2))
            .max_idle_connections_per_host(settings.connections)
            .user_agent(USER_AGENT);
        if !settings.proxy {
            config = config.proxy(None);
        }
        Self { agent: config.build().new_agent(), max_body: settings.max_body }
    }

    /// Asks once for an HTML page.
    ///
    /// # Errors
    ///
    /// Everything but a 2xx answer with HTML, or a redirect; see [`FetchError::is_transient`].
    pub fn page(&self, url: &Url) -> Result<Fetched, FetchError> {
        let answer = self.ask(url)?;
        if answer.status().is_redirection() {
            return redirect(url, answer.headers()).map(Fetched::Redirect);
        }
        if !is_html(answer.headers()) {
            return Err(FetchError::NotHtml);
        }
        let status = answer.status().as_u16();
        Ok(Fetched::Page { status, body: self.body(answer)? })
    }

    /// Asks once for a file of any kind, such as robots.txt. Follows up to five redirects, as
    /// RFC 9309 wants it for robots.txt.
    ///
    /// # Errors
    ///
    /// Everything but a 2xx answer in the end.
    pub fn file(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let mut answer = self.ask(url)?;
        let mut at = url.clone();
        for _ in 0..5 {
            if !answer.status().is_redirection() {
                return self.body(answer);
            }
            at = redirect(&at, answer.headers())?;
            answer = self.ask(&at)?;
        }
        Err(FetchError::status(answer.status().as_u16(), answer.headers()))
    }

    fn ask(&self, url: &Url) -> Result<Response<Body>, FetchError> {
        let answer = self.agent.get(url.as_str()).call()?;
        let status = answer.status();
        if status.is_success() || status.is_redirection() {
            return Ok(answer);
        }
        let error = FetchError::status(status.as_u16(), answer.headers());
        // An answer read to its end leaves the connection usable for the next page.
        _ = answer.into_body().into_with_config().limit(64 << 10).read_to_vec();
        Err(error)
    }

    fn body(&self, answer: Response<Body>) -> Result<Vec<u8>, FetchError> {
        Ok(answer.into_body().into_with_config().limit(self.max_body).read_to_vec()?)
    }
}

/// Why there is no page. `Display` is the name under which the page is accounted for: few names,
/// without the address in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// A status that is neither a page nor a redirect.
    Status {
        /// The status.
        code: u16,
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// No complete answer in time.
    Timeout,
    /// The host name is not known.
    UnknownHost,
    /// Nobody listens there, or the way is blocked.
    Unreachable,
    /// The connection broke.
    Broken,
    /// No secure connection could be agreed on.
    Tls,
    /// The answer is not HTTP.
    Protocol,
    /// The answer is something else than HTML.
    NotHtml,
    /// The body is longer than we take.
    TooLarge,
    /// The address, or the one redirected to, cannot be asked for.
    BadUrl,
}

impl FetchError {
    /// Whether it may go well next time.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500 | 502..=504),
            Self::Timeout | Self::Broken => true,
            _ => false,
        }
    }

    /// Whether it says that the host is unwell: what a circuit breaker counts as a failure. A 429
    /// is not; it comes from a host that knows its limits.
    pub fn is_host_failure(&self) -> bool {
        match self {
            Self::Status { code, .. } => *code >= 500,
            Self::Timeout | Self::Broken | Self::Unreachable => true,
            _ => false,
        }
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether it says how the host fares at the moment, and nothing about the page.
    pub fn is_of_the_moment(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 429 | 502..=504),
            Self::Timeout | Self::UnknownHost | Self::Unreachable | Self::Broken | Self::Tls => {
                true
            }
            Self::Protocol | Self::NotHtml | Self::TooLarge | Self::BadUrl => false,
        }
    }

    fn status(code: u16, headers: &HeaderMap) -> Self {
        Self::Status { code, retry_after: retry_after(headers, SystemTime::now()) }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Status { code, .. } => return write!(f, "http {code}"),
            Self::Timeout => "timeout",
            Self::UnknownHost => "unknown host",
            Self::Unreachable => "unreachable",
            Self::Broken => "connection broke",
            Self::Tls => "no secure connection",
            Self::Protocol => "not http",
            Self::NotHtml => "not html",
            Self::TooLarge => "too large",
            Self::BadUrl => "bad url",
        };
        f.write_str(name)
    }
}

impl std::error::Error for FetchError {}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout(_) => Self::Timeout,
            Error::HostNotFound => Self::UnknownHost,
            Error::ConnectionFailed | Error::ConnectProxyFailed(_) => Self::Unreachable,
            Error::BodyExceedsLimit(_) => Self::TooLarge,
            Error::BadUri(_) | Error::Http(_) => Self::BadUrl,
            Error::Tls(_) | Error::Rustls(_) | Error::TlsRequired => Self::Tls,
            Error::Io(error) => error.kind().into(),
            _ => Self::Protocol,
        }
    }
}

impl From<io::ErrorKind> for FetchError {
    fn from(kind: io::ErrorKind) -> Self {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, InvalidData, NetworkUnreachable,
            TimedOut, WouldBlock,
        };
        match kind {
            TimedOut | WouldBlock => Self::Timeout,
            ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable => {
                Self::Unreachable
            }
            InvalidData => Self::Protocol,
            _ => Self::Broken,
        }
    }
}

fn redirect(from: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let mut to = from.join(location.ok_or(FetchError::Protocol)?).or(Err(FetchError::BadUrl))?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(FetchError::BadUrl);
    }
    to.set_fragment(None);
    Ok(to)
}

/// An answer that does not say what it is counts as HTML, as in a browser.
fn is_html(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
}

/// Whole seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}
