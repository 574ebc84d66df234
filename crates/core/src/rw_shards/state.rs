//! Who is in a lock: the word, and how to wait for it.
//!
//! | bits of the word | name | meaning | who changes it |
//! | --- | --- | --- | --- |
//! | 0 | `CLAIMED` | a writer is in or on its way in: no new readers but nested ones | a writer, who clears it when it leaves |
//! | 1 | `WRITING` | that writer is in: nobody is counted or announced | the writer that has claimed |
//! | 2 | `BIASED` | readers may announce themselves instead of being counted | set by a counted reader while unclaimed, cleared by a claim |
//! | 3 | `ASLEEP` | somebody may sleep | set by who is about to sleep, cleared by who wakes |
//! | 4.. | readers | how many are counted in | readers |
//!
//! The word is changed by read-modify-writes only, so each of them goes on with the release sequence of those before.

use super::{
    inside::Arrival,
    readers::{Announcement, Readers},
};
use crate::{
    event::Event,
    primitive::{
        atomic::{AtomicUsize, Ordering},
        may_spin, spin_loop,
    },
    wait::Wait,
};

const FREE: usize = 0;
const CLAIMED: usize = 1;
const WRITING: usize = 2;
const BIASED: usize = 4;
const ASLEEP: usize = 8;
const READER: usize = 16;

/// So often a thread looks at the word before it goes to sleep.
const SPINS: u32 = 100;

pub(super) struct State {
    word: AtomicUsize,
    // About how many reads were counted since the last write.
    reads: AtomicUsize,
    changed: Event,
}

impl State {
    pub(super) fn new() -> Self {
        Self { word: AtomicUsize::new(FREE), reads: AtomicUsize::new(0), changed: Event::new() }
    }

    /// Announces the caller as a reader, if the lock is biased and the thread's slot is free.
    #[inline]
    pub(super) fn announce<'a>(&self, readers: &'a Readers) -> Option<Announcement<'a>> {
        // ORDERING: Relaxed: a guess, which saves the announcement where it would be in vain.
        if self.word.load(Ordering::Relaxed) & BIASED == 0 {
            return None;
        }
        let announcement = readers.announce(self.address())?;
        // ORDERING: SeqCst: see `Readers::announce`. Acquire, because the bias goes on with the release sequence of the last
        // writer, whose section we see.
        (self.word.load(Ordering::SeqCst) & BIASED != 0).then_some(announcement)
    }

    /// Waits until the caller is counted in as a reader. Who comes from within another section goes before writers that wait.
    #[inline]
    pub(super) fn count_in(&self, readers: &Readers, arrival: Arrival) -> Counted<'_> {
        // ORDERING: Acquire: pairs with the Release of the last writer.
        let is_in = self.word.compare_exchange(FREE, READER, Ordering::Acquire, Ordering::Relaxed);
        if is_in.is_err() {
            self.count_in_slow(arrival);
        }
        let counted = Counted { state: self };
        // ORDERING: Relaxed, and in two steps: a count that is lost delays a bias by a read.
        let reads = self.reads.load(Ordering::Relaxed) + 1;
        self.reads.store(reads, Ordering::Relaxed);
        if reads >= readers.worth_a_bias() {
            self.bias();
        }
        counted
    }

    /// Waits until the caller is the only one in.
    #[inline]
    pub(super) fn take(&self, readers: &Readers) -> Taken<'_> {
        // ORDERING: Acquire: pairs with the Releases of those who were in before.
        let taken = self.word.compare_exchange(
            FREE,
            CLAIMED | WRITING,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if taken.is_err() {
            self.take_slow(readers);
        }
        self.reads.store(0, Ordering::Relaxed);
        Taken { state: self }
    }

    /// What readers announce.
    #[inline]
    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    #[cold]
    fn count_in_slow(&self, arrival: Arrival) {
        let closed = match arrival {
            Arrival::First => CLAIMED,
            Arrival::Nested => WRITING,
        };
        self.change_when(|word| (word & closed == 0).then_some(word + READER));
    }

    /// For a counted reader.
    #[cold]
    fn bias(&self) {
        self.reads.store(0, Ordering::Relaxed);
        // ORDERING: Relaxed: nothing of ours is published, and the release sequence goes on.
        let _claimed = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            (word & CLAIMED == 0).then_some(word | BIASED)
        });
    }

    #[cold]
    fn take_slow(&self, readers: &Readers) {
        // Only one writer at a time gets past this, so no bias begins before it has left.
        let before = self.change_when(|word| {
            let claim = if word & !ASLEEP == FREE { CLAIMED | WRITING } else { CLAIMED };
            (word & CLAIMED == 0).then_some(word & !BIASED | claim)
        });
        if before & BIASED != 0 {
            readers.wait_for_none(self.address());
        }
        if before & !ASLEEP != FREE {
            self.change_when(|word| (word < READER).then_some(word | WRITING));
        }
    }

    /// Changes the word as soon as `change` gives a new one; returns what it was before.
    fn change_when(&self, change: impl Fn(usize) -> Option<usize>) -> usize {
        // ORDERING: Acquire: pairs with the Releases of `Counted` and `Taken`. SeqCst for the end of a bias: see
        // `Readers::announce`.
        let attempt = || self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, &change);
        for _ in 0..if may_spin() { SPINS } else { 0 } {
            match attempt() {
                Ok(before) => return before,
                Err(_) => spin_loop(),
            }
        }
        let attempt_or_sleep = || loop {
            match attempt() {
                Ok(before) => return Some(before),
                Err(word) if self.says_asleep(word) => return None,
                Err(_) => {}
            }
        };
        self.changed.wait_until(attempt_or_sleep).wait()
    }

    /// Makes the word say that somebody sleeps, if it is still `word`.
    fn says_asleep(&self, word: usize) -> bool {
        // ORDERING: Release: whoever wakes reads this, and so finds the caller registered: see `wake`.
        let said = || {
            self.word.compare_exchange(word, word | ASLEEP, Ordering::Release, Ordering::Relaxed)
        };
        word & ASLEEP != 0 || said().is_ok()
    }

    #[cold]
    fn wake(&self) {
        self.changed.notify_all();
    }
}

/// A reader is counted in until this is dropped.
pub(super) struct Counted<'a> {
    state: &'a State,
}

impl Drop for Counted<'_> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release: what was read is not read later than this; pairs with the Acquire of writers.
        let before = self.state.word.fetch_sub(READER, Ordering::Release);
        if before & ASLEEP != 0 && before < 2 * READER {
            // ORDERING: Relaxed: `notify_all` begins with a fence.
            self.state.word.fetch_and(!ASLEEP, Ordering::Relaxed);
            self.state.wake();
        }
    }
}

/// A writer is in until this is dropped.
pub(super) struct Taken<'a> {
    state: &'a State,
}

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release: what was written is seen by who comes next.
        if self.state.word.swap(FREE, Ordering::Release) & ASLEEP != 0 {
            self.state.wake();
        }
    }
}
