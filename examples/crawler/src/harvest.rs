//! From an answer to what is kept of it.

use std::collections::HashSet;

use tidegate::{ConcurrentMap, ConcurrentSet};
use url::Url;

use crate::fetch::Fetched;
use crate::page::Page;
use crate::record::{Body, Outcome, Record, Target};
use crate::visit::{Missing, Visit};
use crate::words::count_words;

/// What all pages together tell: every address met so far, and every word.
#[derive(Debug)]
pub struct Harvest {
    /// Hosts may link anywhere; only these are crawled.
    origins: HashSet<String>,
    met: ConcurrentSet<String>,
    words: ConcurrentMap<String, u64>,
}

impl Harvest {
    /// A harvest within these origins (`http://host:port`).
    pub fn new(origins: impl IntoIterator<Item = String>) -> Self {
        let origins = origins.into_iter().collect();
        Self { origins, met: ConcurrentSet::new(), words: ConcurrentMap::new() }
    }

    /// Marks an address as met; returns false if it was already.
    pub fn meet(&self, url: String) -> bool {
        self.met.insert(url)
    }

    /// Reads the answer of a visit. Takes a processor's time. `None` if the visit was stopped before there was one.
    pub fn reap(&self, visit: Visit) -> Option<Record> {
        let Visit { target, url, answer } = visit;
        let depth = target.depth + 1;
        let (outcome, links) = match answer {
            Ok(Fetched::Page { status, body }) => self.read(&url, status, &body),
            Ok(Fetched::Redirect(to)) => (Outcome::Accounted("redirect".to_owned()), vec![to]),
            Err(Missing::Because(reason)) => (Outcome::Accounted(reason), Vec::new()),
            Err(Missing::ForNow(reason)) => (Outcome::Deferred(reason), Vec::new()),
            Err(Missing::Stopped) => return None,
        };
        let ours = links.iter().filter(|link| self.is_ours(link));
        let new = ours.filter(|link| self.is_new(link));
        let found = new.map(|link| Target { url: link.as_str().to_owned(), depth }).collect();
        Some(Record { target, outcome, found })
    }

    /// The most frequent words.
    pub fn top_words(&self, n: usize) -> Vec<(String, u64)> {
        let mut words = self.words.snapshot();
        words.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
        words.truncate(n);
        words
    }

    fn read(&self, url: &Url, status: u16, body: &[u8]) -> (Outcome, Vec<Url>) {
        let page = Page::parse(url, body);
        if let Some(to) = page.refresh {
            return (Outcome::Accounted("redirect".to_owned()), vec![to]);
        }
        for (word, count) in count_words(&page.text) {
            let count = u64::from(count);
            self.words.upsert(word, || count, |sum| *sum += count);
        }
        let Page { title, description, text, links, lossy, .. } = page;
        let bytes = body.len() as u64;
        (Outcome::Stored(Body { title, description, text, status, bytes, lossy }), links)
    }

    fn is_ours(&self, link: &Url) -> bool {
        self.origins.contains(&link.origin().ascii_serialization())
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
        let target = Target { url: url.to_string(), depth: 3 };
        let body = html.as_bytes().to_vec();
        Visit { target, url, answer: Ok(Fetched::Page { status: 200, body }) }
    }

    #[test]
    fn an_address_is_found_once_and_only_at_home() {
        let harvest = Harvest::new(["http://a.test".to_owned()]);
        harvest.meet("http://a.test/x.html".to_owned());
        let html = "<a href=y.html>y</a><a href=x.html>x</a><a href=http://b.test/>b</a>";
        let found = harvest.reap(visit(html)).unwrap().found;
        assert_eq!(found, [Target { url: "http://a.test/y.html".to_owned(), depth: 4 }]);
        assert!(harvest.reap(visit(html)).unwrap().found.is_empty());
    }

    #[test]
    fn words_of_all_pages_are_counted_together() {
        let harvest = Harvest::new([]);
        harvest.reap(visit("<p>tide tide gate"));
        harvest.reap(visit("<p>tide"));
        assert_eq!(harvest.top_words(1), [("tide".to_owned(), 3)]);
    }

    #[test]
    fn a_stopped_visit_leaves_nothing() {
        let harvest = Harvest::new([]);
        assert!(harvest.reap(Visit { answer: Err(Missing::Stopped), ..visit("") }).is_none());
    }
}
