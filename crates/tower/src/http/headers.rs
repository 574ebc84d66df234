//! Headers that tell a client what is left of its limit.

use core::time::Duration;

use alloc::{format, string::String};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tidegate_core::{Clock, Pass};
use tidegate_rate_limiter::{
    Admission, Algorithm, Grant, OwnedAdmission, OwnedKeyAdmission, secs_rounded_up,
};

use crate::settle::Settle;

/// What is left of a client's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The most requests at once.
    pub limit: u32,
    /// How many are left.
    pub remaining: u32,
    /// After how long the limit is whole again if the client makes no request.
    pub reset_after: Duration,
}

impl From<Grant> for Allowance {
    fn from(grant: Grant) -> Self {
        let (limit, remaining) = (grant.limit(), grant.remaining());
        Self { limit, remaining, reset_after: grant.reset_after() }
    }
}

/// A pass that knows what is left of a limit.
pub trait HasAllowance {
    /// Returns what is left: of several limits, of the one with least left; `None` if the pass is
    /// of no limit.
    fn allowance(&self) -> Option<Allowance>;
}

impl<A: Algorithm, C> HasAllowance for Admission<'_, A, C> {
    fn allowance(&self) -> Option<Allowance> {
        Some(self.grant().into())
    }
}

impl<A: Algorithm, C> HasAllowance for OwnedAdmission<A, C> {
    fn allowance(&self) -> Option<Allowance> {
        Some(self.grant().into())
    }
}

impl<K, C: Clock> HasAllowance for OwnedKeyAdmission<K, C> {
    fn allowance(&self) -> Option<Allowance> {
        Some(self.grant().into())
    }
}

impl<A: HasAllowance, B: HasAllowance> HasAllowance for (A, B) {
    fn allowance(&self) -> Option<Allowance> {
        let both = [self.0.allowance(), self.1.allowance()];
        both.into_iter().flatten().min_by_key(|allowance| allowance.remaining)
    }
}

/// Which headers tell what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RateLimitHeaders {
    /// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10:
    /// `"default";r=59;t=1` and `"default";q=60`.
    #[default]
    Standard,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, the last in seconds
    /// from now.
    Older,
    /// All of them.
    Both,
}

/// Settles as `S` does, and writes into the response what is left of the client's limit, unless
/// headers from a layer within already tell of as little, or less.
#[derive(Debug, Clone, Copy)]
pub struct WithHeaders<S> {
    pub(crate) settle: S,
    pub(crate) headers: RateLimitHeaders,
}

impl<P, B, B2, E, S> Settle<P, Response<B>, E> for WithHeaders<S>
where
    P: Pass + HasAllowance,
    S: Settle<P, Response<B>, E, Response = Response<B2>>,
{
    type Response = Response<B2>;

    fn settle(&self, pass: P, result: Result<Response<B>, E>) -> Result<Response<B2>, E> {
        let allowance = pass.allowance();
        let mut response = self.settle.settle(pass, result)?;
        let told = told(response.headers());
        let has_less =
            |allowance: &Allowance| told.is_none_or(|told| told > allowance.remaining.into());
        if let Some(allowance) = allowance.filter(has_less) {
            let headers = response.headers_mut();
            if self.headers != RateLimitHeaders::Older {
                write_standard(headers, &allowance);
            }
            if self.headers != RateLimitHeaders::Standard {
                write_older(headers, &allowance);
            }
        }
        Ok(response)
    }
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const OLDER_REMAINING: &str = "x-ratelimit-remaining";

pub(super) fn write_standard(headers: &mut HeaderMap, allowance: &Allowance) {
    let Allowance { limit, remaining, reset_after } = *allowance;
    let reset = secs_rounded_up(reset_after);
    let mut write = |name, value: String| {
        headers.insert(name, HeaderValue::try_from(value).expect("it is ASCII"));
    };
    write(RATE_LIMIT_POLICY, format!("\"default\";q={limit}"));
    write(RATE_LIMIT, format!("\"default\";r={remaining};t={reset}"));
}

fn write_older(headers: &mut HeaderMap, allowance: &Allowance) {
    let mut write = |name, value: u64| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    };
    write("x-ratelimit-limit", allowance.limit.into());
    write(OLDER_REMAINING, allowance.remaining.into());
    write("x-ratelimit-reset", secs_rounded_up(allowance.reset_after));
}

/// Returns how much is left by what the headers tell already.
fn told(headers: &HeaderMap) -> Option<u64> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let standard = text(RATE_LIMIT).and_then(|value| value.split(";r=").nth(1)?.split(';').next());
    let older = text(HeaderName::from_static(OLDER_REMAINING));
    [standard, older].into_iter().flatten().filter_map(|left| left.parse().ok()).min()
}
