//! What the workers of a pool count, and which of them are idle.

use core::time::Duration;

use alloc::vec::Vec;

use crossbeam_utils::CachePadded;
use tidegate_core::{
    Shards,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicU64, Ordering, fence},
    },
    report::{BUCKETS, Histogram},
};

/// The counters of one worker, or of the callers on some threads. Only the worker writes its own
/// counters, so it counts without read-modify-writes.
#[derive(Debug, Default)]
pub(crate) struct WorkerCounters {
    counts: [AtomicU64; KINDS],
    /// How often the worker became idle or stopped being idle. Even: it is idle, has no job and
    /// polls for none; odd: it is not idle.
    transitions: AtomicU64,
}

/// The number of [`Counter`]s.
const KINDS: usize = Counter::Wait15 as usize + 1;

/// What is counted. The order matters: what is counted at a job's end stands behind `Started`, so
/// that [`add_to`](WorkerCounters::add_to), which goes backward, reads ends before starts. `KINDS`
/// takes `Wait15` for the last one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// Jobs accepted and dropped before they ran, and futures that were cancelled before they
    /// ended.
    Cancelled,
    /// Cancelled jobs that had waited for too long.
    Expired,
    /// Jobs not accepted.
    Refused,
    /// Threads that the system refused.
    ThreadsRefused,
    Started,
    /// Jobs counted as started that were cancelled: before they began, or between two polls of
    /// their future.
    Undone,
    Succeeded,
    Panicked,
    WaitSeconds,
    WaitNanos,
    RunSeconds,
    RunNanos,
    /// The jobs whose waits fell into each bucket of a histogram.
    Wait0,
    Wait1,
    Wait2,
    Wait3,
    Wait4,
    Wait5,
    Wait6,
    Wait7,
    Wait8,
    Wait9,
    Wait10,
    Wait11,
    Wait12,
    Wait13,
    Wait14,
    Wait15,
}

impl Counter {
    /// The counters of the buckets, in order.
    const WAITS: [Self; BUCKETS] = [
        Self::Wait0,
        Self::Wait1,
        Self::Wait2,
        Self::Wait3,
        Self::Wait4,
        Self::Wait5,
        Self::Wait6,
        Self::Wait7,
        Self::Wait8,
        Self::Wait9,
        Self::Wait10,
        Self::Wait11,
        Self::Wait12,
        Self::Wait13,
        Self::Wait14,
        Self::Wait15,
    ];

    /// Returns the counter of the jobs that waited about so long.
    pub(crate) fn of_wait(waited: Duration) -> Self {
        Self::WAITS[Histogram::bucket_of_wait(waited)]
    }
}

/// A time that is summed. It has two counters: a hundred thousand jobs that wait at once would fill
/// 64 bits of nanoseconds in two days.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TimeSum {
    /// How long the jobs that have started had waited.
    Wait,
    /// How long the jobs that returned or panicked had run.
    Run,
}

impl TimeSum {
    fn seconds_and_nanos(self) -> (Counter, Counter) {
        match self {
            Self::Wait => (Counter::WaitSeconds, Counter::WaitNanos),
            Self::Run => (Counter::RunSeconds, Counter::RunNanos),
        }
    }

    /// Counts a time with `add`.
    #[inline]
    pub(crate) fn count(self, time: Duration, add: impl Fn(Counter, u64)) {
        let (seconds, nanos) = self.seconds_and_nanos();
        if time.as_secs() > 0 {
            add(seconds, time.as_secs());
        }
        add(nanos, time.subsec_nanos().into());
    }
}

