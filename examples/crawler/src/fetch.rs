//! One request for one page, on the calling thread.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header::{AUTHORIZATION, HeaderMap};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, Error};
use url::Url;

use crate::address::user_of;
use crate::decode::{ACCEPTED, End, decode};
use crate::head::{Head, codings, is_html, location, retry_after};

/// The name under which the crawler asks, and which robots.txt may address.
pub const USER_AGENT: &str = "tidegate-crawler";

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub struct FetchSettings {
    /// How long a request may take, from the name lookup to the last byte of the body.
    pub timeout: Duration,
    /// How many bytes a body may have, compressed and decompressed.
    pub max_body: u64,
    /// Connections kept open between requests: as many as there are requests at once.
    pub connections: usize,
    /// Whether the environment's proxy is used; it is not for the loopback site.
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
    /// `Authorization`, by origin.
    users: HashMap<String, String>,
}

/// A good answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The page.
    Page {
        /// 200 to 299.
        status: u16,
        /// What the head of the answer says about the page.
        head: Box<Head>,
        /// The body, decompressed and not yet decoded to text.
        body: Vec<u8>,
    },
    /// The page is elsewhere. We do not follow here: the target passes the gates like any page.
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
            .accept_encoding(ACCEPTED)
            .user_agent(USER_AGENT);
        if !settings.proxy {
            config = config.proxy(None);
        }
        let agent = config.build().new_agent();
        Self { agent, max_body: settings.max_body, users: HashMap::new() }
    }

    /// Remembers the user and password in `url`, if there are any. They are sent to the origin of
    /// `url`, and to no other.
    pub fn remember_user(&mut self, url: &Url) {
        if let Some((user, password)) = user_of(url) {
            let word = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            self.users.insert(url.origin().ascii_serialization(), word);
        }
    }

    /// Asks once for an HTML page.
    ///
    /// # Errors
    ///
    /// There is no answer, or its status is an error, or it is not HTML; see
    /// [`FetchError::is_transient`].
    pub fn page(&self, url: &Url) -> Result<Fetched, FetchError> {
        let answer = self.ask(url)?;
        if is_redirect(answer.status()) {
            return location(url, answer.headers()).map(Fetched::Redirect);
        }
        if !is_html(answer.headers()) {
            return Err(FetchError::NotHtml);
        }
        let status = answer.status().as_u16();
        let (head, codings) = (Box::new(Head::read(answer.headers())), codings(answer.headers()));
        let body = answer.into_body().into_with_config().limit(self.max_body).read_to_vec()?;
        let limit = usize::try_from(self.max_body).unwrap_or(usize::MAX);
        match decode(body, &codings, limit) {
            (body, End::Whole) => Ok(Fetched::Page { status, head, body }),
            (_, end) => Err(end.into()),
        }
    }

    /// Asks once for a file of any kind, such as robots.txt, and cuts one of more than `limit`
    /// bytes after a whole line. Follows up to five redirects, as RFC 9309 asks for robots.txt.
    ///
    /// # Errors
    ///
    /// There is no answer, or the last one does not have a 2xx status.
    pub fn file(&self, url: &Url, limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut answer = self.ask(url)?;
        let mut at = url.clone();
        for _ in 0..5 {
            if !is_redirect(answer.status()) {
                return start_of(answer, limit);
            }
            at = location(&at, answer.headers())?;
            answer = self.ask(&at)?;
        }
        Err(FetchError::status(answer.status().as_u16(), answer.headers()))
    }

    fn ask(&self, url: &Url) -> Result<Response<Body>, FetchError> {
        let mut request = self.agent.get(url.as_str());
        if let Some(user) = self.user(url) {
            request = request.header(AUTHORIZATION, user);
        }
        let answer = request.call()?;
        let status = answer.status();
        // An answer of these two statuses has no content, so it is no page and no file.
        let has_content = status.is_success() && !matches!(status.as_u16(), 204 | 205);
        if has_content || is_redirect(status) {
            return Ok(answer);
        }
        let error = FetchError::status(status.as_u16(), answer.headers());
        // An answer read to its end leaves the connection usable for the next page.
        _ = answer.into_body().into_with_config().limit(64 << 10).read_to_vec();
        Err(error)
    }

    fn user(&self, url: &Url) -> Option<&String> {
        if self.users.is_empty() {
            return None;
        }
        self.users.get(&url.origin().ascii_serialization())
    }
}

/// Whether the Fetch standard follows this status. We treat any other 3xx as an error.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Reads up to `limit` bytes, and cuts a longer file after a line: half a rule might forbid all.
fn start_of(answer: Response<Body>, limit: usize) -> Result<Vec<u8>, FetchError> {
    let codings = codings(answer.headers());
    let mut body = Vec::new();
    let mut reader = answer.into_body().into_reader().take(limit as u64 + 1);
    reader.read_to_end(&mut body).map_err(Error::from)?;
    let is_cut = body.len() > limit;
    body.truncate(limit);
    let (mut body, end) = decode(body, &codings, limit);
    match end {
        End::Whole if !is_cut => return Ok(body),
        End::Whole | End::More => {}
        End::Broken if is_cut => {}
        End::Broken | End::Unknown => return Err(end.into()),
    }
    let lines = body.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    body.truncate(lines.ok_or(FetchError::TooLarge)?);
    Ok(body)
}

/// Why there is no page. `Display` writes the reason that the report counts it under: one of few,
/// without the address.
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
    /// The head of the answer is longer than we take.
    LongHead,
    /// The body is compressed in a way that we do not know.
    UnknownCoding,
    /// The body is not compressed in the way its server says, or breaks off.
    BadCoding,
    /// The page is in a character encoding that we do not know.
    UnknownCharset,
    /// The body is not text, though its server says so.
    NotText,
    /// The address, or the target of its redirect, is not one that we can ask for.
    BadUrl,
}

impl FetchError {
    /// Whether the next try may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500 | 502..=504),
            Self::Timeout | Self::Broken => true,
            _ => false,
        }
    }

    /// Whether the error says that the host is unwell, so that a circuit breaker counts a failure.
    /// A 429 does not: it comes from a host that knows its limits.
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

    /// Whether the error is about the host's present state, and says nothing about the page.
    pub fn is_of_the_moment(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 429 | 502..=504),
            Self::Timeout | Self::UnknownHost | Self::Unreachable | Self::Broken | Self::Tls => {
                true
            }
            _ => false,
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
            Self::LongHead => "headers too large",
            Self::UnknownCoding => "unknown compression",
            Self::BadCoding => "broken compression",
            Self::UnknownCharset => "unknown character encoding",
            Self::NotText => "not text",
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
            Error::LargeResponseHeader(..)
            | Error::Protocol(ureq_proto::Error::HttpParseTooManyHeaders) => Self::LongHead,
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

impl From<End> for FetchError {
    fn from(end: End) -> Self {
        match end {
            End::More => Self::TooLarge,
            End::Unknown => Self::UnknownCoding,
            End::Whole | End::Broken => Self::BadCoding,
        }
    }
}
