//! The one gatherer of a batcher, or one for each key.

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::Timestamp;

use crate::{
    error::{DriverDropped, Unprocessed},
    gatherer::{
        Action, Admitted, Batch, BatchId, Gatherer, Keys, Lanes, Limits, Mark, Refused, Shed,
    },
    stats::Stats,
};

/// Where the items of a batcher wait. Each method is [`Gatherer`]'s.
#[allow(
    clippy::large_enum_variant,
    reason = "one for each batcher, and the large one is the usual"
)]
pub(crate) enum Line<T, D> {
    One(Gatherer<T, D>),
    Keyed(Box<Lanes<T, D>>),
}

impl<T, D: Default> Line<T, D> {
    pub(crate) fn new(limits: Limits, keys: Option<Box<dyn Keys<T>>>) -> Self {
        match keys {
            None => Self::One(Gatherer::new(limits)),
            Some(keys) => Self::Keyed(Box::new(Lanes::new(limits, keys))),
        }
    }

    #[inline]
    pub(crate) fn push(
        &mut self,
        now: Option<Timestamp>,
        item: T,
        weight: usize,
    ) -> Result<Admitted<'_, D>, Refused<T>> {
        match self {
            Self::One(gatherer) => gatherer.push(now, item, weight),
            Self::Keyed(lanes) => lanes.push(now, item, weight),
        }
    }

    pub(crate) fn on_timer(&mut self, now: Timestamp) -> Action {
        match self {
            Self::One(gatherer) => gatherer.on_timer(now),
            Self::Keyed(lanes) => lanes.on_timer(now),
        }
    }

    pub(crate) fn alarm(&mut self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::One(gatherer) => gatherer.alarm(now),
            Self::Keyed(lanes) => lanes.alarm(now),
        }
    }

    pub(crate) fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        match self {
            Self::One(gatherer) => gatherer.start(now),
            Self::Keyed(lanes) => lanes.start(now),
        }
    }

    pub(crate) fn on_done(&mut self, id: BatchId, now: Timestamp, failed: bool) {
        match self {
            Self::One(gatherer) => gatherer.on_done(id, now, failed),
            Self::Keyed(lanes) => lanes.on_done(id, now, failed),
        }
    }

    pub(crate) fn on_again(&mut self, is_split: bool) {
        match self {
            Self::One(gatherer) => gatherer.on_again(is_split),
            Self::Keyed(lanes) => lanes.on_again(is_split),
        }
    }

    pub(crate) fn on_told(&mut self, id: BatchId) -> Action {
        match self {
            Self::One(gatherer) => gatherer.on_told(id),
            Self::Keyed(lanes) => lanes.on_told(id),
        }
    }

    pub(crate) fn flush(&mut self) -> (Mark, Action) {
        match self {
            Self::One(gatherer) => gatherer.flush(),
            Self::Keyed(lanes) => lanes.flush(),
        }
    }

    pub(crate) fn is_done(&self, mark: Mark) -> Option<Result<(), DriverDropped>> {
        match self {
            Self::One(gatherer) => gatherer.is_done(mark),
            Self::Keyed(lanes) => lanes.is_done(mark),
        }
    }

    /// Returns whether nothing waits.
    #[cfg(feature = "stream")]
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::One(gatherer) => gatherer.is_empty(),
            Self::Keyed(lanes) => lanes.is_empty(),
        }
    }

    /// Returns whether a batch waits that nothing can join any more.
    #[cfg(feature = "stream")]
    pub(crate) fn has_full(&self) -> bool {
        match self {
            Self::One(gatherer) => gatherer.has_full(),
            Self::Keyed(lanes) => lanes.has_full(),
        }
    }

    pub(crate) fn shed(&mut self) -> Option<Shed<T, D>>
    where
        D: Clone,
    {
        match self {
            Self::One(gatherer) => gatherer.shed(),
            Self::Keyed(lanes) => lanes.shed(),
        }
    }

    pub(crate) fn count_dropped(&mut self) {
        match self {
            Self::One(gatherer) => gatherer.count_dropped(),
            Self::Keyed(lanes) => lanes.count_dropped(),
        }
    }

    pub(crate) fn close(&mut self) -> Option<Action> {
        match self {
            Self::One(gatherer) => gatherer.close(),
            Self::Keyed(lanes) => lanes.close(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::One(gatherer) => gatherer.is_closed(),
            Self::Keyed(lanes) => lanes.is_closed(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::One(gatherer) => gatherer.is_over(),
            Self::Keyed(lanes) => lanes.is_over(),
        }
    }

    pub(crate) fn abandon(&mut self) -> Vec<D> {
        match self {
            Self::One(gatherer) => gatherer.abandon(),
            Self::Keyed(lanes) => lanes.abandon(),
        }
    }

    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        match self {
            Self::One(gatherer) => gatherer.leftovers(),
            Self::Keyed(lanes) => lanes.leftovers(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        match self {
            Self::One(gatherer) => gatherer.stats(),
            Self::Keyed(lanes) => lanes.stats(),
        }
    }
}
