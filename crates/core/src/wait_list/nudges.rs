//! The order of those who sleep, for supplies that nudge, and which nudges are still to be answered.

use alloc::{collections::BTreeMap, vec::Vec};

use super::line::Index;

/// What a line that [nudges](super::Supply::nudges) knows of its tickets beyond the line itself.
///
/// Whoever is nudged keeps its place but is no longer in `asleep`. So the next one to nudge is the first entry there, however
/// many have been nudged and not been polled since.
pub(super) struct Nudges {
    // INVARIANT: the tickets in line that have a waker, by their places in the order of service.
    asleep: BTreeMap<Place, Index>,
    // INVARIANT: the tickets that were nudged, have not been polled since, and are still counted on; the oldest nudge first.
    awaited: BTreeMap<u64, Index>,
    // INVARIANT: what is promised to those in `awaited`.
    promised: u64,
    /// By the slots of the arena.
    tickets: Vec<Ticket>,
    /// The next place at the tail; with the other sign, the next one in front.
    next: Place,
    /// The number of the last nudge.
    nudges: u64,
}

/// A place in the order of service: smaller ones are served first.
type Place = i64;

#[derive(Clone)]
struct Ticket {
    place: Place,
    note: Option<u64>,
    /// The number of its last nudge, what it was nudged for, and how long it is counted on.
    nudge: u64,
    promised: u64,
    deadline: u64,
}

impl Nudges {
    pub(super) const fn new() -> Self {
        Self {
            asleep: BTreeMap::new(),
            awaited: BTreeMap::new(),
            promised: 0,
            tickets: Vec::new(),
            next: 1,
            nudges: 0,
        }
    }

    /// Adds a ticket that sleeps.
    pub(super) fn join(&mut self, index: Index, in_front: bool) {
        let place = if in_front { -self.next } else { self.next };
        self.next += 1;
        let ticket = Ticket { place, note: None, nudge: 0, promised: 0, deadline: 0 };
        let at = index as usize;
        if at >= self.tickets.len() {
            self.tickets.resize(at + 1, ticket.clone());
        }
        self.tickets[at] = ticket;
        self.asleep.insert(place, index);
        if in_front {
            self.forget_all();
        }
    }

    /// Returns the ticket that sleeps and is served next.
    pub(super) fn first_asleep(&self) -> Option<Index> {
        self.asleep.first_key_value().map(|(_, &index)| index)
    }

    /// Returns whether nobody who sleeps is served before this ticket.
    pub(super) fn is_first(&self, index: Index) -> bool {
        let place = self.tickets[index as usize].place;
        self.asleep.first_key_value().is_none_or(|(&first, _)| place <= first)
    }

    /// Returns the note about the ticket that sleeps and is served next.
    pub(super) fn note(&mut self) -> Option<&mut Option<u64>> {
        let first = self.first_asleep()?;
        Some(&mut self.tickets[first as usize].note)
    }

    /// Promises `amount` to the ticket that sleeps and is served next, which is woken for it.
    pub(super) fn promise(&mut self, amount: u64, deadline: u64) {
        let Some((_, index)) = self.asleep.pop_first() else { return };
        self.nudges += 1;
        self.awaited.insert(self.nudges, index);
        self.promised += amount;
        let ticket = &mut self.tickets[index as usize];
        (ticket.nudge, ticket.promised, ticket.deadline) = (self.nudges, amount, deadline);
    }

    /// Forgets about a ticket: it has left the line.
    pub(super) fn leave(&mut self, index: Index) {
        let Ticket { place, nudge, .. } = self.tickets[index as usize];
        if self.asleep.remove(&place).is_none() {
            self.forget(nudge);
        }
    }

    /// Notes that a ticket that was nudged sleeps again. Nobody behind it must go first, so nothing is promised any more.
    pub(super) fn sleep_again(&mut self, index: Index) {
        self.asleep.insert(self.tickets[index as usize].place, index);
        self.forget_all();
    }

    pub(super) const fn promised(&self) -> u64 {
        self.promised
    }

    pub(super) fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// Returns how long the oldest nudge is counted on.
    pub(super) fn deadline(&self) -> Option<u64> {
        let (_, &oldest) = self.awaited.first_key_value()?;
        Some(self.tickets[oldest as usize].deadline)
    }

    /// Counts on the oldest nudge no more.
    pub(super) fn forget_oldest(&mut self) {
        if let Some((&oldest, _)) = self.awaited.first_key_value() {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, nudge: u64) {
        if let Some(index) = self.awaited.remove(&nudge) {
            self.promised -= self.tickets[index as usize].promised;
        }
    }

    fn forget_all(&mut self) {
        self.awaited.clear();
        self.promised = 0;
    }
}
