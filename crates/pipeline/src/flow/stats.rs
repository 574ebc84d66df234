//! Statistics of a flow, while it runs and afterwards.
//!
//! The flow counts in plain fields (only the retries in an atomic), and publishes a copy at the end
//! of each poll. So counting costs an addition, and what a [`Monitor`] shows is consistent: all
//! sums are of one instant.

use core::time::Duration;

use alloc::vec::Vec;

use tidegate_core::{lock::Lock, primitive::Arc};

/// What became of the items that were read. All counts are in items of the source, whatever the
/// stages made of them.
///
/// An item that a [`flat_map`](crate::Pipeline::flat_map) turned into several has failed if one of
/// them failed, else succeeded if one of them reached the end, else it was skipped. Until the last
/// of them has left, the item is in the flow. The items of a batch share its outcome.
///
/// # Examples
///
/// ```
/// use tidegate_pipeline::{Pipeline, Wait};
///
/// let even = Pipeline::from_iter(0..10).filter("even", |n| n % 2 == 0);
/// let summary = even.run().wait().unwrap();
/// assert_eq!((summary.read, summary.succeeded, summary.skipped), (10, 5, 5));
/// assert_eq!(summary.leftover(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Items read from the source.
    pub read: u64,
    /// Items that reached the end.
    pub succeeded: u64,
    /// Items that failed in a stage whose `on_error` stops or diverts.
    pub failed: u64,
    /// Items that were filtered out, or failed in a stage whose `on_error` skips.
    pub skipped: u64,
}

impl Summary {
    /// Returns how many items were read and have not left the flow. While the flow runs, they are
    /// in it; once it has ended, they were abandoned.
    pub fn leftover(&self) -> u64 {
        self.read - self.succeeded - self.failed - self.skipped
    }

    /// Counts the outcome of an item.
    pub(crate) fn enter(&mut self, outcome: ItemOutcome) {
        match outcome {
            ItemOutcome::Skipped => self.skipped += 1,
            ItemOutcome::Succeeded => self.succeeded += 1,
            ItemOutcome::Failed => self.failed += 1,
        }
    }
}

/// How an item left the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemOutcome {
    /// Skipped. The weakest outcome: an item is skipped if all of its parts are.
    Skipped = 0,
    /// Reached the end.
    Succeeded = 1,
    /// Failed. The strongest outcome: an item has failed if one of its parts has.
    Failed = 2,
}

/// Statistics of one stage.
///
/// `busy` is counted like this: while the flow sleeps, each item that the stage has in flight adds
/// the time slept. While the flow is awake, the stage's own code adds its time, estimated from one
/// call in 32, or in 256 where calls take less than a microsecond. Work on other threads adds the
/// time that these threads measure. Times are zero without a clock (see
/// [`Pipeline::timer`](crate::Pipeline::timer)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StageStats {
    /// The stage's name.
    pub name: &'static str,
    /// How many items it can work on at once.
    pub capacity: usize,
    /// Items it took from the stage before it.
    pub received: u64,
    /// Items the next stage took from it.
    pub emitted: u64,
    /// Items it failed on, whatever `on_error` said.
    pub failed: u64,
    /// Attempts after the first of an item.
    pub retried: u64,
    /// Items it is working on.
    pub in_flight: usize,
    /// Time spent working, summed over the items.
    pub busy: Duration,
    /// Time in which it had room and no input.
    pub waiting_on_input: Duration,
    /// Time in which it waited for room in the next stage.
    pub waiting_on_output: Duration,
}

impl StageStats {
    /// Returns the busy time per unit of capacity.
    fn load(&self) -> Duration {
        self.busy / u32::try_from(self.capacity).unwrap_or(u32::MAX).max(1)
    }
}

/// Shows how a flow is doing, from any thread, while it runs and afterwards. Clones show the same
/// flow.
///
/// It shows the state in which the latest poll left the flow.
///
/// # Examples
///
/// ```
/// use tidegate_pipeline::{Pipeline, Wait};
///
/// let work = |n: u64| (0..9999 * n).fold(0, |sum, n| std::hint::black_box(sum ^ n));
/// let flow = Pipeline::from_iter(0..100).map("add", |n| n + 1).map("costly", work);
/// let monitor = flow.monitor();
/// flow.run().wait()?;
/// let stats = monitor.stats();
/// assert_eq!(stats.summary.succeeded, 100);
/// assert_eq!(stats.stages.len(), 3); // the source is the first
/// assert_eq!(monitor.bottleneck().unwrap().name, "costly");
/// # Ok::<(), tidegate_pipeline::Stopped>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Monitor {
    stats: Arc<Lock<Stats>>,
}

/// The statistics of a flow at one instant: see [`Monitor::stats`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// What became of the items so far.
    pub summary: Summary,
    /// The statistics of every stage, the source first.
    pub stages: Vec<StageStats>,
}

impl Monitor {
    /// Returns the statistics, all of one instant.
    pub fn stats(&self) -> Stats {
        self.stats.with(|stats| stats.clone())
    }

    /// Returns the stage that used the largest share of its capacity; `None` without a clock, or if
    /// no stage has been busy yet.
    ///
    /// The source is busy while the flow waits for it.
    pub fn bottleneck(&self) -> Option<StageStats> {
        let busy = self.stats().stages.into_iter().filter(|stage| !stage.busy.is_zero());
        busy.max_by_key(StageStats::load)
    }

    pub(crate) fn publish(&self, summary: Summary, stages: impl Iterator<Item = StageStats>) {
        self.stats.with(|published| {
            published.summary = summary;
            published.stages.clear();
            published.stages.extend(stages);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_a_stage_is_its_busy_time_per_unit_of_capacity() {
        let load = |capacity| {
            let stats =
                StageStats { capacity, busy: Duration::from_secs(6), ..StageStats::default() };
            stats.load().as_secs()
        };
        assert_eq!([0, 1, 3].map(load), [6, 6, 2]);
    }
}
