//! What a page says and where it leads.

use std::collections::HashSet;

use url::Url;

use crate::html::Extract;

/// A page, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The `<title>`; empty if there is none.
    pub title: String,
    /// The description in the head; empty if there is none.
    pub description: String,
    /// The text, with single spaces: of `<main>` if there is one, else of the body; no scripts, styles
    /// or navigation.
    pub text: String,
    /// Where it leads: `http` and `https`, absolute, without fragment, each once, in order. Links
    /// in the navigation are among them.
    pub links: Vec<Url>,
    /// The page is only a signpost to there (`<meta http-equiv="refresh">` without delay).
    pub refresh: Option<Url>,
    /// Whether the bytes were not UTF-8 and some were replaced.
    pub lossy: bool,
}

impl Page {
    /// Reads a page found at `url`. Any bytes are a page: what is broken is read as browsers do,
    /// and what is not UTF-8 is replaced.
    pub fn parse(url: &Url, bytes: &[u8]) -> Page {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let html = String::from_utf8_lossy(bytes);
        // Borrowed exactly when nothing was replaced.
        let lossy = matches!(html, std::borrow::Cow::Owned(_));
        let extract = Extract::read(&html);
        let base = extract.base.as_deref().and_then(|href| url.join(href).ok());
        let base = base.as_ref().unwrap_or(url);
        Page {
            refresh: extract.refresh.as_deref().and_then(|href| resolve(base, href)),
            links: links(base, &extract.hrefs),
            title: extract.title,
            description: extract.description,
            text: extract.text,
            lossy,
        }
    }
}

fn links(base: &Url, hrefs: &[String]) -> Vec<Url> {
    // Two rounds: equal words first, because most repeats are and comparing them is cheaper than
    // resolving; then equal addresses.
    let mut words = HashSet::new();
    let mut seen = HashSet::new();
    let words_once = hrefs.iter().filter(|href| words.insert(href.as_str()));
    let links = words_once.filter_map(|href| resolve(base, href));
    links.filter(|link| seen.insert(link.as_str().to_owned())).collect()
}

fn resolve(base: &Url, href: &str) -> Option<Url> {
    let mut link = base.join(href).ok()?;
    link.set_fragment(None);
    if link.query() == Some("") {
        link.set_query(None);
    }
    (matches!(link.scheme(), "http" | "https") && link.has_host()).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: impl AsRef<[u8]>) -> Page {
        Page::parse(&Url::parse("http://a.test/b/c.html?q#f").unwrap(), html.as_ref())
    }

    fn links(html: &str) -> Vec<String> {
        page(html).links.into_iter().map(String::from).collect()
    }

    #[test]
    fn links_are_absolute_without_fragment_and_once() {
        let found = links(
            "<a href='../x.html#one'>1</a><a href=/x.html>2</a><a href='#here'>3</a>\
             <nav><a href='y.html?p=1&amp;q=2'>4</a></nav><a href='mailto:a@b'>5</a>\
             <a href='//other.test/?'>6</a><a href='http://['>7</a><a name=z>8</a>",
        );
        let expected =
            ["http://a.test/x.html", "http://a.test/b/y.html?p=1&q=2", "http://other.test/"];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_base_element_is_obeyed() {
        assert_eq!(links("<base href='/d/'><a href=e.html>"), ["http://a.test/d/e.html"]);
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_flagged() {
        let page = page(b"\xEF\xBB\xBF<title>caf\xE9</title>");
        assert_eq!((page.title.as_str(), page.lossy), ("caf\u{FFFD}", true));
        assert!(!self::page("<title>caf\u{E9}</title>").lossy);
    }

    #[test]
    fn a_signpost_says_where_it_leads() {
        let sign = page("<meta http-equiv=Refresh content=\"0; url='../z.html'\">Go on");
        assert_eq!(sign.refresh.unwrap().as_str(), "http://a.test/z.html");
        let news = page("<meta http-equiv=refresh content='300'><meta content='0;url=x'>");
        assert_eq!(news.refresh, None);
    }
}
