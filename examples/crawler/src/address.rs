//! One page, one address.
//!
//! `url` resolves dot segments, default ports and the case of hosts. This module removes what else
//! may differ: fragments, users, empty queries, percent-encoding, session identifiers.

use std::borrow::Cow;

use url::Url;

/// The most bytes of an address: a site with a longer one usually makes such addresses without end.
pub(crate) const MAX_LENGTH: usize = 4096;

/// Returns the address under which the page of `url` is kept; `None` if it is no address of HTTP.
pub(crate) fn canonical(mut url: Url) -> Option<Url> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    url.set_fragment(None);
    if !url.username().is_empty() || url.password().is_some() {
        // Neither call fails, as there is a host.
        _ = url.set_username("");
        _ = url.set_password(None);
    }
    if url.path().contains(['%', ';']) {
        let path = normalize_percent(without_session(url.path())).into_owned();
        url.set_path(&path);
    }
    if let Some(query) = url.query() {
        let normal = normalize_query(query);
        if normal.as_deref() != Some(query) {
            url.set_query(normal.as_deref());
        }
    }
    Some(url)
}

/// Returns the user and password of an address, percent-decoded.
pub(crate) fn user_of(url: &Url) -> Option<(String, String)> {
    let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    let is_given = !user.is_empty() || !password.is_empty();
    is_given.then(|| (decode(user), decode(password)))
}

/// Whether a byte means the same with and without percent-encoding (RFC 3986, 2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Returns the byte that the two hexadecimal digits after a `%` stand for, if there are two.
pub(crate) fn percent_decoded(after: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Appends the byte as `%XX`.
pub(crate) fn push_encoded(byte: u8, to: &mut String) {
    to.push_str(percent_encoding::percent_encode_byte(byte));
}

/// Writes the digits of `%XX` in upper case, and decodes what needs no encoding (RFC 3986, 6.2.2).
fn normalize_percent(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        rest = after;
        match percent_decoded(after.as_bytes()) {
            Some(byte) if is_unreserved(byte) => normal.push(char::from(byte)),
            Some(byte) => push_encoded(byte, &mut normal),
            None => {
                normal.push('%');
                continue;
            }
        }
        rest = &after[2..];
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// Removes a `;jsessionid=…` at the end.
fn without_session(path: &str) -> &str {
    let Some((before, parameter)) = path.rsplit_once(';') else { return path };
    let name = parameter.split('=').next().unwrap_or_default();
    if name.eq_ignore_ascii_case("jsessionid") { before } else { path }
}

/// Removes session identifiers and normalizes the rest; `None` if nothing is left.
fn normalize_query(query: &str) -> Option<String> {
    let kept = query.split('&').filter(|field| !is_session(field));
    let kept = kept.collect::<Vec<_>>().join("&");
    (!kept.is_empty()).then(|| normalize_percent(&kept).into_owned())
}

/// Whether a field of a query is a session identifier. Heritrix and Nutch leave those out, too.
fn is_session(field: &str) -> bool {
    let (name, value) = field.split_once('=').unwrap_or((field, ""));
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "phpsessid" | "jsessionid" | "sessionid" | "session_id" => true,
        "sid" => value.len() >= 16 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        name => name.starts_with("aspsessionid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> String {
        canonical(Url::parse(text).unwrap()).map(String::from).unwrap_or_default()
    }

    #[test]
    fn addresses_of_one_page_are_one() {
        let table = [
            ("HTTP://A.Test:80/x/../%7ey#z", "http://a.test/~y"),
            ("http://ann:secret@a.test/?", "http://a.test/"),
            ("http://a.test/caf%c3%a9/%2f%2E", "http://a.test/caf%C3%A9/%2F."),
            ("http://a.test/x?q=%7e%26&b", "http://a.test/x?q=~%26&b"),
            ("http://a.test/x;jsessionid=1A?PHPSESSID=1&a=2", "http://a.test/x?a=2"),
            ("http://a.test/x?sid=0123456789abcdef", "http://a.test/x"),
            ("http://a.test/x?sid=7", "http://a.test/x?sid=7"),
            ("http://a.test/100%", "http://a.test/100%"),
            ("mailto:a@b", ""),
        ];
        for (text, expected) in table {
            assert_eq!(address(text), expected, "{text}");
        }
    }

    #[test]
    fn a_user_is_read_as_it_was_meant() {
        let url = Url::parse("http://a%40b:p%3Aq@a.test/").unwrap();
        assert_eq!(user_of(&url), Some(("a@b".to_owned(), "p:q".to_owned())));
        assert_eq!(user_of(&Url::parse("http://a.test/").unwrap()), None);
    }
}
