//! Decodes a page in the encoding that the HTML standard's "encoding sniffing" finds.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

use crate::fetch::FetchError;

/// How many bytes of a page are searched for a declaration of its encoding, as in the standard.
const PRESCAN: usize = 1024;

/// Returns the text of a page whose server says that it is encoded by `declared`, and whether some
/// of it was replaced. A page whose encoding nobody names is UTF-8, or UTF-16 if its zero bytes
/// show it.
///
/// # Errors
///
/// The named encoding is unknown and the bytes are not UTF-8; or it is one that the standard
/// refuses; or too many bytes do not fit it, or are not text.
pub(crate) fn text<'a>(
    bytes: &'a [u8],
    declared: Option<&str>,
) -> Result<(Cow<'a, str>, bool), FetchError> {
    let (encoding, is_unknown) = sniff(bytes, declared);
    let (text, _, lossy) = encoding.decode(bytes);
    if encoding == REPLACEMENT || is_unknown && lossy {
        return Err(FetchError::UnknownCharset);
    }
    let is_odd = lossy || bytes.iter().take(PRESCAN).any(|byte| is_binary(char::from(*byte)));
    match if is_odd { noise(&text) } else { None } {
        Some(error) => Err(error),
        None => Ok((text, lossy)),
    }
}

/// Returns the encoding, and whether the server or the page named one that we do not know.
fn sniff(bytes: &[u8], declared: Option<&str>) -> (&'static Encoding, bool) {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return (encoding, false);
    }
    if let Some(encoding) = unmarked_utf16(bytes) {
        return (encoding, false);
    }
    let known = |label: &str| Encoding::for_label(label.as_bytes());
    if let Some(encoding) = declared.and_then(known) {
        return (encoding, false);
    }
    let own = declaration(&bytes[..bytes.len().min(PRESCAN)]);
    match own.as_deref().and_then(known) {
        // This declaration was read as ASCII, so the page is not UTF-16: the standard takes UTF-8.
        Some(encoding) if encoding == UTF_16BE || encoding == UTF_16LE => (UTF_8, false),
        Some(encoding) if encoding == X_USER_DEFINED => (WINDOWS_1252, false),
        Some(encoding) => (encoding, false),
        None => (UTF_8, declared.is_some() || own.is_some()),
    }
}

/// Recognizes UTF-16 by its zeros: a page begins with markup, so every other byte is zero.
fn unmarked_utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = &bytes[..bytes.len().min(64)];
    let zeros = |offset| start.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), start.len() / 2);
    // No zero where the letters are, and one in at least three of four other places.
    match (even, odd) {
        (0, odd) if pairs > 1 && odd * 4 >= pairs * 3 => Some(UTF_16LE),
        (even, 0) if pairs > 1 && even * 4 >= pairs * 3 => Some(UTF_16BE),
        _ => None,
    }
}

/// Returns the encoding that the page declares: in `<meta charset=x>`, in
/// `<meta http-equiv content="…charset=x">`, or in `<?xml encoding="x"?>` of XHTML.
fn declaration(start: &[u8]) -> Option<String> {
    let text: String = start.iter().map(|byte| char::from(*byte).to_ascii_lowercase()).collect();
    if let Some(xml) = text.strip_prefix("<?xml") {
        let inside = xml.split("?>").next().unwrap_or_default();
        if let Some(label) = value_after(inside, "encoding") {
            return Some(label);
        }
    }
    let mut rest = text.as_str();
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
        } else if let Some(meta) = rest.strip_prefix("meta")
            && meta.starts_with(|c: char| c.is_ascii_whitespace() || c == '/')
        {
            let inside = meta.split('>').next().unwrap_or_default();
            if let Some(label) = value_after(inside, "charset") {
                return Some(label);
            }
        }
    }
    None
}

/// The value in `… name = "value" …`.
fn value_after(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(name) {
        rest = after;
        let Some(value) = after.trim_start().strip_prefix('=') else { continue };
        let value = value.trim_start();
        let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | ';' | '/');
        let value = value.trim_start_matches(['"', '\'']).split(is_end).next().unwrap_or_default();
        return (!value.is_empty()).then(|| value.to_owned());
    }
    None
}

