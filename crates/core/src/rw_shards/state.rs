//! Which threads are in a lock: the word, and how to wait for it.
//!
//! | bits of the word | name | meaning | changed by |
//! | --- | --- | --- | --- |
//! | 0 | `CLAIMED` | a writer is in or on its way in: no new readers but nested ones | a writer, which clears it when it leaves |
//! | 1 | `WRITING` | that writer is in: no reader is counted or announced | the writer that has claimed |
//! | 2 | `BIASED` | readers may announce themselves instead of being counted, while no writer has claimed | set by a counted reader, cleared by a writer that has claimed |
//! | 3 | `ASLEEP` | a thread may sleep | set by the thread that is about to sleep, cleared by the one that wakes it |
//! | 4 | `CLOSED` | no thread enters any more; `CLAIMED` and `WRITING` stay set | the last writer |
//! | 5.. | readers | how many are counted in | readers |
//!
//! The word is changed by read-modify-writes only, so each of them continues the release sequences
//! of those before.

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
const CLOSED: usize = 16;
const READER: usize = 32;

/// The number of times that a thread checks the word before it sleeps.
const SPINS: u32 = 100;

/// The number of writes that end a bias. Then it has to be earned again.
const WRITES_PER_BIAS: u32 = tuned(32, 2);

pub(super) struct State {
    word: AtomicUsize,
    // About how many reads were counted since the last write or the last bias.
    reads: AtomicU32,
    // Writes since the bias began; accessed only by the holder of `CLAIMED`.
    writes: AtomicU32,
}

impl State {
    pub(super) fn new() -> Self {
        Self { word: AtomicUsize::new(FREE), reads: AtomicU32::new(0), writes: AtomicU32::new(0) }
    }

