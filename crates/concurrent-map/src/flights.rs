//! Which computations are in flight, and which caller leads each. This part of a flight knows
//! neither keys nor values. What the leader shares at the end is an `O`.

use core::{
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::boxed::Box;

use hashbrown::HashTable;
use tidegate_core::{
    Closed, Turnstile,
    lock::Lock,
    primitive::Arc,
    wait_list::{Supply, Turn},
};

/// An emptied table with room for more than this is given back to the allocator.
const KEPT_ROOM: usize = 64;

/// The flights of one object, by the hash of their key. Takes two words until the first flight.
///
/// One lock is enough for all flights: each section is a search and a count, and only callers that
/// have something to compute come here. No foreign code runs under it.
pub(crate) struct Flights<O> {
    // INVARIANT: an entry for each flight that is not over and has members.
    table: Lock<Option<Box<HashTable<Entry<O>>>>>,
}

struct Entry<O> {
    hash: u64,
    flight: Flight<O>,
    // INVARIANT: the number of members.
    members: usize,
}

/// The caller inside the turnstile leads. When the flight ends and has other members, the turnstile
/// is closed.
struct Flight<O>(Arc<FlightState<O>>);

struct FlightState<O> {
    turnstile: Turnstile,
    // INVARIANT: final once the turnstile is closed; `None` if the flight shares nothing.
    outcome: Lock<Option<Arc<O>>>,
}

impl<O> Clone for Flight<O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<O> Deref for Flight<O> {
    type Target = Turnstile;

    fn deref(&self) -> &Turnstile {
        &self.0.turnstile
    }
}

impl<O> Flights<O> {
    tidegate_core::const_fn! {
        /// Creates a table without flights. Does not allocate.
        pub(crate) fn new() -> Self {
            Self { table: Lock::new(None) }
        }
    }

    /// Returns how many computations are in flight. A snapshot.
    pub(crate) fn len(&self) -> usize {
        self.table.with(|table| table.as_ref().map_or(0, |table| table.len()))
    }

    /// Joins the flight of `hash`, and begins it if there is none.
    fn join(&self, hash: u64) -> Flight<O> {
        self.table.with(|table| {
            let entry = table
                .get_or_insert_default()
                .entry(hash, |entry| entry.hash == hash, |entry| entry.hash)
                .or_insert_with(|| {
                    let state =
                        FlightState { turnstile: Turnstile::new(), outcome: Lock::new(None) };
                    Entry { hash, flight: Flight(Arc::new(state)), members: 0 }
                })
                .into_mut();
            entry.members += 1;
            entry.flight.clone()
        })
    }

    /// Takes the entry of `flight` out and returns it, if there is one and `is_over` returns true
    /// of it. Returns `None` if `is_over` returns false, or if the entry is gone, even if a later
    /// flight of the same hash has one.
    fn take_if(
        &self,
        hash: u64,
        flight: &Flight<O>,
        is_over: impl FnOnce(&mut Entry<O>) -> bool,
    ) -> Option<Entry<O>> {
        self.table.with(|place| {
            let table = place.as_mut()?;
            let is_it =
                |entry: &Entry<O>| entry.hash == hash && Arc::ptr_eq(&entry.flight.0, &flight.0);
            let mut found = table.find_entry(hash, is_it).ok()?;
            if !is_over(found.get_mut()) {
                return None;
            }
            let (entry, _) = found.remove();
            if table.is_empty() && table.capacity() > KEPT_ROOM {
                *place = None;
            }
            Some(entry)
        })
    }
}

/// How a member reaches the table of its flight: by a reference or by a handle.
pub(crate) trait HasFlights<O> {
    fn flights(&self) -> &Flights<O>;
}

impl<O> HasFlights<O> for &Flights<O> {
    fn flights(&self) -> &Flights<O> {
        self
    }
}

/// A caller in a flight. Dropping it leaves the flight; a leader hands the lead to the next waiter.
pub(crate) struct Member<R: HasFlights<O>, O> {
    flights: R,
    hash: u64,
    turn: Turn<Flight<O>>,
    role: Role,
}

/// | role | meaning | ends by |
/// | --- | --- | --- |
/// | `Waiting` | waits for its turn, or has it and was not polled since | `poll_lead`, drop |
/// | `Leads` | inside the turnstile | `complete`, `share`, drop |
/// | `Over` | the flight is over, its entry gone | – |
enum Role {
    Waiting,
    Leads,
    Over,
}

impl<R: HasFlights<O>, O> Member<R, O> {
    /// Joins the flight of `hash`, and begins it if there is none.
    pub(crate) fn join(flights: R, hash: u64) -> Self {
        let flight = flights.flights().join(hash);
        Self { flights, hash, turn: Turn::new(flight, ()), role: Role::Waiting }
    }

    /// Waits for the turn to lead.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the flight is over, with an [outcome](Self::outcome) or without.
    pub(crate) fn poll_lead(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let turn = ready!(Pin::new(&mut self.turn).poll(cx));
        self.role = if turn.is_ok() { Role::Leads } else { Role::Over };
        Poll::Ready(turn)
    }

    /// Ends the flight and wakes all waiters, which find the value elsewhere. For the leader only.
    pub(crate) fn complete(self) {
        self.end(None);
    }

    /// Ends the flight and wakes all waiters, which share the outcome. For the leader only.
    pub(crate) fn share(self, outcome: O) {
        self.end(Some(Arc::new(outcome)));
    }

    fn end(mut self, outcome: Option<Arc<O>>) {
        self.role = Role::Over;
        let flight = self.turn.supply();
        let entry = self.flights.flights().take_if(self.hash, flight, |_| true);
        // No caller can join any more.
        if entry.is_some_and(|entry| entry.members > 1) {
            flight.0.outcome.with(|place| *place = outcome);
            flight.close();
        }
    }

    /// Returns what the leader has shared, if it has.
    pub(crate) fn outcome(&self) -> Option<Arc<O>> {
        self.turn.supply().0.outcome.with(|outcome| outcome.clone())
    }

    /// Returns whether other callers wait. A snapshot.
    pub(crate) fn has_waiters(&self) -> bool {
        self.turn.supply().waiting() > 0
    }

    fn leave(&self) {
        drop(self.flights.flights().take_if(self.hash, self.turn.supply(), |entry| {
            entry.members -= 1;
            entry.members == 0
        }));
    }
}

impl<R: HasFlights<O>, O> Drop for Member<R, O> {
    fn drop(&mut self) {
        match self.role {
            // The turn's own drop does the rest: it leaves the wait queue, or passes its grant on.
            Role::Waiting => self.leave(),
            Role::Leads => {
                self.leave();
                self.turn.supply().give_back(());
            }
            Role::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use alloc::vec::Vec;

    use super::*;

    fn poll(member: &mut Member<&Flights<u8>, u8>) -> Poll<Result<(), Closed>> {
        member.poll_lead(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_map_that_computes_nothing_pays_two_words() {
        assert!(size_of::<Flights<[u64; 8]>>() <= 2 * size_of::<u64>());
    }

    #[test]
    fn nothing_is_left_of_a_flight_however_it_ends() {
        let flights = Flights::<u8>::new();
        let leader = || {
            let mut member = Member::join(&flights, 7);
            assert_eq!(poll(&mut member), Poll::Ready(Ok(())));
            member
        };
        // Flights with one member: never polled; led and left; led and completed.
        drop(Member::join(&flights, 7));
        drop(leader());
        leader().complete();
        assert_eq!(flights.len(), 0);
        // The leader leaves while a waiter waits, which is granted the lead and leaves, too.
        let (first, mut second) = (leader(), Member::join(&flights, 7));
        assert_eq!(poll(&mut second), Poll::Pending);
        drop(first);
        assert_eq!(flights.len(), 1);
        drop(second);
        assert_eq!(flights.len(), 0);
        // The leader completes while a waiter waits, and a member was not polled.
        let (first, mut second, mut third) =
            (leader(), Member::join(&flights, 7), Member::join(&flights, 7));
        assert_eq!(poll(&mut second), Poll::Pending);
        first.complete();
        assert_eq!(flights.len(), 0);
        assert_eq!(poll(&mut second), Poll::Ready(Err(Closed)));
        assert_eq!(poll(&mut third), Poll::Ready(Err(Closed)));
        // The leader shares an outcome with a waiter.
        let (first, mut second) = (leader(), Member::join(&flights, 7));
        assert_eq!(poll(&mut second), Poll::Pending);
        first.share(3);
        assert_eq!(second.outcome().as_deref(), Some(&3));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn leaving_a_flight_that_is_over_does_not_end_the_next_one() {
        let flights = Flights::<u8>::new();
        let (mut first, late) = (Member::join(&flights, 7), Member::join(&flights, 7));
        assert!(poll(&mut first).is_ready());
        first.complete();
        let mut next = Member::join(&flights, 7);
        assert_eq!(poll(&mut next), Poll::Ready(Ok(())));
        drop(late);
        let mut behind = Member::join(&flights, 7);
        assert_eq!(poll(&mut behind), Poll::Pending);
    }

    #[test]
    fn the_room_of_many_flights_is_given_back() {
        let flights = Flights::<u8>::new();
        drop((0..1000).map(|hash| Member::join(&flights, hash)).collect::<Vec<_>>());
        assert!(flights.table.with(|table| table.is_none()));
        drop(Member::join(&flights, 1));
        assert!(flights.table.with(|table| table.is_some()), "a little is kept");
    }
}
