//! From an answer to what is kept of it.

use std::fmt;

use tidegate::{ConcurrentMap, ConcurrentSet};
use url::Url;

use crate::fetch::Fetched;
use crate::head::Head;
use crate::page::Page;
use crate::record::{Body, Outcome, Record, Target};
use crate::traps::{Bounds, LeftOut, Traps};
use crate::visit::{Missing, Visit};
use crate::words::count_words;

/// How many redirects in a row are followed, as in a browser.
const MAX_HOPS: u32 = 20;
/// How the reason begins if a start leads to another origin, whose name follows.
pub(crate) const MOVED: &str = "redirect to ";
/// Why a page that was read is not kept.
const NOINDEX: &str = "asks not to be indexed";
const ELSEWHERE: &str = "another address is the canonical one";

/// The visit was stopped before it had an answer.
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
    /// The origins that are crawled: those given, and those that a start redirects to.
    origins: ConcurrentSet<String>,
    met: ConcurrentSet<String>,
    traps: Traps,
    /// For a page that names another address as its canonical one: that address.
    aliases: ConcurrentMap<String, String>,
    words: ConcurrentMap<String, u64>,
}

impl Harvest {
    /// A harvest within these origins (`http://host:port`) and bounds.
    pub fn new(origins: impl IntoIterator<Item = String>, bounds: Bounds) -> Self {
        let harvest = Self {
            origins: ConcurrentSet::new(),
            met: ConcurrentSet::new(),
            traps: Traps::new(bounds),
            aliases: ConcurrentMap::new(),
            words: ConcurrentMap::new(),
        };
        origins.into_iter().for_each(|origin| _ = harvest.origins.insert(origin));
        harvest
    }

    /// Marks an address of an earlier run as met.
    pub fn meet(&self, url: String) {
        if let Ok(address) = Url::parse(&url) {
            self.traps.count(&address);
        }
        self.met.insert(url);
    }

    /// Returns the links that were not followed, because they looked like a trap.
    pub fn left_out(&self) -> LeftOut {
        self.traps.left_out()
    }

