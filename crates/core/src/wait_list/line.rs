//! The wait queue itself: tickets in an index arena, and what a supply may do with them.

use core::{fmt, task::Waker};

use alloc::{boxed::Box, vec::Vec};

use super::nudges::{Index, NONE, Nudges};
use crate::wake_list::WakeList;

/// An arena of more slots than this is freed when it has become empty.
const KEPT_SLOTS: usize = 64;

/// The tickets of a [`WaitList`](super::WaitList), behind its lock.
pub(super) struct Tickets<N> {
    slots: Vec<Slot<N>>,
    /// Head of the chain of free slots, linked by `next`.
    free: Index,
    // INVARIANT: `head` to `tail` through `next`, and back through `prev`, are the tickets in state
    // `Waiting`, in the order in which they are served, and there are `len` of them. A granted or
    // dismissed ticket is in no chain until its future collects it.
    head: Index,
    tail: Index,
    len: u32,
    // INVARIANT: how many of the tickets in the queue have a waker.
    sleepers: u32,
    // INVARIANT: the number of slots that are not `Free`; `len` of them are in the queue.
    taken: u32,
    /// The order of the tickets that sleep; `None` in a supply that does not nudge in order, and
    /// until a ticket joins.
    nudges: Option<Box<Nudges>>,
    woken: Woken,
}

/// The wakers to call once the lock is open: nearly always one.
pub(super) struct Woken {
    first: Option<Waker>,
    // INVARIANT: empty while `first` is `None`.
    rest: WakeList,
}

impl Woken {
    const fn new() -> Self {
        Self { first: None, rest: WakeList::new() }
    }

    #[inline]
    fn push(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.rest.push(waker),
        }
    }
}

struct Slot<N> {
    /// What the ticket asks for; once it is granted, what it has got.
    need: N,
    // INVARIANT: present only while `Waiting`. A waiting ticket without one was nudged: woken to
    // ask again, and not polled since.
    waker: Option<Waker>,
    prev: Index,
    next: Index,
    state: State,
}

/// | state | meaning | left by |
/// | --- | --- | --- |
/// | `Free` | in the free chain | `Tickets::join` |
/// | `Waiting` | in the queue | a grant, a dismissal, `ask_again`, or a drop |
/// | `Granted` | out of the queue, the supply is already charged | its future: poll collects, drop passes on |
/// | `Dismissed` | out of the queue, nothing granted | its future: a poll or a drop |
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Granted,
    Dismissed,
}

/// How a ticket left the queue.
pub(super) enum Left<N> {
    Granted(N),
    Dismissed,
}

/// What became of a ticket since its last poll.
pub(super) enum Collected<N> {
    Waits,
    NeedsWaker,
    Nudged,
    Left(Left<N>),
}

/// The wait queue while its lock is held; what a [`Supply`](super::Supply) works on.
pub struct Line<'a, N> {
    pub(super) tickets: &'a mut Tickets<N>,
}

