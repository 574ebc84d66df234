//! The permits: one atomic word, and the queue of the requests that wait.
//!
//! ```text
//! take:     CAS: open, not barred, n are free ─▶ n fewer, one acquisition more
//! ask:      (under the queue's lock) the same CAS, or a CAS that sets ATTENDED, and BARRED if no newcomer may overtake
//! release:  not ATTENDED: add n
//!           ATTENDED: lock ─▶ hand n to the head, or add n, pay what is owed and serve the queue ─▶ unlock ─▶ wake
//! ```
//!
//! How many permits are free and whether a request waits are in one word. So a release comes either
//! before the CAS in `ask`, and then `ask` finds the permits, or after it, and then the release
//! finds ATTENDED. No release comes between the check and the flag.
//!
//! The flags may stay set after the last waiter has left, until permits are free again; the next
//! releaser then takes the lock in vain, once. In return, two callers that hand one permit to and
//! fro do not write the word: each finds the flags set, and hands the permit over past the word.
//!
//! There are two ways to serve the head. If newcomers are barred, the head is *granted* its permits
//! under the lock: they are charged to the word, or handed over past it. If newcomers may overtake,
//! the head is *nudged*: woken to take what is free, if it is still free when the head runs; see
//! [`Fairness`]. While every waiter in the queue is nudged and about to run, releasers need not
//! take the lock; a waiter that runs too late sets ATTENDED again. Free permits are promised to the
//! nudged waiters, but not for ever: after some acquisitions the promise lapses, and the next
//! waiters are nudged, too. A waiter that runs only after its promise has lapsed may take permits
//! that are promised to those behind it.
//!
//! Permits stay in the word until the head's request fits, so there are no partial grants to undo.
//! As in tokio's `batch_semaphore`, the releaser hands over under the queue's lock and wakes the
//! waiters once the lock is open. As in parking_lot's `RawMutex`, a bit of the word sends the
//! releaser to the lock, and fairness may be eventual.

mod resize;
mod serve;

use core::{
    fmt, mem,
    panic::{RefUnwindSafe, UnwindSafe},
};

use alloc::boxed::Box;

use tidegate_core::{
    Event, Timestamp, WaitList,
    primitive::{
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
        spin_loop,
    },
    wait_list::{Line, Supply},
};

use crate::{
    error::{AcquireError, TryAcquireError},
    fairness::Fairness,
    stats::{Counts, Stats},
    stopwatch::Stopwatch,
    word::{ATTENDED, BARRED, CLOSED, MAX_PERMITS, Need, acquisitions, charged, free, permits},
};

pub(crate) struct PermitPool {
    /// See the table in `word.rs`.
    word: AtomicU64,
    // INVARIANT: at most MAX_PERMITS; written under the queue's lock only.
    capacity: AtomicUsize,
    /// Permits in use above the capacity, which the next releases pay back.
    // INVARIANT: no permit is free while some are owed, except between a release and its payment,
    // when newcomers are barred. Written under the queue's lock only. Capacity plus debt is how
    // many permits exist: free, held or granted.
    debt: AtomicUsize,
    line: WaitList<Need>,
    counts: Counts,
    pub(crate) settings: Settings,
    /// How many waiters for `all_back` have been noted.
    // INVARIANT: ATTENDED is set while there are any. Written under the queue's lock only.
    awaited: AtomicUsize,
    /// Notified when every permit is back and a caller waits for that.
    pub(crate) all_back: Event,
}

/// The settings, which do not change in the life of a pool.
pub(crate) struct Settings {
    pub(crate) fairness: Fairness,
    // INVARIANT: `fairness.bound()`, kept so that no release computes it.
    pub(crate) bound: u32,
    pub(crate) max_waiters: usize,
    /// Whether a request for more than the capacity waits until permits are added.
    pub(crate) waits_for_capacity: bool,
    /// Measures the waits; `None` if they are not measured.
    pub(crate) stopwatch: Option<Box<Stopwatch>>,
}

/// The clock is `Sync`: it keeps what it changes behind atomics or locks, so a panic shows a caller
/// no more than another thread could see.
impl UnwindSafe for Settings {}
impl RefUnwindSafe for Settings {}

impl Settings {
    pub(crate) const DEFAULT: Self = Self {
        fairness: Fairness::Fifo,
        bound: Fairness::Fifo.bound(),
        max_waiters: usize::MAX,
        waits_for_capacity: false,
        stopwatch: None,
    };
}

