//! What a batch, and all waiting batches together, may hold.

use core::time::Duration;

use alloc::format;

use tidegate_core::BuildError;

use crate::policy::Policy;

/// The limits of a gatherer. If items are not weighed, `max_weight` is `usize::MAX`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_items: usize,
    pub(crate) max_weight: usize,
    pub(crate) max_delay: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) policy: Policy,
    /// Whether the weight of each item is kept, so that the item can be dropped from its batch.
    pub(crate) keeps_weights: bool,
    /// The capacity that was asked for; `None`: room for ten batches.
    pub(crate) asked_capacity: Option<usize>,
    // INVARIANT: at least `max_items`, so a `Gatherer` in which this many items wait holds a full
    // batch.
    pub(crate) capacity: usize,
    // INVARIANT: at least `max_weight`, so whatever fits into a batch fits into the empty gatherer.
    pub(crate) capacity_weight: usize,
}

impl Limits {
    /// Returns the limits with the room that follows from the others, or an error for the first one
    /// that is out of its range.
    pub(crate) fn checked(self) -> Result<Self, BuildError> {
        let Self { max_items, max_weight, max_in_flight, .. } = self;
        for (setting, limit) in
            [("max_items", max_items), ("max_weight", max_weight), ("max_in_flight", max_in_flight)]
        {
            if limit == 0 {
                return Err(BuildError::new(setting, 0, "at least 1"));
            }
        }
        match self.policy {
            Policy::Balanced { min } if min == 0 || min > max_items => {
                let range = format!("from 1 to max_items, {max_items}");
                return Err(BuildError::new("policy.min", min, range));
            }
            _ => {}
        }
        let capacity = self.asked_capacity.unwrap_or(max_items.saturating_mul(10));
        if capacity < max_items {
            let range = format!("at least max_items, {max_items}");
            return Err(BuildError::new("capacity", capacity, range));
        }
        let capacity_weight = max_weight.saturating_mul(capacity.div_ceil(max_items));
        Ok(Self { capacity, capacity_weight, ..self })
    }

    /// Returns the limits with another number of items in a batch.
    pub(crate) fn with_max_items(self, items: usize) -> Result<Self, BuildError> {
        let refuse = |range| Err(BuildError::new("max_items", items, range));
        match (self.policy, self.asked_capacity) {
            (Policy::Balanced { min }, _) if items < min => {
                refuse(format!("at least policy.min, {min}"))
            }
            (_, Some(capacity)) if items > capacity => {
                refuse(format!("at most capacity, {capacity}"))
            }
            _ => Self { max_items: items, ..self }.checked(),
        }
    }
}
