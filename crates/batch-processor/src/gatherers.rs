//! The one gatherer of a batcher, or one for each key.

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::Timestamp;

use crate::{
    error::{DriverDropped, Unprocessed},
    gatherer::{
        Abandoned, Action, Admitted, Batch, BatchId, Found, Gatherer, Key, KeyedGatherer, Limits,
        Mark, Refused, Shed,
    },
    stats::Stats,
};

/// Where the items of a batcher wait. Each method is [`Gatherer`]'s.
pub(crate) struct Gatherers<T, D> {
    // INVARIANT: with lanes nothing is ever in it, so no push is fast.
    one: Gatherer<T, D>,
    keyed: Option<Box<KeyedGatherer<T, D>>>,
}

impl<T, D: Default> Gatherers<T, D> {
    pub(crate) fn new(limits: Limits, is_keyed: bool) -> Self {
        Self {
            one: Gatherer::new(limits),
            keyed: is_keyed.then(|| Box::new(KeyedGatherer::new(limits))),
        }
    }

    /// Lets an item in, and goes on with what came of it.
    ///
    /// A fast push does not look at the lanes, and goes on by itself: joined with the others before
    /// `then`, it would take a sixth more instructions.
    #[inline]
    pub(crate) fn push<A>(
        &mut self,
        now: Option<Timestamp>,
        key: Found,
        item: T,
        weight: usize,
        then: impl FnOnce(Result<Admitted<'_, D>, Refused<T>>) -> A,
    ) -> A {
        if self.one.is_fast(weight) {
            then(self.one.push(now, item, weight))
        } else {
            then(self.push_slowly(now, key, item, weight))
        }
    }

    #[cold]
    fn push_slowly(
        &mut self,
        now: Option<Timestamp>,
        key: Found,
        item: T,
        weight: usize,
    ) -> Result<Admitted<'_, D>, Refused<T>> {
        match &mut self.keyed {
            None => self.one.push(now, item, weight),
            Some(keyed) => keyed.push(now, key, item, weight),
        }
    }

    pub(crate) fn on_timer(&mut self, now: Timestamp) -> Action {
        match &mut self.keyed {
            None => self.one.on_timer(now),
            Some(keyed) => keyed.on_timer(now),
        }
    }

    pub(crate) fn alarm(&mut self, now: Timestamp) -> Option<Timestamp> {
        match &mut self.keyed {
            None => self.one.alarm(now),
            Some(keyed) => keyed.alarm(now),
        }
    }

    /// Returns when a batch becomes due by its time.
    #[cfg(feature = "stream")]
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match &self.keyed {
            None => self.one.deadline(),
            Some(keyed) => keyed.deadline(),
        }
    }

    pub(crate) fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        match &mut self.keyed {
            None => self.one.start(now),
            Some(keyed) => keyed.start(now),
        }
    }

    pub(crate) fn on_done(&mut self, id: BatchId, now: Timestamp, failed: bool) {
        match &mut self.keyed {
            None => self.one.on_done(id, now, failed),
            Some(keyed) => keyed.on_done(id, now, failed),
        }
    }

    pub(crate) fn on_again(&mut self, is_split: bool) {
        match &mut self.keyed {
            None => self.one.on_again(is_split),
            Some(keyed) => keyed.on_again(is_split),
        }
    }

    /// Returns a key, too, that is to be released.
    pub(crate) fn on_told(&mut self, id: BatchId) -> (Action, Option<Key>) {
        match &mut self.keyed {
            None => (self.one.on_told(id), None),
            Some(keyed) => keyed.on_told(id),
        }
    }

    pub(crate) fn flush(&mut self) -> (Mark, Action) {
        match &mut self.keyed {
            None => self.one.flush(),
            Some(keyed) => keyed.flush(),
        }
    }

    pub(crate) fn is_done(&self, mark: Mark) -> Option<Result<(), DriverDropped>> {
        match &self.keyed {
            None => self.one.is_done(mark),
            Some(keyed) => keyed.is_done(mark),
        }
    }

    /// Returns whether nothing waits.
    #[cfg(feature = "stream")]
    pub(crate) fn is_empty(&self) -> bool {
        match &self.keyed {
            None => self.one.is_empty(),
            Some(keyed) => keyed.is_empty(),
        }
    }

    /// Returns whether a batch waits that nothing can join any more.
    #[cfg(feature = "stream")]
    pub(crate) fn has_full(&self) -> bool {
        match &self.keyed {
            None => self.one.has_full(),
            Some(keyed) => keyed.has_full(),
        }
    }

    /// Returns a key, too, that is to be released.
    pub(crate) fn shed(&mut self) -> Option<(Shed<T, D>, Option<Key>)>
    where
        D: Clone,
    {
        match &mut self.keyed {
            None => self.one.shed().map(|shed| (shed, None)),
            Some(keyed) => keyed.shed(),
        }
    }

    pub(crate) fn count_dropped(&mut self) {
        match &mut self.keyed {
            None => self.one.count_dropped(),
            Some(keyed) => keyed.count_dropped(),
        }
    }

    pub(crate) fn close(&mut self) -> Option<Action> {
        match &mut self.keyed {
            None => self.one.close(),
            Some(keyed) => keyed.close(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match &self.keyed {
            None => self.one.is_closed(),
            Some(keyed) => keyed.is_closed(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match &self.keyed {
            None => self.one.is_over(),
            Some(keyed) => keyed.is_over(),
        }
    }

    pub(crate) fn abandon(&mut self) -> Vec<Abandoned<D>> {
        match &mut self.keyed {
            None => self.one.abandon(),
            Some(keyed) => keyed.abandon(),
        }
    }

    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        match &mut self.keyed {
            None => self.one.leftovers(),
            Some(keyed) => keyed.leftovers(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        match &self.keyed {
            None => self.one.stats(),
            Some(keyed) => keyed.stats(),
        }
    }
}
