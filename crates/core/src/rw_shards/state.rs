//! Who is in a lock: the word, and how to wait for it.
//!
//! | bits of the word | name | meaning | who changes it |
//! | --- | --- | --- | --- |
//! | 0 | `CLAIMED` | a writer is in or on its way in: no new readers but nested ones | a writer, who clears it when it leaves |
//! | 1 | `WRITING` | that writer is in: nobody is counted or announced | the writer that has claimed |
//! | 2 | `BIASED` | readers may announce themselves instead of being counted, while nobody has claimed | set by a counted reader, cleared by a writer that has claimed |
//! | 3 | `ASLEEP` | somebody may sleep | set by who is about to sleep, cleared by who wakes |
//! | 4.. | readers | how many are counted in | readers |
//!
//! The word is changed by read-modify-writes only, so each of them goes on with the release sequence of those before.

use super::{
    inside::Arrival,
    readers::{Announcement, Readers},
};
use crate::{
    primitive::{
        atomic::{AtomicU32, AtomicUsize, Ordering},
        may_spin, spin_loop, tuned,
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

/// So many writes a bias lasts for. Then it has to be earned again.
const WRITES_PER_BIAS: u32 = tuned(32, 2);

pub(super) struct State {
    word: AtomicUsize,
    // About how many reads were counted since the last write or the last bias.
    reads: AtomicU32,
    // Writes since the bias began; for the holder of `CLAIMED`.
    writes: AtomicU32,
}

impl State {
    pub(super) fn new() -> Self {
        Self { word: AtomicUsize::new(FREE), reads: AtomicU32::new(0), writes: AtomicU32::new(0) }
    }

    /// Announces the caller as a reader, if the lock is biased and the thread's slot is free.
    #[inline]
    pub(super) fn announce<'a>(&self, readers: &'a Readers) -> Option<Announcement<'a>> {
        // ORDERING: Relaxed: a guess, which saves the announcement where it would be in vain.
        if !is_open_to_announced(self.word.load(Ordering::Relaxed)) {
            return None;
        }
        let announcement = readers.announce(self.address())?;
        // ORDERING: SeqCst: see `Readers::announce`. Acquire, because what is set while nobody has claimed goes on with the
        // release sequence of the last writer, whose section we see.
        is_open_to_announced(self.word.load(Ordering::SeqCst)).then_some(announcement)
    }

    /// Waits until the caller is counted in as a reader. A nested reader overtakes writers that wait.
    #[inline]
    pub(super) fn count_in<'a>(&'a self, readers: &'a Readers, arrival: Arrival) -> Counted<'a> {
        // ORDERING: Acquire: pairs with the Release of the last writer.
        let is_in = self.word.compare_exchange(FREE, READER, Ordering::Acquire, Ordering::Relaxed);
        if is_in.is_err() {
            self.count_in_slow(readers, arrival);
        }
        self.note_read(readers);
        Counted { state: self, readers }
    }

    /// Waits until the caller is the only one in.
    #[inline]
    pub(super) fn take<'a>(&'a self, readers: &'a Readers) -> Taken<'a> {
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
        // ORDERING: Relaxed: a number that decides when a bias begins, no more.
        self.reads.store(0, Ordering::Relaxed);
        Taken { state: self, readers }
    }

    /// Returns whether the lock is biased. A snapshot.
    pub(super) fn is_biased(&self) -> bool {
        self.word.load(Ordering::Relaxed) & BIASED != 0
    }

    /// What readers announce.
    #[inline]
    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    #[cold]
    fn count_in_slow(&self, readers: &Readers, arrival: Arrival) {
        let closed = match arrival {
            Arrival::First => CLAIMED,
            Arrival::Nested => WRITING,
        };
        self.change_when(readers, |word| (word & closed == 0).then_some(word + READER));
    }

    /// Counts a read, and makes the lock biased after many. For a reader that is counted in.
    #[inline]
    fn note_read(&self, readers: &Readers) {
        // ORDERING: Relaxed, and in two steps: a count that is lost delays a bias by a read.
        let reads = self.reads.load(Ordering::Relaxed) + 1;
        self.reads.store(reads, Ordering::Relaxed);
        if reads >= readers.many_reads() {
            self.bias();
        }
    }

    #[cold]
    fn bias(&self) {
        self.reads.store(0, Ordering::Relaxed);
        // ORDERING: Relaxed: nothing of ours is published, and the release sequence goes on.
        self.word.fetch_or(BIASED, Ordering::Relaxed);
    }

    #[cold]
    fn take_slow(&self, readers: &Readers) {
        // Only one writer at a time gets past this.
        let before = self.change_when(readers, |word| {
            let claim = if word & !ASLEEP == FREE { CLAIMED | WRITING } else { CLAIMED };
            (word & CLAIMED == 0).then_some(word | claim)
        });
        if before & BIASED != 0 {
            readers.wait_for_none(self.address());
            self.note_write();
        }
        if before & !ASLEEP != FREE {
            self.change_when(readers, |word| (word < READER).then_some(word | WRITING));
        }
    }

    /// Counts a write, and ends the bias after so many. For a writer that has claimed.
    fn note_write(&self) {
        // ORDERING: Relaxed: reached by one writer after the other.
        let writes = self.writes.load(Ordering::Relaxed) + 1;
        self.writes.store(writes % WRITES_PER_BIAS, Ordering::Relaxed);
        if writes == WRITES_PER_BIAS {
            self.word.fetch_and(!BIASED, Ordering::Relaxed);
        }
    }

    /// Changes the word as soon as `change` gives a new one; returns what it was before.
    fn change_when(&self, readers: &Readers, change: impl Fn(usize) -> Option<usize>) -> usize {
        // ORDERING: Acquire: pairs with the Releases of `Counted` and `Taken`. SeqCst for the claim of a biased lock: see
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
        readers.changed().wait_until(attempt_or_sleep).wait()
    }

    /// Makes the word say that somebody sleeps, if it is still `word`.
    fn says_asleep(&self, word: usize) -> bool {
        // ORDERING: Relaxed: the caller has registered, and passed the event's fence, before it says so; whoever wakes reads this
        // and then passes that of `notify_all`.
        let said = || {
            self.word.compare_exchange(word, word | ASLEEP, Ordering::Relaxed, Ordering::Relaxed)
        };
        word & ASLEEP != 0 || said().is_ok()
    }

    #[cold]
    fn wake(&self, readers: &Readers) {
        // ORDERING: Relaxed: `notify_all` begins with a fence. Who sleeps from here on is woken by it too, or finds the word
        // as it is.
        self.word.fetch_and(!ASLEEP, Ordering::Relaxed);
        readers.changed().notify_all();
    }
}

