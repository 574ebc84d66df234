//! The line itself: tickets in an index arena, and what a supply may do with them.

use core::{fmt, task::Waker};

use alloc::vec::Vec;

use crate::wake_list::WakeList;

/// The place of a ticket in the arena.
pub(super) type Index = u32;

/// The end of a chain of slots.
const NONE: Index = Index::MAX;

/// An emptied arena above this many slots is given back to the allocator.
const KEPT_SLOTS: usize = 64;

/// The tickets of a [`WaitList`](super::WaitList), behind its lock.
pub(super) struct Tickets<N> {
    slots: Vec<Slot<N>>,
    /// Head of the chain of free slots, linked by `next`.
    free: Index,
    // INVARIANT: `head` to `tail` through `next`, and back through `prev`, are the tickets in state `Waiting`, in the
    // order in which they are served, and there are `len` of them. A granted or dismissed ticket is in no chain until its
    // owner collects it.
    head: Index,
    tail: Index,
    len: u32,
    // INVARIANT: how many of those in line have a waker.
    sleepers: u32,
    // INVARIANT: the number of slots that are not `Free`; `len` of them are in line.
    taken: u32,
    // INVARIANT: what was noted since the present head became the head.
    head_note: Option<u64>,
    woken: Woken,
}

/// Whom to wake once the lock is open: nearly always one.
pub(super) struct Woken {
    first: Option<Waker>,
    // INVARIANT: empty without a first.
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
    /// What is asked for; what is given, once granted.
    need: N,
    // INVARIANT: present only while `Waiting`. A waiting ticket without one was nudged: woken to ask again, and not polled
    // since.
    waker: Option<Waker>,
    prev: Index,
    next: Index,
    state: State,
}

/// | state | meaning | left by |
/// | --- | --- | --- |
/// | `Free` | in the free chain | `Tickets::join` |
/// | `Waiting` | in line | a grant, a dismissal, or its owner's drop |
/// | `Granted` | out of the line, the supply is already charged | its owner: poll collects, drop passes on |
/// | `Dismissed` | out of the line, nothing granted | its owner |
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Granted,
    Dismissed,
}

/// How a ticket left the line.
pub(super) enum Left<N> {
    Granted(N),
    Dismissed,
}

/// What became of a ticket since its last poll.
pub(super) enum Collected<N> {
    Waits,
    NeedsWaker,
    Nudged(N),
    Left(Left<N>),
}

/// The line while its lock is held; what a [`Supply`](super::Supply) works on.
pub struct Line<'a, N> {
    pub(super) tickets: &'a mut Tickets<N>,
}

