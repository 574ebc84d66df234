//! Counts what becomes of the items of a flow, and says whether more may enter.

use core::{task::Poll, time::Duration};

use alloc::vec::Vec;

use tidegate_core::unwind::contain;

use crate::error::{BoxError, PipelineError, catch_panic};

use super::{
    item::{Item, Lineage},
    meter::Meter,
    on_error::OnError,
    stats::{ItemOutcome, Monitor, Summary},
    stopped::{AfterStop, Cause, Stopped},
};

/// Identifies a stage of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageId(usize);

impl StageId {
    /// Returns this stage and those added after it, up to `last`.
    pub(crate) fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

/// Counts the items, per stage and in all, and decides when the flow stops.
#[derive(Default)]
pub(crate) struct Ledger<'h> {
    stages: Vec<Entry<'h>>,
    summary: Summary,
    pub(crate) monitor: Monitor,
    /// Why the flow stops; `None` while it goes on.
    cause: Option<Cause>,
    pub(crate) after_stop: AfterStop,
    /// How many items may be in the flow; `None` if any number may.
    pub(crate) max_in_flight: Option<u64>,
    /// Whether the flow was full when a source last asked for room in this poll.
    is_full: bool,
    /// How often a source has found the flow full; asking again in the same poll counts only if a
    /// source has found room in between.
    times_full: u64,
}

struct Entry<'h> {
    meter: Meter,
    on_error: OnError<'h>,
}

impl<'h> Ledger<'h> {
    pub(crate) fn add_stage(&mut self, name: &'static str, capacity: usize) -> StageId {
        self.stages.push(Entry { meter: Meter::new(name, capacity), on_error: OnError::Stop });
        self.publish();
        StageId(self.stages.len() - 1)
    }

    /// Sets what the stage added last does about errors.
    pub(crate) fn set_on_error(&mut self, on_error: OnError<'h>) {
        if let Some(last) = self.stages.last_mut() {
            last.on_error = on_error;
        }
    }

    /// Begins a poll after the flow was asleep for `slept`; `None` without a clock, and in the
    /// first poll.
    pub(crate) fn begin_poll(&mut self, slept: Option<Duration>) {
        self.is_full = false;
        for Entry { meter, .. } in &mut self.stages {
            if let Some(slept) = slept {
                meter.slept(slept);
            }
            // The stage counts as blocked until it finds no input.
            meter.is_blocked = true;
        }
    }

    /// Ends the run. Returns its summary, or why it stopped.
    pub(crate) fn finish(&mut self) -> Result<Summary, Stopped> {
        self.stages.iter_mut().for_each(|entry| entry.meter.stats.in_flight = 0);
        self.publish();
        match self.cause.take() {
            None => Ok(self.summary),
            Some(cause) => Err(Stopped::new(cause, self.summary)),
        }
    }

    pub(crate) fn publish(&self) {
        self.monitor.publish(self.summary, self.stages.iter().map(|entry| entry.meter.stats()));
    }

    /// Returns what has become of the items so far.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    #[inline]
    pub(crate) fn meter(&mut self, id: StageId) -> &mut Meter {
        &mut self.stages[id.0].meter
    }

    // What may enter.

    /// Returns whether the flow is stopping: then the source is no longer read.
    pub(crate) fn is_stopping(&self) -> bool {
        self.cause.is_some()
    }

    /// Returns whether the items in flight are to be dropped.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_stopping() && self.after_stop == AfterStop::Abandon
    }

    /// Returns whether one more item may enter the flow, and remembers the answer for this poll.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        let is_full = self.max_in_flight.is_some_and(|max| self.summary.leftover() >= max);
        self.times_full += u64::from(is_full && !self.is_full);
        self.is_full = is_full;
        !is_full
    }

    /// Returns whether the flow was full when a source last asked for room in this poll. A stage
    /// that gathers items must not wait for more then.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns how often a source has found the flow full; see the field. If that has changed
    /// during a poll of the stages, those that were polled before the change have not taken it into
    /// account.
    pub(crate) fn times_full(&self) -> u64 {
        self.times_full
    }

    /// Counts an item of the source.
    #[inline]
    pub(crate) fn count_read(&mut self) {
        self.summary.read += 1;
    }

    // What stages pass on.

    /// Notes that stage `id` asked the stages before it for an item and got none.
    pub(crate) fn starved(&mut self, id: StageId) {
        self.meter(id).is_blocked = false;
    }

    /// Counts an item that stage `id` emits.
    #[inline]
    pub(crate) fn count_emitted(&mut self, id: StageId) {
        self.meter(id).stats.emitted += 1;
    }

    /// Emits an item of stage `id`.
    #[inline]
    pub(crate) fn emit<T>(
        &mut self,
        id: StageId,
        lineage: Lineage,
        value: T,
    ) -> Poll<Option<Item<T>>> {
        self.count_emitted(id);
        Poll::Ready(Some(Item { lineage, value }))
    }

    // What leaves.

    /// Counts the outcome of the items that a lineage stands for.
    #[inline]
    pub(crate) fn settle(&mut self, lineage: Lineage, outcome: ItemOutcome) {
        lineage.settle(outcome, &mut self.summary);
    }

    /// Counts an item that stage `id` skips.
    pub(crate) fn skip(&mut self, id: StageId, lineage: Lineage) {
        self.meter(id).skipped += 1;
        self.settle(lineage, ItemOutcome::Skipped);
    }

    /// Counts an item that stage `id` failed on, and does what the stage's `on_error` says.
    #[cold]
    pub(crate) fn fail(&mut self, id: StageId, lineage: Lineage, cause: BoxError) {
        let Entry { meter, on_error } = &mut self.stages[id.0];
        meter.stats.failed += 1;
        let (stage, index) = (meter.stats.name, lineage.index);
        let error = PipelineError::new(stage, index, cause);
        let (outcome, stop) = match on_error {
            OnError::Stop => (ItemOutcome::Failed, Some(error)),
            OnError::Skip => {
                contain(|| drop(error));
                (ItemOutcome::Skipped, None)
            }
            OnError::Divert(handler) => {
                let panic = catch_panic(|| handler(error)).err();
                (ItemOutcome::Failed, panic.map(|panic| PipelineError::new(stage, index, panic)))
            }
        };
        self.settle(lineage, outcome);
        if let Some(error) = stop {
            self.stop(Cause::Failed(error));
        }
    }

    /// Stops the flow, unless it is stopping already.
    #[cold]
    pub(crate) fn stop(&mut self, cause: Cause) {
        match self.cause {
            None => self.cause = Some(cause),
            Some(_) => contain(|| drop(cause)),
        }
    }
}
