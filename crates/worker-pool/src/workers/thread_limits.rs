//! How many threads a pool has, and may have.

#[cfg(feature = "serde")]
mod serde;

use core::{fmt, num::NonZeroUsize, ops::RangeInclusive};

use alloc::format;

use crossbeam_utils::CachePadded;
use tidegate_core::{
    BuildError,
    lock::Lock,
    primitive::atomic::{AtomicU64, Ordering},
};

/// The most threads a pool can have.
const MOST: usize = u16::MAX as usize;

/// How many threads a pool has: a number, or a range within which it grows and shrinks.
///
/// Made from a `usize`, a `NonZeroUsize`, or a `RangeInclusive<usize>`, within 1 to 65535.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{ThreadCount, WorkerPool};
///
/// assert_eq!(ThreadCount::from(4), ThreadCount::from(4..=4));
/// let refused = WorkerPool::builder().threads(0..=4).build().unwrap_err();
/// let says = "threads is 0..=4, but must be a range within 1..=65535";
/// assert_eq!(refused.to_string(), says);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadCount {
    min: usize,
    max: usize,
}

impl ThreadCount {
    fn bits(self) -> Result<u64, BuildError> {
        if self.min == 0 || self.min > self.max || self.max > MOST {
            let range = format!("a range within 1..={MOST}");
            return Err(BuildError::new("threads", format_args!("{self}"), range));
        }
        Ok((self.min as u64 * MIN) + (self.max as u64 * MAX))
    }
}

impl From<usize> for ThreadCount {
    fn from(number: usize) -> Self {
        Self { min: number, max: number }
    }
}

impl From<NonZeroUsize> for ThreadCount {
    fn from(number: NonZeroUsize) -> Self {
        number.get().into()
    }
}

impl From<RangeInclusive<usize>> for ThreadCount {
    fn from(range: RangeInclusive<usize>) -> Self {
        Self { min: *range.start(), max: *range.end() }
    }
}

impl fmt::Display for ThreadCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.min, self.max)
    }
}

const SPARE: u64 = 1;
const THREAD: u64 = 1 << 16;
const MIN: u64 = 1 << 32;
const MAX: u64 = 1 << 48;

/// The thread counts of a pool in one word, so that no two workers act on the same reading of them.
///
/// A pool grows from within: a worker that begins a job while no thread is spare first adds a
/// thread. So a submitter never starts a thread, nor reads this.
#[derive(Default)]
pub(crate) struct ThreadLimits {
    /// | bits | name | meaning | changed by |
    /// | --- | --- | --- | --- |
    /// | 0..16 | `SPARE` | threads without a job: asleep, or not begun | all but `set` |
    /// | 16..32 | `THREAD` | threads that exist, or start | `add`, `remove`, `end_start` |
    /// | 32..48 | `MIN` | threads that stay when there is nothing to do | `set` |
    /// | 48..64 | `MAX` | the most threads that may exist | `set` |
    word: CachePadded<AtomicU64>,
    /// How many threads are counted and not started. The system may refuse them, so no other thread
    /// is removed meanwhile: it might be the last one.
    // INVARIANT: threads are added and removed only with this lock held.
    starting: Lock<usize>,
}

/// One reading of the word.
#[derive(Clone, Copy)]
struct LimitsWord(u64);

impl LimitsWord {
    fn field(self, unit: u64) -> u64 {
        (self.0 / unit) & 0xffff
    }

    fn wants_more(self) -> bool {
        self.field(THREAD) < self.field(MAX) && self.field(SPARE) == 0
    }

    fn has_surplus(self) -> bool {
        self.field(THREAD) > self.field(MAX)
    }

    fn may_retire(self) -> bool {
        self.field(SPARE) > 1 && self.field(THREAD) > self.field(MIN)
    }
}

// ORDERING: Relaxed throughout: the word decides which threads come and go, and publishes nothing.
// What a thread must see reaches it when it is started, joined, or given a job by the queue. Where
// the word must be seen together with another word, there are fences (`Threads::grow`).
impl ThreadLimits {
    fn read(&self) -> LimitsWord {
        LimitsWord(self.word.load(Ordering::Relaxed))
    }

