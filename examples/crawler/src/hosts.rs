//! What every host did.

use tidegate::ConcurrentMap;

use crate::fetch::{FetchError, Fetched};
use crate::report::Host;

/// The statistics of every host, written by many tasks at once.
#[derive(Debug, Default)]
pub struct Hosts {
    by_name: ConcurrentMap<String, Host>,
}

impl Hosts {
    /// Counts a page, but not a redirect.
    pub fn count_page(&self, host: &str, fetched: &Fetched) {
        let Fetched::Page { body, .. } = fetched else { return };
        self.change(host, |figures| {
            figures.pages += 1;
            figures.bytes += body.len() as u64;
        });
    }

    /// Counts an error.
    pub fn count_error(&self, host: &str, error: &FetchError) {
        self.change(host, |figures| match error {
            FetchError::Status { code: 429, .. } => figures.too_many += 1,
            FetchError::Status { code: 503, .. } => figures.unavailable += 1,
            FetchError::Timeout => figures.timeouts += 1,
            _ => {}
        });
    }

    /// Counts a request that is made again.
    pub fn count_retry(&self, host: &str) {
        self.change(host, |figures| figures.retries += 1);
    }

    /// Returns all hosts, the one with the most pages first.
    pub fn all(&self) -> Vec<Host> {
        let mut hosts = self.by_name.values();
        hosts.sort_by(|one, two| two.pages.cmp(&one.pages).then_with(|| one.name.cmp(&two.name)));
        hosts
    }

    fn change(&self, host: &str, change: impl Fn(&mut Host)) {
        if self.by_name.update(host, &change).is_none() {
            let made = || {
                let mut figures = Host { name: host.to_owned(), ..Host::default() };
                change(&mut figures);
                figures
            };
            self.by_name.upsert(host.to_owned(), made, &change);
        }
    }
}
