//! What robots.txt allows (RFC 9309).

use std::sync::Arc;

use tidegate::ConcurrentMap;
use url::Url;

use crate::fetch::{FetchError, USER_AGENT};
use crate::rules::Rules;

/// The robots.txt of every host met so far, each fetched once.
#[derive(Debug, Default)]
pub struct Robots {
    origins: ConcurrentMap<String, Arc<Answer>>,
}

/// Whether a page may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Allowed,
    /// The site asks not to.
    Disallowed,
    /// The robots.txt could not be read, which means no.
    Unknown(FetchError),
}

#[derive(Debug)]
enum Answer {
    Rules(Rules),
    Unknown(FetchError),
}

/// How many bytes of a robots.txt are read; the RFC asks for no more.
pub(crate) const MAX_BYTES: usize = 500 << 10;

impl Robots {
    /// A cache that knows no host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether `url` may be fetched. The first caller that asks about an origin drives
    /// `fetch` for its robots.txt, retries included; others wait for that.
    ///
    /// # Errors
    ///
    /// Why `fetch` did not even ask. Callers that waited for it get this; the next one may ask.
    pub async fn permission<F, E>(
        &self,
        url: &Url,
        fetch: impl FnOnce(Url) -> F,
    ) -> Result<Permission, E>
    where
        F: Future<Output = Result<Result<Vec<u8>, FetchError>, E>>,
        E: Clone + Send + Sync + 'static,
    {
        let origin = url.origin().ascii_serialization();
        let answer = match self.origins.get(&origin) {
            Some(answer) => answer,
            None => {
                let fetch = fetch(robots_txt(url));
                let answer = async { Ok(Arc::new(Answer::from(fetch.await?))) };
                self.origins.get_or_try_insert_async(origin, answer).await?
            }
        };
        Ok(Answer::permission(&answer, url))
    }
}

impl Answer {
    fn permission(&self, url: &Url) -> Permission {
        match self {
            Answer::Unknown(error) => Permission::Unknown(*error),
            Answer::Rules(rules) if rules.allow(url) => Permission::Allowed,
            Answer::Rules(_) => Permission::Disallowed,
        }
    }
}

impl From<Result<Vec<u8>, FetchError>> for Answer {
    fn from(answer: Result<Vec<u8>, FetchError>) -> Self {
        match answer {
            Ok(bytes) => Answer::Rules(Rules::parse(&bytes, USER_AGENT)),
            // "Unavailable" in the RFC's words: there are no rules. A 429 does not say whether
            // there are.
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
    use std::convert::Infallible;
    use std::future::ready;

    use tidegate::Wait;

    use super::*;

    fn url(path: &str) -> Url {
        Url::parse("http://a.test/").unwrap().join(path).unwrap()
    }

    fn ask(robots: &Robots, path: &str, answer: Result<&str, FetchError>) -> Permission {
        let answer = answer.map(|text| text.as_bytes().to_vec());
        let Ok(permission) =
            robots.permission(&url(path), |_| ready(Ok::<_, Infallible>(answer))).wait();
        permission
    }

    #[test]
    fn rules_are_obeyed_and_fetched_once() {
        let robots = Robots::new();
        let text = "User-agent: *\nDisallow: /private\nAllow: /private/not\n";
        let fetched = |address: Url| {
            assert_eq!(address.as_str(), "http://a.test/robots.txt");
            ready(Ok::<_, Infallible>(Ok(text.as_bytes().to_vec())))
        };
        assert_eq!(robots.permission(&url("x.html?y"), fetched).wait(), Ok(Permission::Allowed));
        let never = Ok("User-agent: *\nDisallow: /\n");
        assert_eq!(ask(&robots, "private/x", never), Permission::Disallowed);
        assert_eq!(ask(&robots, "private/not", never), Permission::Allowed);
    }

    #[test]
    fn who_could_not_ask_decides_nothing() {
        let robots = Robots::new();
        let barred = |_| ready(Err("circuit open"));
        assert_eq!(robots.permission(&url("x"), barred).wait(), Err("circuit open"));
        assert_eq!(ask(&robots, "x", Ok("")), Permission::Allowed);
    }

    #[test]
    fn rules_for_our_name_come_first() {
        let text = format!("User-agent: *\nAllow: /\n\nUser-agent: {USER_AGENT}\nDisallow: /\n");
        assert_eq!(ask(&Robots::new(), "x", Ok(&text)), Permission::Disallowed);
    }

    #[test]
    fn no_rules_is_yes_and_no_answer_is_no() {
        let status = |code| Err(FetchError::Status { code, retry_after: None });
        for (code, allowed) in [(404, true), (403, true), (302, true), (429, false), (503, false)] {
            let permission = ask(&Robots::new(), "x", status(code));
            assert_eq!(permission == Permission::Allowed, allowed, "{code}");
            assert_eq!(matches!(permission, Permission::Unknown(_)), !allowed, "{code}");
        }
    }
}
