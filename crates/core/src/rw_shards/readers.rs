//! Readers that announce themselves where no other reader writes.

use core::{cell::Cell, num::NonZeroUsize, time::Duration};

use crate::{
    event::Event,
    primitive::{
        atomic::{AtomicU32, AtomicUsize, Ordering},
        may_spin, nap, parallelism, sequentially_consistent_in_models, spin_loop, thread_constant,
        thread_number, tuned, yield_now,
    },
    shard::Shards,
};

/// How many announced reads gain about as much as a writer loses by the check of one slot.
const READS_PER_SLOT: u32 = tuned(4, 1);

/// Stands for a number of reads that is never reached: all readers are counted.
const NEVER: u32 = u32::MAX;

/// How often locks or slots must be found taken for that to count as contention.
const MUCH_CONTENTION: u32 = tuned(64, 1);

/// Two slots for each thread that can run at once, so threads seldom meet in one. A thread that
/// finds its slot taken is counted in by the lock this time, and uses the next slot from then on.
#[derive(Debug)]
pub(super) struct Readers {
    // The address of the lock that a reader reads, 0 while there is none.
    slots: Shards<AtomicUsize>,
    // Notified when one of the locks opens to a sleeping thread: that is seldom, so one event is
    // enough for all locks.
    changed: Event,
    many_reads: u32,
    // About how often a lock or a slot was found taken, up to `MUCH_CONTENTION`.
    found_taken: AtomicU32,
}

impl Readers {
    pub(super) fn new() -> Self {
        let slots = NonZeroUsize::new(tuned(2, 1) as usize * parallelism());
        let slots = Shards::new(slots.unwrap_or(NonZeroUsize::MIN), |_| AtomicUsize::new(0));
        let many_reads = u32::try_from(slots.len()).unwrap_or(NEVER).saturating_mul(READS_PER_SLOT);
        Self { slots, changed: Event::new(), many_reads, found_taken: AtomicU32::new(0) }
    }

    /// Creates a table of readers that never announce themselves.
    pub(super) fn counted() -> Self {
        Self {
            slots: Shards::new(NonZeroUsize::MIN, |_| AtomicUsize::new(0)),
            changed: Event::new(),
            many_reads: NEVER,
            found_taken: AtomicU32::new(0),
        }
    }

    /// Returns the address that tells these readers from all others.
    #[inline]
    pub(super) fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Counts that a thread found a lock or a slot taken.
    #[cold]
    pub(super) fn note_contention(&self) {
        // ORDERING: Relaxed, and in two steps, here and below: the count is approximate. It stops
        // at `MUCH_CONTENTION`: locks that are contended for ever should not write to a line that
        // all threads read.
        let times = self.found_taken.load(Ordering::Relaxed);
        if times < MUCH_CONTENTION {
            self.found_taken.store(times + 1, Ordering::Relaxed);
        }
    }

    /// Returns whether locks and slots were often found taken since this last returned true.
    #[inline]
    pub(super) fn take_contention(&self) -> bool {
        let is_much = self.found_taken.load(Ordering::Relaxed) >= MUCH_CONTENTION;
        if is_much {
            self.found_taken.store(0, Ordering::Relaxed);
        }
        is_much
    }

    /// Returns the event on which threads sleep until a lock opens.
    pub(super) fn changed(&self) -> &Event {
        &self.changed
    }

    /// Returns the number of reads without a write after which announcements pay; `NEVER` if
    /// readers are always counted.
    #[inline]
    pub(super) fn many_reads(&self) -> u32 {
        self.many_reads
    }

    pub(super) fn may_announce(&self) -> bool {
        self.many_reads != NEVER
    }

    /// Says that the calling thread reads the lock at `lock`, until the announcement is dropped.
    /// The caller has to check afterwards, by a `SeqCst` load, whether the lock is still open to
    /// it. Returns `None` if another thread has taken the slot.
    #[inline]
    pub(super) fn announce(&self, lock: usize) -> Option<Announcement<'_>> {
        let slot = self.slots.get_wrapped(home());
        // ORDERING: SeqCst, as are the check of the word afterwards, a writer's claim, and the
        // writer's check of the slots after that. These are in one order: if the writer's check of
        // this slot comes before the announcement, then the writer's claim comes before the
        // reader's check of the word. Acquire and Release would not do: the slot is cleared by a
        // store, which ends the release sequence of whatever a writer might leave there. The
        // acquire half takes in what the slot's last user has released, and hands it on: a writer
        // may see only this announcement, not the store that cleared the slot before.
        let announced = slot.compare_exchange(0, lock, Ordering::SeqCst, Ordering::Relaxed);
        sequentially_consistent_in_models();
        match announced {
            Ok(_) => Some(Announcement { slot }),
            Err(_) => {
                self.note_contention();
                move_on();
                None
            }
        }
    }

    /// Waits until no reader is announced at the lock, which the caller has claimed by a `SeqCst`
    /// access.
    #[cold]
    pub(super) fn wait_for_none(&self, lock: usize) {
        sequentially_consistent_in_models();
        for slot in self.slots.iter() {
            let mut patience = Patience::new();
            // ORDERING: SeqCst: see `announce`; a reader that announces the lock after this check
            // finds the claim, so one check is enough. Acquire pairs with the Release in
            // `Announcement::drop`.
            while slot.load(Ordering::SeqCst) == lock {
                patience.wait();
            }
        }
    }
}

thread_constant! {
    // 0 until the thread reads first.
    static HOME: Cell<usize> = Cell::new(0);
}

/// Returns a number that, modulo a map's number of slots, is the thread's slot in that map.
#[inline]
fn home() -> usize {
    HOME.with(|home| match home.get() {
        0 => settle(home, thread_number().unwrap_or(0)),
        settled => settled,
    })
}

#[cold]
fn settle(home: &Cell<usize>, number: usize) -> usize {
    home.set(number.max(1));
    home.get()
}

/// Gives the thread the next slot.
#[cold]
fn move_on() {
    HOME.with(|home| settle(home, home.get().wrapping_add(1)));
}

/// A reader is announced until this is dropped.
#[derive(Debug)]
pub(super) struct Announcement<'a> {
    slot: &'a AtomicUsize,
}

impl Drop for Announcement<'_> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Release: the section's reads come before this; pairs with the Acquire in
        // `wait_for_none`.
        self.slot.store(0, Ordering::Release);
    }
}

/// Backs off while a writer polls for the end of a section, which sends no notification. The end
/// comes within nanoseconds, unless the section's thread has no core. So the writer spins, then
/// yields, then naps.
struct Patience {
    looks: u32,
}

impl Patience {
    const SPINS: u32 = 100;
    const SPINS_AND_YIELDS: u32 = 200;
    const NAP: Duration = Duration::from_micros(100);

    fn new() -> Self {
        Self { looks: if may_spin() { 0 } else { Self::SPINS } }
    }

    fn wait(&mut self) {
        match self.looks {
            0..Self::SPINS => spin_loop(),
            Self::SPINS..Self::SPINS_AND_YIELDS => yield_now(),
            _ => return nap(Self::NAP),
        }
        self.looks += 1;
    }
}