/// Whether no text has this character (MIME Sniffing, "binary data byte").
fn is_binary(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0B' | '\x0E'..='\x1A' | '\x1C'..='\x1F')
}

/// Returns why this is not text: it is bytes of something else, or in another encoding. A few
/// replaced letters are accepted, since many pages declare a wrong encoding.
fn noise(text: &str) -> Option<FetchError> {
    let (mut letters, mut binary, mut replaced) = (0_usize, 0_usize, 0_usize);
    for c in text.chars() {
        letters += 1;
        binary += usize::from(is_binary(c));
        replaced += usize::from(c == '\u{FFFD}');
    }
    match binary + replaced {
        bad if binary > 0 && bad * 10 > letters => Some(FetchError::NotText),
        bad if replaced > 3 && bad * 4 > letters => Some(FetchError::UnknownCharset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], declared: &str) -> Result<(String, bool), FetchError> {
        let declared = Some(declared).filter(|label| !label.is_empty());
        text(bytes, declared).map(|(text, lossy)| (text.into_owned(), lossy))
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn the_encoding_is_found_as_the_standard_says() {
        let html = "<p>caf\u{E9}";
        let marked = [b"\xFE\xFF".as_slice(), &utf16(html, u16::to_be_bytes)].concat();
        let table: [(&[u8], &str, &str); 13] = [
            (html.as_bytes(), "", html),
            (b"\xEF\xBB\xBF<p>caf\xC3\xA9", "latin1", html),
            (b"<p>caf\xE9", "ISO-8859-1", html),
            (&marked, "utf-8", html),
            (&utf16(html, u16::to_le_bytes), "", html),
            (&utf16(html, u16::to_be_bytes), "", html),
            (&utf16(html, u16::to_be_bytes), "utf-16", html),
            (b"<meta charset=latin1>\xE9", "", "<meta charset=latin1>\u{E9}"),
            (
                b"<?xml version='1' encoding='latin1'?>\xE9",
                "",
                "<?xml version='1' encoding='latin1'?>\u{E9}",
            ),
            (b"<!-- <meta charset=latin1> -->\xC3\xA9", "", "<!-- <meta charset=latin1> -->\u{E9}"),
            (b"<meta charset=utf-16>\xC3\xA9", "", "<meta charset=utf-16>\u{E9}"),
            (
                b"<meta content='text/html; charset=koi8-r'>\xC4\xC1",
                "",
                "<meta content='text/html; charset=koi8-r'>\u{434}\u{430}",
            ),
            (html.as_bytes(), "klingon", html),
        ];
        for (number, (bytes, declared, expected)) in table.into_iter().enumerate() {
            assert_eq!(read(bytes, declared), Ok((expected.to_owned(), false)), "{number}");
        }
    }

    #[test]
    fn what_is_a_little_wrong_is_replaced_and_said() {
        assert_eq!(read(b"<title>caf\xE9", ""), Ok(("<title>caf\u{FFFD}".to_owned(), true)));
    }

    #[test]
    fn what_cannot_be_read_is_not_read() {
        assert_eq!(read(b"<p>caf\xE9", "klingon"), Err(FetchError::UnknownCharset));
        assert_eq!(read(b"<p>cafe", "hz-gb-2312"), Err(FetchError::UnknownCharset));
        let cyrillic = b"<p>\xCF\xF0\xE8\xE2\xE5\xF2, \xEC\xE8\xF0";
        assert_eq!(read(cyrillic, ""), Err(FetchError::UnknownCharset));
        let noise: Vec<u8> = (0..=255).cycle().take(2000).collect();
        assert_eq!(read(&noise, ""), Err(FetchError::NotText));
        assert_eq!(
            read(b"\x1F\x8B\x08\x00\x00\x00hello\xFF\xFE", "latin1"),
            Err(FetchError::NotText)
        );
    }
}