/// Wakes, in its drop, the callers that wait until every permit is back, if `is_idle` is set.
struct NotifyIfIdle<'a> {
    event: &'a Event,
    is_idle: bool,
}

impl Drop for NotifyIfIdle<'_> {
    fn drop(&mut self) {
        if self.is_idle {
            self.event.notify_all();
        }
    }
}

impl PermitPool {
    tidegate_core::const_fn! {
        /// Creates a pool of `n` free permits, at most `MAX_PERMITS`.
        pub(crate) fn new(n: usize, settings: Settings) -> Self {
            Self {
                word: AtomicU64::new(permits(n)),
                capacity: AtomicUsize::new(n),
                debt: AtomicUsize::new(0),
                line: WaitList::new(),
                counts: Counts::new(),
                settings,
                awaited: AtomicUsize::new(0),
                all_back: Event::new(),
            }
        }
    }

    /// Takes what `need` asks for if it is free and no waiter comes first; returns how many permits
    /// that is. Returns `None` if too few are free, if a waiter comes first, and if the pool is
    /// closed. A request for 0 permits overtakes the waiters; a request for 0 or more gets 0 if a
    /// waiter comes first.
    #[inline]
    pub(crate) fn take(&self, need: Need) -> Option<usize> {
        let barred = if need.is_nothing() { CLOSED } else { CLOSED | BARRED };
        // ORDERING: Relaxed: a guess, which the exchange confirms.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & barred != 0 {
                return self.take_nothing(need);
            }
            let n = need.of(free(word))?;
            match self.charge(word, n) {
                Ok(()) => return Some(n),
                Err(found) => word = found,
            }
        }
    }

    /// Returns whether a newcomer may take what is free before a request that waits.
    #[inline]
    pub(crate) fn lets_overtake(&self) -> bool {
        self.settings.bound != 0
    }

    /// Spins before the request joins the queue: checks for free permits a few times more, after
    /// pauses that double each time and last at most `polls` spins in all, as long as no other
    /// request waits in the queue. Only for a pool where newcomers may overtake.
    ///
    /// If a thread joined the queue at once, it would often find the permit taken when it is
    /// nudged. Each time that costs the releaser a lock and a wake-up.
    #[cold]
    pub(crate) fn take_soon(&self, need: Need, polls: u32) -> Option<usize> {
        let mut pause = 1;
        while pause <= polls / 2 {
            (0..pause).for_each(|_| spin_loop());
            pause *= 2;
            // ORDERING: Relaxed: a guess; `take` checks again.
            let word = self.word.load(Ordering::Relaxed);
            if word & (CLOSED | ATTENDED) != 0 {
                break;
            }
            if need.of(free(word)).is_some() {
                return self.take(need);
            }
        }
        None
    }

    /// Takes 0 permits for a `need` that asks for more, but accepts 0. Returns `None` for any
    /// other, and if the pool is closed.
    #[cold]
    fn take_nothing(&self, need: Need) -> Option<usize> {
        if need.is_optional() { self.take(Need::exactly(0)) } else { None }
    }

    /// Takes `n` permits out of `word`, in which they are free, or returns the word that it has
    /// found instead.
    #[inline]
    fn charge(&self, word: u64, n: usize) -> Result<(), u64> {
        let taken = charged(word, n);
        // ORDERING: Acquire: pairs with the Release of every `release` before: what the earlier
        // holders did is seen. Relaxed on failure: a new guess.
        self.word.compare_exchange_weak(word, taken, Ordering::Acquire, Ordering::Relaxed)?;
        self.counts.note_lap(word, taken);
        Ok(())
    }

    /// Takes as `take` does, or says why it could not.
    #[inline]
    pub(crate) fn try_take(&self, need: Need) -> Result<usize, TryAcquireError> {
        match self.take(need) {
            Some(n) => Ok(n),
            None => Err(self.refuse(need)),
        }
    }

    /// Returns why `take` has refused a request, and counts the refusal.
    #[cold]
    fn refuse(&self, need: Need) -> TryAcquireError {
        self.counts.refused.add_one();
        // ORDERING: Relaxed: see `objection`.
        let word = self.word.load(Ordering::Relaxed);
        self.objection(word, need).map_or(TryAcquireError::NoPermits, TryAcquireError::from)
    }

    /// Releases `n` permits.
    #[inline]
    pub(crate) fn release(&self, n: usize) {
        // ORDERING: Relaxed: a guess. If a request waits, the permits need not be added to the
        // word: `hand_over` gives them to the waiter.
        let is_attended = self.word.load(Ordering::Relaxed) & ATTENDED != 0;
        // ORDERING: Release: what was done with the permits is seen by the request that takes them
        // (Acquire in `charge` and `serve`). All other writes to the word are read-modify-writes,
        // which pass it on. Acquire is not needed: the waiter to wake is read under the queue's
        // lock.
        if is_attended {
            self.hand_over(n);
        } else if self.word.fetch_add(permits(n), Ordering::Release) & ATTENDED != 0 {
            self.attend(|_| ());
        }
    }

    /// Hands `n` permits over to the head and the waiters behind it, past the word, as far as they
    /// suffice; adds the rest to the word. A waiter that gets permits sees what was done with them:
    /// it leaves the queue under the queue's lock.
    #[cold]
    fn hand_over(&self, mut n: usize) {
        self.tend(|line| {
            // ORDERING: Relaxed: the flags change under the lock only. If other permits are free or
            // owed, nothing is handed over: `serve` decides on all of them together.
            let word = self.word.load(Ordering::Relaxed);
            while free(word) == 0 && self.debt() == 0 && n > 0 {
                let Some(&need) = line.head() else { break };
                if !self.grants_head(word, line) {
                    break;
                }
                let Some(handed) = need.of(n) else { break };
                n -= handed;
                self.counts.handed_over.add_one_under_lock();
                line.grant_head(Need::exactly(handed));
            }
            // A head that asks for more than the capacity may not stay: `serve` dismisses it.
            let can_stay = !line.head().is_some_and(|&head| self.is_out_of_reach(head));
            if n == 0 && can_stay {
                return ((), false);
            }
            // ORDERING: Release: as in `release`.
            self.word.fetch_add(permits(n), Ordering::Release);
            ((), self.serve_and_look(line))
        });
    }

    /// Runs `change` under the queue's lock, then serves the queue, and notifies `all_back` if a
    /// caller waits for it and every permit is back.
    #[cold]
    pub(crate) fn attend<R>(&self, change: impl FnOnce(&mut Line<'_, Need>) -> R) -> R {
        self.tend(|line| {
            let result = change(line);
            (result, self.serve_and_look(line))
        })
    }

    /// Runs `section` under the queue's lock. The section also returns whether `all_back` is to be
    /// notified; that is done once the lock is released, even if a waker of the queue panics.
    fn tend<R>(&self, section: impl FnOnce(&mut Line<'_, Need>) -> (R, bool)) -> R {
        let mut notice = NotifyIfIdle { event: &self.all_back, is_idle: false };
        self.line.with(|line| {
            let (result, is_idle) = section(line);
            notice.is_idle = is_idle;
            result
        })
    }

    /// Serves the queue after a change, and returns whether `all_back` is to be notified. Under the
    /// queue's lock.
    fn serve_and_look(&self, line: &mut Line<'_, Need>) -> bool {
        self.serve(line);
        self.awaited() > 0 && self.in_use() == 0
    }

    fn awaited(&self) -> usize {
        // ORDERING: Relaxed: under the queue's lock.
        self.awaited.load(Ordering::Relaxed)
    }

    /// Returns whether every permit is back. If not, and unless `is_noted`, notes that a caller
    /// waits for that, so that the release of the last permit notifies `all_back`.
    pub(crate) fn is_idle_or_awaited(&self, is_noted: &mut bool) -> bool {
        self.line.with(|line| {
            if self.in_use() != 0 && !mem::replace(is_noted, true) {
                // ORDERING: Relaxed: under the queue's lock.
                self.awaited.store(self.awaited() + 1, Ordering::Relaxed);
                self.note_line(line);
            }
            // Check again: a release that came before the note does not know that a caller waits
            // for it.
            let is_idle = self.in_use() == 0;
            // ORDERING: Acquire: pairs with the Release of every `release`: what the last holders
            // did is seen.
            fence(Ordering::Acquire);
            is_idle
        })
    }

    /// Removes the note of one waiter for idleness.
    pub(crate) fn stop_awaiting(&self) {
        self.line.with(|line| {
            // ORDERING: Relaxed: under the queue's lock.
            self.awaited.store(self.awaited() - 1, Ordering::Relaxed);
            self.note_line(line);
        });
    }

    /// Refuses every request from now on and rejects all waiters; returns false if the pool was
    /// closed already.
    pub(crate) fn close(&self) -> bool {
        self.attend(|line| {
            // ORDERING: Release: what happened before the close is seen by callers that find it
            // closed (`objection`, `is_closed`).
            let before = self.word.fetch_or(CLOSED, Ordering::Release);
            line.dismiss_all();
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
        // ORDERING: Relaxed: a snapshot, or under the queue's lock, which orders it.
        self.capacity.load(Ordering::Relaxed)
    }

    fn debt(&self) -> usize {
        // ORDERING: Relaxed: under the queue's lock.
        self.debt.load(Ordering::Relaxed)
    }

    /// Returns the free permits of `word` beyond the debt. Under the queue's lock.
    ///
    /// Owed permits may be free for a moment: a release first adds its permits to the word and then
    /// pays the debt under the lock.
    fn spare(&self, word: u64) -> usize {
        free(word).saturating_sub(self.debt())
    }

    /// Returns the permits that are held or granted. Under the queue's lock.
    fn in_use(&self) -> usize {
        self.capacity() + self.debt() - self.free()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns the time; `None` if waits are not measured.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.settings.stopwatch.as_ref().map(|stopwatch| stopwatch.now())
    }

    /// Returns whether waits are measured.
    pub(crate) fn measures(&self) -> bool {
        self.settings.stopwatch.is_some()
    }

    pub(crate) fn stats(&self) -> Stats {
        // The waits are read before the queue's lock is taken, so that it is not held for longer
        // than it has to be.
        let stopwatch = self.settings.stopwatch.as_ref();
        let (wait_time, waits) = stopwatch.map(|it| it.waits.snapshot()).unwrap_or_default();
        self.line.with(|line| {
            let available = self.free();
            let in_use = self.capacity() + self.debt() - available;
            let (capacity, waiting) = (self.capacity(), line.len());
            let stats = Stats {
                capacity,
                available,
                in_use,
                waiting,
                wait_time,
                waits,
                ..Stats::default()
            };
            // ORDERING: Relaxed: `Counts` orders this load after that of its laps.
            self.counts.fill(stats, || acquisitions(self.word.load(Ordering::Relaxed)))
        })
    }

    /// Returns why a request is refused outright: the pool is closed, or the request asks for too
    /// much. Else `None`. `word` may have been read with any ordering.
    fn objection(&self, word: u64, need: Need) -> Option<AcquireError> {
        if word & CLOSED != 0 {
            // ORDERING: Acquire: pairs with the Release in `close`.
            fence(Ordering::Acquire);
            Some(AcquireError::Closed)
        } else if self.is_out_of_reach(need) {
            Some(AcquireError::TooMany)
        } else {
            None
        }
    }

    /// Returns whether a request asks for more than the capacity or, where requests wait for
    /// permits to be added, than any capacity.
    fn is_out_of_reach(&self, need: Need) -> bool {
        need.exceeds(self.capacity())
            && (!self.settings.waits_for_capacity || need.exceeds(MAX_PERMITS))
    }

    /// Sets `flags` in `word`, in one step that also confirms what is free in it, or returns the
    /// word that it has found instead. Under the queue's lock.
    fn note(&self, word: u64, flags: u64) -> Result<(), u64> {
        // Flags that are set already were set under this lock, so a release that `word` does not
        // contain yet finds them set.
        if word & flags != flags {
            // ORDERING: Relaxed: a request acquires when it takes permits. What matters is that
            // this is one step: each release comes before it, and is seen, or after it, and finds
            // ATTENDED.
            let noted = word | flags;
            self.word.compare_exchange_weak(word, noted, Ordering::Relaxed, Ordering::Relaxed)?;
        }
        Ok(())
    }

    /// Sets and clears the flags to match the queue, the debt, and the waiters for idleness. Under
    /// the queue's lock.
    fn note_line(&self, line: &mut Line<'_, Need>) {
        // ORDERING: Relaxed, here and below: under the queue's lock, which orders all changes of
        // the flags.
        let word = self.word.load(Ordering::Relaxed);
        let comes_first = line.head().is_some() && self.grants_head(word, line);
        let flags = match self.debt() > 0 || comes_first {
            true => ATTENDED | BARRED,
            false if line.has_sleepers() || self.awaited() > 0 => ATTENDED,
            false => 0,
        };
        let missing = flags & !word;
        // While no permit is free, stale flags do no harm, and may be right again before one is.
        let stale = if free(word) > 0 { (ATTENDED | BARRED) & word & !flags } else { 0 };
        if missing != 0 {
            self.word.fetch_or(missing, Ordering::Relaxed);
        }
        if stale != 0 {
            self.word.fetch_and(!stale, Ordering::Relaxed);
        }
    }

    /// Removes `n` permits from `word`, in which they are free, or returns the word that it has
    /// found instead.
    fn withdraw(&self, word: u64, n: usize) -> Result<(), u64> {
        let rest = word - permits(n);
        // ORDERING: Relaxed: nobody has to see what the last holders did, for these permits are
        // never held again.
        self.word.compare_exchange_weak(word, rest, Ordering::Relaxed, Ordering::Relaxed)?;
        Ok(())
    }

    /// Pays what is owed with what is free. Under the queue's lock.
    fn pay(&self) {
        let debt = self.debt();
        if debt == 0 {
            return;
        }
        // ORDERING: Relaxed: a guess, which the exchange confirms.
        let mut word = self.word.load(Ordering::Relaxed);
        while let paid @ 1.. = debt.min(free(word)) {
            match self.withdraw(word, paid) {
                // ORDERING: Relaxed: under the queue's lock.
                Ok(()) => return self.debt.store(debt - paid, Ordering::Relaxed),
                Err(found) => word = found,
            }
        }
    }
}

impl fmt::Debug for PermitPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitPool")
            .field("capacity", &self.capacity())
            .field("free", &self.free())
            .field("fairness", &self.settings.fairness)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::ACQUISITION;

    #[test]
    fn a_wait_for_idleness_that_is_given_up_leaves_releases_fast() {
        let pool = PermitPool::new(2, Settings::DEFAULT);
        pool.take(Need::exactly(1)).unwrap();
        let mut is_noted = [false; 2];
        for is_noted in &mut is_noted {
            assert!(!pool.is_idle_or_awaited(is_noted) && !pool.is_idle_or_awaited(is_noted));
        }
        for awaited in [2, 1] {
            assert_eq!(
                (pool.awaited(), pool.word.load(Ordering::Relaxed) & ATTENDED),
                (awaited, ATTENDED)
            );
            pool.stop_awaiting();
        }
        assert_eq!(pool.word.load(Ordering::Relaxed) & ATTENDED, 0);
    }

    #[test]
    fn a_thread_looks_again_only_where_it_may_overtake_and_none_waits() {
        let need = Need::exactly(1);
        let pool = |fairness: Fairness| {
            PermitPool::new(1, Settings { fairness, bound: fairness.bound(), ..Settings::DEFAULT })
        };
        for fairness in [Fairness::eventual(), Fairness::Barging, Fairness::Lifo] {
            let pool = pool(fairness);
            assert!(pool.lets_overtake());
            assert_eq!(pool.take_soon(need, 1), None, "no pause is short enough");
            assert_eq!(pool.take_soon(need, 2), Some(1));
            assert_eq!(pool.take_soon(need, 64), None, "none is free");
            pool.word.fetch_or(ATTENDED, Ordering::Relaxed);
            pool.word.fetch_add(permits(1), Ordering::Relaxed);
            assert_eq!(pool.take_soon(need, 64), None, "a request waits");
        }
        assert!(!pool(Fairness::Fifo).lets_overtake(), "the queue decides the order");
    }

    #[test]
    fn the_count_leaves_the_word_without_touching_the_permits() {
        let pool = PermitPool::new(MAX_PERMITS, Settings::DEFAULT);
        pool.word.store(0_u64.wrapping_sub(ACQUISITION) | permits(MAX_PERMITS), Ordering::Relaxed);
        let before = pool.stats().acquired;
        assert_eq!(pool.take(Need::exactly(MAX_PERMITS)), Some(MAX_PERMITS));
        assert_eq!((pool.free(), pool.stats().acquired), (0, before + 1));
        assert!(!pool.is_closed());
        pool.release(MAX_PERMITS);
        assert_eq!(pool.free(), MAX_PERMITS);
    }
}
