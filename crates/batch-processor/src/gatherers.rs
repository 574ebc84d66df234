//! The one gatherer of a batcher, or, with keys, one for each key.

use alloc::boxed::Box;

use tidegate_core::Timestamp;

use crate::{
    gatherer::{Admitted, Found, Gather, Gatherer, KeyedGatherer, Refused},
    limits::Limits,
};

/// Where the items of a batcher wait.
pub(crate) struct Gatherers<T, D> {
    // INVARIANT: with `keyed`, nothing is ever in `one`, so no push is fast.
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

    /// Pushes an item, and calls `then` with the result.
    ///
    /// A fast push does not check for keys, and has its own call of `then`: if both branches shared
    /// one call, a fast push would take a sixth more instructions.
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

    /// Returns the gatherer that is in use.
    pub(crate) fn used(&mut self) -> &mut dyn Gather<T, D> {
        match &mut self.keyed {
            None => &mut self.one,
            Some(keyed) => &mut **keyed,
        }
    }

    /// Returns how many items wait.
    #[cfg(feature = "stream")]
    pub(crate) fn waiting(&self) -> usize {
        match &self.keyed {
            None => self.one.waiting(),
            Some(keyed) => keyed.waiting(),
        }
    }

    /// Returns when the next batch becomes due by its time: see [`Gather::deadline`].
    #[cfg(feature = "stream")]
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match &self.keyed {
            None => self.one.deadline(),
            Some(keyed) => keyed.deadline(),
        }
    }

    /// Returns whether a full batch waits, one that nothing can join any more.
    #[cfg(feature = "stream")]
    pub(crate) fn has_full(&self) -> bool {
        match &self.keyed {
            None => self.one.has_full(),
            Some(keyed) => keyed.has_full(),
        }
    }
}
