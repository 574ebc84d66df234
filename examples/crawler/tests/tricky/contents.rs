//! The rows of the table about what pages ask of robots, and how they are encoded.

use crate::situations::{
    Situation, coded, failed, gzip, page, raw_deflate, row, typed, with, zlib,
};

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

pub(crate) fn wishes() -> Vec<Situation> {
    let meta = |words: &str| format!("<meta name=robots content='{words}'><a href=x>1</a>");
    vec![
        row(
            "noindex",
            "robots meta tag (Google, Bing)",
            [page("/", meta("noindex")), page("/x", "x")],
            &["/x"],
        )
        .without(&["/: asks not to be indexed"]),
        row("nofollow", "robots meta tag", [page("/", meta("NOFOLLOW, noarchive"))], &["/"])
            .unasked(&["/x"]),
        row(
            "none, for us by name",
            "robots meta tag",
            [page("/", meta("none").replace("robots", "tidegate-crawler"))],
            &[],
        )
        .without(&["/: asks not to be indexed"])
        .unasked(&["/x"]),
        row(
            "words for another robot",
            "robots meta tag",
            [page("/", meta("none").replace("robots", "googlebot")), page("/x", "x")],
            &["/", "/x"],
        ),
        row(
            "X-Robots-Tag",
            "X-Robots-Tag (Google, Bing)",
            [
                with(
                    "/",
                    "X-Robots-Tag: otherbot: nofollow\r\nX-Robots-Tag: noindex\r\n",
                    "<a href=x>1</a>",
                ),
                page("/x", "x"),
            ],
            &["/x"],
        ),
        row(
            "a link that says nofollow",
            "HTML standard, 4.6.7.13",
            [page("/", "<a rel='noopener NOFOLLOW' href=x>1</a><a href=y>2</a>"), page("/y", "y")],
            &["/", "/y"],
        )
        .unasked(&["/x"]),
        row(
            "a canonical address",
            "RFC 6596",
            [
                page("/", "<a href='/x?a'>1</a><a href='/x?b'>2</a>"),
                page("/x?a", "<link rel=canonical href=/x>x"),
                page("/x?b", "<link rel=canonical href=/x>x"),
                page("/x", "<link rel=canonical href=/x>x"),
            ],
            &["/", "/x"],
        )
        .without(&["/x?a: another address is the canonical one"]),
        row(
            "canonical addresses in a circle",
            "RFC 6596, 3",
            [
                page("/", "<link rel=canonical href=/x>one"),
                page("/x", "<link rel=canonical href=/>two"),
            ],
            &["/x=two"],
        ),
        row(
            "a canonical address in a header",
            "RFC 6596, 4; RFC 8288",
            [with("/", "Link: </x>; rel=\"canonical\"\r\n", "one"), page("/x", "two")],
            &["/x=two"],
        ),
        row(
            "a canonical address in the body, or two",
            "Google's rules for RFC 6596",
            [
                page("/", "<p>text<link rel=canonical href=/x><a href=2>2</a>"),
                page("/2", "<link rel=canonical href=/x><link rel=canonical href=/y>two"),
            ],
            &["/", "/2=two"],
        )
        .unasked(&["/x", "/y"]),
        row(
            "a canonical address at another host",
            "RFC 6596, 3",
            [page("/", "<link rel=canonical href='http://other.invalid/'>home")],
            &["/=home"],
        ),
    ]
}

