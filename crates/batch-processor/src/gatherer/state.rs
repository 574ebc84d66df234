//! What `Gatherer` and `KeyedGatherer` have in common: the steps that the driver and the handles
//! take, and the counts.

use core::mem;

use alloc::vec::Vec;

use tidegate_core::Timestamp;

use super::{Abandoned, Action, Batch, BatchId, Door, Key, Mark, Refusal, Shed};
use crate::{
    error::{DriverDropped, Unprocessed},
    limits::Limits,
    stats::{Stats, Trigger},
    unwind::DropEach,
};

/// The state that every gatherer has.
#[derive(Debug)]
pub(crate) struct GathererState<T> {
    pub(super) limits: Limits,
    // INVARIANT: once it is no longer `Open`, it never is again.
    pub(super) door: Door,
    // INVARIANT: the weight of all items that wait.
    pub(super) weight: usize,
    // INVARIANT: how many batches run and are not done, and how many items they have.
    pub(super) busy: usize,
    with_the_handler: usize,
    /// How many batches have started.
    started: u64,
    /// When the driver's alarm goes off, even if nothing happens before; `None` without an alarm.
    pub(super) alarm: Option<Timestamp>,
    pub(super) stats: Stats,
    /// The items that waited when the driver was dropped.
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

    /// Returns why an item of this weight is refused while `waiting` items wait; `None` if it is
    /// let in. `needs_time` says that the push needs the time and was not passed it.
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
            // More may wait than there is room for, after a change of the limits.
            Door::Open if waiting >= capacity => Some(Refusal::Full),
            Door::Open if weight > capacity_weight.saturating_sub(self.weight) => {
                Some(Refusal::Full)
            }
            Door::Open => needs_time.then_some(Refusal::NoTime),
        }
    }

    /// Returns whether `max_in_flight` batches run, so that none can start.
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
        let waited = now.since(batch.since);
        self.stats.wait_time = self.stats.wait_time.saturating_add(waited);
        self.stats.waits.add_wait(waited);
        self.stats.sizes.add_batch(batch.len());
        id
    }

    /// Takes note that a batch of so many items is done. It has run from `since` to `now`, and
    /// `failed` of its items have no result.
    pub(super) fn end(&mut self, items: usize, since: Timestamp, now: Timestamp, failed: usize) {
        self.busy -= 1;
        self.with_the_handler -= items;
        self.stats.done += items as u64;
        self.stats.failed += u64::from(failed > 0);
        self.stats.failed_items += failed as u64;
        self.stats.run_time = self.stats.run_time.saturating_add(now.since(since));
    }

    /// Takes note that the handler is called again for a batch that runs: for all of the same
    /// items, or, if `is_split`, for half of them.
    pub(crate) fn on_again(&mut self, is_split: bool) {
        self.stats.count_again(is_split);
    }

    /// Counts an item that is dropped instead of being let in.
    pub(crate) fn count_dropped(&mut self) {
        self.stats.dropped += 1;
    }

    /// Counts an item that its caller got back.
    pub(crate) fn count_refused(&mut self) {
        self.stats.refused += 1;
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns whether no item is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.door != Door::Open
    }

    /// Returns what the driver has left behind: the waiting items, in order (with keys, within each
    /// key), and how many items were in flight. Only the first call gets the waiting items.
    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        Unprocessed::new(mem::take(&mut *self.left), self.with_the_handler)
    }
}

/// A batch that starts, and its number.
pub(crate) type Started<T, D> = Option<(BatchId, Batch<T, D>)>;

/// The steps of a gatherer, except the push.
pub(crate) trait Gather<T, D> {
    fn state(&self) -> &GathererState<T>;

    fn state_mut(&mut self) -> &mut GathererState<T>;

    /// Returns how many items wait to be handed over.
    fn waiting(&self) -> usize;

    /// Returns the mark before which every item is done or dropped, and its caller told. Not for an
    /// abandoned gatherer, whose mark is in its `Door`.
    fn over(&self) -> Mark;

    /// Returns the mark behind all items.
    fn end(&self) -> Mark;

    /// Returns when the next batch becomes due by its time; `None` if none does. A gatherer (with
    /// keys, a lane) in which a batch is due already, or none may start, has no such time.
    fn deadline(&self) -> Option<Timestamp>;

    /// Makes due those batches whose deadlines have come.
    fn on_timer(&mut self, now: Timestamp);

    /// Starts the batch whose turn it is, if one is due and may run: takes it out, and counts it as
    /// running.
    fn start(&mut self, now: Timestamp) -> Started<T, D>;

    /// Takes note that a running batch is done, and that `failed` of its items have no result. The
    /// driver tells its callers next. Makes no other batch due.
    fn on_done(&mut self, id: BatchId, now: Timestamp, failed: usize);

    /// Takes note that the callers of a batch that is done have been told; the driver calls
    /// [`look`](Self::look) next. If the batch was the last of its lane, returns the lane's key,
    /// whose claim the driver has to release.
    fn on_told(&mut self, id: BatchId) -> Option<Key>;

    /// Judges the batches that gather by other limits. The driver looks next: what has become due,
    /// and which deadline is the first, may have changed.
    fn set_limits(&mut self, limits: Limits);

    /// Makes every waiting batch due.
    fn make_due(&mut self, trigger: Trigger) -> Action;

    /// Takes out the first item of the batch that has waited longest, to be dropped; `None` if no
    /// item waits. If that leaves the item's lane empty, also returns the lane's key, whose claim
    /// the caller has to release.
    fn shed(&mut self) -> Option<(Shed<T, D>, Option<Key>)>
    where
        D: Clone;

    /// Takes out the batches that will never start, and appends their items to `left`.
    fn take_waiting(&mut self, left: &mut Vec<T>) -> Vec<Abandoned<D>>;

    /// Does what the driver has to do at this time. Returns the batch that starts, if one does, and
    /// when the driver has to look again even if it is not notified.
    fn look(&mut self, now: Timestamp) -> (Started<T, D>, Option<Timestamp>) {
        self.on_timer(now);
        (self.start(now), self.alarm(now))
    }

    /// Sets the alarm, and returns it: when the driver has to look again even if it is not
    /// notified. The alarm is no later than the deadline.
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

    /// Makes every waiting batch due; returns the mark behind all items.
    fn flush(&mut self) -> (Mark, Action) {
        (self.end(), self.make_due(Trigger::Flush))
    }

    /// Returns `Ok` once every item before the mark is over, an error once that is impossible, and
    /// `None` before.
    fn is_done(&self, mark: Mark) -> Option<Result<(), DriverDropped>> {
        match self.state().door {
            Door::Abandoned(over) => Some(if over >= mark { Ok(()) } else { Err(DriverDropped) }),
            _ => (self.over() >= mark).then_some(Ok(())),
        }
    }

    /// Refuses items from now on, and makes every waiting batch due. Returns false if items were
    /// refused already.
    fn close(&mut self) -> bool {
        if self.state().is_closed() {
            return false;
        }
        self.state_mut().door = Door::Closed;
        self.make_due(Trigger::Close);
        true
    }

    /// Returns whether the gatherer was closed and every item is over. False for an abandoned
    /// gatherer.
    fn is_over(&self) -> bool {
        self.state().door == Door::Closed && self.over() == self.end()
    }

    /// Takes note that there is no driver any more; returns the batches that will never start. Does
    /// nothing if the gatherer `is_over`.
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
