//! How many threads there are, and may be.

use core::{fmt, num::NonZeroUsize, ops::RangeInclusive};
use std::io;

use alloc::format;

use crossbeam_utils::CachePadded;
use tidegate_core::primitive::atomic::{AtomicU64, Ordering};

/// The most threads a pool can have.
const MOST: usize = u16::MAX as usize;

/// How many threads a pool has: a number, or a range within which it grows and shrinks.
///
/// Made from a `usize`, a `NonZeroUsize`, or a `RangeInclusive<usize>`; from 1 to 65535.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{ThreadCount, WorkerPool};
///
/// assert_eq!(ThreadCount::from(4), ThreadCount::from(4..=4));
/// let refused = WorkerPool::builder().threads(0..=4).build().unwrap_err();
/// assert_eq!(refused.to_string(), "thread count 0..=4 is not a range within 1..=65535");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadCount {
    min: usize,
    max: usize,
}

impl ThreadCount {
    fn check(self) -> io::Result<Self> {
        if self.min == 0 || self.min > self.max || self.max > MOST {
            let message = format!("thread count {self} is not a range within 1..={MOST}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(self)
    }

    fn bits(self) -> u64 {
        (self.min as u64 * MIN) + (self.max as u64 * MAX)
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

/// The threads of a pool in one word, so that no two decisions are made on the same thread.
///
/// A pool grows from within: a thread that begins a job, and leaves no other to begin the next, adds one before. So whoever
/// submits never starts a thread, nor looks at this.
pub(crate) struct Headcount {
    /// | bits | name | meaning | changed by |
    /// | --- | --- | --- | --- |
    /// | 0..16 | `SPARE` | threads without a job: asleep, or not yet begun | `add`, `enter_spare`, `leave_spare`, `retire` |
    /// | 16..32 | `THREAD` | threads that exist | `add`, `add_up_to_min`, `remove`, `retire`, `yield_place` |
    /// | 32..48 | `MIN` | so many stay when there is nothing to do | `set` |
    /// | 48..64 | `MAX` | no more than so many | `set` |
    word: CachePadded<AtomicU64>,
}

/// One reading of the word.
#[derive(Clone, Copy)]
struct Reading(u64);

impl Reading {
    fn field(self, unit: u64) -> u64 {
        (self.0 / unit) & 0xffff
    }

    fn can_grow(self) -> bool {
        self.field(THREAD) < self.field(MAX)
    }

    fn has_surplus(self) -> bool {
        self.field(THREAD) > self.field(MAX)
    }
}

// ORDERING: Relaxed throughout: the word decides who comes and goes, and publishes nothing; threads are started and joined, and
// jobs go through the queue. Where it must be seen together with another word, fences stand there (`Threads::grow`).
impl Headcount {
    /// Of a pool without threads.
    pub(crate) fn none() -> Self {
        Self { word: CachePadded::new(AtomicU64::new(0)) }
    }

    fn read(&self) -> Reading {
        Reading(self.word.load(Ordering::Relaxed))
    }

    fn update(&self, change: impl Fn(Reading) -> Option<u64>) -> Option<Reading> {
        let before = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| change(Reading(word)));
        before.ok().map(Reading)
    }

    /// Changes the limits.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if they are none.
    pub(crate) fn set(&self, count: ThreadCount) -> io::Result<()> {
        let limits = count.check()?.bits();
        self.update(|now| Some(now.0 % MIN + limits));
        Ok(())
    }

    /// Returns whether a thread may have to be added before the next job begins. One load.
    #[inline]
    pub(crate) fn wants_more(&self) -> bool {
        let now = self.read();
        now.can_grow() && now.field(SPARE) == 0
    }

    /// Counts a thread that is to be started, if there may be one more and none is spare.
    pub(crate) fn add_spare(&self) -> bool {
        let wants_more = |now: Reading| now.can_grow() && now.field(SPARE) == 0;
        self.update(|now| wants_more(now).then_some(now.0 + THREAD + SPARE)).is_some()
    }

    /// Counts a thread that is to be started, if there are less than there should be at least.
    pub(crate) fn add_up_to_min(&self) -> bool {
        let too_few = |now: Reading| now.field(THREAD) < now.field(MIN);
        self.update(|now| too_few(now).then_some(now.0 + THREAD + SPARE)).is_some()
    }

    /// Takes a thread out that was counted, and was not started.
    pub(crate) fn remove_spare(&self) {
        self.word.fetch_sub(THREAD + SPARE, Ordering::Relaxed);
    }

    /// Counts a thread that looks for nothing else than its next job.
    pub(crate) fn enter_spare(&self) {
        self.word.fetch_add(SPARE, Ordering::Relaxed);
    }

    /// Takes it out: it has one.
    pub(crate) fn leave_spare(&self) {
        self.word.fetch_sub(SPARE, Ordering::Relaxed);
    }

    /// Returns whether spare threads should not wait for ever.
    pub(crate) fn may_shrink(&self) -> bool {
        let now = self.read();
        now.field(THREAD) > now.field(MIN)
    }

    /// Lets a spare thread go that has waited long enough, if there is another one, and there are more than have to stay.
    pub(crate) fn retire(&self) -> bool {
        let can = |now: Reading| now.field(SPARE) > 1 && now.field(THREAD) > now.field(MIN);
        self.update(|now| can(now).then(|| now.0 - THREAD - SPARE)).is_some()
    }

    /// Lets a thread go, spare or between two jobs, if there are more than there may be.
    #[inline]
    pub(crate) fn yield_place(&self, is_spare: bool) -> bool {
        self.read().has_surplus() && self.yield_place_slow(is_spare)
    }

    #[cold]
    fn yield_place_slow(&self, is_spare: bool) -> bool {
        let gone = if is_spare { THREAD + SPARE } else { THREAD };
        self.update(|now| now.has_surplus().then(|| now.0 - gone)).is_some()
    }
}

impl fmt::Debug for Headcount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.read();
        f.debug_struct("Headcount")
            .field("threads", &now.field(THREAD))
            .field("spare", &now.field(SPARE))
            .finish_non_exhaustive()
    }
}
