//! The order of the tickets that sleep, for supplies that nudge, and the nudges that were not
//! answered yet.

mod order;

use alloc::vec::Vec;

use self::order::{Node, Order};

/// The place of a ticket in the arena.
pub(super) type Index = u32;

/// The end of a chain of slots.
pub(super) const NONE: Index = Index::MAX;

/// What a queue that [nudges](super::Supply::nudges) knows of its tickets beyond the queue itself.
///
/// A nudged ticket keeps its place but is no longer in `asleep`. So the next ticket to nudge is
/// found at once, however many have been nudged and not been polled since.
pub(super) struct Nudges {
    // INVARIANT: the tickets in the queue that have a waker.
    asleep: Order,
    // INVARIANT: `oldest` to `latest`, through `next` and back through `prev`, are the tickets that
    // were nudged, have not been polled since, and are still counted on. There are `awaited` of
    // them, and `promised` is the sum of what was promised to them.
    oldest: Index,
    latest: Index,
    awaited: usize,
    promised: u64,
    /// One for each slot of the arena, by its index.
    tickets: Vec<Ticket>,
    /// The place of the next ticket that joins at the tail; negated, the place of the next ticket
    /// that joins in front.
    next_place: i64,
}

/// | state | meaning | left by |
/// | --- | --- | --- |
/// | `Asleep` | in the order of the tickets that sleep | a nudge, or its departure |
/// | `Awaited` | nudged, and counted on | its next poll, its departure, or the end of its promise |
/// | `Forgotten` | nudged, and no longer counted on | its next poll, or its departure |
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Asleep,
    Awaited,
    Forgotten,
}

#[derive(Clone)]
struct Ticket {
    state: State,
    node: Node,
    note: Option<u64>,
    /// What the ticket's last nudge has promised, and until when that is counted on.
    promised: u64,
    deadline: u64,
}

impl AsMut<Node> for Ticket {
    fn as_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

impl Nudges {
    pub(super) fn new() -> Self {
        Self {
            asleep: Order::new(),
            oldest: NONE,
            latest: NONE,
            awaited: 0,
            promised: 0,
            tickets: Vec::new(),
            next_place: 1,
        }
    }

    /// Adds a ticket that sleeps. If it joins in front, nothing is promised any more to those
    /// behind it.
    pub(super) fn join(&mut self, index: Index, in_front: bool) {
        let place = if in_front { -self.next_place } else { self.next_place };
        self.next_place += 1;
        let node = Node::new(place);
        let ticket = Ticket { state: State::Asleep, node, note: None, promised: 0, deadline: 0 };
        match self.tickets.get_mut(index as usize) {
            Some(unused) => *unused = ticket,
            // The slots of the arena are used one after the other.
            None => self.tickets.push(ticket),
        }
        self.asleep.insert(&mut self.tickets, index);
        if in_front {
            self.forget_all();
        }
    }

    /// Returns the ticket that sleeps and is served next; [`NONE`] if none sleeps.
    #[inline]
    pub(super) const fn first_asleep(&self) -> Index {
        self.asleep.first()
    }

    /// Returns whether no ticket that sleeps is served before this one.
    pub(super) fn is_first(&self, index: Index) -> bool {
        let place = |index: Index| self.tickets.get(index as usize).map(|ticket| ticket.node.place);
        place(self.first_asleep()).is_none_or(|first| place(index) <= Some(first))
    }

    /// Returns the supply's note about the ticket that sleeps and is served next; `None` if none
    /// sleeps.
    pub(super) fn note(&mut self) -> Option<&mut Option<u64>> {
        let first = self.first_asleep();
        self.tickets.get_mut(first as usize).map(|ticket| &mut ticket.note)
    }

    /// Promises `amount` to the ticket that sleeps and is served next. The caller wakes that
    /// ticket.
    pub(super) fn promise(&mut self, amount: u64, deadline: u64) {
        let index = self.first_asleep();
        self.asleep.remove(&mut self.tickets, index);
        let latest = self.latest;
        let ticket = &mut self.tickets[index as usize];
        (ticket.state, ticket.promised, ticket.deadline) = (State::Awaited, amount, deadline);
        (ticket.node.prev, ticket.node.next) = (latest, NONE);
        match self.tickets.get_mut(latest as usize) {
            Some(before) => before.node.next = index,
            None => self.oldest = index,
        }
        self.latest = index;
        self.awaited += 1;
        self.promised += amount;
    }

    /// Removes a ticket that has left the queue.
    pub(super) fn leave(&mut self, index: Index) {
        match self.tickets[index as usize].state {
            State::Asleep => self.asleep.remove(&mut self.tickets, index),
            State::Awaited => self.forget(index),
            State::Forgotten => {}
        }
    }

    /// Notes that a ticket that was nudged sleeps again. Tickets behind it must not go first, so
    /// nothing is promised any more.
    pub(super) fn sleep_again(&mut self, index: Index) {
        self.forget_all();
        let ticket = &mut self.tickets[index as usize];
        ticket.state = State::Asleep;
        ticket.node = Node::new(ticket.node.place);
        self.asleep.insert(&mut self.tickets, index);
    }

    pub(super) const fn promised(&self) -> u64 {
        self.promised
    }

    pub(super) const fn awaited(&self) -> usize {
        self.awaited
    }

    /// Returns until when the oldest nudge is counted on; `None` if none is.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.tickets.get(self.oldest as usize).map(|ticket| ticket.deadline)
    }

    /// Stops counting on the oldest nudge.
    pub(super) fn forget_oldest(&mut self) {
        if self.oldest != NONE {
            self.forget(self.oldest);
        }
    }

    /// Removes a ticket from the awaited ones.
    fn forget(&mut self, index: Index) {
        let ticket = &mut self.tickets[index as usize];
        ticket.state = State::Forgotten;
        self.promised -= ticket.promised;
        self.awaited -= 1;
        let Node { prev, next, .. } = ticket.node;
        match self.tickets.get_mut(prev as usize) {
            Some(before) => before.node.next = next,
            None => self.oldest = next,
        }
        match self.tickets.get_mut(next as usize) {
            Some(behind) => behind.node.prev = prev,
            None => self.latest = prev,
        }
    }

    /// Stops counting on any nudged ticket. A ticket is forgotten at most once for each nudge,
    /// which bounds the cost.
    fn forget_all(&mut self) {
        while self.oldest != NONE {
            self.forget(self.oldest);
        }
    }
}
