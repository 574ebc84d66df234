//! The statistics of an adaptive semaphore.

use core::time::Duration;

use super::round::Sample;

/// A snapshot of an [`AdaptiveSemaphore`](super::AdaptiveSemaphore), from
/// [`stats`](super::AdaptiveSemaphore::stats).
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_semaphore::{ManualClock, adaptive::{AdaptiveSemaphore, Vegas}};
///
/// let clock = ManualClock::new();
/// let limit = AdaptiveSemaphore::builder(Vegas::new()).clock(clock.clone()).build()?;
/// let (first, second, _third) = (limit.try_acquire()?, limit.try_acquire()?, limit.try_acquire()?);
/// clock.advance(Duration::from_millis(3));
/// first.success();
/// clock.advance(Duration::from_millis(4));
/// second.success();
///
/// let stats = limit.stats();
/// assert_eq!((stats.limit, stats.in_flight, stats.succeeded, stats.dropped), (20, 1, 2, 0));
/// assert_eq!(stats.min_rtt, Some(Duration::from_millis(3)));
/// assert_eq!(stats.max_rtt, Some(Duration::from_millis(7)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// How many requests may be in flight.
    pub limit: usize,
    /// How many requests are in flight; for some time after the limit has shrunk this may be more
    /// than `limit`.
    pub in_flight: usize,
    /// Requests in the queue.
    pub waiting: usize,
    /// Requests that got an error instead of a permit.
    pub refused: u64,
    /// Permits settled as successes, since the semaphore was made.
    pub succeeded: u64,
    /// Permits settled as dropped.
    pub dropped: u64,
    /// The shortest time from the grant of a permit to its success; `None` if there was none.
    #[cfg_attr(feature = "serde", serde(default, with = "tidegate_core::duration_text::option"))]
    pub min_rtt: Option<Duration>,
    /// The longest such time; `None` if there was none.
    #[cfg_attr(feature = "serde", serde(default, with = "tidegate_core::duration_text::option"))]
    pub max_rtt: Option<Duration>,
}

/// What is counted from sample to sample.
#[derive(Debug)]
pub(super) struct Counts {
    succeeded: u64,
    dropped: u64,
    /// The shortest time of a success, in nanoseconds; `u64::MAX` before the first.
    min_rtt: u64,
    max_rtt: u64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { succeeded: 0, dropped: 0, min_rtt: u64::MAX, max_rtt: 0 }
    }

    pub(super) fn add(&mut self, sample: Sample) {
        if sample.is_dropped {
            self.dropped += 1;
            return;
        }
        self.succeeded += 1;
        self.min_rtt = self.min_rtt.min(sample.rtt_nanos());
        self.max_rtt = self.max_rtt.max(sample.rtt_nanos());
    }

    /// Completes a snapshot of the permits.
    pub(super) fn stats(&self, limit: usize, permits: crate::Stats) -> Stats {
        let timed = |nanos| (self.succeeded > 0).then(|| Duration::from_nanos(nanos));
        Stats {
            limit,
            in_flight: permits.in_use,
            waiting: permits.waiting,
            refused: permits.refused,
            succeeded: self.succeeded,
            dropped: self.dropped,
            min_rtt: timed(self.min_rtt),
            max_rtt: timed(self.max_rtt),
        }
    }
}
