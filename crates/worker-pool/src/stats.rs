//! What a pool has done.

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
};

/// What a pool has done and is doing. A snapshot: the numbers are not of one instant.
///
/// `submitted` is the sum of `queued`, `running`, `succeeded`, `panicked` and `cancelled`; a job that a worker is just
/// taking out may be missing for that instant. What a handle has reported is counted already.
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
    /// Jobs accepted that no worker has taken and nobody has cancelled. While one is cancelled, or a worker meets one that was, it may be
    /// one more or one fewer for an instant; it is never 0 while a job waits, unless a worker takes another at that moment.
    pub queued: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that returned.
    pub succeeded: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs accepted and dropped unrun.
    pub cancelled: u64,
    /// Those of the cancelled that had waited for longer than [`max_queue_age`](crate::Builder::max_queue_age).
    pub expired: u64,
    /// Jobs not accepted: the queue was full, or the pool closed.
    pub rejected: u64,
    /// Jobs that were run outside of the workers, and are among the others: by a caller that
    /// submitted them ([`OnFull::CallerRuns`](crate::OnFull::CallerRuns)) or has taken them out
    /// ([`Pending::run`](crate::Pending::run)).
    pub run_by_callers: u64,
    /// Workers that exist: threads of the pool's own, and [`Worker`](crate::Worker) futures.
    pub workers: usize,
    /// Workers without a job.
    pub idle: usize,
    /// How often the system refused a thread that the pool has asked for to [grow](crate::Builder::threads). The threads that
    /// are there do its work.
    pub threads_refused: u64,
    /// How long the jobs that have started had waited, in all. `None` unless the pool has a
    /// [`clock`](crate::Builder::clock).
    pub queue_time: Option<Duration>,
    /// How long the jobs that have ended had run, in all. `None` unless the pool has a clock.
    pub run_time: Option<Duration>,
}

/// What one worker has done. Only that worker writes it, so it counts without read-modify-writes.
#[derive(Debug, Default)]
pub(crate) struct Record {
    counts: [AtomicU64; KINDS],
    /// Even if the worker rests: it has no job, and looks for none. One more whenever that changes.
    turns: AtomicU64,
}

/// The number of [`Count`]s.
const KINDS: usize = 5;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Started,
    Succeeded,
    Panicked,
    QueueNanos,
    RunNanos,
}

impl Record {
    pub(crate) fn add(&self, count: Count, n: u64) {
        let count = &self.counts[count as usize];
        // ORDERING: Relaxed: a statistic. Nobody else writes it, so nothing is lost between the two.
        count.store(count.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Notes that the worker rests: it has no job, and takes none. `turns` is its own count.
    pub(crate) fn rest(&self, turns: &mut u64) {
        if *turns % 2 == 1 {
            *turns += 1;
            // ORDERING: Release: what its jobs did is seen by a caller that finds it at rest.
            self.turns.store(*turns, Ordering::Release);
        }
    }

    /// Notes that the worker is about to look for a job.
    pub(crate) fn rise(&self, turns: &mut u64) {
        if *turns % 2 == 0 {
            *turns += 1;
            // ORDERING: Relaxed: the fence pairs with the one in `Shared::is_idle`: who finds a job gone that was taken after
            // this, finds this.
            self.turns.store(*turns, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    /// Counts in a record that several threads write.
    pub(crate) fn share(&self, count: Count, n: u64) {
        // ORDERING: Relaxed: a statistic.
        self.counts[count as usize].fetch_add(n, Ordering::Relaxed);
    }

    fn add_to(&self, sums: &mut [u64; KINDS]) {
        // The ends before the starts: a job that ends meanwhile is not counted as minus one.
        for (sum, count) in sums.iter_mut().zip(&self.counts).rev() {
            // ORDERING: Relaxed: a snapshot.
            *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
        }
    }
}

/// Everything that was counted.
#[derive(Debug)]
pub(crate) struct Counters {
    files: Lock<Files>,
    /// What was run outside of the workers.
    guests: Shards<Record>,
    cancelled: AtomicU64,
    expired: AtomicU64,
    rejected: AtomicU64,
    threads_refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Files {
    /// Of the workers that are there.
    records: Vec<Arc<CachePadded<Record>>>,
    /// The sums of those that have left.
    past: [u64; KINDS],
    /// Workers that came and went, and all that they had counted of their turns.
    past_turns: u64,
}

impl Files {
    fn sums(&self) -> Sums {
        let mut sums = self.past;
        for record in &self.records {
            record.add_to(&mut sums);
        }
        Sums(sums)
    }
}

/// A snapshot of what all workers have done together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums([u64; KINDS]);

impl Sums {
    pub(crate) fn get(self, count: Count) -> u64 {
        self.0[count as usize]
    }

    pub(crate) fn time(self, count: Count) -> Duration {
        Duration::from_nanos(self.get(count))
    }

    pub(crate) fn running(self) -> u64 {
        let ended = self.get(Count::Succeeded) + self.get(Count::Panicked);
        self.get(Count::Started).saturating_sub(ended)
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            files: Lock::new(Files::default()),
            guests: Shards::per_thread(|_| Record::default()),
            cancelled: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            threads_refused: AtomicU64::new(0),
        }
    }

    /// Begins the record of a worker.
    pub(crate) fn open(&self) -> Arc<CachePadded<Record>> {
        let record = Arc::<CachePadded<Record>>::default();
        self.files.with(|files| {
            files.past_turns += 1;
            files.records.push(record.clone());
        });
        record
    }

    /// Adds a worker's record to the sums of those that have left.
    pub(crate) fn close(&self, record: &Arc<CachePadded<Record>>) {
        self.files.with(|files| {
            files.records.retain(|other| !Arc::ptr_eq(other, record));
            files.past_turns += record.turns.load(Ordering::Relaxed) + 1;
            for (sum, count) in files.past.iter_mut().zip(&record.counts) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        });
    }

    /// Returns how often workers have come, gone, and changed between rest and work, if all of them rest.
    pub(crate) fn turns_at_rest(&self) -> Option<u64> {
        self.files.with(|files| {
            let mut sum = files.past_turns;
            for record in &files.records {
                // ORDERING: Acquire: pairs with the Release in `rest`.
                let turns = record.turns.load(Ordering::Acquire);
                if turns % 2 == 1 {
                    return None;
                }
                sum = sum.wrapping_add(turns);
            }
            Some(sum)
        })
    }

    /// Returns the record of those on this thread that are no workers, who [`share`](Record::share) it.
    pub(crate) fn guests(&self) -> &Record {
        self.guests.by_thread()
    }

    /// Returns what was done in all, and what of it was not done by workers.
    pub(crate) fn sums(&self) -> (Sums, Sums) {
        let mut guests = [0; KINDS];
        self.guests.iter().for_each(|record| record.add_to(&mut guests));
        let Sums(mut all) = self.files.with(|files| files.sums());
        all.iter_mut().zip(&guests).for_each(|(sum, n)| *sum = sum.wrapping_add(*n));
        (Sums(all), Sums(guests))
    }

    pub(crate) fn cancel(&self, jobs: u64) {
        self.cancelled.fetch_add(jobs, Ordering::Relaxed);
    }

    pub(crate) fn expire(&self) {
        self.cancel(1);
        self.expired.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    pub(crate) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "std")]
    pub(crate) fn refuse_thread(&self) {
        self.threads_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn threads_refused(&self) -> u64 {
        self.threads_refused.load(Ordering::Relaxed)
    }

    pub(crate) fn cancelled(&self) -> u64 {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }
}
