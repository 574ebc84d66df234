//! A bounded queue whose two positions also say whether producers or consumers wait.
//!
//! The algorithm is Dmitry Vyukov's bounded queue for many producers and consumers: a slot's stamp
//! says whose turn it is, a position is claimed by one compare-and-swap. The flags in the low bits
//! of the positions are an addition:
//!
//! ```text
//! tail: position of the next push │ closed │ diverted │ a popper waits        head: position of the next pop │ a pusher waits
//!
//! push: claims the tail ─▶ reads, with the same step, whether a popper waits ─▶ writes, stamps
//! pop:  claims the head ─▶ reads, with the same step, whether a pusher waits ─▶ reads, stamps
//! wait: register ─▶ raise the flag in the other side's word ─▶ try again
//! ```
//!
//! The flag and the claim are changes of one word, and so in one order: either the check after
//! raising the flag sees the claim, or the claim sees the flag. So while there is no waiter, a push
//! and a pop cost one read-modify-write each, and no fence.

use core::{
    fmt, iter,
    mem::MaybeUninit,
    panic::{RefUnwindSafe, UnwindSafe},
};

use alloc::boxed::Box;

use crossbeam_utils::CachePadded;

use crate::primitive::{
    UnsafeCell,
    atomic::{AtomicUsize, Ordering},
    by_machine, relax,
};
use crate::wake_list::each;

// Code that is built on a ring uses this name: the ring, and under loom its model.
by_machine! {
    real { pub use self::Ring as RingOrModel; }
    model {
        mod model;
        pub use self::model::Ring as RingOrModel;
    }
}

/// In a stamp: the slot holds the item of this position. In the tail: no more pushes.
const MARK: usize = 1;
/// A waiter waits until the position in this word moves.
const AWAITED: usize = 2;
/// In the tail: pushes are refused as if the ring were full.
const DIVERTED: usize = 4;
const FLAGS: usize = MARK | AWAITED | DIVERTED;
/// The distance from one position to the next within a lap.
const STEP: usize = 8;
/// How many low bits of a position are flags, neither lap nor index.
const STEP_BITS: u32 = STEP.trailing_zeros();

const WRITTEN: usize = MARK;
const CLOSED: usize = MARK;

/// A bounded queue for many pushers and poppers, whose methods never wait.
///
/// A caller that has to wait registers elsewhere (see [`Event`](crate::Event)), raises a flag, for
/// an item or for room, and tries once more. Until the flag is cleared, each push reports that a
/// consumer waits for an item, or each pop that a producer waits for room.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_core::ring::{NotPushed, Ring};
///
/// let ring = Ring::new(NonZeroUsize::MIN);
/// ring.set_consumer_waiting();
/// assert!(ring.push('a').is_ok_and(|pushed| pushed.is_awaited));
/// assert_eq!(ring.push('b'), Err(NotPushed::Full('b')));
/// assert_eq!(ring.pop().unwrap().item, 'a');
/// ```
pub struct Ring<T> {
    /// | bits | name | meaning | changed by |
    /// | --- | --- | --- | --- |
    /// | 1 | `AWAITED` | a producer waits for room | `set_producer_waiting`, `clear_producer_waiting` |
    /// | 3.. | | position of the next pop: the lap, and the index of the slot | `pop` |
    head: CachePadded<AtomicUsize>,
    /// | bits | name | meaning | changed by |
    /// | --- | --- | --- | --- |
    /// | 0 | `CLOSED` | no more pushes, final | `close` |
    /// | 1 | `AWAITED` | a consumer waits for an item | `set_consumer_waiting`, `clear_consumer_waiting` |
    /// | 2 | `DIVERTED` | pushes go elsewhere | `divert`, `resume` |
    /// | 3.. | | position of the next push: the lap, and the index of the slot | `push` |
    tail: CachePadded<AtomicUsize>,
    slots: Box<[Slot<T>]>,
    /// The distance from a position to the next one of the same slot.
    lap: usize,
}

