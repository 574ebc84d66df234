//! What the head of an answer says.

use std::time::{Duration, SystemTime};

use ureq::http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, LINK, LOCATION, REFRESH, RETRY_AFTER,
};
use url::Url;

use crate::address::canonical;
use crate::directives::Directives;
use crate::fetch::FetchError;
use crate::refresh::{Refresh, refresh};

/// What the head of an answer says of the page in its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The character encoding, by its name.
    pub(crate) charset: Option<String>,
    /// `X-Robots-Tag`.
    pub(crate) robots: Directives,
    /// `Refresh`.
    pub(crate) refresh: Option<Refresh>,
    /// `Link: <…>; rel="canonical"`.
    pub(crate) canonical: Option<String>,
}

impl Head {
    pub(crate) fn read(headers: &HeaderMap) -> Head {
        let mut robots = Directives::default();
        texts(headers, &X_ROBOTS_TAG).for_each(|value| robots.add_header(&value));
        Head {
            charset: charset(&text(headers, &CONTENT_TYPE).unwrap_or_default()),
            robots,
            refresh: text(headers, &REFRESH).and_then(|value| refresh(&value)),
            canonical: texts(headers, &LINK).find_map(|value| canonical_link(&value)),
        }
    }
}

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The names in `Content-Encoding`, in the order in which they were applied.
pub(crate) fn codings(headers: &HeaderMap) -> Vec<String> {
    let values = texts(headers, &CONTENT_ENCODING).collect::<Vec<_>>().join(",");
    let names = values.split(',').map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty() && name != "identity").collect()
}

/// Where a redirect leads.
pub(crate) fn location(from: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    let location = text(headers, &LOCATION).ok_or(FetchError::BadUrl)?;
    let to = from.join(&location).or(Err(FetchError::BadUrl))?;
    canonical(to).ok_or(FetchError::BadUrl)
}

/// An answer without a content type counts as HTML, as in a browser.
pub(crate) fn is_html(headers: &HeaderMap) -> bool {
    let value = text(headers, &CONTENT_TYPE).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    let is = |name| kind.eq_ignore_ascii_case(name);
    !kind.contains('/') || is("text/html") || is("application/xhtml+xml")
}

/// Whole seconds or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, &RETRY_AFTER)?;
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    texts(headers, name).next()
}

/// Returns the values of a header, as UTF-8, which servers mean, or else as Latin-1.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + 'a {
    headers.get_all(name).into_iter().map(|value| match str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    })
}

fn charset(content_type: &str) -> Option<String> {
    let parameters = content_type.split(';').skip(1).filter_map(|field| field.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.next().map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned())
}

/// Returns the target of the first `rel="canonical"` link in a `Link` header (RFC 8288).
fn canonical_link(value: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        // Parameters end where the next link begins.
        let parameters = after.split('<').next().unwrap_or_default();
        rest = &after[parameters.len()..];
        let mut parameters = parameters.split([';', ',']).filter_map(|field| field.split_once('='));
        let is_canonical = parameters.any(|(name, relations)| {
            let mut relations = relations.trim().trim_matches('"').split_ascii_whitespace();
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|relation| relation.eq_ignore_ascii_case("canonical"))
        });
        if is_canonical {
            return Some(target.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &'static str, value: &[u8]) -> HeaderMap {
        let value = ureq::http::HeaderValue::from_bytes(value).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static(name), value)])
    }

    #[test]
    fn a_location_may_be_relative_and_have_any_letters() {
        let from = Url::parse("http://a.test/b/c").unwrap();
        let to = |value: &[u8]| location(&from, &head("location", value)).map(String::from);
        let table: [(&[u8], &str); 5] = [
            ("/caf\u{E9}".as_bytes(), "http://a.test/caf%C3%A9"),
            (b"/caf\xE9", "http://a.test/caf%C3%A9"),
            (b"d#e", "http://a.test/b/d"),
            (b"//b.test?", "http://b.test/"),
            (b" http://x:y@B.test/%7Ez ", "http://b.test/~z"),
        ];
        for (value, expected) in table {
            assert_eq!(to(value).as_deref(), Ok(expected));
        }
        assert_eq!(to(b"mailto:x"), Err(FetchError::BadUrl));
    }

    #[test]
    fn the_charset_of_a_type_is_found() {
        let of = |value: &str| charset(value).unwrap_or_default();
        assert_eq!(of("text/html; a=b; Charset=\"UTF-16\""), "UTF-16");
        assert_eq!(of("text/html"), "");
    }

    #[test]
    fn the_canonical_link_is_found_among_others() {
        let value = "</a,b>; rel=next, <http://a.test/c>; title=x; rel=\"alternate Canonical\"";
        assert_eq!(canonical_link(value).as_deref(), Some("http://a.test/c"));
        assert_eq!(canonical_link("</a>; rel=next, </b>; rel=prev"), None);
    }

    #[test]
    fn encodings_are_in_order_and_in_lower_case() {
        assert_eq!(codings(&head("content-encoding", b"identity, BR , x-gzip")), ["br", "x-gzip"]);
    }
}
