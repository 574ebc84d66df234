//! Which computations are in flight, and which caller leads each: the part of a flight that knows
//! neither keys nor values.

use core::{
    any::Any,
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

/// The flights of one map, by the hash of their key. Two words until the first one.
///
/// One lock for all: its sections are a search and a count, and only callers come here that have
/// found a key absent and have something to compute. No foreign code runs under it.
pub(in crate::map) struct Flights<K> {
    // INVARIANT: an entry for each flight that is not over and has members.
    table: Lock<Option<Box<HashTable<Entry<K>>>>>,
}

struct Entry<K> {
    hash: u64,
    flight: Flight<K>,
    // INVARIANT: the number of members.
    members: usize,
}

/// The caller inside of its turnstile leads; the turnstile is closed when the flight is over.
struct Flight<K>(Arc<FlightState<K>>);

struct FlightState<K> {
    turnstile: Turnstile,
    // INVARIANT: final once the turnstile is closed; `None` if the flight was completed.
    failure: Lock<Option<Arc<Failure<K>>>>,
}

/// What a computation has failed with, for the waiters.
pub(super) struct Failure<K> {
    /// The key that was computed: keys of one hash share a flight, and no error.
    pub(super) key: K,
    pub(super) error: Box<dyn Any + Send + Sync>,
}

impl<K> Clone for Flight<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Deref for Flight<K> {
    type Target = Turnstile;

    fn deref(&self) -> &Turnstile {
        &self.0.turnstile
    }
}

impl<K> Flights<K> {
    tidegate_core::const_fn! {
        /// Creates a table without flights. Does not allocate.
        pub(in crate::map) fn new() -> Self {
            Self { table: Lock::new(None) }
        }
    }

    /// Joins the flight of `hash`, which begins with its first member.
    pub(super) fn join(&self, hash: u64) -> Member<'_, K> {
        let flight = self.table.with(|table| {
            let entry = table
                .get_or_insert_default()
                .entry(hash, |entry| entry.hash == hash, |entry| entry.hash)
                .or_insert_with(|| {
                    let state =
                        FlightState { turnstile: Turnstile::new(), failure: Lock::new(None) };
                    Entry { hash, flight: Flight(Arc::new(state)), members: 0 }
                })
                .into_mut();
            entry.members += 1;
            entry.flight.clone()
        });
        Member { flights: self, hash, turn: Turn::new(flight, ()), role: Role::Waiting }
    }

    /// Takes the entry of `flight` out if `is_over` says so. There may be none, or that of a later
    /// flight of the same hash.
    fn take_if(
        &self,
        hash: u64,
        flight: &Flight<K>,
        is_over: impl FnOnce(&mut Entry<K>) -> bool,
    ) -> Option<Entry<K>> {
        self.table.with(|place| {
            let table = place.as_mut()?;
            let is_it =
                |entry: &Entry<K>| entry.hash == hash && Arc::ptr_eq(&entry.flight.0, &flight.0);
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

/// A caller in a flight. Dropping it leaves the flight; a leader hands the lead to the next waiter.
pub(super) struct Member<'a, K> {
    flights: &'a Flights<K>,
    hash: u64,
    turn: Turn<Flight<K>>,
    role: Role,
}

/// | role | meaning | ends by |
/// | --- | --- | --- |
/// | `Waiting` | waits for its turn, or has it and was not polled since | `poll`, drop |
/// | `Leads` | inside the turnstile | `complete`, `fail`, drop |
/// | `Over` | the flight is over, its entry gone | – |
enum Role {
    Waiting,
    Leads,
    Over,
}

impl<K> Member<'_, K> {
    /// Waits for the turn to lead.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the flight was completed or has [failed](Self::failure).
    pub(super) fn poll_lead(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let turn = ready!(Pin::new(&mut self.turn).poll(cx));
        self.role = if turn.is_ok() { Role::Leads } else { Role::Over };
        Poll::Ready(turn)
    }

    /// Ends the flight and wakes all waiters: the value is in the map. For the leader.
    pub(super) fn complete(self) {
        self.end(None);
    }

    /// Ends the flight and wakes all waiters: they share the failure. For the leader.
    pub(super) fn fail(self, failure: Failure<K>) {
        self.end(Some(Arc::new(failure)));
    }

    fn end(mut self, failure: Option<Arc<Failure<K>>>) {
        self.role = Role::Over;
        let flight = self.turn.supply();
        let entry = self.flights.take_if(self.hash, flight, |_| true);
        // No caller can join any more.
        if entry.is_some_and(|entry| entry.members > 1) {
            flight.0.failure.with(|place| *place = failure);
            flight.close();
        }
    }

    /// Returns what the flight has failed with, if it is over because of that.
    pub(super) fn failure(&self) -> Option<Arc<Failure<K>>> {
        self.turn.supply().0.failure.with(|failure| failure.clone())
    }

    /// Returns whether other callers wait. A snapshot.
    pub(super) fn has_waiters(&self) -> bool {
        self.turn.supply().waiting() > 0
    }

    fn leave(&self) {
        drop(self.flights.take_if(self.hash, self.turn.supply(), |entry| {
            entry.members -= 1;
            entry.members == 0
        }));
    }
}

impl<K> Drop for Member<'_, K> {
    fn drop(&mut self) {
        match self.role {
            // What is left to do, the turn's own drop does: it leaves the wait queue, or passes its
            // grant on.
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

    fn poll(member: &mut Member<'_, u8>) -> Poll<Result<(), Closed>> {
        member.poll_lead(&mut Context::from_waker(Waker::noop()))
    }

    fn under_way(flights: &Flights<u8>) -> usize {
        flights.table.with(|table| table.as_ref().map_or(0, |table| table.len()))
    }

    #[test]
    fn a_map_that_computes_nothing_pays_two_words() {
        assert!(size_of::<Flights<[u64; 8]>>() <= 2 * size_of::<u64>());
    }

    #[test]
    fn nothing_is_left_of_a_flight_however_it_ends() {
        let flights = Flights::<u8>::new();
        let leader = || {
            let mut member = flights.join(7);
            assert_eq!(poll(&mut member), Poll::Ready(Ok(())));
            member
        };
        // Never polled; left alone; completed alone.
        drop(flights.join(7));
        drop(leader());
        leader().complete();
        assert_eq!(under_way(&flights), 0);
        // Left before a waiter, which is granted the lead and leaves.
        let (first, mut second) = (leader(), flights.join(7));
        assert_eq!(poll(&mut second), Poll::Pending);
        drop(first);
        assert_eq!(under_way(&flights), 1);
        drop(second);
        assert_eq!(under_way(&flights), 0);
        // Completed before a waiter and a member that was not polled.
        let (first, mut second, mut third) = (leader(), flights.join(7), flights.join(7));
        assert_eq!(poll(&mut second), Poll::Pending);
        first.complete();
        assert_eq!(under_way(&flights), 0);
        assert_eq!(poll(&mut second), Poll::Ready(Err(Closed)));
        assert_eq!(poll(&mut third), Poll::Ready(Err(Closed)));
        // Failed before a waiter.
        let (first, mut second) = (leader(), flights.join(7));
        assert_eq!(poll(&mut second), Poll::Pending);
        first.fail(Failure { key: 3, error: Box::new("no") });
        assert_eq!(under_way(&flights), 0);
    }

    #[test]
    fn leaving_a_flight_that_is_over_does_not_end_the_next_one() {
        let flights = Flights::<u8>::new();
        let (mut first, late) = (flights.join(7), flights.join(7));
        assert!(poll(&mut first).is_ready());
        first.complete();
        let mut next = flights.join(7);
        assert_eq!(poll(&mut next), Poll::Ready(Ok(())));
        drop(late);
        let mut behind = flights.join(7);
        assert_eq!(poll(&mut behind), Poll::Pending);
    }

    #[test]
    fn the_room_of_many_flights_is_given_back() {
        let flights = Flights::<u8>::new();
        drop((0..1000).map(|hash| flights.join(hash)).collect::<Vec<_>>());
        assert!(flights.table.with(|table| table.is_none()));
        drop(flights.join(1));
        assert!(flights.table.with(|table| table.is_some()), "a little is kept");
    }
}