struct Slot<T> {
    /// The position that may be pushed here next, or, with `WRITTEN`, the one that may be popped.
    stamp: AtomicUsize,
    // INVARIANT: initialized while the stamp has `WRITTEN`. Accessed only by the
    // caller that has claimed the stamp's position.
    item: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: an item is pushed by one thread and popped by another (`T: Send`); no thread ever has a
// `&T`.
unsafe impl<T: Send> Sync for Ring<T> {}

/// No foreign code runs between a claim and its stamp, and no thread has a `&T`: after a panic,
/// each item is either in the ring or out of it.
impl<T> UnwindSafe for Ring<T> {}
impl<T> RefUnwindSafe for Ring<T> {}

/// An item was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Whether a consumer may wait for the item: whether the flag is raised.
    pub is_awaited: bool,
}

/// An item was not pushed; the error gives it back.
///
/// Exhaustive on purpose: a caller has to act on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPushed<T> {
    /// There is no room now, or pushes are [diverted](Ring::divert).
    Full(T),
    /// There will never be room.
    Closed(T),
}

/// An item was popped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Popped<T> {
    /// The item.
    pub item: T,
    /// Whether a producer may wait for the room that is free now: whether the flag is raised.
    pub is_awaited: bool,
}

/// No item was popped.
///
/// Exhaustive on purpose, as [`NotPushed`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPopped {
    /// There is none now.
    Empty,
    /// There is none now, and pushes are [diverted](Ring::divert).
    Diverted,
    /// There will never be one.
    Closed,
}

/// Returns the largest capacity of a ring whose positions have `bits` bits. Two laps must fit into
/// a position: so the positions of the oldest item and of the next push differ even if they are of
/// the same slot.
const fn most_slots(bits: u32) -> usize {
    ((1_u128 << (bits - 1 - STEP_BITS)) - 1) as usize
}

/// Returns the distance from a position to the next one of the same slot. It is a power of two that
/// has room for more than `capacity` indices, so that these two positions differ in the lap only.
const fn lap_of(capacity: usize) -> usize {
    (capacity + 1).next_power_of_two() * STEP
}

impl<T> Ring<T> {
    /// The largest capacity: as many slots as an allocation can have, but so few that two laps fit
    /// into a position.
    ///
    /// On 32 bits that is 2²⁸ − 1 items if they are zero-sized.
    pub const MAX_CAPACITY: usize = {
        let in_memory = isize::MAX as usize / size_of::<Slot<T>>();
        let in_two_laps = most_slots(usize::BITS);
        if in_memory < in_two_laps { in_memory } else { in_two_laps }
    };

    /// Creates an open ring, and allocates all of its slots.
    ///
    /// # Panics
    ///
    /// Panics if the capacity is above [`MAX_CAPACITY`](Self::MAX_CAPACITY).
    #[track_caller]
    pub fn new(capacity: core::num::NonZeroUsize) -> Self {
        let (capacity, most) = (capacity.get(), Self::MAX_CAPACITY);
        assert!(capacity <= most, "a ring's capacity of {capacity} is outside of 1..={most}");
        let lap = lap_of(capacity);
        let slot = |index| Slot {
            stamp: AtomicUsize::new(index * STEP),
            item: UnsafeCell::new(MaybeUninit::uninit()),
        };
        Self {
            head: CachePadded::new(AtomicUsize::new(0)),
            tail: CachePadded::new(AtomicUsize::new(0)),
            slots: (0..capacity).map(slot).collect(),
            lap,
        }
    }

    /// Adds an item if there is room.
    ///
    /// # Errors
    ///
    /// [`NotPushed`] gives the item back if the ring is full, closed or diverted.
    #[inline]
    pub fn push(&self, item: T) -> Result<Pushed, NotPushed<T>> {
        self.push_unless(CLOSED | DIVERTED, item)
    }

    /// Adds an item even if pushes are diverted, or the ring is closed: for the caller that puts
    /// diverted items back in.
    ///
    /// # Errors
    ///
    /// [`NotPushed::Full`] gives the item back if there is no room.
    pub fn push_diverted(&self, item: T) -> Result<Pushed, NotPushed<T>> {
        self.push_unless(0, item)
    }

