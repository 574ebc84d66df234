//! The permits: one atomic word, and the line of those who wait for more than it holds.
//!
//! ```text
//! take:     CAS: open, nobody waits, n are free ─▶ n fewer, one acquisition more
//! ask:      (under the line's lock) the same CAS, or a CAS that sets WAITERS
//! release:  add n ─▶ WAITERS was set? lock ─▶ serve the head, and who fits behind it ─▶ unlock ─▶ wake
//! ```
//!
//! What is free and whether somebody waits are one word. So a release either comes before the CAS in `ask`, which then
//! finds its permits, or after it, and then finds WAITERS. There is no moment between a look and a note.
//!
//! Permits stay in the word until the head's request fits, so there are no partial grants to undo. That the releaser
//! hands over under the line's lock and wakes after it is as in tokio's `batch_semaphore`; that a bit of the word sends
//! it there is as in parking_lot's `RawMutex`.

use core::task::Poll;

use tidegate_core::{
    WaitList,
    primitive::atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    wait_list::{Line, Supply},
};

use crate::{
    error::{AcquireError, TryAcquireError},
    stats::{Counts, Stats},
};

/// Nothing is granted any more.
const CLOSED: u64 = 1;
/// Somebody stands in line: newcomers queue up, givers take the lock.
const WAITERS: u64 = 1 << 1;
/// One free permit.
const PERMIT: u64 = 1 << 2;
/// One acquisition. What overflows the count leaves the word.
const ACQUISITION: u64 = 1 << 34;
/// The count's highest bit.
const TOP: u64 = 1 << 63;

/// As many permits as the word has room for: 32 bits.
pub(crate) const MAX_PERMITS: usize = u32::MAX as usize;

/// Returns the free permits of a word.
#[allow(clippy::cast_possible_truncation, reason = "masked to 32 bits")]
#[inline]
const fn free(word: u64) -> usize {
    (word / PERMIT) as usize & MAX_PERMITS
}

/// Returns `n` permits as they stand in a word. `n` is at most `MAX_PERMITS`.
#[inline]
const fn permits(n: usize) -> u64 {
    n as u64 * PERMIT
}

/// Returns `word` after an acquisition of `n`, which are free in it.
#[inline]
const fn charged(word: u64, n: usize) -> u64 {
    word.wrapping_add(ACQUISITION) - permits(n)
}

#[derive(Debug)]
pub(crate) struct Pool {
    /// | bits | meaning | changed by |
    /// | --- | --- | --- |
    /// | 0 | `CLOSED`, final | `close`, under the line's lock |
    /// | 1 | `WAITERS`: the line is not empty | only under the line's lock |
    /// | 2..34 | free permits | takers subtract, by CAS while `WAITERS` is clear, under the lock while it is set; givers add |
    /// | 34..64 | acquisitions, modulo 2³⁰ | whoever subtracts for a request |
    word: AtomicU64,
    // INVARIANT: at least the free permits, at most MAX_PERMITS; written under the line's lock only.
    capacity: AtomicUsize,
    line: WaitList<usize>,
    counts: Counts,
}

impl Pool {
    tidegate_core::const_fn! {
        /// Creates a pool of `n` free permits, at most `MAX_PERMITS`.
        pub(crate) fn new(n: usize) -> Self {
            Self {
                word: AtomicU64::new(permits(n)),
                capacity: AtomicUsize::new(n),
                line: WaitList::new(),
                counts: Counts::new(),
            }
        }
    }

    /// Takes `n` permits if they are free and nobody waits. Nothing can be had of nothing: 0 passes those who wait.
    #[inline]
    pub(crate) fn take(&self, n: usize) -> bool {
        let barred = if n == 0 { CLOSED } else { CLOSED | WAITERS };
        // ORDERING: Relaxed: a guess, which the exchange confirms.
        let mut word = self.word.load(Ordering::Relaxed);
        while word & barred == 0 && n <= free(word) {
            let taken = charged(word, n);
            // ORDERING: Acquire: pairs with the Release of every `release` before: what their holders did is seen.
            // Relaxed on failure: a new guess.
            match self.word.compare_exchange_weak(word, taken, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {
                    self.count(word, taken);
                    return true;
                }
                Err(found) => word = found,
            }
        }
        false
    }

