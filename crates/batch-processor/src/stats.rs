//! What a batcher has done so far.

use core::time::Duration;

use tidegate_core::report::Histogram;

/// A snapshot of what a [`Batcher`](crate::Batcher) has done: everything of one instant.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, Wait};
///
/// let builder = Batcher::builder().max_items(2);
/// let (batcher, driver) = builder.build_on_thread(|items: Vec<u8>| Ok::<_, ()>(items))?;
/// for n in 0..4 {
///     batcher.push(n).wait().unwrap();
/// }
/// batcher.shutdown().wait().unwrap();
/// let stats = batcher.stats();
/// assert_eq!((stats.done, stats.batches, stats.by_items), (4, 2, 2));
/// assert_eq!(stats.mean_items(), 2.0);
/// # driver.join();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Items that were accepted. Until the driver is dropped, each is done, dropped, waiting or in
    /// flight.
    pub pushed: u64,
    /// Items of batches that are done, with a result or without.
    pub done: u64,
    /// Items that wait to be handed over.
    pub waiting: usize,
    /// Items of batches that were handed over and are not done.
    pub in_flight: usize,
    /// Batches that were handed over.
    pub batches: u64,
    /// Batches of which at least one item has no result, because the handler failed.
    pub failed: u64,
    /// Items that have no result because the handler failed, in batches that are done.
    pub failed_items: u64,
    /// Times that a batch was to be tried again as a whole:
    /// [`Builder::retry`](crate::Builder::retry). Each is one more call of the handler.
    pub retries: u64,
    /// Times that a batch, or a part of one, was split:
    /// [`OnError::Bisect`](crate::OnError::Bisect). Each is two more calls of the handler.
    pub splits: u64,
    /// Items dropped because there was no room: accepted ones with
    /// [`OnFull::DropOldest`](crate::OnFull::DropOldest), ones never accepted with
    /// [`OnFull::DropNewest`](crate::OnFull::DropNewest).
    pub dropped: u64,
    /// Items that were not accepted, and that their callers got back with a
    /// [`PushError`](crate::PushError).
    pub refused: u64,
    /// Batches handed over because they had enough items.
    pub by_items: u64,
    /// Batches handed over because they were heavy enough, or because the next item was too heavy
    /// for them or found no room.
    pub by_weight: u64,
    /// Batches handed over because their first item had waited long enough.
    pub by_delay: u64,
    /// Batches handed over because a handler was free, as the [`Policy`](crate::Policy) says.
    pub by_idle: u64,
    /// Batches handed over because of a flush.
    pub by_flush: u64,
    /// Batches handed over because of the close.
    pub by_close: u64,
    /// For how long batches waited, from their first item until they were handed over, summed.
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text"))]
    pub wait_time: Duration,
    /// Those waits by their length: the buckets of
    /// [`Metric::Wait`](tidegate_core::report::Metric::bounds).
    pub waits: Histogram,
    /// Batches that were handed over by their number of items: the buckets of
    /// [`Metric::BatchItems`](tidegate_core::report::Metric::bounds).
    pub sizes: Histogram,
    /// For how long the handler ran, summed over the batches that are done. Pauses before retries
    /// count, too.
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text"))]
    pub run_time: Duration,
}

/// Why a batch was handed over. Whatever comes first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Items,
    Weight,
    Delay,
    Idle,
    Flush,
    Close,
}

impl Stats {
    /// Returns the mean number of items in the batches handed over, 0 before the first.
    #[allow(clippy::cast_precision_loss, reason = "a mean is not exact")]
    pub fn mean_items(&self) -> f64 {
        let items = self.done + self.in_flight as u64;
        if self.batches == 0 { 0.0 } else { items as f64 / self.batches as f64 }
    }

    pub(crate) fn count_again(&mut self, is_split: bool) {
        let counter = if is_split { &mut self.splits } else { &mut self.retries };
        *counter += 1;
    }

    pub(crate) fn count(&mut self, trigger: Trigger) {
        let counter = match trigger {
            Trigger::Items => &mut self.by_items,
            Trigger::Weight => &mut self.by_weight,
            Trigger::Delay => &mut self.by_delay,
            Trigger::Idle => &mut self.by_idle,
            Trigger::Flush => &mut self.by_flush,
            Trigger::Close => &mut self.by_close,
        };
        *counter += 1;
    }
}
