//! The word: the free permits, whether they may be taken, and how often permits were taken.
//!
//! | bits | name | meaning | changed by |
//! | --- | --- | --- | --- |
//! | 0 | `CLOSED` | nothing is granted any more; final | `close`, under the queue's lock |
//! | 1 | `ATTENDED` | releasers take the lock: a waiter sleeps, a caller of `idle` waits, or permits are owed | under the lock |
//! | 2 | `BARRED` | newcomers take the lock: the queue comes first, or permits are owed | under the lock; implies `ATTENDED` |
//! | 3–34 | free | permits that are not held | taking, removing and paying subtract, by CAS; a grant subtracts, under the lock; releasing and adding permits add |
//! | 35–63 | acquisitions | how often permits were taken out of the word, modulo 2²⁹ | the subtraction that takes or grants |
//!
//! The carry out of the acquisitions is lost, and touches no other field. Permits are owed after
//! the capacity was lowered below the number in use; the next releases pay them back.

use core::ops::RangeInclusive;

pub(crate) const CLOSED: u64 = 1;
pub(crate) const ATTENDED: u64 = 1 << 1;
pub(crate) const BARRED: u64 = 1 << 2;
const PERMIT: u64 = 1 << 3;
pub(crate) const ACQUISITION: u64 = 1 << 35;

/// As many permits as the word has room for: 32 bits.
pub(crate) const MAX_PERMITS: usize = u32::MAX as usize;

/// Acquisitions in a word are counted modulo this.
pub(crate) const ACQUISITIONS_MODULUS: u64 = u64::MAX / ACQUISITION + 1;

/// Returns the free permits of a word.
#[allow(clippy::cast_possible_truncation, reason = "masked to 32 bits")]
#[inline]
pub(crate) const fn free(word: u64) -> usize {
    (word / PERMIT) as usize & MAX_PERMITS
}

/// Returns the acquisitions of a word, modulo [`ACQUISITIONS_MODULUS`].
#[inline]
pub(crate) const fn acquisitions(word: u64) -> u64 {
    word / ACQUISITION
}

/// Returns `n` permits as they stand in a word. `n` is at most `MAX_PERMITS`.
#[inline]
pub(crate) const fn permits(n: usize) -> u64 {
    n as u64 * PERMIT
}

/// Returns `word` after an acquisition of `n` permits, which are free in it.
#[inline]
pub(crate) const fn charged(word: u64, n: usize) -> u64 {
    word.wrapping_add(ACQUISITION) - permits(n)
}

/// The permits that a request asks for, from `min` to `max`. In a grant both are what was granted.
///
/// `min` above `max` (`TOO_MANY`) is more than any semaphore has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    min: u32,
    max: u32,
}

impl Need {
    /// More than a semaphore can have.
    const TOO_MANY: Self = Self { min: 1, max: 0 };

    #[inline]
    pub(crate) const fn exactly(n: usize) -> Self {
        Self::between(n, n)
    }

    #[allow(clippy::cast_possible_truncation, reason = "compared before")]
    #[inline]
    const fn between(min: usize, max: usize) -> Self {
        if min > MAX_PERMITS {
            return Self::TOO_MANY;
        }
        let max = if max < MAX_PERMITS { max } else { MAX_PERMITS };
        Self { min: min as u32, max: max as u32 }
    }

    /// Returns what is taken of `free` permits; `None` if they do not suffice.
    #[inline]
    pub(crate) const fn of(self, free: usize) -> Option<usize> {
        let n = if (self.max as usize) < free { self.max as usize } else { free };
        if n < self.min as usize { None } else { Some(n) }
    }

    /// Returns whether it asks for 0 permits. Also true of `TOO_MANY`, for which [`of`](Self::of)
    /// is always `None`.
    #[inline]
    pub(crate) const fn is_nothing(self) -> bool {
        self.max == 0
    }

    /// Returns whether 0 permits suffice for it, although it takes more if they are free.
    pub(crate) const fn is_optional(self) -> bool {
        self.min == 0 && self.max > 0
    }

    /// Returns whether a semaphore with `capacity` permits can never serve it.
    pub(crate) const fn exceeds(self, capacity: usize) -> bool {
        self.min > self.max || self.min as usize > capacity
    }

    /// Returns how many permits were granted. Only for a need that a grant has returned.
    #[inline]
    pub(crate) const fn granted(self) -> usize {
        self.max as usize
    }
}

impl From<RangeInclusive<usize>> for Need {
    #[track_caller]
    fn from(range: RangeInclusive<usize>) -> Self {
        let (min, max) = range.into_inner();
        assert!(min <= max, "permits were asked for in the empty range {min}..={max}");
        Self::between(min, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_keeps_to_its_bits() {
        let flags = CLOSED | ATTENDED | BARRED;
        let last = (ACQUISITIONS_MODULUS - 1) * ACQUISITION;
        let word = last | permits(MAX_PERMITS) | flags;
        assert_eq!(word, u64::MAX);
        let next = charged(word, MAX_PERMITS);
        assert_eq!((free(next), acquisitions(next), next), (0, 0, flags));
    }

    #[test]
    fn a_need_takes_what_is_free_within_its_range() {
        let need = Need::from(2..=5);
        assert_eq!(
            [0, 1, 2, 4, 5, 9].map(|free| need.of(free)),
            [None, None, Some(2), Some(4), Some(5), Some(5)]
        );
        assert_eq!(Need::exactly(0).of(0), Some(0));
    }

    #[test]
    fn a_need_beyond_the_word_is_served_by_nothing() {
        assert_eq!(Need::from(3..=usize::MAX).of(MAX_PERMITS), Some(MAX_PERMITS));
        if let Some(above) = MAX_PERMITS.checked_add(1) {
            let needs = [Need::exactly(above), Need::from(above..=usize::MAX)];
            assert_eq!(needs.map(|need| need.of(MAX_PERMITS)), [None; 2]);
            assert_eq!(needs.map(|need| need.exceeds(MAX_PERMITS)), [true; 2]);
        }
        assert!(!Need::exactly(MAX_PERMITS).exceeds(MAX_PERMITS));
    }
}