impl<N: Copy> Line<'_, N> {
    /// Returns the number of waiters.
    #[inline]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Returns whether there are no waiters.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tickets.len == 0
    }

    /// Returns whether there is a waiter that was not woken since its last poll.
    #[inline]
    pub fn has_sleepers(&self) -> bool {
        self.tickets.sleepers > 0
    }

    /// Returns what the ticket that is served next asks for; `None` if there is no such ticket. In
    /// a supply that [nudges](super::Supply::nudges), tickets that were nudged and have not been
    /// polled since do not count.
    #[inline]
    pub fn head(&self) -> Option<&N> {
        self.tickets.slots.get(self.tickets.first() as usize).map(|slot| &slot.need)
    }

    /// Returns a place for a note about the present head; the note stays with that ticket. Returns
    /// `None` if no ticket sleeps, or in a supply that does not [nudge](super::Supply::nudges).
    pub fn head_note(&mut self) -> Option<&mut Option<u64>> {
        self.tickets.nudges.as_mut()?.note()
    }

    /// Grants `granted` to the head. The caller must have charged the supply for it.
    ///
    /// Does nothing if there is no [head](Self::head).
    #[inline]
    pub fn grant_head(&mut self, granted: N) {
        self.tickets.settle_head(State::Granted, Some(granted));
    }

    /// Rejects all waiters with [`Supply::dismissal`](super::Supply::dismissal).
    pub fn dismiss_all(&mut self) {
        while !self.is_empty() {
            self.tickets.settle(self.tickets.head, State::Dismissed, None);
        }
    }

    /// Rejects the head with [`Supply::dismissal`](super::Supply::dismissal). Does nothing if there
    /// is no [head](Self::head).
    pub fn dismiss_head(&mut self) {
        self.tickets.settle_head(State::Dismissed, None);
    }

    /// Wakes all tickets that sleep, without granting anything: each [asks
    /// again](super::Supply::ask_again) when it is polled. Visits every ticket in the queue. Must
    /// not be used in a supply that [nudges](super::Supply::nudges) in order.
    pub fn nudge_all(&mut self) {
        let Tickets { slots, woken, head, sleepers, .. } = &mut *self.tickets;
        let mut index = *head;
        while let Some(slot) = slots.get_mut(index as usize) {
            if let Some(waker) = slot.waker.take() {
                *sleepers -= 1;
                woken.push(waker);
            }
            index = slot.next;
        }
    }

    /// Wakes the [head](Self::head) of a supply that [nudges](super::Supply::nudges), without
    /// granting anything: it [asks again](super::Supply::ask_again) when it is polled. Until then
    /// `amount` counts as [promised](Self::promised), and the next ticket that sleeps is the head.
    ///
    /// `deadline` is in a unit of the supply's choice; see
    /// [`first_deadline`](Self::first_deadline). Takes O(log n) steps, amortized, for n tickets in
    /// the queue.
    pub fn nudge_head(&mut self, amount: u64, deadline: u64) {
        let index = self.tickets.first();
        let Tickets { slots, woken, sleepers, nudges, .. } = &mut *self.tickets;
        let Some(nudges) = nudges else { return };
        let slot = slots.get_mut(index as usize);
        if let Some(waker) = slot.and_then(|slot| slot.waker.take()) {
            *sleepers -= 1;
            woken.push(waker);
            nudges.promise(amount, deadline);
        }
    }

    /// Returns how much was promised to tickets that were [nudged](Self::nudge_head) and have not
    /// been polled since, and how many these are. Promises that were
    /// [forgotten](Self::forget_promise) do not count.
    ///
    /// Once one of them has asked again in vain, or a newcomer has joined in front, nothing counts
    /// as promised any more: tickets behind that ticket or newcomer must not be served before it.
    pub fn promised(&self) -> (u64, usize) {
        self.tickets.nudges.as_ref().map_or((0, 0), |nudges| (nudges.promised(), nudges.awaited()))
    }

    /// Returns the deadline of the oldest promise; `None` if there is none.
    pub fn first_deadline(&self) -> Option<u64> {
        self.tickets.nudges.as_ref()?.deadline()
    }

    /// Stops counting the oldest promise. Its ticket still asks again when it is polled, but the
    /// others need not wait for that.
    pub fn forget_promise(&mut self) {
        if let Some(nudges) = &mut self.tickets.nudges {
            nudges.forget_oldest();
        }
    }
}