    #[inline(always)]
    fn push_unless(&self, forbidden: usize, item: T) -> Result<Pushed, NotPushed<T>> {
        // ORDERING: Relaxed: a position is only a guess until it is claimed; the flags are read
        // again with the claim.
        let mut tail = self.tail.load(Ordering::Relaxed);
        let mut tries = 0;
        loop {
            if tail & forbidden != 0 {
                // ORDERING: Acquire: what happened before the close is seen by the refused caller.
                let tail = self.tail.load(Ordering::Acquire);
                let is_closed = tail & CLOSED != 0;
                return Err(if is_closed {
                    NotPushed::Closed(item)
                } else {
                    NotPushed::Full(item)
                });
            }
            let position = tail & !FLAGS;
            let slot = self.slot(position);
            // ORDERING: Acquire: pairs with the Release in `pop`: the item of the lap before has
            // been moved out.
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == position {
                // ORDERING: Acquire: a pusher that finds the flag sees the registration before it.
                // The item itself is published by its stamp. A failure only brings a new guess.
                let claim = self.tail.compare_exchange_weak(
                    tail,
                    self.next(position) | tail & FLAGS,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                );
                match claim {
                    Ok(_) => {
                        // SAFETY: the position is claimed by us alone, and its stamp said that the
                        // slot is empty; no other thread accesses it until the stamp changes.
                        slot.item.with_mut(|place| unsafe { (*place).write(item) });
                        // ORDERING: Release: the item is seen by its popper (Acquire in `pop`).
                        slot.stamp.store(position | WRITTEN, Ordering::Release);
                        return Ok(Pushed { is_awaited: tail & AWAITED != 0 });
                    }
                    Err(found) => tail = found,
                }
                continue;
            }
            // The item of the lap before is still there, or its popper has not stamped yet; or the
            // guess was old.
            // ORDERING: Relaxed: a producer that has raised its flag in `head` sees every earlier
            // claim of a pop.
            let head = self.head.load(Ordering::Relaxed) & !FLAGS;
            if head.wrapping_add(self.lap) == position {
                return Err(NotPushed::Full(item));
            }
            relax(&mut tries);
            tail = self.tail.load(Ordering::Relaxed);
        }
    }

