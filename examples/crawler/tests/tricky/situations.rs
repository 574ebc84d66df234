//! The table.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::contents;
use crate::server::Answer;

/// One row.
pub(crate) struct Situation {
    pub(crate) what: &'static str,
    pub(crate) standard: &'static str,
    pub(crate) answers: Vec<Answer>,
    pub(crate) start: &'static str,
    /// All pages that are stored: the path, or `path=text`.
    pub(crate) pages: &'static [&'static str],
    /// Some of the addresses without a page: `path: reason`.
    pub(crate) without: &'static [&'static str],
    /// Paths that must not be asked for.
    pub(crate) unasked: &'static [&'static str],
}

impl Situation {
    pub(crate) fn start(mut self, start: &'static str) -> Self {
        self.start = start;
        self
    }

    pub(crate) fn without(mut self, without: &'static [&'static str]) -> Self {
        self.without = without;
        self
    }

    pub(crate) fn unasked(mut self, unasked: &'static [&'static str]) -> Self {
        self.unasked = unasked;
        self
    }
}

pub(crate) fn row(
    what: &'static str,
    standard: &'static str,
    answers: impl IntoIterator<Item = Answer>,
    pages: &'static [&'static str],
) -> Situation {
    let answers = answers.into_iter().collect();
    Situation { what, standard, answers, start: "{origin}/", pages, without: &[], unasked: &[] }
}

pub(crate) fn page(path: &'static str, html: impl AsRef<[u8]>) -> Answer {
    with(path, "", html)
}

pub(crate) fn with(path: &'static str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
    Answer { path, status: "200", headers: headers.to_owned(), body: body.as_ref().to_vec() }
}

fn moved(path: &'static str, status: &'static str, to: &str) -> Answer {
    Answer { path, status, headers: format!("Location: {to}\r\n"), body: Vec::new() }
}

pub(crate) fn failed(path: &'static str, status: &'static str) -> Answer {
    Answer { path, status, headers: String::new(), body: Vec::new() }
}

fn robots(rules: impl AsRef<[u8]>) -> Answer {
    with("/robots.txt", "Content-Type: text/plain\r\n", rules)
}

pub(crate) fn coded(path: &'static str, coding: &str, body: impl AsRef<[u8]>) -> Answer {
    with(path, &format!("Content-Encoding: {coding}\r\n"), body)
}

