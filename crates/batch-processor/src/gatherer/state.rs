//! What a gatherer and one for each key have in common: the steps of a driver and of handles, and
//! what these count.

use core::mem;

use alloc::vec::Vec;

use tidegate_core::Timestamp;

use super::{Abandoned, Action, Batch, BatchId, Door, Key, Limits, Mark, Refusal, Shed};
use crate::{
    error::{DriverDropped, Unprocessed},
    stats::{Stats, Trigger},
    unwind::DropEach,
};

/// The state that every gatherer has.
#[derive(Debug)]
pub(crate) struct GathererState<T> {
    pub(super) limits: Limits,
    // INVARIANT: final once it is not `Open`.
    pub(super) door: Door,
    // INVARIANT: the weight of all items that wait.
    pub(super) weight: usize,
    // INVARIANT: how many batches run and are not done, and how many items these have.
    pub(super) busy: usize,
    with_the_handler: usize,
    /// How many batches have started.
    started: u64,
    /// When the driver looks, whatever happens.
    pub(super) alarm: Option<Timestamp>,
    pub(super) stats: Stats,
    /// What the driver left behind.
    left: DropEach<Vec<T>>,
}

impl<T> GathererState<T> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            door: Door::Open,
            weight: 0,
            busy: 0,
            with_the_handler: 0,
            started: 0,
            alarm: None,
            stats: Stats::default(),
            left: DropEach::default(),
        }
    }

    /// Returns why an item of this weight is refused where so many items wait. `needs_time`:
    /// whether it needs to be told the time, and was not.
    pub(super) fn refusal(
        &self,
        weight: usize,
        waiting: usize,
        needs_time: bool,
    ) -> Option<Refusal> {
        let Limits { max_weight, capacity, capacity_weight, .. } = self.limits;
        match self.door {
            Door::Closed => Some(Refusal::Closed),
            Door::Abandoned(_) => Some(Refusal::Abandoned),
            Door::Open if weight > max_weight => Some(Refusal::TooHeavy),
            Door::Open if waiting == capacity => Some(Refusal::Full),
            Door::Open if weight > capacity_weight - self.weight => Some(Refusal::Full),
            Door::Open => needs_time.then_some(Refusal::NoTime),
        }
    }

    /// Returns whether as many batches run as may.
    pub(super) fn is_busy(&self) -> bool {
        self.busy == self.limits.max_in_flight
    }

    /// Takes note of a batch that starts; returns its number.
    pub(super) fn begin<D>(&mut self, batch: &Batch<T, D>, now: Timestamp) -> BatchId {
        let id = BatchId(self.started);
        self.started += 1;
        self.weight -= batch.weight;
        self.busy += 1;
        self.with_the_handler += batch.len();
        self.stats.batches += 1;
        self.stats.count(batch.due.unwrap_or(Trigger::Items));
        self.stats.wait_time = self.stats.wait_time.saturating_add(now.since(batch.since));
        id
    }

    /// Takes note of a batch that is done, with so many items, and has run since then.
    pub(super) fn end(&mut self, items: usize, since: Timestamp, now: Timestamp, failed: bool) {
        self.busy -= 1;
        self.with_the_handler -= items;
        self.stats.done += items as u64;
        self.stats.failed += u64::from(failed);
        self.stats.run_time = self.stats.run_time.saturating_add(now.since(since));
    }

    /// Takes note that the handler is called again for a batch that runs: with all of it, or with a
    /// half.
    pub(crate) fn on_again(&mut self, is_split: bool) {
        self.stats.count_again(is_split);
    }

    /// Counts an item that was dropped instead of being let in.
    pub(crate) fn count_dropped(&mut self) {
        self.stats.dropped += 1;
    }

    /// Returns whether no item is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.door != Door::Open
    }

    /// Takes what an abandoned gatherer has left behind, in order, of each key if there are keys:
    /// the items for the first caller only, and how many the handler had.
    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        Unprocessed::new(mem::take(&mut *self.left), self.with_the_handler)
    }
}

/// A batch that starts, and its number.
pub(crate) type Started<T, D> = Option<(BatchId, Batch<T, D>)>;

/// The steps of a gatherer, but for the push.
pub(crate) trait Gather<T, D> {
    fn state(&self) -> &GathererState<T>;