    fn update(&self, change: impl Fn(LimitsWord) -> Option<u64>) -> Option<LimitsWord> {
        let before = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| change(LimitsWord(word)));
        before.ok().map(LimitsWord)
    }

    /// Changes the limits.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `count` is not a range within the allowed one.
    pub(crate) fn set(&self, count: ThreadCount) -> Result<(), BuildError> {
        let limits = count.bits()?;
        self.update(|now| Some(now.0 % MIN + limits));
        Ok(())
    }

    /// Returns whether a thread may have to be added before the next job begins. One load.
    #[inline]
    pub(crate) fn wants_more(&self) -> bool {
        self.read().wants_more()
    }

    /// Counts a thread that the caller will start, if there may be one more and none is spare;
    /// returns whether it did.
    pub(crate) fn add_spare(&self) -> bool {
        self.add(LimitsWord::wants_more)
    }

    /// Counts a thread that the caller will start, if there are fewer than the minimum; returns
    /// whether it did.
    pub(crate) fn add_up_to_min(&self) -> bool {
        self.add(|now| now.field(THREAD) < now.field(MIN))
    }

    fn add(&self, may_add: impl Fn(LimitsWord) -> bool) -> bool {
        self.starting.with(|starting| {
            let added = self.update(|now| may_add(now).then_some(now.0 + THREAD + SPARE)).is_some();
            *starting += usize::from(added);
            added
        })
    }

    /// Notes that a thread that was counted has started, or removes it if it could not be started.
    pub(crate) fn end_start(&self, has_started: bool) {
        self.starting.with(|starting| {
            *starting -= 1;
            if !has_started {
                self.word.fetch_sub(THREAD + SPARE, Ordering::Relaxed);
            }
        });
    }

    /// Counts a thread as spare: it sleeps until its next job.
    pub(crate) fn enter_spare(&self) {
        self.word.fetch_add(SPARE, Ordering::Relaxed);
    }

    /// Counts a thread as no longer spare: it has a job.
    pub(crate) fn leave_spare(&self) {
        self.word.fetch_sub(SPARE, Ordering::Relaxed);
    }

    /// Returns whether a spare thread may end: another one is spare, and there are more threads
    /// than the minimum.
    pub(crate) fn may_retire(&self) -> bool {
        self.read().may_retire()
    }

    /// Removes a spare thread that has waited long enough, if it may end and no other thread is
    /// being started; returns whether it did.
    pub(crate) fn retire(&self) -> bool {
        self.remove(THREAD + SPARE, LimitsWord::may_retire)
    }

    /// Returns whether there are more threads than the maximum. One load.
    #[inline]
    pub(crate) fn has_surplus(&self) -> bool {
        self.read().has_surplus()
    }

    /// Removes a thread, spare or between two jobs, if there are more threads than the maximum and
    /// no other thread is being started; returns whether it did.
    #[inline]
    pub(crate) fn remove_surplus(&self, is_spare: bool) -> bool {
        self.has_surplus() && self.remove_surplus_slow(is_spare)
    }

    #[cold]
    fn remove_surplus_slow(&self, is_spare: bool) -> bool {
        let gone = if is_spare { THREAD + SPARE } else { THREAD };
        self.remove(gone, LimitsWord::has_surplus)
    }

    fn remove(&self, gone: u64, may_remove: impl Fn(LimitsWord) -> bool) -> bool {
        self.starting.with(|starting| {
            *starting == 0 && self.update(|now| may_remove(now).then(|| now.0 - gone)).is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns limits with the minimum of threads, all of them spare.
    fn limits(count: RangeInclusive<usize>) -> ThreadLimits {
        let (limits, min) = (ThreadLimits::default(), *count.start());
        limits.set(count.into()).unwrap();
        assert_eq!((0..=2 * min).filter(|_| limits.add_up_to_min()).count(), min);
        (0..min).for_each(|_| limits.end_start(true));
        limits
    }

    #[test]
    fn threads_are_added_when_none_is_spare_up_to_the_maximum() {
        let limits = limits(2..=4);
        limits.leave_spare();
        assert!(!limits.wants_more() && !limits.add_spare(), "one is spare");
        limits.leave_spare();
        for _ in 0..2 {
            assert!(limits.wants_more() && limits.add_spare());
            assert!(!limits.wants_more() && !limits.add_spare(), "the new one is spare");
            limits.leave_spare();
        }
        assert!(!limits.wants_more() && !limits.add_spare(), "there are four");
    }

    #[test]
    fn a_thread_that_did_not_start_is_counted_no_more() {
        let limits = limits(1..=2);
        limits.leave_spare();
        for _ in 0..3 {
            assert!(limits.add_spare());
            limits.end_start(false);
        }
        assert!(limits.wants_more());
    }

    #[test]
    fn a_spare_thread_retires_unless_it_is_the_only_one_or_of_the_minimum() {
        let limits = limits(2..=4);
        assert!(!limits.may_retire() && !limits.retire(), "two must be there");
        limits.leave_spare();
        limits.leave_spare();
        assert!(limits.add_spare());
        limits.end_start(true);
        assert!(!limits.may_retire() && !limits.retire(), "it is the only one");
        limits.enter_spare();
        assert!(limits.may_retire() && limits.retire());
        assert!(!limits.may_retire() && !limits.retire());
        assert!(!limits.wants_more(), "one is spare still");
        limits.leave_spare();
        assert!(limits.wants_more());
    }

    #[test]
    fn no_thread_ends_while_the_system_may_refuse_another_one() {
        let limits = limits(1..=2);
        limits.leave_spare();
        assert!(limits.add_spare());
        limits.enter_spare();
        assert!(!limits.retire(), "the other one may never be there");
        limits.set(1.into()).unwrap();
        assert!(!limits.remove_surplus(true), "nor does a surplus thread end");
        limits.end_start(false);
        assert!(!limits.has_surplus(), "one is left");
        limits.set(2.into()).unwrap();
        assert!(limits.add_up_to_min());
        limits.end_start(true);
        limits.set((1..=2).into()).unwrap();
        assert!(limits.retire(), "the other one is there");
    }

    #[test]
    fn threads_beyond_a_new_maximum_end_spare_or_not() {
        let limits = limits(3..=3);
        assert!(!limits.remove_surplus(true));
        limits.set(1.into()).unwrap();
        limits.leave_spare();
        assert!(limits.remove_surplus(false) && limits.remove_surplus(true));
        assert!(!limits.remove_surplus(true), "one may stay");
        // The one that is left is spare.
        limits.set((1..=2).into()).unwrap();
        assert!(!limits.wants_more());
        limits.leave_spare();
        assert!(limits.wants_more());
    }
}
