//! The line itself: tickets in an index arena, and what a supply may do with them.

use core::{fmt, mem, task::Waker};

use alloc::vec::Vec;

use crate::wake_list::WakeList;

/// The end of a chain of slots.
const NONE: usize = usize::MAX;

/// An emptied arena above this many slots is given back to the allocator.
const KEPT_SLOTS: usize = 64;

/// The tickets of a [`WaitList`](super::WaitList), behind its lock.
pub(super) struct Tickets<N> {
    slots: Vec<Slot<N>>,
    /// Head of the chain of free slots, linked by `next`.
    free: usize,
    // INVARIANT: `head` to `tail` through `next`, and back through `prev`, are the tickets in state `Waiting`, in the
    // order in which they are served, and there are `len` of them. A granted or dismissed ticket is in no chain until its
    // owner collects it.
    head: usize,
    tail: usize,
    len: usize,
    // INVARIANT: the number of slots that are not `Free`; `len` of them are in line.
    taken: usize,
    // INVARIANT: what was noted since the present head became the head.
    head_note: Option<u64>,
}

struct Slot<N> {
    state: State<N>,
    prev: usize,
    next: usize,
}

/// | state | meaning | left by |
/// | --- | --- | --- |
/// | `Free` | in the free chain | `Tickets::join` |
/// | `Waiting`, with a waker | in line, with the waker of its last poll | a grant, a dismissal, a nudge, or its owner |
/// | `Waiting`, without | in line, nudged: woken to ask again, and not polled since | the same, or its owner's poll |
/// | `Granted` | out of the line, the supply is already charged | its owner: poll collects, drop passes on |
/// | `Dismissed` | out of the line, nothing granted | its owner |
enum State<N> {
    Free,
    Waiting { need: N, waker: Option<Waker> },
    Granted(N),
    Dismissed,
}

/// How a ticket left the line.
pub(super) enum Left<N> {
    Waiting,
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

/// A slot's former content, to be dropped outside of the lock: it may hold a waker, whose code is foreign.
pub(super) struct Emptied<N>(State<N>);

impl<N> Emptied<N> {
    pub(super) fn left(self) -> Left<N> {
        match self.0 {
            State::Waiting { .. } => Left::Waiting,
            State::Granted(granted) => Left::Granted(granted),
            State::Dismissed => Left::Dismissed,
            State::Free => {
                unreachable!("a ticket's slot belongs to its future until it is collected")
            }
        }
    }
}

/// The line while its lock is held; what a [`Supply`](super::Supply) works on.
pub struct Line<'a, N> {
    pub(super) tickets: &'a mut Tickets<N>,
    pub(super) woken: &'a mut WakeList,
}

impl<N> Line<'_, N> {
    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.tickets.len
    }

    /// Returns whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.tickets.len == 0
    }

    /// Returns what the ticket asks for that is served next.
    pub fn head(&self) -> Option<&N> {
        self.tickets.need(self.tickets.head)
    }

    /// Returns a place for a note about the present head; it is empty again when another has become the head.
    pub fn head_note(&mut self) -> &mut Option<u64> {
        &mut self.tickets.head_note
    }

    /// Grants `granted` to the head. The caller has charged the supply for it.
    ///
    /// Does nothing if nobody waits.
    pub fn grant_head(&mut self, granted: N) {
        self.settle_head(State::Granted(granted));
    }

    /// Sends everybody away with [`Supply::dismissal`](super::Supply::dismissal).
    pub fn dismiss_all(&mut self) {
        while !self.is_empty() {
            self.dismiss_head();
        }
    }

    /// Sends the head away with [`Supply::dismissal`](super::Supply::dismissal). Does nothing if nobody waits.
    pub fn dismiss_head(&mut self) {
        self.settle_head(State::Dismissed);
    }

    /// Wakes tickets, from the head on, for as long as `fits` says so, without granting them anything: each
    /// [asks again](super::Supply::ask_again) when it is polled.
    ///
    /// `fits` is asked about those, too, that were woken before and have not been polled since.
    pub fn nudge_while(&mut self, mut fits: impl FnMut(&N) -> bool) {
        let mut index = self.tickets.head;
        while let Some(slot) = self.tickets.slots.get_mut(index) {
            let State::Waiting { need, waker } = &mut slot.state else {
                unreachable!("only waiting tickets are in line")
            };
            if !fits(need) {
                return;
            }
            if let Some(waker) = waker.take() {
                self.woken.push(waker);
            }
            index = slot.next;
        }
    }

    fn settle_head(&mut self, state: State<N>) {
        let head = self.tickets.head;
        if head != NONE {
            self.tickets.unlink(head);
            let before = mem::replace(&mut self.tickets.slots[head].state, state);
            if let State::Waiting { waker: Some(waker), .. } = before {
                self.woken.push(waker);
            }
        }
    }
}

