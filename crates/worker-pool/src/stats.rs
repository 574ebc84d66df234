//! What a pool has done.

use core::time::Duration;

use tidegate_core::Tally;

/// What a pool has done and is doing. A snapshot: the numbers are not of one instant.
///
/// Once nothing is going on any more, `submitted` is the sum of `queued`, `running`, `succeeded`, `panicked` and
/// `cancelled`. What a handle has reported is counted already.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::detached(2);
/// let handle = pool.try_submit(|| ())?;
/// assert_eq!((pool.stats().submitted, pool.stats().queued), (1, 1));
/// pool.close();
/// pool.worker().wait();
/// assert_eq!((pool.stats().succeeded, pool.stats().queued), (1, 0));
/// # drop(handle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Jobs accepted.
    pub submitted: u64,
    /// Jobs accepted that no worker has taken.
    pub queued: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that returned.
    pub succeeded: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs accepted and dropped unrun.
    pub cancelled: u64,
    /// Jobs not accepted: the queue was full, or the pool closed.
    pub rejected: u64,
    /// Workers that exist: threads of the pool's own, and [`Worker`](crate::Worker) futures.
    pub workers: usize,
    /// Workers without a job.
    pub idle: usize,
    /// How long the jobs that have started had waited, in all. `None` unless the pool has a
    /// [`clock`](crate::Builder::clock).
    pub queue_time: Option<Duration>,
    /// How long the jobs that have ended had run, in all. `None` unless the pool has a clock.
    pub run_time: Option<Duration>,
}

/// What is counted while it happens; the rest of [`Stats`] is derived.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Submitted,
    Started,
    Succeeded,
    Panicked,
    Cancelled,
    Rejected,
    QueueNanos,
    RunNanos,
}

#[derive(Debug)]
pub(crate) struct Counters {
    tally: Tally<8>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self { tally: Tally::new() }
    }

    pub(crate) fn add(&self, count: Count, n: u64) {
        self.tally.add(count as usize, n);
    }

    /// Adds a duration, in whole nanoseconds.
    pub(crate) fn add_time(&self, count: Count, time: Duration) {
        self.add(count, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn sum(&self, count: Count) -> u64 {
        self.tally.sum(count as usize)
    }

    pub(crate) fn time(&self, count: Count) -> Duration {
        Duration::from_nanos(self.sum(count))
    }

    /// Returns how many jobs run.
    pub(crate) fn running(&self) -> usize {
        self.less_those_that_ended(Count::Started, 0)
    }

    /// Returns how many jobs have neither ended nor been cancelled.
    pub(crate) fn unfinished(&self) -> usize {
        self.less_those_that_ended(Count::Submitted, self.sum(Count::Cancelled))
    }

    fn less_those_that_ended(&self, count: Count, others: u64) -> usize {
        // The ends first: a job that begins meanwhile is counted, and one that ends is not counted as minus one.
        let ended = others + self.sum(Count::Succeeded) + self.sum(Count::Panicked);
        usize::try_from(self.sum(count).saturating_sub(ended)).unwrap_or(usize::MAX)
    }
}