impl WorkerCounters {
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        let count = &self.counts[counter as usize];
        // ORDERING: Relaxed: a statistic. Only this worker writes it, so nothing is lost between
        // the load and the store.
        count.store(count.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Counts in counters that several threads write.
    pub(crate) fn add_shared(&self, counter: Counter, n: u64) {
        // ORDERING: Relaxed: a statistic.
        self.counts[counter as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Notes that the worker is idle: it has no job, and takes none. `transitions` is the worker's
    /// own copy of the count.
    pub(crate) fn enter_idle(&self, transitions: &mut u64) {
        if *transitions % 2 == 1 {
            *transitions += 1;
            // ORDERING: Release: a caller that finds the worker idle sees what its jobs did.
            self.transitions.store(*transitions, Ordering::Release);
        }
    }

    /// Notes that the worker is about to poll for a job.
    pub(crate) fn leave_idle(&self, transitions: &mut u64) {
        if *transitions % 2 == 0 {
            *transitions += 1;
            // ORDERING: Relaxed: the fence pairs with the one in `Shared::is_idle`: a caller that
            // no longer finds a job which this worker took after this step sees the step.
            self.transitions.store(*transitions, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    fn add_to(&self, sums: &mut [u64; KINDS]) {
        // Read backward, so that ends are read before starts and no job counts as minus one.
        for (sum, count) in sums.iter_mut().zip(&self.counts).rev() {
            // ORDERING: Relaxed: a snapshot.
            *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
        }
    }
}

/// Everything that a pool counts.
#[derive(Debug)]
pub(crate) struct PoolCounters {
    workers: Lock<Workers>,
    /// What callers ran outside of the workers, and what is counted on any thread.
    callers: Shards<WorkerCounters>,
}

#[derive(Debug, Default)]
struct Workers {
    /// The counters of the workers that exist.
    present: Vec<Arc<CachePadded<WorkerCounters>>>,
    /// The sums of the workers that have left.
    past: [u64; KINDS],
    /// How often workers came and left, plus the transitions of those that have left.
    past_transitions: u64,
}

/// A snapshot of sums: over all workers and callers, or over callers alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums([u64; KINDS]);

impl Sums {
    pub(crate) fn get(self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    pub(crate) fn time(self, sum: TimeSum) -> Duration {
        let (seconds, nanos) = sum.seconds_and_nanos();
        let seconds = Duration::from_secs(self.get(seconds));
        seconds.saturating_add(Duration::from_nanos(self.get(nanos)))
    }

    /// Returns the waits that are summed, by their length.
    pub(crate) fn waits(self) -> Histogram {
        Histogram::from_counts(Counter::WAITS.map(|counter| self.get(counter)))
    }

    /// Returns how many jobs run or have run to their end.
    pub(crate) fn begun(self) -> u64 {
        self.get(Counter::Started).saturating_sub(self.get(Counter::Undone))
    }

    pub(crate) fn in_flight(self) -> u64 {
        let ended = self.get(Counter::Succeeded) + self.get(Counter::Panicked);
        self.begun().saturating_sub(ended)
    }
}

impl PoolCounters {
    pub(crate) fn new() -> Self {
        Self {
            workers: Lock::new(Workers::default()),
            callers: Shards::per_thread(|_| WorkerCounters::default()),
        }
    }

    /// Creates the counters of a new worker.
    pub(crate) fn add_worker(&self) -> Arc<CachePadded<WorkerCounters>> {
        let counters = Arc::<CachePadded<WorkerCounters>>::default();
        self.workers.with(|workers| {
            workers.past_transitions += 1;
            workers.present.push(counters.clone());
        });
        counters
    }

    /// Adds the counters of a worker that leaves to the past.
    pub(crate) fn remove_worker(&self, counters: &Arc<CachePadded<WorkerCounters>>) {
        self.workers.with(|workers| {
            workers.present.retain(|other| !Arc::ptr_eq(other, counters));
            workers.past_transitions += counters.transitions.load(Ordering::Relaxed) + 1;
            counters.add_to(&mut workers.past);
        });
    }

    /// Returns how often workers have come, left, become idle and stopped being idle; `None` unless
    /// all of them are idle.
    pub(crate) fn transitions_if_idle(&self) -> Option<u64> {
        self.workers.with(|workers| {
            let mut sum = workers.past_transitions;
            for counters in &workers.present {
                // ORDERING: Acquire: pairs with the Release in `enter_idle`.
                let transitions = counters.transitions.load(Ordering::Acquire);
                if transitions % 2 == 1 {
                    return None;
                }
                sum = sum.wrapping_add(transitions);
            }
            Some(sum)
        })
    }

    /// Returns the counters of the callers on this thread, which write them with
    /// [`add_shared`](WorkerCounters::add_shared).
    pub(crate) fn callers(&self) -> &WorkerCounters {
        self.callers.by_thread()
    }

    /// Returns the sums over workers and callers, and those over callers alone.
    pub(crate) fn sums(&self) -> (Sums, Sums) {
        let mut all = self.workers.with(|workers| {
            let mut sums = workers.past;
            workers.present.iter().for_each(|counters| counters.add_to(&mut sums));
            sums
        });
        // Read after the workers: when a future is cancelled, its worker first takes it off the
        // started jobs, and then counts it as cancelled here. So the job may be seen twice; it is
        // missing only if both are read between these two steps.
        let mut callers = [0; KINDS];
        self.callers.iter().for_each(|counters| counters.add_to(&mut callers));
        all.iter_mut().zip(&callers).for_each(|(sum, n)| *sum = sum.wrapping_add(*n));
        (Sums(all), Sums(callers))
    }

    /// Counts on any thread.
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        self.callers().add_shared(counter, n);
    }
}

#[cfg(test)]
mod tests {
    use core::mem;

    use super::*;

    /// So a caller that reads the same number twice has missed nothing in between.
    #[test]
    fn every_change_of_the_workers_raises_the_number_of_their_transitions() {
        let counters = PoolCounters::new();
        let mut last = counters.transitions_if_idle().unwrap();
        let mut rises = || {
            let before = mem::replace(&mut last, counters.transitions_if_idle().unwrap());
            assert!(last > before, "{last} after {before}");
        };
        for _ in 0..2 {
            let (worker, mut transitions) = (counters.add_worker(), 0);
            rises();
            for _ in 0..3 {
                worker.leave_idle(&mut transitions);
                assert!(counters.transitions_if_idle().is_none());
                worker.enter_idle(&mut transitions);
                rises();
            }
            counters.remove_worker(&worker);
            rises();
        }
    }
}