    /// Removes the oldest item if there is one.
    ///
    /// # Errors
    ///
    /// [`NotPopped`] says whether there may be one later.
    #[inline]
    pub fn pop(&self) -> Result<Popped<T>, NotPopped> {
        // ORDERING: Relaxed: as in `push_unless`.
        let mut head = self.head.load(Ordering::Relaxed);
        let mut tries = 0;
        loop {
            let position = head & !FLAGS;
            let slot = self.slot(position);
            // ORDERING: Acquire: pairs with the Release in `push_unless`: the item is there.
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == position | WRITTEN {
                // ORDERING: Acquire as in `push_unless`. Release: a caller that finds the last item
                // gone (`is_drained`) sees what the item's popper did before.
                let claim = self.head.compare_exchange_weak(
                    head,
                    self.next(position) | head & FLAGS,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                match claim {
                    Ok(_) => {
                        // SAFETY: the position is claimed by us alone, and its stamp said that the
                        // item is there; no other thread accesses the slot until the stamp changes.
                        let item =
                            slot.item.with_mut(|place| unsafe { (*place).assume_init_read() });
                        // ORDERING: Release: the slot is seen empty by its next pusher (Acquire in
                        // `push_unless`).
                        slot.stamp.store(position.wrapping_add(self.lap), Ordering::Release);
                        return Ok(Popped { item, is_awaited: head & AWAITED != 0 });
                    }
                    Err(found) => head = found,
                }
                continue;
            }
            // ORDERING: Acquire: a popper that finds the ring closed and empty comes after the
            // close; a consumer that has raised its flag in `tail` sees every earlier claim of a
            // push.
            let tail = self.tail.load(Ordering::Acquire);
            if tail & !FLAGS == position {
                return Err(match tail & (CLOSED | DIVERTED) {
                    0 => NotPopped::Empty,
                    CLOSED => NotPopped::Closed,
                    _ => NotPopped::Diverted,
                });
            }
            relax(&mut tries);
            head = self.head.load(Ordering::Relaxed);
        }
    }

    /// Notes that a consumer waits for an item. The consumer must then try once more.
    pub fn set_consumer_waiting(&self) {
        // ORDERING: Release: a push that finds the flag sees the registration before it. A push
        // that came before the flag has moved this word, so the consumer's next try sees it.
        self.tail.fetch_or(AWAITED, Ordering::Release);
    }

    /// Notes that no consumer waits for an item any more.
    pub fn clear_consumer_waiting(&self) {
        // ORDERING: Relaxed: the caller holds a lock under which no consumer begins to wait.
        self.tail.fetch_and(!AWAITED, Ordering::Relaxed);
    }

    /// Returns whether a consumer may wait for an item: whether the flag is raised.
    pub fn is_consumer_waiting(&self) -> bool {
        // ORDERING: Acquire: the registration behind the flag is seen.
        self.tail.load(Ordering::Acquire) & AWAITED != 0
    }

    /// Notes that a producer waits for room. The producer must then try once more.
    pub fn set_producer_waiting(&self) {
        // ORDERING: Release: as in `set_consumer_waiting`.
        self.head.fetch_or(AWAITED, Ordering::Release);
    }

    /// Notes that no producer waits for room any more.
    pub fn clear_producer_waiting(&self) {
        // ORDERING: Relaxed: as in `clear_consumer_waiting`.
        self.head.fetch_and(!AWAITED, Ordering::Relaxed);
    }

    /// Refuses pushes as if the ring were full, until [`resume`](Self::resume).
    pub fn divert(&self) {
        // ORDERING: Release: what happened before is seen by a caller that finds the ring diverted
        // (`is_diverted`).
        self.tail.fetch_or(DIVERTED, Ordering::Release);
    }

    /// Ends what [`divert`](Self::divert) has begun.
    pub fn resume(&self) {
        // ORDERING: Relaxed: the items that were put back in before have moved this word, so no
        // popper that sees this step misses these items.
        self.tail.fetch_and(!DIVERTED, Ordering::Relaxed);
    }

    /// Returns whether pushes are diverted.
    pub fn is_diverted(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `divert`.
        self.tail.load(Ordering::Acquire) & DIVERTED != 0
    }

    /// Refuses every [`push`](Self::push) from now on; returns false if the ring was closed
    /// already.
    pub fn close(&self) -> bool {
        // ORDERING: Release: what happened before the close is seen by a caller that
        // finds the ring closed.
        self.tail.fetch_or(CLOSED, Ordering::Release) & CLOSED == 0
    }

    /// Returns whether the ring is closed. Items may be left.
    pub fn is_closed(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `close`.
        self.tail.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Returns whether the ring is closed, no item is left and pushes are not diverted.
    pub fn is_drained(&self) -> bool {
        // ORDERING: Acquire: a caller that finds the last item gone sees what its popper did
        // before.
        let tail = self.tail.load(Ordering::Acquire);
        let head = self.head.load(Ordering::Acquire);
        tail & (CLOSED | DIVERTED) == CLOSED && tail & !FLAGS == head & !FLAGS
    }

    /// Returns the number of items, with those on their way in. A snapshot.
    pub fn len(&self) -> usize {
        // ORDERING: Relaxed: a snapshot. The head is read first, so items that leave in between are
        // counted.
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        self.distance(head, tail).min(self.capacity())
    }

    /// Returns whether a push would most likely find room, by the stamp that the push would read
    /// first. A snapshot.
    #[inline]
    pub fn seems_to_have_room(&self) -> bool {
        // ORDERING: Relaxed: a guess.
        let position = self.tail.load(Ordering::Relaxed) & !FLAGS;
        self.slot(position).stamp.load(Ordering::Relaxed) == position
    }

    /// Returns whether there was no room at some moment of the call.
    pub fn is_full(&self) -> bool {
        // ORDERING: Acquire: the loads come in this order. While the head stays, only pushes change
        // the number of items.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let tail = self.tail.load(Ordering::Acquire);
            let again = self.head.load(Ordering::Acquire);
            if again & !FLAGS == head & !FLAGS {
                return self.distance(head, tail) >= self.capacity();
            }
            head = again;
        }
    }

    /// Returns whether there are no items. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the largest number of items.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn slot(&self, position: usize) -> &Slot<T> {
        // The index is in range, which the compiler cannot know; its check costs less than an
        // argument for `unsafe` code would.
        &self.slots[(position & (self.lap - 1)) / STEP]
    }