pub(crate) fn encodings() -> Vec<Situation> {
    let brotli = b"\x0b\x02\x80hello\x03";
    let zstd = b"\x28\xb5\x2f\xfd\x04\x58\x29\x00\x00hello\xa3\x6d\x9f\x88";
    let links = "<a href=1>1</a><a href=2>2</a><a href=3>3</a><a href=4>4</a><a href=5>5</a>";
    vec![
        row(
            "gzip, x-gzip, br, zstd",
            "RFC 9110, 8.4.1",
            [
                page("/", links),
                coded("/1", "gzip", gzip(b"hello")),
                coded("/2", "X-GZIP", gzip(b"hello")),
                coded("/3", "br", brotli),
                coded("/4", "zstd", zstd),
                coded("/5", "br, gzip", gzip(brotli)),
            ],
            &["/", "/1=hello", "/2=hello", "/3=hello", "/4=hello", "/5=hello"],
        ),
        row(
            "deflate, with a head and without",
            "RFC 9110, 8.4.1.2",
            [
                page("/", links),
                coded("/1", "deflate", zlib(b"hello")),
                coded("/2", "deflate", raw_deflate(b"hello")),
            ],
            &["/", "/1=hello", "/2=hello"],
        ),
        row(
            "what is not compressed as it says",
            "RFC 9110, 8.4",
            [
                page("/", links),
                coded("/1", "gzip", "hello"),
                coded("/2", "compress", "hello"),
                coded("/3", "gzip", &gzip(b"hello, hello, hello")[..14]),
                coded("/4", "br", b"\xFF\xFF\xFF"),
            ],
            &["/"],
        )
        .without(&[
            "/1: broken compression",
            "/2: unknown compression",
            "/3: broken compression",
            "/4: broken compression",
        ]),
        row(
            "what is compressed and does not say so",
            "MIME Sniffing standard, 7",
            [page("/", links), page("/1", gzip(b"hello, hello, hello"))],
            &["/"],
        )
        .without(&["/1: not text"]),
        row(
            "UTF-16, with a mark and without",
            "Encoding standard, 6",
            [
                page("/", links),
                page("/1", [b"\xFE\xFF".as_slice(), &utf16("<p>caf\u{E9}")].concat()),
                page("/2", utf16("<p>caf\u{E9}")),
                typed("/3", "text/html; charset=utf-16", utf16("<p>caf\u{E9}")),
            ],
            &["/", "/1=caf\u{E9}", "/2=caf\u{E9}", "/3=caf\u{E9}"],
        ),
        row(
            "the server says how",
            "HTML standard, 13.2.3.2",
            [
                page("/", links),
                typed("/1", "text/html; Charset=\"ISO-8859-1\"", b"caf\xE9"),
                typed("/2", "text/html;charset=shift_jis", b"\x83\x65\x83\x58\x83\x67"),
                typed("/3", "text/html;charset=latin1", "\u{FEFF}caf\u{E9}"),
            ],
            &["/", "/1=caf\u{E9}", "/2=\u{30C6}\u{30B9}\u{30C8}", "/3=caf\u{E9}"],
        ),
        row(
            "the page says how",
            "HTML standard, 13.2.3.2",
            [
                page("/", links),
                page("/1", b"<meta charset=windows-1251>\xE4\xE0"),
                page(
                    "/2",
                    b"<meta http-equiv=content-type content='text/html; charset=latin1'>\xE9",
                ),
                page("/3", "<meta charset=utf-16>caf\u{E9}"),
            ],
            &["/", "/1=\u{434}\u{430}", "/2=\u{E9}", "/3=caf\u{E9}"],
        ),
        row(
            "an encoding that nobody knows",
            "Encoding standard, 4.2",
            [
                page("/", links),
                typed("/1", "text/html; charset=klingon", b"caf\xE9"),
                typed("/2", "text/html; charset=klingon", "caf\u{E9}"),
                typed("/3", "text/html; charset=hz-gb-2312", "x"),
            ],
            &["/", "/2=caf\u{E9}"],
        )
        .without(&["/1: unknown character encoding", "/3: unknown character encoding"]),
        row(
            "what is no HTML",
            "RFC 9110, 8.3",
            [
                page("/", links),
                typed("/1", "text/plain", "hello"),
                typed("/2", "application/pdf", "%PDF"),
                typed("/3", "application/xhtml+xml", "<p>x</p>"),
                page("/4", b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x01\x08\x06\0\0\0\x1F\x15\xC4"),
            ],
            &["/", "/3=x"],
        )
        .without(&["/1: not html", "/2: not html", "/4: not text"]),
        row(
            "errors have their number",
            "RFC 9110, 15",
            [
                page("/", links),
                failed("/1", "410"),
                failed("/2", "501"),
                failed("/4", "204"),
                failed("/5", "205"),
            ],
            &["/"],
        )
        .without(&[
            "/1: http 410",
            "/2: http 501",
            "/3: http 404",
            "/4: http 204",
            "/5: http 205",
        ]),
    ]
}
