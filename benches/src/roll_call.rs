//! Checks that every job ran once, and that every item was in one batch.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;

/// How long the last job of a lap may take to report.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lowest bit of the count; the bits below hold the sum.
const COUNT: u32 = 40;

/// The bits of a number that are summed: the sum of 2²⁴ - 1 of them stays below the count.
const NUMBER: u64 = (1 << 16) - 1;

/// Jobs numbered from 0 on report here when they run, by one atomic addition each.
#[derive(Debug, Default)]
pub(crate) struct RollCall {
    /// From bit 40 on, how many have reported; below, the sum of the low 16 bits of their numbers.
    reported: CachePadded<AtomicU64>,

    /// The value of `reported` when all jobs have reported, once each.
    complete: AtomicU64,

    caller: Mutex<Option<Thread>>,
}

impl RollCall {
    /// Creates one for jobs that may not borrow. It is never freed; each contender has one.
    pub(crate) fn for_jobs() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Begins a lap of so many jobs, whose end the calling thread will wait for.
    pub(crate) fn begin(&self, jobs: u64) {
        assert!(jobs > 0 && jobs < 1 << (64 - COUNT), "{jobs} jobs: 1 to 2²⁴ - 1 can be counted");
        self.check();
        *self.caller.lock().unwrap() = Some(thread::current());
        self.complete.store((0..jobs).map(entry).sum(), Ordering::Relaxed);
        self.reported.store(0, Ordering::Relaxed);
    }

    /// Says that a job runs. Wakes the caller if it is the last one.
    #[inline]
    pub(crate) fn report(&self, number: u64) {
        self.add(entry(number));
    }

    /// Says that several jobs run, by one addition for all of them.
    #[inline]
    pub(crate) fn report_all(&self, numbers: impl Iterator<Item = u64>) {
        self.add(numbers.map(entry).sum());
    }

    #[inline]
    fn add(&self, entries: u64) {
        let after = self.reported.fetch_add(entries, Ordering::AcqRel) + entries;
        if after >> COUNT == self.complete.load(Ordering::Relaxed) >> COUNT {
            self.caller.lock().unwrap().as_ref().expect("a lap has begun").unpark();
        }
    }

    /// Waits until all jobs of the lap have reported.
    pub(crate) fn wait(&self) {
        let jobs = self.complete.load(Ordering::Relaxed) >> COUNT;
        let reported = || self.reported.load(Ordering::Acquire) >> COUNT;
        if reported() >= jobs {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        while reported() < jobs {
            assert!(Instant::now() < deadline, "{} of {jobs} jobs have run", reported());
            thread::park_timeout(PATIENCE);
        }
    }

    /// Checks that each job reported once, and none since.
    pub(crate) fn check(&self) {
        let (reported, complete) =
            (self.reported.load(Ordering::Acquire), self.complete.load(Ordering::Relaxed));
        assert_eq!(reported, complete, "a job was lost, or ran twice");
    }
}

/// What one job adds.
#[inline]
fn entry(number: u64) -> u64 {
    (1 << COUNT) | (number & NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: &[u64]) -> RollCall {
        let roll = RollCall::default();
        roll.begin(3);
        numbers.iter().for_each(|&number| roll.report(number));
        roll.wait();
        roll
    }

    #[test]
    fn each_job_once_is_right() {
        after(&[2, 0, 1]).check();
    }

    #[test]
    fn several_count_as_one_each() {
        let roll = RollCall::default();
        roll.begin(5);
        roll.report_all([4, 1].into_iter());
        roll.report_all([3, 0, 2].into_iter());
        roll.check();
    }

    #[test]
    #[should_panic = "ran twice"]
    fn one_job_for_another_is_not() {
        after(&[0, 1, 1]).check();
    }

    #[test]
    #[should_panic = "ran twice"]
    fn one_job_too_many_is_found_by_the_next_lap() {
        let roll = after(&[0, 1, 2]);
        roll.report(0);
        roll.begin(1);
    }
}