    fn state_mut(&mut self) -> &mut GathererState<T>;

    /// Returns how many items wait to be handed over.
    fn waiting(&self) -> usize;

    /// The mark before which everything is done or dropped, and its callers have been told; unless
    /// the gatherer is abandoned.
    fn over(&self) -> Mark;

    /// The mark behind all items.
    fn end(&self) -> Mark;

    /// Returns when a batch becomes due by its time; `None` where that would change nothing, or
    /// never happens.
    fn deadline(&self) -> Option<Timestamp>;

    /// Looks whether a batch's time has come.
    fn on_timer(&mut self, now: Timestamp);

    /// Takes the batch out whose turn it is, if one is due and may run; it is running from now on.
    fn start(&mut self, now: Timestamp) -> Started<T, D>;

    /// Takes note that a running batch is done; its callers are told next. Says nothing about any
    /// other batch.
    fn on_done(&mut self, id: BatchId, now: Timestamp, failed: bool);

    /// Takes note that the callers of a batch that is done have been told; the driver looks next.
    /// Returns its key if nothing else of it is there: its claim is to be released.
    fn on_told(&mut self, id: BatchId) -> Option<Key>;

    /// Makes everything that is in due.
    fn make_due(&mut self, trigger: Trigger) -> Action;

    /// Drops the first item of the batch that has waited longest. Returns its key, too, if nothing
    /// else of it is there.
    fn shed(&mut self) -> Option<(Shed<T, D>, Option<Key>)>
    where
        D: Clone;

    /// Takes the batches out that will never start, and puts their items behind those in `left`.
    fn take_waiting(&mut self, left: &mut Vec<T>) -> Vec<Abandoned<D>>;

    /// Does what the driver has to do at this time: returns a batch that starts, and when to look
    /// next, whatever it hears.
    fn look(&mut self, now: Timestamp) -> (Started<T, D>, Option<Timestamp>) {
        self.on_timer(now);
        (self.start(now), self.alarm(now))
    }

    /// Returns when the driver has to look next, whatever it hears: at the latest at the deadline.
    fn alarm(&mut self, now: Timestamp) -> Option<Timestamp> {
        let deadline = self.deadline();
        let state = self.state_mut();
        let pending = state.alarm.filter(|alarm| *alarm > now);
        state.alarm = match (pending, deadline) {
            (Some(alarm), Some(deadline)) => Some(alarm.min(deadline)),
            (alarm, deadline) => alarm.or(deadline),
        };
        state.alarm
    }

    /// Makes everything that is in due; returns the mark behind it.
    fn flush(&mut self) -> (Mark, Action) {
        (self.end(), self.make_due(Trigger::Flush))
    }

    /// Returns `Ok` once everything before the mark is over, an error once it is clear that it
    /// never will be.
    fn is_done(&self, mark: Mark) -> Option<Result<(), DriverDropped>> {
        match self.state().door {
            Door::Abandoned(over) => Some(if over >= mark { Ok(()) } else { Err(DriverDropped) }),
            _ => (self.over() >= mark).then_some(Ok(())),
        }
    }

    /// Refuses items from now on; those that are in become due. Returns false if that was so
    /// already.
    fn close(&mut self) -> bool {
        if self.state().is_closed() {
            return false;
        }
        self.state_mut().door = Door::Closed;
        self.make_due(Trigger::Close);
        true
    }

    /// Returns whether it was closed and everything is done.
    fn is_over(&self) -> bool {
        self.state().door == Door::Closed && self.over() == self.end()
    }

    /// Takes note that there is no driver any more; returns the batches that will never start.
    fn abandon(&mut self) -> Vec<Abandoned<D>> {
        if self.is_over() {
            return Vec::new();
        }
        self.state_mut().door = Door::Abandoned(self.over());
        let mut left = Vec::with_capacity(self.waiting());
        let batches = self.take_waiting(&mut left);
        self.state_mut().weight = 0;
        *self.state_mut().left = left;
        batches
    }

    fn stats(&self) -> Stats {
        let (Mark(pushed), waiting, state) = (self.end(), self.waiting(), self.state());
        Stats { pushed, waiting, in_flight: state.with_the_handler, ..state.stats }
    }
}
