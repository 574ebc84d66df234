//! What robots.txt allows (RFC 9309).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use url::Url;

use crate::fetch::{FetchError, USER_AGENT};
use crate::rules::Rules;

/// The robots.txt of every host met so far, each fetched once.
#[derive(Debug, Default)]
pub struct Robots {
    origins: Mutex<HashMap<String, Arc<OnceLock<Answer>>>>,
}

/// Whether a page may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Allowed,
    /// The site asks not to.
    Disallowed,
    /// The host would not say, which means no.
    Unknown(FetchError),
}

#[derive(Debug)]
enum Answer {
    Rules(Rules),
    Unknown(FetchError),
}

/// What is longer is cut here; the RFC asks for no more.
const MAX_BYTES: usize = 500 << 10;

impl Robots {
    /// A cache that knows no host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `url` may be fetched. The first to ask about a host calls `fetch` for its
    /// robots.txt, with whatever retries it sees fit; others who ask meanwhile wait for it.
    pub fn permission(
        &self,
        url: &Url,
        fetch: impl FnOnce(&Url) -> Result<Vec<u8>, FetchError>,
    ) -> Permission {
        let answer = self.of(url.origin().ascii_serialization());
        match answer.get_or_init(|| Answer::from(fetch(&robots_txt(url)))) {
            Answer::Unknown(error) => Permission::Unknown(*error),
            Answer::Rules(rules) if rules.allow(url) => Permission::Allowed,
            Answer::Rules(_) => Permission::Disallowed,
        }
    }

    fn of(&self, origin: String) -> Arc<OnceLock<Answer>> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(origins.entry(origin).or_default())
    }
}

impl From<Result<Vec<u8>, FetchError>> for Answer {
    fn from(answer: Result<Vec<u8>, FetchError>) -> Self {
        match answer {
            Ok(mut bytes) => {
                bytes.truncate(MAX_BYTES);
                Answer::Rules(Rules::parse(&String::from_utf8_lossy(&bytes), USER_AGENT))
            }
            // "Unavailable" in the RFC's words: there are no rules. A 429 says nothing about them.
            Err(FetchError::Status { code: 300..=428 | 430..=499, .. }) => {
                Answer::Rules(Rules::default())
            }
            Err(error) => Answer::Unknown(error),
        }
    }
}

fn robots_txt(url: &Url) -> Url {
    let mut address = url.clone();
    address.set_path("/robots.txt");
    address.set_query(None);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> Url {
        Url::parse("http://a.test/").unwrap().join(path).unwrap()
    }

    #[test]
    fn rules_are_obeyed_and_fetched_once() {
        let robots = Robots::new();
        let text = b"User-agent: *\nDisallow: /private\nAllow: /private/not\n".to_vec();
        let fetched = |address: &Url| {
            assert_eq!(address.as_str(), "http://a.test/robots.txt");
            Ok(text)
        };
        assert_eq!(robots.permission(&url("x.html"), fetched), Permission::Allowed);
        let never = |_: &Url| panic!("fetched twice");
        assert_eq!(robots.permission(&url("private/x"), never), Permission::Disallowed);
        assert_eq!(robots.permission(&url("private/not"), never), Permission::Allowed);
    }

    #[test]
    fn rules_for_our_name_come_first() {
        let text = format!("User-agent: *\nAllow: /\n\nUser-agent: {USER_AGENT}\nDisallow: /\n");
        let fetch = |_: &Url| Ok(text.into_bytes());
        assert_eq!(Robots::new().permission(&url("x"), fetch), Permission::Disallowed);
    }

    #[test]
    fn no_rules_is_yes_and_no_answer_is_no() {
        let status = |code| move |_: &Url| Err(FetchError::Status { code, retry_after: None });
        assert_eq!(Robots::new().permission(&url("x"), status(404)), Permission::Allowed);
        let unwell = Robots::new().permission(&url("x"), status(503));
        assert!(matches!(unwell, Permission::Unknown(_)));
    }
}