/// Whether readers may announce themselves.
#[inline]
fn is_open_to_announced(word: usize) -> bool {
    word & (BIASED | CLAIMED) == BIASED
}

/// A reader is counted in until this is dropped.
pub(super) struct Counted<'a> {
    state: &'a State,
    readers: &'a Readers,
}

impl Drop for Counted<'_> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release: what was read is not read later than this; pairs with the Acquire of writers.
        let before = self.state.word.fetch_sub(READER, Ordering::Release);
        if before & ASLEEP != 0 && before < 2 * READER {
            self.state.wake(self.readers);
        }
    }
}

/// A writer is in until this is dropped.
pub(super) struct Taken<'a> {
    state: &'a State,
    readers: &'a Readers,
}

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release: what was written is seen by who comes next.
        let before = self.state.word.fetch_sub(CLAIMED | WRITING, Ordering::Release);
        if before & ASLEEP != 0 {
            self.state.wake(self.readers);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_wakes_the_sleepers_leaves_the_word_free() {
        let (state, readers) = (State::new(), Readers::new());
        for is_writer in [false, true] {
            let (mut taken, mut counted) = (None, None);
            if is_writer {
                taken = Some(state.take(&readers));
            } else {
                counted = Some(state.count_in(&readers, Arrival::First));
            }
            thread::scope(|s| {
                s.spawn(|| drop(state.take(&readers)));
                while state.word.load(Ordering::Relaxed) & ASLEEP == 0 {
                    thread::yield_now();
                }
                (taken, counted) = (None, None);
            });
            assert!(taken.is_none() && counted.is_none());
            assert_eq!(state.word.load(Ordering::Relaxed), FREE);
        }
    }
}