    /// Reads the answer of a visit. This computes, and does not wait.
    ///
    /// # Errors
    ///
    /// The visit was stopped before there was an answer.
    pub fn reap(&self, visit: Visit) -> Result<Record, NoAnswer> {
        let Visit { target, url, answer } = visit;
        let (outcome, found) = match answer {
            Ok(Fetched::Page { status, head, body }) => {
                self.read(&target, &url, status, &head, &body)
            }
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

    fn read(
        &self,
        target: &Target,
        url: &Url,
        status: u16,
        head: &Head,
        body: &[u8],
    ) -> (Outcome, Vec<Target>) {
        let page = match Page::read(url, head, body) {
            Ok(page) => page,
            Err(error) => return (Outcome::Accounted(error.to_string()), Vec::new()),
        };
        if let Some(to) = page.refresh {
            return self.redirected(target, url, &to);
        }
        let depth = target.depth.saturating_add(1);
        let links = page.links.iter().filter(|_| !page.robots.nofollow);
        let new = links.filter(|link| self.is_ours(link) && self.is_new(link, depth));
        let mut found: Vec<_> = new.map(|link| Target::new(link.as_str(), depth)).collect();
        if page.robots.noindex {
            return (Outcome::Accounted(NOINDEX.to_owned()), found);
        }
        if let Some(to) = page.canonical.filter(|to| self.is_canonical(target, to)) {
            if self.is_new(&to, target.depth) {
                found.push(Target { hops: target.hops + 1, ..Target::new(to, target.depth) });
            }
            return (Outcome::Accounted(ELSEWHERE.to_owned()), found);
        }
        for (word, count) in count_words(&page.text) {
            let count = u64::from(count);
            self.words.upsert(word, || count, |sum| *sum += count);
        }
        let Page { title, description, text, lossy, .. } = page;
        let bytes = body.len() as u64;
        (Outcome::Stored(Body { title, description, text, status, bytes, lossy }), found)
    }

    /// Whether a page is kept under the address `to` that it names, instead of under its own. It is
    /// if `to` is on a site that we crawl, unless the named addresses lead back to this page.
    fn is_canonical(&self, target: &Target, to: &Url) -> bool {
        if !self.is_ours(to) || target.hops >= MAX_HOPS {
            return false;
        }
        // Inserted before the others are looked up: of two pages that name one another at the same
        // time, at least one then sees the other and is kept. Both may be.
        self.aliases.insert(target.url.clone(), to.as_str().to_owned());
        let mut at = to.as_str().to_owned();
        for _ in 0..MAX_HOPS {
            match self.aliases.get(&at) {
                Some(next) if next == target.url => {
                    self.aliases.remove(&target.url);
                    return false;
                }
                Some(next) => at = next,
                None => return true,
            }
        }
        false
    }

    /// Follows a redirect. A start may lead to another origin (`https`, `www.`), which is crawled
    /// then.
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
        let is_found = self.is_ours(to) && self.is_new(to, target.depth);
        let found = is_found.then(|| Target { hops, ..Target::new(to.as_str(), target.depth) });
        (Outcome::Accounted(reason), found.into_iter().collect())
    }

    fn is_ours(&self, link: &Url) -> bool {
        self.origins.contains(link.origin().ascii_serialization().as_str())
    }

    fn is_new(&self, link: &Url, depth: u32) -> bool {
        // Most links are known, and `contains` needs no copy of them.
        !self.met.contains(link.as_str())
            && self.met.insert(link.as_str().to_owned())
            && self.traps.admit(link, depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn harvest(origins: &[&str]) -> Harvest {
        Harvest::new(origins.iter().copied().map(str::to_owned), Bounds::default())
    }

    fn visit(html: &str) -> Visit {
        visit_of("http://a.test/x.html", html)
    }

    fn visit_of(url: &str, html: &str) -> Visit {
        let target = Target::new(url, 3);
        let (head, body) = (Box::default(), html.as_bytes().to_vec());
        let answer = Ok(Fetched::Page { status: 200, head, body });
        Visit { target, url: Url::parse(url).unwrap(), answer }
    }

    fn reason(record: &Record) -> &str {
        match &record.outcome {
            Outcome::Stored(_) => "stored",
            Outcome::Accounted(reason) | Outcome::Deferred(reason) => reason,
        }
    }

    #[test]
    fn pages_that_name_one_another_as_canonical_are_kept_once() {
        let harvest = harvest(&["http://a.test"]);
        let circle = [("1", "2"), ("2", "3"), ("3", "1"), ("4", "1")];
        let outcomes = circle.map(|(at, to)| {
            let html = format!("<link rel=canonical href=/{to}><a href=/l{at}>");
            let record = harvest.reap(visit_of(&format!("http://a.test/{at}"), &html)).unwrap();
            assert!(record.found.iter().any(|found| found.url.ends_with(&format!("/l{at}"))));
            reason(&record).to_owned()
        });
        assert_eq!(outcomes, [ELSEWHERE, ELSEWHERE, "stored", ELSEWHERE]);
        let far = visit("<link rel=canonical href='http://far.test/'>");
        assert_eq!(reason(&harvest.reap(far).unwrap()), "stored");
    }

    #[test]
    fn a_page_that_asks_not_to_be_indexed_leads_on_unless_it_asks_not_to_be_followed_too() {
        let harvest = harvest(&["http://a.test"]);
        for (words, found) in [("noindex", 1), ("none", 0)] {
            let html = format!("<meta name=robots content={words}><a href=/{words}>");
            let record = harvest.reap(visit(&html)).unwrap();
            assert_eq!((reason(&record), record.found.len()), (NOINDEX, found));
        }
    }

    #[test]
    fn an_address_is_found_once_and_only_at_home() {
        let harvest = harvest(&["http://a.test"]);
        harvest.meet("http://a.test/x.html".to_owned());
        let html = "<a href=y.html>y</a><a href=x.html>x</a><a href=http://b.test/>b</a>";
        let found = harvest.reap(visit(html)).unwrap().found;
        assert_eq!(found, [Target::new("http://a.test/y.html", 4)]);
        assert!(harvest.reap(visit(html)).unwrap().found.is_empty());
    }

    #[test]
    fn words_of_all_pages_are_counted_together() {
        let harvest = harvest(&[]);
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
        let harvest = harvest(&["http://a.test"]);
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
        let harvest = harvest(&["http://a.test"]);
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
        let harvest = harvest(&[]);
        let stopped = Visit { answer: Err(Missing::Stopped), ..visit("") };
        assert_eq!(harvest.reap(stopped).unwrap_err(), NoAnswer);
    }
}