impl<N: Copy> Line<'_, N> {
    /// Returns how many wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Returns whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tickets.len == 0
    }

    /// Returns whether anybody waits who was not woken since its last poll.
    #[inline]
    pub fn has_sleepers(&self) -> bool {
        self.tickets.sleepers > 0
    }

    /// Returns what the ticket asks for that is served next.
    #[inline]
    pub fn head(&self) -> Option<&N> {
        self.tickets.slots.get(self.tickets.head as usize).map(|slot| &slot.need)
    }

    /// Returns a place for a note about the present head; it is empty again when another has become the head.
    pub fn head_note(&mut self) -> &mut Option<u64> {
        &mut self.tickets.head_note
    }

    /// Grants `granted` to the head. The caller has charged the supply for it.
    ///
    /// Does nothing if nobody waits.
    #[inline]
    pub fn grant_head(&mut self, granted: N) {
        self.tickets.settle_head(State::Granted, Some(granted));
    }

    /// Sends everybody away with [`Supply::dismissal`](super::Supply::dismissal).
    pub fn dismiss_all(&mut self) {
        while !self.is_empty() {
            self.dismiss_head();
        }
    }

    /// Sends the head away with [`Supply::dismissal`](super::Supply::dismissal). Does nothing if nobody waits.
    pub fn dismiss_head(&mut self) {
        self.tickets.settle_head(State::Dismissed, None);
    }

    /// Wakes tickets, from the head on, for as long as `fits` says so, without granting them anything: each
    /// [asks again](super::Supply::ask_again) when it is polled.
    ///
    /// `fits` is asked about those, too, that were woken before and have not been polled since.
    pub fn nudge_while(&mut self, mut fits: impl FnMut(&N) -> bool) {
        let Tickets { slots, woken, head, sleepers, .. } = &mut *self.tickets;
        let mut index = *head;
        while let Some(slot) = slots.get_mut(index as usize) {
            if !fits(&slot.need) {
                return;
            }
            if let Some(waker) = slot.waker.take() {
                *sleepers -= 1;
                woken.push(waker);
            }
            index = slot.next;
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
            head_note: None,
            woken: Woken::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Takes out whom to wake, to be done with the lock open: the first one, and, dropped or woken, the rest.
    #[inline]
    pub(super) fn take_woken(&mut self) -> Option<(Waker, Option<WakeList>)> {
        let first = self.woken.first.take()?;
        let rest = &mut self.woken.rest;
        Some((first, (!rest.is_empty()).then(|| rest.take())))
    }

    /// Puts a ticket in line: at the tail, or before the head.
    ///
    /// # Panics
    ///
    /// Panics if 2³² − 1 tickets are out.
    pub(super) fn join(&mut self, need: N, waker: Waker, in_front: bool) -> Index {
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
            None => (self.head, self.head_note) = (index, None),
        }
        match self.slots.get_mut(next as usize) {
            Some(behind) => behind.prev = index,
            None => self.tail = index,
        }
        self.len += 1;
        self.sleepers += 1;
        self.taken += 1;
        index
    }

    #[cold]
    fn add(&mut self, slot: Slot<N>) -> Index {
        let index = Index::try_from(self.slots.len()).ok().filter(|&index| index != NONE);
        self.slots.push(slot);
        index.expect("fewer than 2^32 - 1 wait")
    }

    /// Takes a waiting ticket out of the line, keeping its slot.
    fn unlink(&mut self, index: Index) {
        let Slot { prev, next, .. } = self.slots[index as usize];
        match self.slots.get_mut(prev as usize) {
            Some(before) => before.next = next,
            None => (self.head, self.head_note) = (next, None),
        }
        match self.slots.get_mut(next as usize) {
            Some(behind) => behind.prev = prev,
            None => self.tail = prev,
        }
        self.len -= 1;
    }

    fn settle_head(&mut self, state: State, granted: Option<N>) {
        let head = self.head;
        let Some(slot) = self.slots.get_mut(head as usize) else { return };
        slot.state = state;
        slot.need = granted.unwrap_or(slot.need);
        if let Some(waker) = slot.waker.take() {
            self.sleepers -= 1;
            self.woken.push(waker);
        }
        self.unlink(head);
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
        }
    }

    /// Returns whether a ticket is the one that is served next.
    pub(super) const fn is_head(&self, index: Index) -> bool {
        self.head == index
    }

    /// Looks after a ticket: frees its slot if it has left the line, else says what it lacks.
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
            (State::Waiting, None) => Collected::Nudged(slot.need),
            (State::Dismissed | State::Free, _) => {
                self.release(index);
                Collected::Left(Left::Dismissed)
            }
        }
    }

    /// Takes a ticket out for good. Returns how it had left the line, or its waker: `Err` if it was still in line.
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

    /// Gives a waiting ticket a waker; returns the one that is not needed.
    pub(super) fn replace_waker(&mut self, index: Index, waker: Waker) -> Option<Waker> {
        let slot = &mut self.slots[index as usize];
        if slot.state != State::Waiting {
            return Some(waker);
        }
        self.sleepers += u32::from(slot.waker.is_none());
        slot.waker.replace(waker)
    }
}

impl<N: Copy> fmt::Debug for Line<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("len", &self.len()).finish_non_exhaustive()
    }
}
