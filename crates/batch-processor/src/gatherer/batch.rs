//! Items that are handed over together.

use core::{mem, time::Duration};

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use tidegate_core::Timestamp;

use crate::{limits::Limits, stats::Trigger, unwind::DropEach};

#[derive(Debug)]
pub(crate) struct Batch<T, D> {
    // INVARIANT: older than `items`. `None` until an item is dropped; from then on, the items that
    // `shed` has moved here and not dropped.
    front: Option<Box<DropEach<VecDeque<T>>>>,
    items: DropEach<Vec<T>>,
    /// The index of the first of `items`. An index counts from the first item that was ever in the
    /// batch.
    base: usize,
    pub(crate) carried: D,
    /// How many items were dropped from its front.
    pub(crate) dropped: usize,
    pub(super) weight: usize,
    // INVARIANT: the weight of each item, if `keeps_weights`, so that items can be dropped; else
    // empty.
    weights: VecDeque<usize>,
    keeps_weights: bool,
    /// When the first item of the batch was pushed.
    pub(super) since: Timestamp,
    pub(super) deadline: Timestamp,
    /// Why the batch may start; `None` while it gathers.
    pub(super) due: Option<Trigger>,
}

/// The number of a batch, in the order in which batches start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchId(pub(super) u64);

/// An item that is to be dropped, and what its batch carries, so that its caller can be told.
#[derive(Debug)]
pub(crate) struct Shed<T, D> {
    pub(crate) item: T,
    pub(crate) carried: D,
    /// Every item of the batch with an index below this is dropped.
    pub(crate) below: usize,
}

/// What is left of a batch that will never be done, so that its callers can be told.
#[derive(Debug, PartialEq)]
pub(crate) struct Abandoned<D> {
    pub(crate) carried: D,
    /// Every item with an index below this was dropped before.
    pub(crate) dropped: usize,
}

impl<T, D> Batch<T, D> {
    /// Returns how many items are in the batch.
    pub(crate) fn len(&self) -> usize {
        self.front.as_ref().map_or(0, |front| front.len()) + self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the items out. If older items were dropped, this moves each remaining item, so the
    /// driver calls it with no lock held.
    pub(crate) fn take_items(&mut self) -> Vec<T> {
        let mut items = mem::take(&mut *self.items);
        let Some(front) = self.front.take() else { return items };
        let mut all = Vec::from(front.into_inner());
        all.append(&mut items);
        all
    }

    /// Reserves memory for so many more items.
    pub(super) fn reserve(&mut self, items: usize) {
        self.items.reserve(items);
    }

    /// Takes note of the time of the first item, and sets the deadline.
    pub(super) fn begin(&mut self, now: Timestamp, limits: &Limits) {
        self.since = now;
        self.keeps_weights = limits.keeps_weights;
        self.set_delay(limits.max_delay);
    }

    /// Sets the deadline, which counts from the first item.
    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.deadline = self.since + delay;
    }

    /// Puts an item in; returns its index.
    #[inline]
    pub(super) fn add(&mut self, item: T, weight: usize) -> usize {
        let index = self.base + self.items.len();
        self.items.push(item);
        self.weight += weight;
        if self.keeps_weights {
            self.weights.push_back(weight);
        }
        index
    }

    /// Takes the first item out, and returns it with its weight. Panics if the batch is empty.
    pub(super) fn shed(&mut self) -> (Shed<T, D>, usize)
    where
        D: Clone,
    {
        // Neither `take` nor `from` moves an item.
        let front = self.front.get_or_insert_default();
        if front.is_empty() {
            self.base += self.items.len();
            ***front = VecDeque::from(mem::take(&mut *self.items));
        }
        let item = front.pop_front().expect("the batch is not empty");
        let weight = self.weights.pop_front().unwrap_or(0);
        self.weight -= weight;
        self.dropped += 1;
        (Shed { item, carried: self.carried.clone(), below: self.dropped }, weight)
    }
}

impl<T, D: Default> Batch<T, D> {
    pub(super) fn new() -> Self {
        Self {
            front: None,
            items: DropEach::default(),
            base: 0,
            carried: D::default(),
            dropped: 0,
            weight: 0,
            weights: VecDeque::new(),
            keeps_weights: false,
            since: Timestamp::ORIGIN,
            deadline: Timestamp::NEVER,
            due: None,
        }
    }
}

impl<T, D: Default> Default for Batch<T, D> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_oldest_item_moves_none_of_the_others() {
        let mut batch = Batch::<_, ()>::new();
        (0..8).for_each(|item| assert_eq!(batch.add(item, 0), item));
        let place = &raw const batch.items[1];
        for item in 0..4 {
            assert_eq!(batch.shed().0.item, item);
            assert_eq!(batch.add(8 + item, 0), 8 + item);
        }
        assert!(core::ptr::eq(place.wrapping_add(3), &raw const batch.front.as_ref().unwrap()[0]));
        assert_eq!((batch.len(), batch.dropped), (8, 4));
        assert!(batch.take_items().into_iter().eq(4..12));
    }
}