pub(crate) fn typed(path: &'static str, kind: &str, body: impl AsRef<[u8]>) -> Answer {
    with(path, &format!("Content-Type: {kind}\r\n"), body)
}

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn raw_deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// All rows.
pub(crate) fn situations() -> Vec<Situation> {
    [
        rules(),
        addresses(),
        redirects(),
        elements(),
        refreshes(),
        contents::wishes(),
        contents::encodings(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn rules() -> Vec<Situation> {
    let long =
        |rule: &str| format!("User-agent: *\nDisallow: /x\n{}{rule}", "# padding\n".repeat(60_000));
    let cut = "User-agent: *\nDisallow: /x\n".to_owned()
        + &"#".repeat((500 << 10) - 37)
        + "\nDisallow: /y\n";
    let both = |rules: &str| {
        [
            robots(rules),
            page("/", "<a href=/x>x</a><a href=/y>y</a>"),
            page("/x", "x"),
            page("/y", "y"),
        ]
    };
    vec![
        row(
            "robots.txt with a byte order mark",
            "RFC 9309, 2.3",
            [robots("\u{FEFF}User-agent: *\r\nDisallow: /x\r\n"), page("/", "<a href=x>x</a>")],
            &["/"],
        )
        .without(&["/x: robots.txt"])
        .unasked(&["/x"]),
        row(
            "a rule with letters that need no encoding",
            "RFC 9309, 2.2.2",
            both("User-agent: *\nDisallow: /%78\n"),
            &["/", "/y"],
        )
        .unasked(&["/x"]),
        row(
            "an address with letters that need no encoding",
            "RFC 9309, 2.2.2; RFC 3986, 6.2.2.2",
            [
                robots("User-agent: *\nDisallow: /~joe\n"),
                page("/", "<a href=/%7Ejoe>1</a><a href=/~%6Aoe>2</a>"),
            ],
            &["/"],
        )
        .unasked(&["/~joe", "/%7Ejoe"]),
        row(
            "a rule in UTF-8",
            "RFC 9309, 2.2.2",
            [
                robots("User-agent: *\nDisallow: /caf\u{E9}\n"),
                page("/", "<a href=/caf%c3%a9>1</a>"),
            ],
            &["/"],
        )
        .unasked(&["/caf%C3%A9", "/caf%c3%a9"]),
        row(
            "robots.txt of 600 KB, cut and not refused",
            "RFC 9309, 2.5",
            both(&long("Disallow: /y\n")),
            &["/", "/y=y"],
        )
        .unasked(&["/x"]),
        row("half a rule at the cut forbids nothing", "RFC 9309, 2.5", both(&cut), &["/", "/y"])
            .unasked(&["/x"]),
        row(
            "a group of our own",
            "RFC 9309, 2.2.1",
            both("User-agent: *\nDisallow: /\n\nUser-agent: Tidegate-Crawler\nDisallow: /x\n"),
            &["/", "/y"],
        )
        .unasked(&["/x"]),
        row(
            "the longest rule",
            "RFC 9309, 2.2.2",
            both("User-agent: *\nDisallow: /\nAllow: /$\nAllow: /y\n"),
            &["/", "/y"],
        )
        .unasked(&["/x"]),
        row(
            "robots.txt behind redirects",
            "RFC 9309, 2.3.1.2",
            [
                moved("/robots.txt", "301", "/r"),
                typed("/r", "text/plain", "User-agent: *\nDisallow: /x"),
                page("/", "<a href=/x>"),
            ],
            &["/"],
        )
        .unasked(&["/x"]),
        row(
            "robots.txt that is forbidden",
            "RFC 9309, 2.3.1.3",
            [failed("/robots.txt", "403"), page("/", "home")],
            &["/=home"],
        ),
        row(
            "robots.txt that is compressed",
            "RFC 9110, 8.4",
            [
                coded("/robots.txt", "gzip", gzip(b"User-agent: *\nDisallow: /x\n")),
                page("/", "<a href=/x>"),
            ],
            &["/"],
        )
        .unasked(&["/x"]),
        row(
            "robots.txt that is no text",
            "RFC 9309, 2.2",
            [robots(b"\xFF\xFE\x00\x01<html>"), page("/", "home")],
            &["/=home"],
        ),
    ]
}

fn addresses() -> Vec<Situation> {
    vec![
        row(
            "a start with a user and a password",
            "RFC 7617; URL standard, 4.4",
            [failed("/", "401"), failed("/x", "401")],
            &["/=for ann"],
        )
        .start("http://ann:s%3Acret@{host}/"),
        row(
            "a link with a user is the page without",
            "RFC 3986, 3.2.1",
            [
                page(
                    "/",
                    "<a href='http://bob@{host}/x'>1</a><a href='x'>2</a>"
                        .replace("http://bob@{host}", "{origin}"),
                ),
                page("/x", "x"),
            ],
            &["/", "/x"],
        ),
        row(
            "one page, eight spellings",
            "URL standard; RFC 3986, 6.2.2",
            [
                page(
                    "/",
                    "<a href='/a/b'>1</a><a href='a/./b'>2</a><a href='/c/../a/b'>3</a><a href='/%61/b'>4</a><a href='/a/b#c'>5</a><a href='/a/b?'>6</a><a href='/a/%2e/b'>7</a><a href='\\a\\b'>8</a>",
                ),
                page("/a/b", "b"),
            ],
            &["/", "/a/b"],
        ),
        row(
            "blanks and line ends around an address",
            "URL standard, 4.4",
            [
                page("/", "<a href=' \n/x\t '>1</a><a href='/y\nz'>2</a>"),
                page("/x", "x"),
                page("/yz", "yz"),
            ],
            &["/", "/x", "/yz"],
        ),
        row(
            "numbers of sessions",
            "Heritrix and Nutch; no standard",
            [
                page(
                    "/",
                    "<a href='/x?PHPSESSID=1'>1</a><a href='/x;jsessionid=2'>2</a><a href='/x?sid=0123456789abcdef01'>3</a>",
                ),
                page("/x", "x"),
            ],
            &["/", "/x"],
        ),
        row(
            "schemes that are none of ours",
            "URL standard",
            [page(
                "/",
                "<a href='mailto:a@b'>1</a><a href='javascript:x()'>2</a><a href='data:,x'>3</a><a href='tel:1'>4</a>home",
            )],
            &["/"],
        ),
        row(
            "links to other hosts",
            "no standard",
            [page("/", "<a href='http://other.invalid/'>1</a>home")],
            &["/"],
        ),
    ]
}

fn redirects() -> Vec<Situation> {
    vec![
        row(
            "a Location in UTF-8",
            "Fetch standard, location URL",
            [moved("/", "302", "/caf\u{E9}"), page("/caf%C3%A9", "coffee")],
            &["/caf%C3%A9=coffee"],
        )
        .without(&["/: redirect"]),
        row(
            "a Location that is relative, with a fragment",
            "RFC 9110, 10.2.2",
            [moved("/", "308", "a/../x?#y"), page("/x", "x")],
            &["/x"],
        ),
        row(
            "a Location without a value, and none",
            "RFC 9110, 10.2.2",
            [
                page("/", "<a href=x>1</a><a href=y>2</a>"),
                failed("/x", "302"),
                moved("/y", "301", "mailto:x"),
            ],
            &["/"],
        )
        .without(&["/x: bad url", "/y: bad url"]),
        row(
            "a redirect in a circle",
            "Fetch standard, 4.4",
            [page("/", "<a href=x>1</a>home"), moved("/x", "302", "/y"), moved("/y", "302", "/x")],
            &["/"],
        )
        .without(&["/x: redirect", "/y: redirect"]),
        row(
            "a link that is redirected to another host",
            "no standard",
            [page("/", "<a href=x>1</a>home"), moved("/x", "302", "http://other.invalid/")],
            &["/"],
        )
        .without(&["/x: redirect"]),
        row(
            "300 and 304 are no redirects",
            "Fetch standard, redirect status",
            [
                page("/", "<a href=x>1</a><a href=y>2</a>home"),
                moved("/x", "300", "/z"),
                failed("/y", "304"),
            ],
            &["/"],
        )
        .without(&["/x: http 300", "/y: http 304"])
        .unasked(&["/z"]),
        row(
            "a redirect that robots.txt forbids",
            "RFC 9309, 2.2",
            [robots("User-agent: *\nDisallow: /x\n"), moved("/", "302", "/%78")],
            &[],
        )
        .without(&["/x: robots.txt"])
        .unasked(&["/x", "/%78"]),
    ]
}

fn elements() -> Vec<Situation> {
    vec![
        row("a template is inert", "HTML standard, 4.12.3", [page("/", "<template><base href=/t/><a href=x>x</a><title>t</title>no</template><a href=y>y</a>"), page("/y", "y")], &["/=y", "/y"]).unasked(&["/x", "/t/x", "/t/y"]),
        row("SVG has elements of its own", "HTML standard, 13.2.6.5", [page("/", "<svg><title/><base href=/s/ /><style/><a href=x>no</a></svg><a href=y>y</a>"), page("/x", "x"), page("/y", "y")], &["/=y", "/x", "/y"]),
        row("HTML breaks out of SVG", "HTML standard, 13.2.6.5", [page("/", "<svg><path><p><a href=x>x</a>"), page("/x", "x")], &["/=x", "/x"]),
        row("noscript and iframe are text", "HTML standard, 13.2.5.4", [page("/", "<noscript><a href=x>1</a></noscript><iframe><a href=y>2</a></iframe>home")], &["/=home"]).unasked(&["/x", "/y"]),
        row("scripts, comments and textareas have no links", "HTML standard, 13.2.5", [page("/", "<script>'<a href=x>'</script><!-- <a href=x> --><textarea><a href=x></textarea><title><a href=x></title>"), ], &["/"]).unasked(&["/x"]),
        row("a base", "HTML standard, 4.2.3", [page("/", "<a href=x>x</a><base href=/d/ target=y>"), page("/d/x", "x")], &["/", "/d/x"]),
        row("a base that is none", "HTML standard, 4.2.3", [page("/", "<base href='javascript:x'><base href=/d/><a href=x>x</a>"), page("/x", "x")], &["/", "/x"]),
        row("an empty base is the first", "HTML standard, 4.2.3", [page("/", "<base href=''><base href=/d/><a href=x>x</a>"), page("/x", "x")], &["/", "/x"]),
        row("a base with data", "HTML standard, 4.2.3", [page("/", "<base href='data:text/html,x'><a href=x>x</a>"), page("/x", "x")], &["/", "/x"]),
        row("of two attributes the first", "HTML standard, 13.2.5.33", [page("/", "<a href=x href=y>x</a>"), page("/x", "x")], &["/", "/x"]).unasked(&["/y"]),
        row("an empty page, and one without a type", "MIME Sniffing standard, 7", [page("/", "<a href=x>1</a><a href=y>2</a>"), page("/x", ""), with("/y", "Content-Type:\r\n", "<p>y")], &["/", "/x=", "/y=y"]),
    ]
}

fn refreshes() -> Vec<Situation> {
    let to = |content: &str| format!("<meta http-equiv=Refresh content=\"{content}\">text");
    vec![
        row(
            "a refresh at once is a redirect",
            "HTML standard, 4.2.5.3",
            [page("/", to("0; url='/x'")), page("/x", "x")],
            &["/x"],
        )
        .without(&["/: redirect"]),
        row(
            "a refresh without url=",
            "HTML standard, 4.2.5.3",
            [page("/", to("0;/x")), page("/x", "x")],
            &["/x"],
        ),
        row(
            "a refresh later is a link",
            "HTML standard, 4.2.5.3",
            [page("/", to("5, URL=/x")), page("/x", "x")],
            &["/=text", "/x"],
        ),
        row(
            "a page that renews itself",
            "HTML standard, 4.2.5.3",
            [page("/", to("0") + &to("0;url=/x"))],
            &["/=text text"],
        )
        .unasked(&["/x"]),
        row(
            "a refresh that is none",
            "HTML standard, 4.2.5.3",
            [page("/", to("x;url=/x") + &to("0;url=javascript:y"))],
            &["/"],
        )
        .unasked(&["/x"]),
        row(
            "a refresh in a template, in noscript, and out of SVG",
            "HTML standard, 4.12.3, 13.2.6.5",
            [
                page("/", "<a href=1>1</a><a href=2>2</a><a href=3>3</a>"),
                page("/1", format!("<template>{}</template>one", to("0;url=/x"))),
                page("/2", format!("<noscript>{}</noscript>two", to("0;url=/x"))),
                page("/3", format!("<svg>{}</svg>", to("0;url=/y"))),
                page("/y", "y"),
            ],
            &["/", "/1=one", "/2=two", "/y"],
        )
        .unasked(&["/x"]),
        row(
            "the header Refresh",
            "HTML standard, 7.4.6",
            [with("/", "Refresh: 0; url=/x\r\n", to("0;url=/y")), page("/x", "x")],
            &["/x"],
        )
        .unasked(&["/y"]),
    ]
}