    #[inline]
    fn next(&self, position: usize) -> usize {
        let index = (position & (self.lap - 1)) / STEP;
        if index + 1 < self.capacity() {
            position + STEP
        } else {
            (position & !(self.lap - 1)).wrapping_add(self.lap)
        }
    }

    /// Returns how many pushes lead from one position to a later one, also if the word has wrapped
    /// in between.
    fn distance(&self, from: usize, to: usize) -> usize {
        let within = |position| (position & (self.lap - 1)) / STEP;
        let start = |position| position & !(self.lap - 1);
        let laps = start(to).wrapping_sub(start(from)) / self.lap;
        (laps.saturating_mul(self.capacity()).saturating_add(within(to)))
            .saturating_sub(within(from))
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // An item whose destructor panics does not keep the others from being dropped.
        each(iter::from_fn(|| self.pop().ok()), drop);
    }
}

impl<T> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroUsize;

    use super::{FLAGS, NotPushed, Ring, STEP, lap_of, most_slots};

    #[test]
    fn two_laps_fit_into_a_position_however_wide_it_is() {
        for bits in [32, 64] {
            let (most, positions) = (most_slots(bits), 1_u128 << bits);
            // What `lap_of` says, in more bits than the machine has.
            let lap = |capacity: usize| (capacity as u128 + 1).next_power_of_two() * STEP as u128;
            assert_eq!(lap(most) * 2, positions, "{bits} bits");
            assert!(lap(most + 1) * 2 > positions, "{bits} bits");
            for capacity in [1, 2, 3, 4, 7, 8, 1000, most / 2, most] {
                // At least one index is left over, and laps divide the positions: the last lap ends
                // where the first begins.
                assert!(lap(capacity) > (capacity * STEP) as u128);
                assert_eq!(positions % lap(capacity), 0);
                // As docs/unsafe.md says, there are at least so many pushes before a position comes
                // again.
                let pushes = positions / lap(capacity) * capacity as u128;
                assert!(pushes >= 1 << (bits - 4), "{pushes} pushes of {capacity} in {bits} bits");
                assert!(pushes < 1 << (bits - 3), "{pushes} pushes of {capacity} in {bits} bits");
            }
        }
        assert_eq!(lap_of(most_slots(usize::BITS)), 1 << (usize::BITS - 1));
    }

    #[test]
    fn a_ring_goes_on_where_its_positions_wrap() {
        for capacity in [1, 2, 3, 7, 8] {
            let mut ring = Ring::new(NonZeroUsize::new(capacity).unwrap());
            // The last lap but one.
            let start = 0_usize.wrapping_sub(2 * ring.lap);
            *ring.head.get_mut() = start;
            *ring.tail.get_mut() = start;
            for (index, slot) in ring.slots.iter_mut().enumerate() {
                *slot.stamp.get_mut() = start + index * STEP;
            }
            let mut number = 0;
            for _ in 0..5 * capacity {
                for fill in 0..capacity {
                    assert_eq!(ring.len(), fill);
                    ring.push(number + fill).unwrap();
                }
                assert_eq!(ring.push(0), Err(NotPushed::Full(0)));
                assert_eq!(ring.len(), capacity);
                // One more item goes in and out after these, so that rounds begin at every index.
                for _ in 0..capacity {
                    assert_eq!(ring.pop().unwrap().item, number);
                    number += 1;
                }
                assert!(ring.is_empty() && ring.pop().is_err());
                ring.push(number).unwrap();
                assert_eq!(ring.pop().unwrap().item, number);
                number += 1;
            }
            let tail = ring.tail.load(super::Ordering::Relaxed) & !FLAGS;
            assert!(tail < start, "it has wrapped");
        }
    }
}
