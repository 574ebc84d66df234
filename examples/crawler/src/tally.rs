//! What is counted at the end of the flow.

use std::collections::BTreeMap;

use url::Url;

use crate::frontier::Left;
use crate::record::{Outcome, Record};

/// What became of an address, once it is in the database.
#[derive(Debug)]
pub(crate) struct Settled {
    url: String,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Page { lossy: bool },
    Reason(String),
    Deferred(String),
}

impl From<Record> for Settled {
    fn from(record: Record) -> Self {
        let kept = match record.outcome {
            Outcome::Stored(body) => Kept::Page { lossy: body.lossy },
            Outcome::Accounted(reason) => Kept::Reason(reason),
            Outcome::Deferred(reason) => Kept::Deferred(reason),
        };
        Self { url: record.target.url, kept }
    }
}

/// How many addresses of each reason the report names; the database has all.
const NAMED: usize = 5;

/// The sums over all that left the flow.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) stored: u64,
    pub(crate) lossy: u64,
    pub(crate) accounted: BTreeMap<String, u64>,
    /// The first addresses of each reason.
    pub(crate) without: BTreeMap<String, Vec<String>>,
    pub(crate) stopped: u64,
    by_origin: BTreeMap<String, Fared>,
}

/// How one origin fared.
#[derive(Debug, Default)]
struct Fared {
    has_pages: bool,
    /// The first address that its host failed to answer for now, and why.
    failure: Option<String>,
}

impl Tally {
    /// Counts an address, and says how it leaves the flow.
    pub(crate) fn count(&mut self, settled: Settled) -> Left {
        let Settled { url, kept } = settled;
        match kept {
            Kept::Page { lossy } => {
                self.stored += 1;
                self.lossy += u64::from(lossy);
                self.fared(&url).has_pages = true;
                Left::Stored
            }
            Kept::Reason(reason) => {
                self.name(&reason, url);
                self.count_reason(reason);
                Left::Without
            }
            Kept::Deferred(reason) => {
                self.fared(&url).failure.get_or_insert_with(|| format!("{url}: {reason}"));
                self.name(&reason, url);
                self.count_reason(reason);
                Left::Without
            }
        }
    }

    fn name(&mut self, reason: &str, url: String) {
        match self.without.get_mut(reason) {
            Some(urls) if urls.len() < NAMED => urls.push(url),
            Some(_) => {}
            None => _ = self.without.insert(reason.to_owned(), vec![url]),
        }
    }

    pub(crate) fn count_reason(&mut self, reason: String) {
        *self.accounted.entry(reason).or_default() += 1;
    }

    /// Returns the first failure of an origin without pages.
    pub(crate) fn unreachable(&self) -> Option<String> {
        let mut silent = self.by_origin.values().filter(|fared| !fared.has_pages);
        silent.find_map(|fared| fared.failure.clone())
    }

    fn fared(&mut self, url: &str) -> &mut Fared {
        let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
        self.by_origin.entry(origin.unwrap_or_default()).or_default()
    }
}