impl<N> Tickets<N> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            head: NONE,
            tail: NONE,
            len: 0,
            taken: 0,
            head_note: None,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Puts a ticket in line: at the tail, or before the head.
    pub(super) fn join(&mut self, need: N, waker: Waker, in_front: bool) -> usize {
        let (prev, next) = if in_front { (NONE, self.head) } else { (self.tail, NONE) };
        let slot = Slot { state: State::Waiting { need, waker: Some(waker) }, prev, next };
        let index = self.free;
        let index = if index == NONE {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            self.free = self.slots[index].next;
            self.slots[index] = slot;
            index
        };
        self.connect(prev, index, index, next);
        self.len += 1;
        self.taken += 1;
        index
    }

    /// Takes a waiting ticket out of the line, keeping its slot.
    pub(super) fn unlink(&mut self, index: usize) {
        let Slot { prev, next, .. } = self.slots[index];
        self.connect(prev, next, prev, next);
        self.len -= 1;
    }

    /// Makes `after` follow `prev`, and `before` precede `next`; an end of the line stands for a missing neighbour.
    fn connect(&mut self, prev: usize, after: usize, before: usize, next: usize) {
        match prev {
            NONE => {
                self.head = after;
                self.head_note = None;
            }
            prev => self.slots[prev].next = after,
        }
        match next {
            NONE => self.tail = before,
            next => self.slots[next].prev = before,
        }
    }

    /// Frees a slot that is in no chain.
    pub(super) fn release(&mut self, index: usize) -> Emptied<N> {
        let state = mem::replace(&mut self.slots[index].state, State::Free);
        self.slots[index].next = self.free;
        self.free = index;
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > KEPT_SLOTS {
            self.slots = Vec::new();
            self.free = NONE;
        }
        Emptied(state)
    }

    /// Returns whether a ticket stands in line.
    pub(super) fn waits(&self, index: usize) -> bool {
        matches!(self.slots[index].state, State::Waiting { .. })
    }

    /// Returns whether a ticket is the one that is served next.
    pub(super) const fn is_head(&self, index: usize) -> bool {
        self.head == index
    }

    fn need(&self, index: usize) -> Option<&N> {
        match &self.slots.get(index)?.state {
            State::Waiting { need, .. } => Some(need),
            _ => unreachable!("only waiting tickets are in line"),
        }
    }
}

impl<N: Copy> Tickets<N> {
    /// Looks after a ticket: frees its slot if it has left the line, else says what it lacks.
    pub(super) fn collect(&mut self, index: usize, waker: &Waker) -> Collected<N> {
        match &self.slots[index].state {
            State::Waiting { waker: Some(held), .. } if held.will_wake(waker) => Collected::Waits,
            State::Waiting { waker: Some(_), .. } => Collected::NeedsWaker,
            State::Waiting { need, waker: None } => Collected::Nudged(*need),
            _ => Collected::Left(self.release(index).left()),
        }
    }

    /// Gives a waiting ticket a waker; returns the one that is not needed.
    pub(super) fn replace_waker(&mut self, index: usize, waker: Waker) -> Option<Waker> {
        match &mut self.slots[index].state {
            State::Waiting { waker: held, .. } => held.replace(waker),
            _ => Some(waker),
        }
    }
}

impl<N> fmt::Debug for Line<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("len", &self.len()).finish_non_exhaustive()
    }
}
