//! When to try again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Pauses between the tries for one page: exponential, with full jitter on top.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Pause before the second try; doubles from there.
    pub first: Duration,
    /// No pause of ours is longer (before jitter).
    pub cap: Duration,
    /// Tries after the first.
    pub retries: usize,
    /// A server that asks for more patience than this is given up.
    pub patience: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(50),
            cap: Duration::from_secs(5),
            retries: 4,
            patience: Duration::from_secs(120),
        }
    }
}

impl Backoff {
    /// Starts the pauses of one page.
    pub fn start(&self) -> Pauses {
        let schedule = ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.cap)
            .with_max_times(self.retries)
            .with_jitter()
            .build();
        Pauses { schedule, patience: self.patience }
    }
}

/// The pauses of one page.
#[derive(Debug)]
pub struct Pauses {
    schedule: ExponentialBackoff,
    patience: Duration,
}

impl Pauses {
    /// How long to wait before the next try, never less than the server asked for; `None` when
    /// there have been enough tries or the server asks for too much.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        let ours = self.schedule.next()?;
        let asked = retry_after.unwrap_or_default();
        (asked <= self.patience).then(|| ours.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let backoff = Backoff { retries: 3, ..Backoff::default() };
        let mut pauses = backoff.start();
        let waited: Vec<_> = core::iter::from_fn(|| pauses.next(None)).collect();
        assert_eq!(waited.len(), 3);
        for (n, pause) in waited.iter().enumerate() {
            assert!(*pause >= backoff.first * (1 << n), "pause {n} is {pause:?}");
        }
    }

    #[test]
    fn the_server_is_heard() {
        let mut pauses = Backoff::default().start();
        let asked = Duration::from_secs(7);
        assert_eq!(pauses.next(Some(asked)), Some(asked));
        assert_eq!(pauses.next(Some(Duration::from_secs(3600))), None);
    }
}