impl<N: Copy> Tickets<N> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            head: NONE,
            tail: NONE,
            len: 0,
            sleepers: 0,
            taken: 0,
            nudges: None,
            woken: Woken::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Takes out the wakers to call once the lock is open: the first one, and the rest, which is
    /// woken when it is dropped.
    #[inline]
    pub(super) fn take_woken(&mut self) -> Option<(Waker, Option<WakeList>)> {
        let first = self.woken.first.take()?;
        let rest = &mut self.woken.rest;
        Some((first, (!rest.is_empty()).then(|| rest.take())))
    }

    /// Returns the ticket that is served next; [`NONE`] if there is none.
    #[inline]
    fn first(&self) -> Index {
        match &self.nudges {
            None => self.head,
            Some(nudges) => nudges.first_asleep(),
        }
    }

    /// Puts a ticket into the queue: at the tail, or before the head. `nudges` says whether the
    /// supply nudges in order.
    ///
    /// # Panics
    ///
    /// Panics if 2³² − 1 slots are taken already.
    #[inline]
    pub(super) fn join(&mut self, need: N, waker: Waker, in_front: bool, nudges: bool) -> Index {
        let (prev, next) = if in_front { (NONE, self.head) } else { (self.tail, NONE) };
        let slot = Slot { need, waker: Some(waker), prev, next, state: State::Waiting };
        let index = self.free;
        let index = match self.slots.get_mut(index as usize) {
            Some(free) => {
                self.free = free.next;
                *free = slot;
                index
            }
            None => self.add(slot),
        };
        match self.slots.get_mut(prev as usize) {
            Some(before) => before.next = index,
            None => self.head = index,
        }
        match self.slots.get_mut(next as usize) {
            Some(behind) => behind.prev = index,
            None => self.tail = index,
        }
        self.len += 1;
        self.sleepers += 1;
        self.taken += 1;
        if nudges {
            self.join_order(index, in_front);
        }
        index
    }

    #[cold]
    fn join_order(&mut self, index: Index, in_front: bool) {
        self.nudges.get_or_insert_with(|| Box::new(Nudges::new())).join(index, in_front);
    }

    #[cold]
    fn leave_order(&mut self, index: Index) {
        if let Some(nudges) = &mut self.nudges {
            nudges.leave(index);
        }
    }

    #[cold]
    fn add(&mut self, slot: Slot<N>) -> Index {
        let index = Index::try_from(self.slots.len()).ok().filter(|&index| index != NONE);
        self.slots.push(slot);
        index.expect("fewer than 2^32 - 1 wait")
    }

    /// Takes a waiting ticket out of the queue, keeping its slot.
    fn unlink(&mut self, index: Index) {
        let Slot { prev, next, .. } = self.slots[index as usize];
        match self.slots.get_mut(prev as usize) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match self.slots.get_mut(next as usize) {
            Some(behind) => behind.prev = prev,
            None => self.tail = prev,
        }
        self.len -= 1;
        if self.nudges.is_some() {
            self.leave_order(index);
        }
    }

    fn settle_head(&mut self, state: State, granted: Option<N>) {
        self.settle(self.first(), state, granted);
    }

    fn settle(&mut self, index: Index, state: State, granted: Option<N>) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        slot.state = state;
        slot.need = granted.unwrap_or(slot.need);
        if let Some(waker) = slot.waker.take() {
            self.sleepers -= 1;
            self.woken.push(waker);
        }
        self.unlink(index);
    }

    /// Frees a slot that is in no chain.
    fn release(&mut self, index: Index) {
        let slot = &mut self.slots[index as usize];
        slot.state = State::Free;
        slot.next = self.free;
        self.free = index;
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > KEPT_SLOTS {
            self.slots = Vec::new();
            self.free = NONE;
            self.nudges = None;
        }
    }

    /// Returns whether a ticket in the queue is the head, or, in a supply that nudges in order,
    /// whether no ticket that sleeps is served before it.
    pub(super) fn is_first(&self, index: Index) -> bool {
        match &self.nudges {
            None => self.head == index,
            Some(nudges) => nudges.is_first(index),
        }
    }

    /// Returns what has become of a ticket, and frees its slot if it has left the queue.
    pub(super) fn collect(&mut self, index: Index, waker: &Waker) -> Collected<N> {
        let slot = &self.slots[index as usize];
        match (slot.state, &slot.waker) {
            (State::Granted, _) => {
                let granted = slot.need;
                self.release(index);
                Collected::Left(Left::Granted(granted))
            }
            (State::Waiting, Some(held)) if held.will_wake(waker) => Collected::Waits,
            (State::Waiting, Some(_)) => Collected::NeedsWaker,
            (State::Waiting, None) => Collected::Nudged,
            (State::Dismissed | State::Free, _) => {
                self.release(index);
                Collected::Left(Left::Dismissed)
            }
        }
    }

    /// Takes a ticket out for good. Returns how it had left the queue, or, if it was still waiting,
    /// its waker as `Err`.
    pub(super) fn withdraw(&mut self, index: Index) -> Result<Left<N>, Option<Waker>> {
        let slot = &mut self.slots[index as usize];
        let left = match slot.state {
            State::Granted => Ok(Left::Granted(slot.need)),
            State::Dismissed | State::Free => Ok(Left::Dismissed),
            State::Waiting => Err(slot.waker.take()),
        };
        if let Err(waker) = &left {
            self.sleepers -= u32::from(waker.is_some());
            self.unlink(index);
        }
        self.release(index);
        left
    }

    /// Gives a waiting ticket a new waker, and returns its old one. Returns `waker` itself if the
    /// ticket has left the queue.
    pub(super) fn replace_waker(&mut self, index: Index, waker: Waker) -> Option<Waker> {
        let slot = &mut self.slots[index as usize];
        if slot.state != State::Waiting {
            return Some(waker);
        }
        let unneeded = slot.waker.replace(waker);
        if unneeded.is_none() {
            self.sleepers += 1;
            if let Some(nudges) = &mut self.nudges {
                nudges.sleep_again(index);
            }
        }
        unneeded
    }
}

impl<N: Copy> fmt::Debug for Line<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("len", &self.len()).finish_non_exhaustive()
    }
}
