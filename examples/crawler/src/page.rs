//! What a page says and where it leads.

use std::collections::HashSet;

use url::Url;

use crate::address::canonical;
use crate::charset;
use crate::directives::Directives;
use crate::fetch::FetchError;
use crate::head::Head;
use crate::html::Extract;

/// A page, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The `<title>`; empty if there is none.
    pub title: String,
    /// The description in the head; empty if there is none.
    pub description: String,
    /// The text of `<main>` if there is one, else of the body. It has single spaces, and no
    /// scripts, styles or navigation.
    pub text: String,
    /// The addresses that it links to, absolute and as `address::canonical` writes them, each once,
    /// in order. Links in the navigation are among them, links with `nofollow` are not.
    pub links: Vec<Url>,
    /// Where a refresh without delay leads. Such a page has nothing to keep.
    pub refresh: Option<Url>,
    /// The address under which the page asks to be kept, if it is not its own.
    pub canonical: Option<Url>,
    /// What it asks of robots.
    pub robots: Directives,
    /// Whether some bytes did not fit the encoding and were replaced.
    pub lossy: bool,
}

impl Page {
    /// Reads a page found at `url`, whose head is `head`. It reads broken HTML as browsers do.
    ///
    /// # Errors
    ///
    /// [`FetchError::UnknownCharset`], [`FetchError::NotText`].
    pub fn read(url: &Url, head: &Head, bytes: &[u8]) -> Result<Page, FetchError> {
        let (html, lossy) = charset::text(bytes, head.charset.as_deref())?;
        let extract = Extract::read(&html);
        let base = base(url, extract.base.as_deref());
        let own = canonical(url.clone());
        let elsewhere = |to: Url| (Some(&to) != own.as_ref()).then_some(to);

        let mut links = links(&base, &extract.hrefs);
        // The header counts before the page.
        let header = head.refresh.as_ref().map(|refresh| (url, refresh));
        let refresh = header.or(extract.refresh.as_ref().map(|refresh| (&base, refresh)));
        let to = refresh.filter(|(_, refresh)| !refresh.to.is_empty());
        let to =
            to.and_then(|(from, refresh)| Some((resolve(from, &refresh.to)?, refresh.at_once)));
        let refresh = match to {
            Some((to, true)) => elsewhere(to),
            Some((to, false)) if !links.contains(&to) => {
                links.push(to);
                None
            }
            _ => None,
        };
        let of_head = head.canonical.iter().filter_map(|href| resolve(url, href));
        let of_page = extract.canonical.iter().filter_map(|href| resolve(&base, href));
        let mut named = of_head.chain(of_page);
        // A page that names two addresses names none.
        let first = named.next();
        let canonical = first.filter(|first| named.all(|other| other == *first));
        Ok(Page {
            refresh,
            canonical: canonical.and_then(elsewhere),
            links,
            robots: head.robots.and(extract.robots),
            title: extract.title,
            description: extract.description,
            text: extract.text,
            lossy,
        })
    }
}

/// Returns the address that the links of a page are relative to (HTML standard, 4.2.3).
fn base(url: &Url, href: Option<&str>) -> Url {
    let base = href.and_then(|href| url.join(href).ok());
    let base = base.filter(|base| !matches!(base.scheme(), "data" | "javascript"));
    base.unwrap_or_else(|| url.clone())
}

fn links(base: &Url, hrefs: &[String]) -> Vec<Url> {
    // First drop links that are spelt the same, as most repeats are: comparing is cheaper than
    // resolving. Then drop links to the same address.
    let mut words = HashSet::new();
    let mut seen = HashSet::new();
    let words_once = hrefs.iter().filter(|href| words.insert(href.as_str()));
    let links = words_once.filter_map(|href| resolve(base, href));
    links.filter(|link| seen.insert(link.as_str().to_owned())).collect()
}

fn resolve(base: &Url, href: &str) -> Option<Url> {
    canonical(base.join(href).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: impl AsRef<[u8]>) -> Page {
        read(&Head::default(), html.as_ref())
    }

    fn read(head: &Head, html: &[u8]) -> Page {
        Page::read(&Url::parse("http://a.test/b/c.html?q#f").unwrap(), head, html).unwrap()
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
        let expected = [
            "http://a.test/x.html",
            "http://a.test/b/c.html?q",
            "http://a.test/b/y.html?p=1&q=2",
            "http://other.test/",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_base_element_is_obeyed() {
        let table = [
            ("<base href='/d/'><a href=e>", "http://a.test/d/e"),
            ("<base href='/d/'><a href='#f'>", "http://a.test/d/"),
            ("<base href='javascript:x'><base href='/d/'><a href=e>", "http://a.test/b/e"),
            ("<base href='data:,x'><a href=e>", "http://a.test/b/e"),
            ("<base href><base href='/d/'><a href=e>", "http://a.test/b/e"),
            ("<base target=x><base href='//b.test'><a href=e>", "http://b.test/e"),
            ("<a href=e><base href='http://x:y@b.test/d/'>", "http://b.test/d/e"),
            ("<base href='http://['><a href=e>", "http://a.test/b/e"),
        ];
        for (html, expected) in table {
            assert_eq!(links(html), [expected], "{html}");
        }
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
        assert_eq!((news.refresh, news.links), (None, vec![]));
        let late = page("<meta http-equiv=refresh content='5;url=x'>");
        assert_eq!((late.refresh, late.links[0].path()), (None, "/b/x"));
        let own = page("<meta http-equiv=refresh content='0;url=?q#g'>");
        assert_eq!(own.refresh, None);
        let refresh = crate::refresh::refresh("0;/h");
        let header = read(&Head { refresh, ..Head::default() }, b"<base href='//b.test/'>");
        assert_eq!(header.refresh.unwrap().as_str(), "http://a.test/h");
    }

    #[test]
    fn one_canonical_address_is_heard_and_two_are_none() {
        let canonical = |html: &str| page(html).canonical.map(String::from);
        let one = "<link rel=canonical href='/c#x'>";
        assert_eq!(canonical(one).as_deref(), Some("http://a.test/c"));
        assert_eq!(canonical(&one.repeat(2)).as_deref(), Some("http://a.test/c"));
        assert_eq!(canonical(&format!("{one}<link rel=canonical href='/d'>")), None);
        assert_eq!(canonical("<link rel=canonical href='?q'>"), None);
        let head = Head { canonical: Some("/h".to_owned()), ..Head::default() };
        assert_eq!(read(&head, b"x").canonical.unwrap().path(), "/h");
    }
}
