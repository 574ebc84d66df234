//! When to try again.

use std::time::Duration;

use tidegate::backoff::{self, Retries};

use crate::fetch::FetchError;

/// How often a page is tried, the first time included.
const ATTEMPTS: u32 = 5;
/// The pause before the second try; it doubles from there, up to `LONGEST`.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// If a server asks to wait for longer than this, its page is not tried again.
const PATIENCE: Duration = Duration::from_secs(120);

/// When to try again: exponential pauses with full jitter, none shorter than the server asks for.
#[derive(Debug)]
pub struct Backoff {
    schedule: Retries,
}

impl Backoff {
    /// Creates a schedule for all pages; `seed` is the seed of its jitter.
    pub fn new(seed: u64) -> Self {
        let schedule = backoff::Backoff::exponential(FIRST, LONGEST).jitter(1.0).seed(seed);
        Self { schedule: Retries::new(schedule.max_attempts(ATTEMPTS)) }
    }

    /// Returns the pause after so many failures of a page; `None` if it is not to be tried again.
    pub fn pause(&self, failures: u32, error: &FetchError) -> Option<Duration> {
        let asked = error.retry_after().unwrap_or_default();
        if !error.is_transient() || asked > PATIENCE {
            return None;
        }
        Some(self.schedule.pause(failures)?.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_end_and_the_server_is_heard() {
        let backoff = Backoff::new(1);
        let pauses = (1..).map_while(|failures| backoff.pause(failures, &FetchError::Timeout));
        assert_eq!(pauses.count(), 4);
        let unavailable = |seconds| FetchError::Status {
            code: 503,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        assert_eq!(backoff.pause(1, &unavailable(7)), Some(Duration::from_secs(7)));
        assert_eq!(backoff.pause(1, &unavailable(3600)), None);
        assert_eq!(backoff.pause(1, &FetchError::NotHtml), None);
    }
}
