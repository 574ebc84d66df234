//! The statistics of a pool, added up from what `state/counters.rs` counts.

use core::time::Duration;

use tidegate_core::report::Histogram;

use crate::state::{
    Shared,
    counters::{Counter, TimeSum},
};

/// What a pool has done and is doing. A snapshot: the numbers are not of one instant.
///
/// `submitted` is the sum of `waiting`, `in_flight`, `succeeded`, `panicked` and `cancelled`; a job
/// that a worker is just taking out, or that is just being cancelled, may be missing, or counted
/// twice, for that instant. A job that waits only for its [key](crate::KeyedPool) is missing, too.
/// A job whose handle has given its result or its panic is counted already.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::detached(2);
/// let handle = pool.try_submit(|| ())?;
/// assert_eq!((pool.stats().submitted, pool.stats().waiting), (1, 1));
/// pool.close();
/// pool.worker().wait();
/// assert_eq!((pool.stats().succeeded, pool.stats().waiting), (1, 0));
/// # drop(handle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Jobs accepted.
    pub submitted: u64,
    /// How many jobs may wait while all workers are busy: the [queue](crate::Builder::queue).
    pub capacity: usize,
    /// Jobs accepted that were neither taken by a worker nor cancelled. While a job is being
    /// cancelled, or a worker finds a cancelled one, the number may be too high or too low for an
    /// instant; it is never 0 while a job waits, unless a worker takes another job at that moment.
    pub waiting: usize,
    /// Jobs that run.
    pub in_flight: usize,
    /// Jobs that returned.
    pub succeeded: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs accepted and dropped before they ran, and futures that were cancelled before they
    /// ended.
    pub cancelled: u64,
    /// Cancelled jobs that had waited for longer than
    /// [`max_queue_age`](crate::Builder::max_queue_age).
    pub expired: u64,
    /// Jobs not accepted: the queue was full, or the pool closed.
    pub refused: u64,
    /// Jobs that callers ran outside of the workers, also counted above: the caller that submitted
    /// the job ([`OnFull::CallerRuns`](crate::OnFull::CallerRuns)), or the one that took it out
    /// ([`UnstartedJob::run`](crate::UnstartedJob::run)).
    pub run_by_callers: u64,
    /// Workers that exist: threads of the pool's own, and [`Worker`](crate::Worker) futures.
    pub workers: usize,
    /// Workers without a job.
    pub idle: usize,
    /// How often the system refused a thread by which the pool was to
    /// [grow](crate::Builder::threads). The existing threads do the work of the refused one.
    pub threads_refused: u64,
    /// The jobs whose waits `wait_time` adds up: all that have begun, and some of those that were
    /// cancelled while they waited. 0 unless the pool has a [`clock`](crate::Builder::clock).
    pub waited: u64,
    /// How long those jobs had waited, in all. `None` unless the pool has a clock.
    #[cfg_attr(feature = "serde", serde(default, with = "tidegate_core::duration_text::option"))]
    pub wait_time: Option<Duration>,
    /// Those jobs by how long they had waited: the buckets of
    /// [`Metric::Wait`](tidegate_core::report::Metric::bounds). Zeros unless the pool has a clock.
    pub waits: Histogram,
    /// How long the jobs that returned or panicked had run, in all. `None` unless the pool has a
    /// clock.
    #[cfg_attr(feature = "serde", serde(default, with = "tidegate_core::duration_text::option"))]
    pub run_time: Option<Duration>,
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        // The queue is read first: a job that is taken meanwhile is counted twice rather than not
        // at all.
        let waiting = self.job_queue.len();
        let (sums, callers) = self.counters.sums();
        let (succeeded, panicked) = (sums.get(Counter::Succeeded), sums.get(Counter::Panicked));
        let cancelled = sums.get(Counter::Cancelled);
        let time = |sum| self.measures().then(|| sums.time(sum));
        let in_flight = sums.in_flight();
        let workers = self.workers.total();
        let as_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let busy = as_usize(in_flight.saturating_sub(callers.in_flight()));
        Stats {
            submitted: waiting as u64 + in_flight + succeeded + panicked + cancelled,
            capacity: self.job_queue.capacity(),
            waiting,
            in_flight: as_usize(in_flight),
            succeeded,
            panicked,
            cancelled,
            expired: sums.get(Counter::Expired),
            refused: sums.get(Counter::Refused),
            run_by_callers: callers.begun(),
            workers,
            idle: workers.saturating_sub(busy),
            threads_refused: sums.get(Counter::ThreadsRefused),
            waited: if self.measures() { sums.get(Counter::Started) } else { 0 },
            wait_time: time(TimeSum::Wait),
            waits: sums.waits(),
            run_time: time(TimeSum::Run),
        }
    }
}
