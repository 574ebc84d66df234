//! One address, asked for on the calling thread, if robots.txt allows it.

use tidegate::{CancelToken, SystemClock, Timer, Wait};
use url::Url;

use crate::backoff::Backoff;
use crate::fetch::{FetchError, Fetched, Fetcher};
use crate::robots::{Permission, Robots};

/// A fetcher that heeds robots.txt.
#[derive(Debug)]
pub(crate) struct Client {
    fetcher: Fetcher,
    robots: Robots,
    backoff: Backoff,
    stop: CancelToken,
}

/// What the client got.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The page, or where it is.
    Page(Fetched),
    /// A no from robots.txt.
    Disallowed,
    /// No robots.txt, and so no page.
    Unsure(FetchError),
}

impl Client {
    /// A client that knows no robots.txt yet, and has no patience once `stop` is cancelled.
    pub(crate) fn new(fetcher: Fetcher, stop: CancelToken) -> Self {
        Self { fetcher, robots: Robots::new(), backoff: Backoff::new(0), stop }
    }

    /// Blocks its thread until there is an answer.
    pub(crate) fn ask(&self, url: &Url) -> Result<Asked, FetchError> {
        match self.robots.permission(url, |robots| self.rules(robots)) {
            Permission::Allowed => self.fetcher.page(url).map(Asked::Page),
            Permission::Disallowed => Ok(Asked::Disallowed),
            Permission::Unknown(error) => Ok(Asked::Unsure(error)),
        }
    }

    /// The first answer decides for the whole run, so a bad moment is borne here.
    fn rules(&self, robots: &Url) -> Result<Vec<u8>, FetchError> {
        let mut failures = 0;
        loop {
            let error = match self.fetcher.file(robots) {
                Ok(rules) => return Ok(rules),
                Err(error) => error,
            };
            failures += 1;
            let Some(pause) = self.backoff.pause(failures, &error) else { return Err(error) };
            if SystemClock.sleep(pause).or_cancelled(&self.stop).wait().is_err() {
                return Err(error);
            }
        }
    }
}
