//! Headers that tell a client what is left of its limit.

use core::time::Duration;

use alloc::{format, string::String};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tidegate_core::{Clock, Pass};
use tidegate_rate_limiter::{
    Admission, Algorithm, Grant, LookupAdmission, OwnedAdmission, OwnedKeyAdmission,
    secs_rounded_up,
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

impl<K, C> HasAllowance for LookupAdmission<K, C> {
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

/// Returns the least that the headers tell is left: of all their lines, and of all members of a
/// line. What cannot be read (a line that is not ASCII, a member without a number) tells nothing;
/// the rest counts all the same, so that no tighter limit is overwritten.
fn told(headers: &HeaderMap) -> Option<u64> {
    let members = |name: HeaderName| {
        let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| split(line, ','))
    };
    let standard = members(RATE_LIMIT).filter_map(remaining);
    let older = members(HeaderName::from_static(OLDER_REMAINING));
    standard.chain(older).filter_map(|left| left.trim().parse().ok()).min()
}

/// Returns the parameter `r` of a member of a list of structured fields (RFC 9651), of two the
/// last: `"default";r=59;t=1`.
fn remaining(member: &str) -> Option<&str> {
    let parameters = split(member, ';').skip(1);
    parameters.filter_map(|parameter| parameter.trim().strip_prefix("r=")).last()
}

/// Splits at each `at` that is in no quoted string.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        let is_literal = is_escaped;
        is_escaped = c == '\\' && is_quoted && !is_literal;
        is_quoted ^= c == '"' && !is_literal;
        c == at && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_that_headers_tell_the_least_is_read() {
        let told = |lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for &(name, value) in lines {
                headers.append(name, HeaderValue::try_from(value).unwrap());
            }
            told(&headers)
        };
        for (standard, left) in [
            (r#""default";r=59;t=1"#, Some(59)),
            (r#""a";r=5, "b";r=3"#, Some(3)),
            (r#""a";r=3;t=1,"b";r=5;t=1"#, Some(3)),
            (r#""a"; t=1;  r=5"#, Some(5)),
            (r#""a";t=2;pk=:cj0x:;r=7"#, Some(7)),
            (r#""a,b;r=1";r=5"#, Some(5)),
            (r#""\";r=1,\\";r=5"#, Some(5)),
            (r#""a";r=5;r=4"#, Some(4)),
            // What cannot be read tells nothing.
            ("", None),
            (r#""a";t=1"#, None),
            (r#""a";r=-1"#, None),
            (r#""a";r=1.5"#, None),
            (r#""a";rr=1"#, None),
            (r#""a;r=1"#, None),
            ("r=1", None),
            (r#""a";r=x, "b";r=5"#, Some(5)),
        ] {
            assert_eq!(told(&[("ratelimit", standard)]), left, "{standard}");
        }
        let (five, three) = (("ratelimit", r#""a";r=5"#), ("ratelimit", r#""b";r=3"#));
        assert_eq!(told(&[five, three]), Some(3), "a further line");
        assert_eq!(told(&[five, ("x-ratelimit-remaining", "4, 2")]), Some(2));
        assert_eq!(told(&[three, ("x-ratelimit-remaining", "4")]), Some(3));
        assert_eq!(told(&[("x-ratelimit-remaining", "many")]), None);
    }
}
