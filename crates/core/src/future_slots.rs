//! Many futures in one task, of which only the woken ones are polled.
//!
//! ```text
//! waker of slot i:  is i in the list? ──no──▶ put it there ──▶ wake the task
//! the task's poll:  set its waker in the cell ─▶ take the list ─▶ poll those slots
//! ```
//!
//! Only the first slot in a list wakes the task, whose poll then finds the others, too. The cell's
//! lock orders wakes and polls: if a slot is put into the list after the poll has taken the list,
//! its wake calls the waker that this poll has set. However many futures there are, a wake costs
//! the same, and a poll costs the same for each future that was woken.
//!
//! The idea of a waker for each future is that of `FuturesUnordered` in the crate `futures`. Here
//! the futures stay in their slots, which have numbers.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use alloc::{boxed::Box, vec::Vec};

use crate::{
    lock::Lock,
    primitive::{
        Arc, OnWake, Wakeable,
        atomic::{AtomicBool, Ordering},
    },
    unwind::contain,
};

/// The waker of a task's latest poll, until it is called.
///
/// The task sets its waker *before* it checks for work, and a thread that makes work for it does so
/// *before* it wakes the task. Both go through one lock. So if a wake finds no waker, the task sets
/// one later, and its check after that sees the work.
///
/// # Examples
///
/// ```
/// use core::task::Waker;
/// use tidegate_core::future_slots::WakerCell;
///
/// let cell = WakerCell::new();
/// cell.set(Waker::noop());
/// cell.wake();
/// ```
#[derive(Default)]
pub struct WakerCell {
    waker: Lock<Option<Waker>>,
}

impl WakerCell {
    crate::const_fn! {
        /// Creates a cell without a waker.
        pub fn new() -> Self {
            Self { waker: Lock::new(None) }
        }
    }

    /// Makes `waker` the one that the next [`wake`](Self::wake) calls.
    pub fn set(&self, waker: &Waker) {
        let waker = waker.clone();
        // The old waker is dropped with the lock released: its destructor is foreign code.
        drop(self.waker.with(|place| place.replace(waker)));
    }

    /// Calls the waker, with the lock released. Further wakes do nothing until the next waker is
    /// set.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.with(Option::take) {
            waker.wake();
        }
    }
}

impl fmt::Debug for WakerCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakerCell").finish_non_exhaustive()
    }
}

/// Futures in numbered slots, each with a note `N` that says what it is for.
///
/// A slot is allocated when more futures than ever before are in flight, and is reused for later
/// ones.
///
/// # Examples
///
/// ```
/// use core::{future::ready, task::Poll};
/// use tidegate_core::future_slots::{FutureSlots, WakerCell};
/// # use tidegate_core::primitive::Arc;
///
/// let mut slots = FutureSlots::new(Arc::new(WakerCell::new()));
/// let slot = slots.start("seven", ready(7));
/// assert_eq!(slots.poll(slot), Some(Poll::Ready(7)));
/// slots.drop_future(slot);
/// assert_eq!(slots.free(slot), Some("seven"));
/// ```
pub struct FutureSlots<N, F> {
    slots: Vec<Slot<N, F>>,
    // INVARIANT: all slots: first the `in_flight` slots that have a note, then those without, the
    // last freed one first. Each slot knows its place here.
    order: Vec<usize>,
    in_flight: usize,
    /// The place of the slot that [`next_in_turn`](Self::next_in_turn) returned last.
    turn: usize,
    /// Slots that were woken and not polled since, with the lowest number last. They are not in the
    /// list any more.
    taken: Vec<usize>,
    // INVARIANT: empty between calls of `look`. `look` swaps it with the list, and so holds the
    // lock for one step, however many slots were woken.
    spare: Vec<usize>,
    woken: Arc<Woken>,
}

struct Slot<N, F> {
    future: Pin<Box<Option<F>>>,
    // INVARIANT: `Some` from `start` to `free`; without it there is no future.
    note: Option<N>,
    place: usize,
    state: Arc<Wakeable<SlotWaker>>,
    // INVARIANT: made of `state`.
    waker: Waker,
}

impl<N, F> Drop for Slot<N, F> {
    fn drop(&mut self) {
        // The future and the note are foreign values, and many slots are dropped together: a second
        // panic while the first unwinds would abort the process.
        let Self { future, note, .. } = self;
        contain(|| future.set(None));
        contain(|| *note = None);
    }
}

/// Which slots were woken since the task last checked. A slot in the list may have no future any
/// more: it was woken too late, which does no harm.
struct Woken {
    list: Lock<Vec<usize>>,
    task: Arc<WakerCell>,
}

struct SlotWaker {
    // Whether the slot is about to be put into the list, is in it, or was taken from it and not yet
    // returned by `next_woken`.
    is_listed: AtomicBool,
    slot: usize,
    woken: Arc<Woken>,
}

impl OnWake for SlotWaker {
    fn on_wake(&self) {
        // ORDERING: Release: pairs with the Acquire in `next_woken`. The next poll of the slot sees
        // what this thread did before the wake, also if another thread has already put the slot
        // into the list.
        if !self.is_listed.swap(true, Ordering::Release) {
            let is_first = self.woken.list.with(|list| {
                list.push(self.slot);
                list.len() == 1
            });
            // The first slot in the list wakes the task, which then finds the others, too.
            if is_first {
                self.woken.task.wake();
            }
        }
    }
}

