//! Items that are handed over together.

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::Timestamp;

use super::Limits;
use crate::stats::Trigger;

#[derive(Debug)]
pub(crate) struct Batch<T, D> {
    pub(crate) items: Vec<T>,
    pub(crate) carried: D,
    /// How many were dropped from its front: an item's index is counted from the first that ever was in the batch.
    pub(crate) dropped: usize,
    pub(super) weight: usize,
    // INVARIANT: of each item, if `keeps_weights`: so that one can be dropped. Else empty.
    weights: VecDeque<usize>,
    keeps_weights: bool,
    /// When the first item came.
    pub(super) since: Timestamp,
    pub(super) deadline: Timestamp,
    /// Why it may start, `None` while it gathers.
    pub(super) due: Option<Trigger>,
}

/// The number of a batch, in the order of their starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchId(pub(super) u64);

/// An item that was dropped, and what its batch carries, to tell its caller.
#[derive(Debug)]
pub(crate) struct Shed<T, D> {
    pub(crate) item: T,
    pub(crate) carried: D,
    /// Every item of the batch with an index below this was dropped.
    pub(crate) below: usize,
}

/// What is left of a batch that will never be done, to tell its callers.
#[derive(Debug, PartialEq)]
pub(crate) struct Abandoned<D> {
    pub(crate) carried: D,
    /// Every item with an index below this was dropped before.
    pub(crate) dropped: usize,
}

impl<T, D> Batch<T, D> {
    /// Takes note of the time of the first item.
    pub(super) fn begin(&mut self, now: Timestamp, limits: &Limits) {
        self.since = now;
        self.deadline = now + limits.max_delay;
        self.keeps_weights = limits.keeps_weights;
    }

    /// Puts an item in; returns its index.
    #[inline]
    pub(super) fn add(&mut self, item: T, weight: usize) -> usize {
        let index = self.dropped + self.items.len();
        self.items.push(item);
        self.weight += weight;
        if self.keeps_weights {
            self.weights.push_back(weight);
        }
        index
    }

    /// Takes the first item out of a batch that is not empty; returns it with its weight.
    pub(super) fn shed(&mut self) -> (Shed<T, D>, usize)
    where
        D: Clone,
    {
        let item = self.items.remove(0);
        let weight = self.weights.pop_front().unwrap_or(0);
        self.weight -= weight;
        self.dropped += 1;
        (Shed { item, carried: self.carried.clone(), below: self.dropped }, weight)
    }
}

impl<T, D: Default> Batch<T, D> {
    pub(super) fn new() -> Self {
        Self {
            items: Vec::new(),
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
