//! Brings results back into the order in which their work was begun.

use core::{mem, num::NonZeroUsize};

use alloc::{boxed::Box, collections::VecDeque};

/// What was begun and not yet taken: at most a window's worth, in order or as it comes.
///
/// In order, results wait in a ring of a power of two of places; the place of a result is its sequence number modulo
/// that power. An item that failed leaves its place at once and is passed over.
pub(crate) struct Reorder<T> {
    window: NonZeroUsize,
    /// Begun, and neither taken nor gone.
    outstanding: usize,
    order: Order<T>,
}

enum Order<T> {
    Ordered {
        /// Allocated when the first item is begun. Its length is a power of two.
        // INVARIANT: the place of `head` is not `Gone`, and those from `tail` to `head`, a lap further, are `Open`.
        ring: Box<[Place<T>]>,
        /// Sequence number of the next result to take.
        head: u64,
        /// Sequence number of the next item to begin.
        tail: u64,
    },
    Unordered(VecDeque<T>),
}

enum Place<T> {
    /// Begun, or free.
    Open,
    Here(T),
    Gone,
}

impl<T> Reorder<T> {
    pub(crate) fn new(window: NonZeroUsize, ordered: bool) -> Self {
        let order = match ordered {
            true => Order::Ordered { ring: Box::default(), head: 0, tail: 0 },
            false => Order::Unordered(VecDeque::new()),
        };
        Self { window, outstanding: 0, order }
    }

    /// Creates the same for other results, empty.
    pub(crate) fn like<U>(other: &Reorder<U>) -> Self {
        Self::new(other.window, matches!(other.order, Order::Ordered { .. }))
    }

    /// Returns the same, empty, with a window of its own.
    pub(crate) fn with_window(&self, window: NonZeroUsize) -> Self {
        Self { window, ..Self::like(self) }
    }

    /// Returns the same, empty, with results as they finish.
    pub(crate) fn without_order(&self) -> Self {
        Self::new(self.window, false)
    }

    #[cfg(test)]
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_beside(0)
    }

    /// Returns whether one more may be begun, where `others` share the window.
    pub(crate) fn has_room_beside(&self, others: usize) -> bool {
        self.held() + others < self.window.get()
    }

    /// Returns how many places are taken.
    pub(crate) fn held(&self) -> usize {
        match &self.order {
            // What has gone from the middle still keeps its place in the ring.
            #[expect(clippy::cast_possible_truncation, reason = "no more than the window")]
            Order::Ordered { head, tail, .. } => (tail - head) as usize,
            Order::Unordered(_) => self.outstanding,
        }
    }

    /// Begins one: returns the sequence number to [`put`](Self::put) it with.
    pub(crate) fn begin(&mut self) -> u64 {
        self.outstanding += 1;
        match &mut self.order {
            Order::Unordered(_) => 0,
            Order::Ordered { ring, tail, .. } => {
                if ring.is_empty() {
                    *ring =
                        (0..self.window.get().next_power_of_two()).map(|_| Place::Open).collect();
                }
                *tail += 1;
                *tail - 1
            }
        }
    }

    /// Enters the result of what was begun with `seq`; `None` if there is none.
    pub(crate) fn put(&mut self, seq: u64, result: Option<T>) {
        self.outstanding -= usize::from(result.is_none());
        match &mut self.order {
            Order::Unordered(results) => results.extend(result),
            Order::Ordered { ring, head, .. } => {
                *place(ring, seq) = result.map_or(Place::Gone, Place::Here);
                pass_over(ring, head);
            }
        }
    }

    /// Takes the next result.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let result = match &mut self.order {
            Order::Unordered(results) => results.pop_front(),
            Order::Ordered { ring, head, tail } if head != tail => {
                match mem::replace(place(ring, *head), Place::Open) {
                    Place::Here(result) => {
                        *head += 1;
                        pass_over(ring, head);
                        Some(result)
                    }
                    Place::Open | Place::Gone => None,
                }
            }
            Order::Ordered { .. } => None,
        };
        self.outstanding -= usize::from(result.is_some());
        result
    }
}

/// Moves the head past what has gone. Ends at the tail at the latest: a place there is open.
fn pass_over<T>(ring: &mut [Place<T>], head: &mut u64) {
    while let gone @ Place::Gone = place(ring, *head) {
        *gone = Place::Open;
        *head += 1;
    }
}

fn place<T>(ring: &mut [Place<T>], seq: u64) -> &mut Place<T> {
    let mask = ring.len() - 1;
    // The mask keeps what is cut off out of it.
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
    &mut ring[seq as usize & mask]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_finishes_first() {
        let mut reorder = Reorder::new(NonZeroUsize::new(3).unwrap(), true);
        for lap in 0..4 {
            let seqs = [(); 3].map(|()| reorder.begin());
            assert_eq!(seqs, [0, 1, 2].map(|n| 3 * lap + n));
            assert!(!reorder.has_room());
            reorder.put(seqs[2], Some('c'));
            reorder.put(seqs[1], None);
            assert_eq!(reorder.pop(), None);
            assert!(!reorder.has_room());
            reorder.put(seqs[0], Some('a'));
            assert_eq!((reorder.pop(), reorder.pop(), reorder.pop()), (Some('a'), Some('c'), None));
        }
    }

    #[test]
    fn a_failure_at_the_head_lets_the_rest_through() {
        let mut reorder = Reorder::new(NonZeroUsize::new(2).unwrap(), true);
        let (first, second) = (reorder.begin(), reorder.begin());
        reorder.put(second, Some(2));
        reorder.put(first, None);
        assert_eq!(reorder.pop(), Some(2));
        assert!(reorder.has_room());
    }

    #[test]
    fn unordered_results_come_as_they_finish() {
        let mut reorder = Reorder::new(NonZeroUsize::new(2).unwrap(), false);
        let (first, second) = (reorder.begin(), reorder.begin());
        reorder.put(second, Some(2));
        assert!(!reorder.has_room());
        assert_eq!(reorder.pop(), Some(2));
        reorder.put(first, None);
        assert_eq!(reorder.pop(), None);
        assert!(reorder.has_room());
    }
}