impl<N, F> FutureSlots<N, F> {
    /// Creates a set without slots. A future that is woken wakes the task whose waker is in `task`.
    pub fn new(task: Arc<WakerCell>) -> Self {
        let woken = Arc::new(Woken { list: Lock::new(Vec::new()), task });
        Self {
            slots: Vec::new(),
            order: Vec::new(),
            in_flight: 0,
            turn: 0,
            taken: Vec::new(),
            spare: Vec::new(),
            woken,
        }
    }

    /// Returns the cell of the task that is woken.
    pub fn task(&self) -> &Arc<WakerCell> {
        &self.woken.task
    }

    /// Returns how many slots have a note.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn busy(&self) -> &[usize] {
        &self.order[..self.in_flight]
    }

    /// Returns the futures that are in flight, in no order.
    pub fn futures(&self) -> impl Iterator<Item = &F> {
        let busy = self.busy().iter().filter_map(|slot| self.slots.get(*slot));
        busy.filter_map(|slot| slot.future.as_ref().get_ref().as_ref())
    }

    /// Puts a future into a slot, unpolled, and returns the slot.
    pub fn start(&mut self, note: N, future: F) -> usize {
        if self.in_flight == self.slots.len() {
            self.add();
        }
        let number = self.order[self.in_flight];
        let slot = &mut self.slots[number];
        slot.future.set(Some(future));
        slot.note = Some(note);
        self.in_flight += 1;
        number
    }

    #[cold]
    fn add(&mut self) {
        let slot = self.slots.len();
        let (is_listed, woken) = (AtomicBool::new(false), self.woken.clone());
        let state = Arc::new(Wakeable(SlotWaker { is_listed, slot, woken }));
        let waker = Waker::from(state.clone());
        self.slots.push(Slot { future: Box::pin(None), note: None, place: slot, state, waker });
        self.order.push(slot);
    }

    /// Puts a slot into the list, as if it had been woken, so that it is polled later.
    pub fn put_off(&self, slot: usize) {
        if let Some(slot) = self.slots.get(slot) {
            slot.state.0.on_wake();
        }
    }

    /// Takes the woken slots out of the list, to be polled in the order of their numbers. So where
    /// futures compete for something, those with low numbers get it again and again and complete,
    /// instead of all making one step each. Call it in each poll of the task, after its waker was
    /// set, and then call [`next_woken`](Self::next_woken) until that returns `None`. Slots that
    /// are woken meanwhile are left to the next poll.
    pub fn look(&mut self) {
        let spare = &mut self.spare;
        self.woken.list.with(|list| mem::swap(list, spare));
        if self.taken.is_empty() {
            mem::swap(&mut self.taken, spare);
        } else {
            self.taken.append(spare);
        }
        self.taken.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Returns the next of the slots that [`look`](Self::look) has found woken; `None` if there are
    /// no more.
    pub fn next_woken(&mut self) -> Option<usize> {
        let slot = self.taken.pop()?;
        // ORDERING: Acquire: pairs with the Release in `on_wake`. A wake from here on puts the slot
        // into the list again.
        self.slots[slot].state.0.is_listed.swap(false, Ordering::Acquire);
        Some(slot)
    }

    /// Returns the slots with a note in turn, one at each call; `None` if there is none. For a poll
    /// that finds no slot woken: with it, futures that keep no waker, such as those of tests, make
    /// progress whenever their task is polled.
    pub fn next_in_turn(&mut self) -> Option<usize> {
        self.turn = (self.turn + 1).checked_rem(self.in_flight)?;
        self.busy().get(self.turn).copied()
    }

    /// Drops the future of a slot once that future has ended or panicked.
    pub fn drop_future(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.future.set(None);
        }
    }

    /// Frees a slot whose future is gone, and returns its note; `None` if it was free.
    pub fn free(&mut self, slot: usize) -> Option<N> {
        let Slot { note, place, .. } = self.slots.get_mut(slot)?;
        let (note, place) = (note.take()?, *place);
        self.in_flight -= 1;
        let (last, moved) = (self.in_flight, self.order[self.in_flight]);
        self.order.swap(place, last);
        self.slots[moved].place = place;
        self.slots[slot].place = last;
        Some(note)
    }
}

impl<N, F: Future> FutureSlots<N, F> {
    /// Polls a slot; `None` if it has no future. If the future is ready, the caller has to drop it
    /// with [`drop_future`](Self::drop_future) and then to [free](Self::free) the slot. These are
    /// two steps because the future's destructor is foreign code, and may panic.
    pub fn poll(&mut self, slot: usize) -> Option<Poll<F::Output>> {
        let Slot { future, waker, .. } = self.slots.get_mut(slot)?;
        let future = future.as_mut().as_pin_mut()?;
        Some(future.poll(&mut Context::from_waker(waker)))
    }

    /// Polls a slot with the task's own waker, so that a wake-up does not go through the list;
    /// `None` if it has no future.
    pub fn poll_with(&mut self, slot: usize, cx: &mut Context<'_>) -> Option<Poll<F::Output>> {
        Some(self.slots.get_mut(slot)?.future.as_mut().as_pin_mut()?.poll(cx))
    }
}

impl<N, F> fmt::Debug for FutureSlots<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutureSlots").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}
