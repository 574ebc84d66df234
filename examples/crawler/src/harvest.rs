//! From an answer to what is kept of it.

use std::fmt;

use tidegate::{ConcurrentMap, ConcurrentSet};
use url::Url;

use crate::fetch::Fetched;
use crate::page::Page;
use crate::record::{Body, Outcome, Record, Target};
use crate::visit::{Missing, Visit};
use crate::words::count_words;

/// After so many redirects in a row there is no page to be hoped for. As in a browser.
const MAX_HOPS: u32 = 20;
/// Begins the reason of a start that leads to another origin, which follows.
pub(crate) const MOVED: &str = "redirect to ";

/// There is nothing to keep of a visit.
#[derive(Debug, PartialEq, Eq)]
pub struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped before there was an answer")
    }
}

impl std::error::Error for NoAnswer {}

/// What all pages together tell: every address met so far, and every word.
#[derive(Debug)]
pub struct Harvest {
    /// Hosts may link anywhere; only these are crawled, and those that a start redirects to.
    origins: ConcurrentSet<String>,
    met: ConcurrentSet<String>,
    words: ConcurrentMap<String, u64>,
}

impl Harvest {
    /// A harvest within these origins (`http://host:port`).
    pub fn new(origins: impl IntoIterator<Item = String>) -> Self {
        let harvest = Self {
            origins: ConcurrentSet::new(),
            met: ConcurrentSet::new(),
            words: ConcurrentMap::new(),
        };
        origins.into_iter().for_each(|origin| _ = harvest.origins.insert(origin));
        harvest
    }

    /// Marks an address as met; returns false if it was already.
    pub fn meet(&self, url: String) -> bool {
        self.met.insert(url)
    }

    /// Reads the answer of a visit. Takes a processor's time.
    ///
    /// # Errors
    ///
    /// The visit was stopped before there was an answer.
    pub fn reap(&self, visit: Visit) -> Result<Record, NoAnswer> {
        let Visit { target, url, answer } = visit;
        let (outcome, found) = match answer {
            Ok(Fetched::Page { status, body }) => self.read(&target, &url, status, &body),
            Ok(Fetched::Redirect(to)) => self.redirected(&target, &url, &to),
            Err(Missing::Because(reason)) => (Outcome::Accounted(reason), Vec::new()),
            Err(Missing::ForNow(reason)) => (Outcome::Deferred(reason), Vec::new()),
            Err(Missing::Stopped) => return Err(NoAnswer),
        };
        Ok(Record { target, outcome, found })
    }

    /// The most frequent words.
    pub fn top_words(&self, n: usize) -> Vec<(String, u64)> {
        let mut words = self.words.snapshot();
        words.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
        words.truncate(n);
        words
    }

    fn read(&self, target: &Target, url: &Url, status: u16, body: &[u8]) -> (Outcome, Vec<Target>) {
        let page = Page::parse(url, body);
        if let Some(to) = page.refresh {
            return self.redirected(target, url, &to);
        }
        for (word, count) in count_words(&page.text) {
            let count = u64::from(count);
            self.words.upsert(word, || count, |sum| *sum += count);
        }
        let Page { title, description, text, links, lossy, .. } = page;
        let bytes = body.len() as u64;
        let new = links.iter().filter(|link| self.is_ours(link) && self.is_new(link));
        let found = new.map(|link| Target::new(link.as_str(), target.depth + 1)).collect();
        (Outcome::Stored(Body { title, description, text, status, bytes, lossy }), found)
    }

    /// A start that leads to another origin (to `https`, to `www.`) means the site there.
    fn redirected(&self, target: &Target, from: &Url, to: &Url) -> (Outcome, Vec<Target>) {
        let hops = target.hops + 1;
        if hops > MAX_HOPS {
            return (Outcome::Accounted("too many redirects".to_owned()), Vec::new());
        }
        let mut reason = "redirect".to_owned();
        if target.depth == 0 && to.origin() != from.origin() {
            let origin = to.origin().ascii_serialization();
            reason = format!("{MOVED}{origin}");
            self.origins.insert(origin);
        }
        let is_found = self.is_ours(to) && self.is_new(to);
        let found = is_found.then(|| Target { hops, ..Target::new(to.as_str(), target.depth) });
        (Outcome::Accounted(reason), found.into_iter().collect())
    }

    fn is_ours(&self, link: &Url) -> bool {
        self.origins.contains(link.origin().ascii_serialization().as_str())
    }

    fn is_new(&self, link: &Url) -> bool {
        // Most links are known: asked first, because that needs no copy.
        !self.met.contains(link.as_str()) && self.met.insert(link.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(html: &str) -> Visit {
        let url = Url::parse("http://a.test/x.html").unwrap();
        let target = Target::new(url.as_str(), 3);
        let body = html.as_bytes().to_vec();
        Visit { target, url, answer: Ok(Fetched::Page { status: 200, body }) }
    }

    #[test]
    fn an_address_is_found_once_and_only_at_home() {
        let harvest = Harvest::new(["http://a.test".to_owned()]);
        harvest.meet("http://a.test/x.html".to_owned());
        let html = "<a href=y.html>y</a><a href=x.html>x</a><a href=http://b.test/>b</a>";
        let found = harvest.reap(visit(html)).unwrap().found;
        assert_eq!(found, [Target::new("http://a.test/y.html", 4)]);
        assert!(harvest.reap(visit(html)).unwrap().found.is_empty());
    }

    #[test]
    fn words_of_all_pages_are_counted_together() {
        let harvest = Harvest::new([]);
        harvest.reap(visit("<p>tide tide gate")).unwrap();
        harvest.reap(visit("<p>tide")).unwrap();
        assert_eq!(harvest.top_words(1), [("tide".to_owned(), 3)]);
    }

    fn redirect(target: &Target, to: &str) -> Visit {
        let answer = Ok(Fetched::Redirect(Url::parse(to).unwrap()));
        Visit { target: target.clone(), url: Url::parse(&target.url).unwrap(), answer }
    }

    #[test]
    fn redirects_without_end_are_left() {
        let harvest = Harvest::new(["http://a.test".to_owned()]);
        let mut target = Target::new("http://a.test/0", 1);
        for n in 1..=MAX_HOPS {
            let found =
                harvest.reap(redirect(&target, &format!("http://a.test/{n}"))).unwrap().found;
            assert_eq!(found[0].depth, 1, "a redirect is no link");
            target = found[0].clone();
        }
        let record = harvest.reap(redirect(&target, "http://a.test/more")).unwrap();
        assert!(record.found.is_empty());
        assert!(matches!(record.outcome, Outcome::Accounted(why) if why == "too many redirects"));
    }

    #[test]
    fn a_start_is_followed_to_another_origin_and_a_link_is_not() {
        let harvest = Harvest::new(["http://a.test".to_owned()]);
        let link = Target::new("http://a.test/x", 1);
        assert!(harvest.reap(redirect(&link, "https://b.test/x")).unwrap().found.is_empty());
        let start = Target::new("http://a.test/", 0);
        let record = harvest.reap(redirect(&start, "https://a.test/")).unwrap();
        assert_eq!(record.found[0].url, "https://a.test/");
        assert!(
            matches!(record.outcome, Outcome::Accounted(why) if why == "redirect to https://a.test")
        );
    }

    #[test]
    fn a_stopped_visit_leaves_nothing() {
        let harvest = Harvest::new([]);
        let stopped = Visit { answer: Err(Missing::Stopped), ..visit("") };
        assert_eq!(harvest.reap(stopped).unwrap_err(), NoAnswer);
    }
}