    /// As `take`, saying why not.
    #[inline]
    pub(crate) fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        if self.take(n) { Ok(()) } else { Err(self.refuse(n)) }
    }

    /// Returns why a request that `take` refused was refused, and counts it.
    #[cold]
    fn refuse(&self, n: usize) -> TryAcquireError {
        self.counts.refuse();
        // ORDERING: Relaxed: see `objection`.
        let word = self.word.load(Ordering::Relaxed);
        self.objection(word, n).map_or(TryAcquireError::NoPermits, TryAcquireError::from)
    }

    /// Gives `n` permits back.
    #[inline]
    pub(crate) fn release(&self, n: usize) {
        // ORDERING: Release: what was done with the permits is seen by whoever takes them (Acquire in `take`, `ask` and
        // `serve`). All other writes to the word are read-modify-writes, which pass it on. Acquire is not needed: whom
        // to wake is read under the line's lock.
        if self.word.fetch_add(permits(n), Ordering::Release) & WAITERS != 0 {
            self.hand_out();
        }
    }

    #[cold]
    fn hand_out(&self) {
        self.line.with(|line| self.serve(line));
    }

    /// Refuses everybody from now on; returns false if it did so already.
    pub(crate) fn close(&self) -> bool {
        self.line.with(|line| {
            // ORDERING: Release: what happened before the close is seen by those who find it closed (`objection`,
            // `is_closed`).
            let before = self.word.fetch_or(CLOSED, Ordering::Release);
            line.dismiss_all();
            self.forget_waiters();
            before & CLOSED == 0
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `close`.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(crate) fn free(&self) -> usize {
        // ORDERING: Relaxed: a snapshot, from which nothing about other memory follows.
        free(self.word.load(Ordering::Relaxed))
    }

    pub(crate) fn capacity(&self) -> usize {
        // ORDERING: Relaxed: a snapshot, or under the line's lock, which orders it.
        self.capacity.load(Ordering::Relaxed)
    }

    /// Adds `n` new permits; false, and no effect, if there would be more than `MAX_PERMITS`.
    pub(crate) fn grow(&self, n: usize) -> bool {
        self.line.with(|line| {
            let capacity = self.capacity().checked_add(n).filter(|&sum| sum <= MAX_PERMITS);
            let Some(capacity) = capacity else { return false };
            // ORDERING: Relaxed: under the line's lock.
            self.capacity.store(capacity, Ordering::Relaxed);
            // ORDERING: Release: as in `release`. After the capacity: there are never more free than there are.
            self.word.fetch_add(permits(n), Ordering::Release);
            self.serve(line);
            true
        })
    }

    /// Removes `n` permits that the caller has taken out of the word.
    pub(crate) fn shrink(&self, n: usize) {
        self.line.with(|line| self.shrink_in_line(n, line));
    }

    /// Removes up to `n` free permits that nobody in line is due; returns how many.
    pub(crate) fn shrink_free(&self, n: usize) -> usize {
        self.line.with(|line| {
            loop {
                // ORDERING: Relaxed: a guess, which the exchange confirms.
                let word = self.word.load(Ordering::Relaxed);
                if line.head().is_some_and(|&head| head <= free(word)) {
                    // Given back by somebody who now waits for this lock to serve the head.
                    self.serve(line);
                    continue;
                }
                let removed = n.min(free(word));
                let rest = word - permits(removed);
                // ORDERING: Relaxed: what the last holders did concerns nobody: no one will hold these again.
                if self
                    .word
                    .compare_exchange_weak(word, rest, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
                {
                    self.shrink_in_line(removed, line);
                    return removed;
                }
            }
        })
    }

    fn shrink_in_line(&self, n: usize, line: &mut Line<'_, usize>) {
        // ORDERING: Relaxed: under the line's lock.
        self.capacity.store(self.capacity() - n, Ordering::Relaxed);
        // The head may now ask for more than there is.
        self.serve(line);
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn stats(&self) -> Stats {
        self.line.with(|line| {
            let (capacity, available) = (self.capacity(), self.free());
            let in_use = capacity - available;
            let stats =
                Stats { capacity, available, in_use, waiting: line.len(), ..Stats::default() };
            // ORDERING: Relaxed: `Counts` orders it after its own count.
            self.counts.fill(stats, || self.word.load(Ordering::Relaxed) / ACQUISITION)
        })
    }

    /// Notes an acquisition that took the count across a half of its range.
    #[inline]
    fn count(&self, before: u64, after: u64) {
        if (before ^ after) & TOP != 0 {
            self.counts.flip();
        }
    }

    /// Returns why a request for `n` is of no use, by a word that was read with any ordering.
    fn objection(&self, word: u64, n: usize) -> Option<AcquireError> {
        if word & CLOSED != 0 {
            // ORDERING: Acquire: pairs with the Release in `close`.
            fence(Ordering::Acquire);
            Some(AcquireError::Closed)
        } else if n > self.capacity() {
            Some(AcquireError::TooMany)
        } else {
            None
        }
    }

    fn forget_waiters(&self) {
        // ORDERING: Relaxed: under the line's lock, which orders everybody who acts on the bit.
        self.word.fetch_and(!WAITERS, Ordering::Relaxed);
    }
}

impl Supply for Pool {
    type Need = usize;
    type Refusal = AcquireError;

    fn wait_list(&self) -> &WaitList<usize> {
        &self.line
    }

    fn ask(&self, n: usize, line: &mut Line<'_, usize>) -> Poll<Result<(), AcquireError>> {
        // ORDERING: Relaxed: a guess, which the exchange confirms.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if let Some(objection) = self.objection(word, n) {
                return Poll::Ready(Err(objection));
            }
            let granted = n == 0 || (line.is_empty() && n <= free(word));
            let new = if granted { charged(word, n) } else { word | WAITERS };
            // ORDERING: Acquire: as in `take`. The look at what is free and the note that somebody waits are one step
            // on the word that givers write: each of them comes before, and is seen, or after, and sees WAITERS.
            match self.word.compare_exchange_weak(word, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if granted => {
                    self.count(word, new);
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => {
                    self.counts.wait();
                    return Poll::Pending;
                }
                Err(found) => word = found,
            }
        }
    }

    fn serve(&self, line: &mut Line<'_, usize>) {
        while let Some(&n) = line.head() {
            // ORDERING: Acquire: pairs with the Release of every giver, on behalf of the head, which learns of it
            // through the line's lock.
            let word = self.word.load(Ordering::Acquire);
            if n > self.capacity() {
                line.dismiss_head();
            } else if n <= free(word) {
                // Somebody waits, so nobody takes but under the line's lock: what is free now stays free.
                // ORDERING: Relaxed: the load above has acquired, and a read-modify-write passes the Releases on.
                let charge = ACQUISITION.wrapping_sub(permits(n));
                let before = self.word.fetch_add(charge, Ordering::Relaxed);
                self.count(before, before.wrapping_add(charge));
                line.grant_head();
            } else {
                return;
            }
        }
        self.forget_waiters();
    }

    fn give_back(&self, n: usize) {
        self.counts.leave_unclaimed();
        self.release(n);
    }

    fn dismissal(&self) -> AcquireError {
        if self.is_closed() { AcquireError::Closed } else { AcquireError::TooMany }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_leaves_the_word_without_touching_the_permits() {
        let pool = Pool::new(MAX_PERMITS);
        for start in [TOP - ACQUISITION, 0u64.wrapping_sub(ACQUISITION)] {
            pool.word.store(start | permits(MAX_PERMITS), Ordering::Relaxed);
            let before = pool.stats().acquired;
            assert!(pool.take(MAX_PERMITS));
            assert_eq!((pool.free(), pool.stats().acquired), (0, before + 1));
            assert!(!pool.is_closed());
            pool.release(MAX_PERMITS);
            assert_eq!(pool.free(), MAX_PERMITS);
        }
    }

    #[test]
    fn zero_permits_pass_those_who_wait() {
        let pool = Pool::new(1);
        pool.word.fetch_or(WAITERS, Ordering::Relaxed);
        assert!(pool.take(0));
        assert!(!pool.take(1));
    }
}
