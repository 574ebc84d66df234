//! Brings results back into the order in which their work was begun.

use core::{mem, num::NonZeroUsize};

use alloc::collections::VecDeque;

use tidegate_core::unwind::drop_each;

/// Keeps track of work that was begun and whose results were not taken yet, at most as much as the
/// window allows. Gives the results in order, or as they finish.
///
/// Results that are given in order wait in a ring, whose slots have the sequence numbers of the
/// work. The ring takes memory for what is in it, however large the window. The slot of an item
/// that failed is removed without a result, but not before it is the first.
pub(crate) struct Reorder<T> {
    pub(crate) window: NonZeroUsize,
    /// How many items were begun, and neither taken nor failed.
    outstanding: usize,
    order: Order<T>,
}

enum Order<T> {
    Ordered {
        // INVARIANT: the first slot is not `Gone`.
        ring: VecDeque<Slot<T>>,
        /// Sequence number of the first slot.
        head: u64,
    },
    Unordered(VecDeque<T>),
}

impl<T> Drop for Order<T> {
    fn drop(&mut self) {
        // Results are foreign: even if two of them panic when they are dropped, the process must
        // not abort.
        match self {
            Self::Ordered { ring, .. } => drop_each(mem::take(ring)),
            Self::Unordered(results) => drop_each(mem::take(results)),
        }
    }
}

enum Slot<T> {
    /// In work.
    Open,
    Here(T),
    Gone,
}

impl<T> Reorder<T> {
    pub(crate) fn new(window: NonZeroUsize, ordered: bool) -> Self {
        let order = match ordered {
            true => Order::Ordered { ring: VecDeque::new(), head: 0 },
            false => Order::Unordered(VecDeque::new()),
        };
        Self { window, outstanding: 0, order }
    }

    /// Creates an empty one with the window and the order of `other`.
    pub(crate) fn like<U>(other: &Reorder<U>) -> Self {
        Self::new(other.window, matches!(other.order, Order::Ordered { .. }))
    }

    /// Returns whether one more item may be begun if `others` items share the window.
    #[inline]
    pub(crate) fn has_room_beside(&self, others: usize) -> bool {
        self.held() + others < self.window.get()
    }

    /// Returns how much of the window is taken.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        match &self.order {
            // A failed item in the middle still takes a slot of the ring.
            Order::Ordered { ring, .. } => ring.len(),
            Order::Unordered(_) => self.outstanding,
        }
    }

    /// Begins an item. Returns the sequence number by which to [`put`](Self::put) its result.
    #[inline]
    pub(crate) fn begin(&mut self) -> u64 {
        self.outstanding += 1;
        match &mut self.order {
            Order::Unordered(_) => 0,
            Order::Ordered { ring, head } => {
                ring.push_back(Slot::Open);
                *head + (ring.len() - 1) as u64
            }
        }
    }

    /// Puts the result of the work begun with `seq`; `None` if it failed.
    #[inline]
    pub(crate) fn put(&mut self, seq: u64, result: Option<T>) {
        self.outstanding -= usize::from(result.is_none());
        match &mut self.order {
            Order::Unordered(results) => {
                if let Some(result) = result {
                    results.push_back(result);
                }
            }
            Order::Ordered { ring, head } => {
                #[expect(clippy::cast_possible_truncation, reason = "a slot of the ring")]
                let slot = &mut ring[(seq - *head) as usize];
                match result {
                    Some(result) => *slot = Slot::Here(result),
                    None => {
                        *slot = Slot::Gone;
                        pass_over(ring, head);
                    }
                }
            }
        }
    }

    /// Takes the next result; `None` if there is none yet.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let result = match &mut self.order {
            Order::Unordered(results) => results.pop_front(),
            Order::Ordered { ring, head } => {
                let is_here = matches!(ring.front(), Some(Slot::Here(_)));
                match is_here.then(|| ring.pop_front()).flatten() {
                    Some(Slot::Here(result)) => {
                        *head += 1;
                        pass_over(ring, head);
                        Some(result)
                    }
                    _ => None,
                }
            }
        };
        self.outstanding -= usize::from(result.is_some());
        result
    }
}

/// Moves the head past failed items.
fn pass_over<T>(ring: &mut VecDeque<Slot<T>>, head: &mut u64) {
    while let Some(Slot::Gone) = ring.front() {
        ring.pop_front();
        *head += 1;
    }
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
            assert!(!reorder.has_room_beside(0));
            reorder.put(seqs[2], Some('c'));
            reorder.put(seqs[1], None);
            assert_eq!(reorder.pop(), None);
            assert!(!reorder.has_room_beside(0));
            reorder.put(seqs[0], Some('a'));
            assert_eq!((reorder.pop(), reorder.pop(), reorder.pop()), (Some('a'), Some('c'), None));
        }
    }
}