    /// Announces the caller as a reader, if the lock is biased, no writer has claimed it and the
    /// thread's slot is free; else returns `None`.
    #[inline]
    pub(super) fn announce<'a>(&self, readers: &'a Readers) -> Option<Announcement<'a>> {
        // ORDERING: Relaxed: a guess, which saves the announcement where it would be in vain.
        if !is_open_to_announced(self.word.load(Ordering::Relaxed)) {
            return None;
        }
        let announcement = readers.announce(self.address())?;
        // ORDERING: SeqCst: see `Readers::announce`. Acquire: while no writer has claimed, every
        // change of the word continues the release sequence of the last writer, so this reader sees
        // that writer's section.
        is_open_to_announced(self.word.load(Ordering::SeqCst)).then_some(announcement)
    }

    /// Waits until the caller is counted in as a reader; returns false if the lock is closed
    /// instead. A nested reader overtakes writers that wait. A caller that is counted in must
    /// [count out](Self::count_out).
    #[inline]
    pub(super) fn count_in(&self, readers: &Readers, arrival: Arrival) -> bool {
        // ORDERING: Acquire: pairs with the Release of the last writer.
        let is_in = self.word.compare_exchange(FREE, READER, Ordering::Acquire, Ordering::Relaxed);
        match is_in {
            Err(word) if !self.count_in_slow(readers, arrival, word) => return false,
            _ => {}
        }
        self.note_read(readers);
        true
    }

    /// Lets a counted reader out.
    #[inline]
    pub(super) fn count_out(&self, readers: &Readers) {
        // ORDERING: Release: the section's reads come before this; pairs with the Acquire of
        // writers.
        let before = self.word.fetch_sub(READER, Ordering::Release);
        if before & ASLEEP != 0 && before < 2 * READER {
            self.wake(readers);
        }
    }

    /// Waits until the caller is the only one in; returns false if the lock is closed instead. A
    /// caller that is in must [release](Self::release) or [close](Self::close).
    #[inline]
    pub(super) fn take(&self, readers: &Readers) -> bool {
        // ORDERING: Acquire: pairs with the Releases of the threads that were in before.
        let taken = self.word.compare_exchange(
            FREE,
            CLAIMED | WRITING,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        match taken {
            Err(word) if !self.take_slow(readers, word) => return false,
            _ => {}
        }
        // ORDERING: Relaxed: a number that decides when a bias begins, no more.
        self.reads.store(0, Ordering::Relaxed);
        true
    }

    /// Lets the writer out.
    #[inline]
    pub(super) fn release(&self, readers: &Readers) {
        // ORDERING: Release: the next thread in sees what was written.
        let before = self.word.fetch_sub(CLAIMED | WRITING, Ordering::Release);
        if before & ASLEEP != 0 {
            self.wake(readers);
        }
    }

    /// Lets the writer out, and lets no thread in any more.
    pub(super) fn close(&self, readers: &Readers) {
        // ORDERING: Release: a thread that finds the lock closed sees what was written.
        let before = self.word.fetch_or(CLOSED, Ordering::Release);
        if before & ASLEEP != 0 {
            self.wake(readers);
        }
    }

    /// Returns whether the lock is closed. Once it is, it stays so, and the caller sees what the
    /// last writer did.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `close`.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Returns whether the lock is biased. A snapshot.
    pub(super) fn is_biased(&self) -> bool {
        self.word.load(Ordering::Relaxed) & BIASED != 0
    }

    /// Returns the address that readers announce.
    #[inline]
    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Goes on where the fast path has failed because it found `word`. Returns whether the caller
    /// is in; if it is not, the lock is closed.
    #[cold]
    fn count_in_slow(&self, readers: &Readers, arrival: Arrival, word: usize) -> bool {
        // The word of a closed lock is not written to: many threads may read it at once.
        if self.is_closed() {
            return false;
        }
        let in_the_way = match arrival {
            Arrival::First => CLAIMED,
            // A nested reader may have met a reader of its own thread, which is no contention.
            Arrival::Nested => WRITING,
        };
        if in_the_way == CLAIMED {
            note_contention(readers, word);
        }
        let before = self.change_when(readers, |word| match word {
            // The word stays as it is; `before` shows that the lock is closed.
            closed if closed & CLOSED != 0 => Some(closed),
            open => (open & in_the_way == 0).then_some(open + READER),
        });
        before & CLOSED == 0
    }

    /// Counts a read, and makes the lock biased after many. For a reader that is counted in.
    #[inline]
    fn note_read(&self, readers: &Readers) {
        // ORDERING: Relaxed, and in two steps: a count that is lost delays a bias by a read.
        let reads = self.reads.load(Ordering::Relaxed).wrapping_add(1);
        self.reads.store(reads, Ordering::Relaxed);
        if reads >= readers.many_reads() {
            self.bias(readers);
        }
    }

    #[cold]
    fn bias(&self, readers: &Readers) {
        self.reads.store(0, Ordering::Relaxed);
        if readers.may_announce() {
            // ORDERING: Relaxed: this publishes nothing of its own, and continues the release
            // sequence.
            self.word.fetch_or(BIASED, Ordering::Relaxed);
        }
    }

    /// Goes on where the fast path has failed because it found `word`. Returns whether the caller
    /// is in; if it is not, the lock is closed.
    #[cold]
    fn take_slow(&self, readers: &Readers, word: usize) -> bool {
        if self.is_closed() {
            return false;
        }
        note_contention(readers, word);
        // Only one writer at a time gets past this.
        let before = self.change_when(readers, |word| match word {
            closed if closed & CLOSED != 0 => Some(closed),
            free if free & !ASLEEP == FREE => Some(free | CLAIMED | WRITING),
            open => (open & CLAIMED == 0).then_some(open | CLAIMED),
        });
        if before & CLOSED != 0 {
            return false;
        }
        if before & BIASED != 0 {
            readers.wait_for_none(self.address());
            self.note_write();
        }
        if before & !ASLEEP != FREE {
            self.change_when(readers, |word| (word < READER).then_some(word | WRITING));
        }
        true
    }

    /// Counts a write, and ends the bias after `WRITES_PER_BIAS`. For a writer that has claimed.
    fn note_write(&self) {
        // ORDERING: Relaxed: only one writer at a time gets here.
        let writes = self.writes.load(Ordering::Relaxed) + 1;
        self.writes.store(writes % WRITES_PER_BIAS, Ordering::Relaxed);
        if writes == WRITES_PER_BIAS {
            self.word.fetch_and(!BIASED, Ordering::Relaxed);
        }
    }

    /// Waits until `change` gives a new word, and sets it; returns the word before.
    fn change_when(&self, readers: &Readers, change: impl Fn(usize) -> Option<usize>) -> usize {
        // ORDERING: Acquire: pairs with the Releases of `count_out` and `release`. SeqCst for the
        // claim of a biased lock: see `Readers::announce`.
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

    /// Sets `ASLEEP`, if the word is still `word`; returns whether it is set.
    fn says_asleep(&self, word: usize) -> bool {
        // ORDERING: Relaxed: at its last check before it sleeps, the caller has registered, and
        // passed the event's fence; the waking thread reads the bit and then passes the fence of
        // `notify_all`.
        let said = || {
            self.word.compare_exchange(word, word | ASLEEP, Ordering::Relaxed, Ordering::Relaxed)
        };
        word & ASLEEP != 0 || said().is_ok()
    }

    #[cold]
    fn wake(&self, readers: &Readers) {
        // ORDERING: Relaxed: `notify_all` begins with a fence. A thread that goes to sleep after
        // this step is woken by `notify_all`, too, or finds the word as it is now.
        self.word.fetch_and(!ASLEEP, Ordering::Relaxed);
        readers.changed().notify_all();
    }
}

/// Counts contention: a thread has found another one inside, or on its way in.
fn note_contention(readers: &Readers, word: usize) {
    if word & CLOSED == 0 && (word & CLAIMED != 0 || word >= READER) {
        readers.note_contention();
    }
}

/// Returns whether readers may announce themselves.
#[inline]
fn is_open_to_announced(word: usize) -> bool {
    word & (BIASED | CLAIMED) == BIASED
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_wakes_the_sleepers_leaves_the_word_free() {
        let (state, readers) = (State::new(), Readers::new());
        for is_writer in [false, true] {
            if is_writer {
                assert!(state.take(&readers));
            } else {
                assert!(state.count_in(&readers, Arrival::First));
            }
            thread::scope(|s| {
                s.spawn(|| {
                    assert!(state.take(&readers));
                    state.release(&readers);
                });
                while state.word.load(Ordering::Relaxed) & ASLEEP == 0 {
                    thread::yield_now();
                }
                if is_writer {
                    state.release(&readers);
                } else {
                    state.count_out(&readers);
                }
            });
            assert_eq!(state.word.load(Ordering::Relaxed), FREE);
        }
    }
}
