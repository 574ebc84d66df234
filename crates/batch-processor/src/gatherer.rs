//! Where items become batches: a state machine without clock, threads and wakers.
//!
//! ```text
//! push ──▶ open ──full──▶ full, full, … ──start──▶ running, running, … ──on_done, on_told──▶ over
//!           └──due: its time, an idle handler, a flush, a close, no room──start──▶┘
//! ```
//!
//! Its steps are told the time, and return what the driver has to do. The lock, the clock and the
//! wakers belong to its caller. So a test drives it step by step, and nothing in it can block.
//!
//! A batch that is *due* starts as soon as fewer than `max_in_flight` batches are with the handler.
//! If it is still open, it takes further items until then. Without keys batches start in the order
//! of their items. So everything before the oldest batch that is not over is over, and a flush only
//! compares its mark with the beginning of that batch, or of the items that wait if there is none.
//!
//! A batch has one deadline, set by its first item. The driver has one alarm, which may be set to
//! an earlier time but is never cancelled. If it goes off for a batch that has started already, it
//! does no harm: [`Gather::on_timer`] compares the time with the deadline, whatever has caused the
//! call. The driver is not told of a deadline for which the alarm is early enough.
//!
//! Most pushes of weight 0 (every item of a batcher that does not weigh) change nothing but the
//! open batch. `fast_pushes` says how many more of them may come, and each lowers it by one. The
//! counts that every push changes (items waiting, items let in) are worked out from the length of
//! the open batch when they are asked for.

mod batch;
mod keyed;
mod numbered;
mod state;
#[cfg(test)]
mod tests;

use core::mem;

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::Timestamp;

pub(crate) use self::{
    batch::{Abandoned, Batch, BatchId, Shed},
    keyed::{Found, ItemKey, Key, KeyedGatherer, Keys},
    state::Gather,
};
use self::{numbered::Numbered, state::GathererState};
use crate::{limits::Limits, policy::Policy, stats::Trigger};

/// Gathers `T`s into batches. Each batch carries a `D` for its callers.
#[derive(Debug)]
pub(crate) struct Gatherer<T, D> {
    // INVARIANT: this many more items that weigh 0 may be pushed without any change but to `open`.
    fast_pushes: usize,
    // INVARIANT: its items are younger than all items in `full`.
    open: Batch<T, D>,
    // INVARIANT: the batches that no item can join any more, oldest first, none empty.
    full: VecDeque<Batch<T, D>>,
    // INVARIANT: the number of items in `full`.
    sealed: usize,
    /// How many items were let in before those of the open batch.
    before_open: u64,
    // INVARIANT: numbered by the ids of the batches, which are in the order of the items.
    running: Numbered<Running<Mark>>,
    /// The length of the batch that started last: the best guess at the length of the next one.
    usual_len: usize,
    state: GathererState<T>,
}

/// Whether items are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// No more items are let in; those that wait will be processed.
    Closed,
    /// The driver was dropped: everything before the mark is over, and nothing more will be
    /// processed.
    Abandoned(Mark),
}

/// A batch that the handler has, or whose callers are being told.
#[derive(Debug, Clone, Copy)]
struct Running<P> {
    /// The mark before its items, or the lane that they come from.
    from: P,
    items: usize,
    since: Timestamp,
    is_done: bool,
}

impl<P: Copy> Running<P> {
    /// Takes note that the batch is done. Returns `from`; `None` if the batch was done already.
    fn end<T>(&mut self, state: &mut GathererState<T>, now: Timestamp, failed: usize) -> Option<P> {
        if self.is_done {
            return None;
        }
        self.is_done = true;
        state.end(self.items, self.since, now, failed);
        Some(self.from)
    }
}

/// What the driver has to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing, or only what the driver knows of already.
    Rest,
    /// Set the alarm to [`Gather::deadline`]: there is no alarm, or the alarm is later.
    Arm,
    /// Call [`Gather::start`]: a batch can start.
    Run,
}

/// An item was let in. It has this index in its batch, which carries `carried`.
#[derive(Debug)]
pub(crate) struct Admitted<'a, D> {
    pub(crate) carried: &'a mut D,
    pub(crate) index: usize,
    pub(crate) action: Action,
    /// Whether the item's lane has taken over the claim on its key.
    pub(crate) keeps_key: bool,
}

/// An item was not let in.
#[derive(Debug)]
pub(crate) struct Refused<T> {
    pub(crate) item: T,
    pub(crate) why: Refusal,
    pub(crate) action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The item would be the first of its batch, but the caller has passed no `now`.
    NoTime,
    /// The item's key has no lane, and the caller has not claimed the key.
    NoKey,
    Full,
    TooHeavy,
    Closed,
    Abandoned,
}

/// A point in the order of all items. It stands for all items that were let in before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

impl<T, D: Default> Gatherer<T, D> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            fast_pushes: 0,
            open: Batch::new(),
            full: VecDeque::new(),
            sealed: 0,
            before_open: 0,
            running: Numbered::new(),
            usual_len: 0,
            state: GathererState::new(limits),
        }
    }

    /// Lets an item in; needs `now` only if the item is the first of its batch.
    #[inline]
    pub(crate) fn push(
        &mut self,
        now: Option<Timestamp>,
        item: T,
        weight: usize,
    ) -> Result<Admitted<'_, D>, Refused<T>> {
        if !self.is_fast(weight) {
            return self.push_slowly(now, item, weight);
        }
        self.fast_pushes -= 1;
        let index = self.open.add(item, 0);
        let action = Action::Rest;
        Ok(Admitted { carried: &mut self.open.carried, index, action, keeps_key: false })
    }

    /// Returns whether an item of this weight changes nothing but the open batch.
    #[inline]
    pub(crate) fn is_fast(&self, weight: usize) -> bool {
        self.fast_pushes > 0 && weight == 0
    }

    #[cold]
    fn push_slowly(
        &mut self,
        now: Option<Timestamp>,
        item: T,
        weight: usize,
    ) -> Result<Admitted<'_, D>, Refused<T>> {
        if let Some(why) = self.refusal(now, weight) {
            // There is no room for this item although no batch is due: the open batch becomes due,
            // which makes room.
            let stuck = why == Refusal::Full && !self.has_due();
            let action = if stuck { self.make_due(Trigger::Weight) } else { Action::Rest };
            return Err(Refused { item, why, action });
        }
        let could_start = self.can_start();
        if !self.fits(weight) {
            self.seal(Trigger::Weight);
        }
        let is_first = self.open.is_empty();
        if is_first {
            self.open.begin(now.unwrap_or(Timestamp::ORIGIN), &self.state.limits);
            self.open.reserve(self.usual_len.max(1));
        }
        let index = self.open.add(item, weight);
        self.state.weight += weight;

        let is_last = if self.open.len() == self.state.limits.max_items {
            Some(Trigger::Items)
        } else {
            (self.open.weight == self.state.limits.max_weight).then_some(Trigger::Weight)
        };
        match is_last {
            Some(trigger) => self.seal(trigger),
            None if self.is_wanted() => _ = self.open.due.get_or_insert(Trigger::Idle),
            None => {}
        }
        self.fast_pushes = self.fast_pushes_now();
        let action = match self.deadline() {
            Some(deadline) if is_first => self.arm_for(deadline),
            _ => self.run_unless(could_start),
        };
        Ok(Admitted { carried: self.carried_by_the_last(), index, action, keeps_key: false })
    }

    /// Returns what the batch of the youngest item carries.
    fn carried_by_the_last(&mut self) -> &mut D {
        match self.full.back_mut() {
            Some(last) if self.open.is_empty() => &mut last.carried,
            _ => &mut self.open.carried,
        }
    }

    fn refusal(&self, now: Option<Timestamp>, weight: usize) -> Option<Refusal> {
        let is_first = self.open.is_empty() || !self.fits(weight);
        self.state.refusal(weight, self.waiting(), is_first && now.is_none())
    }

    /// Returns whether an item of this weight fits into the open batch.
    fn fits(&self, weight: usize) -> bool {
        weight <= self.state.limits.max_weight - self.open.weight
    }

    /// Returns how many more items of weight 0 can certainly be pushed before the open batch is
    /// full or wanted, or there is no room.
    fn fast_pushes_now(&self) -> usize {
        let Limits { max_items, capacity, policy, .. } = self.state.limits;
        let len = self.open.len();
        if len == 0 || self.state.is_closed() {
            return 0;
        }
        let enough = match policy {
            Policy::Balanced { min } if self.open.due.is_none() && len < min => min,
            _ => max_items,
        };
        // The open batch is not full, so `len` is below both.
        (enough - len - 1).min(capacity.saturating_sub(self.sealed + len))
    }

    /// Returns whether the policy wants the open batch to start now.
    fn is_wanted(&self) -> bool {
        let len = self.open.len();
        len > 0
            && match self.state.limits.policy {
                Policy::Size | Policy::Delay => false,
                Policy::Immediate => true,
                Policy::Balanced { min } => self.state.busy == 0 || len >= min,
            }
    }

    /// Returns how many batches wait to be handed over.
    fn batches(&self) -> usize {
        self.full.len() + usize::from(!self.open.is_empty())
    }

    /// Returns the mark before all items that wait.
    fn begin(&self) -> Mark {
        Mark(self.before_open - self.sealed as u64)
    }

    /// Returns whether a full batch waits, one that nothing can join any more.
    #[cfg(feature = "stream")]
    pub(crate) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    fn has_due(&self) -> bool {
        !self.full.is_empty() || self.open.due.is_some()
    }

    fn can_start(&self) -> bool {
        self.has_due() && !self.state.is_busy()
    }

    /// Puts the open batch behind the full ones.
    fn seal(&mut self, trigger: Trigger) {
        let mut batch = self.take_open();
        // The trigger that came first counts.
        batch.due.get_or_insert(trigger);
        self.sealed += batch.len();
        self.full.push_back(batch);
    }

    fn take_open(&mut self) -> Batch<T, D> {
        self.fast_pushes = 0;
        self.before_open += self.open.len() as u64;
        mem::take(&mut self.open)
    }

    /// Returns `Run` if a batch can start, and none could before the step. If one could before, the
    /// driver was told then. If one is due but too many run, the driver checks when one is done.
    fn run_unless(&self, could_start: bool) -> Action {
        if self.can_start() && !could_start { Action::Run } else { Action::Rest }
    }

    fn arm_for(&self, deadline: Timestamp) -> Action {
        match self.state.alarm {
            Some(alarm) if alarm <= deadline => Action::Rest,
            _ => Action::Arm,
        }
    }
}

impl<T, D: Default> Gather<T, D> for Gatherer<T, D> {
    fn state(&self) -> &GathererState<T> {
        &self.state
    }

    fn state_mut(&mut self) -> &mut GathererState<T> {
        &mut self.state
    }

    fn waiting(&self) -> usize {
        self.sealed + self.open.len()
    }

    fn over(&self) -> Mark {
        self.running.first().map_or_else(|| self.begin(), |oldest| oldest.from)
    }

    fn end(&self) -> Mark {
        Mark(self.before_open + self.open.len() as u64)
    }

    fn deadline(&self) -> Option<Timestamp> {
        let is_timed = matches!(self.state.limits.policy, Policy::Delay | Policy::Balanced { .. });
        let is_open = !self.open.is_empty() && !self.has_due() && !self.state.is_busy();
        let deadline = self.open.deadline;
        (is_timed && is_open && deadline != Timestamp::NEVER).then_some(deadline)
    }

    fn on_timer(&mut self, now: Timestamp) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.make_due(Trigger::Delay);
        }
    }

    fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        if !self.can_start() {
            return None;
        }
        let from = self.begin();
        let batch = match self.full.pop_front() {
            Some(batch) => {
                self.sealed -= batch.len();
                batch
            }
            None => self.take_open(),
        };
        let items = batch.len();
        let id = self.state.begin(&batch, now);
        self.usual_len = items;
        self.running.push(id.0, Running { from, items, since: now, is_done: false });
        // There is more room now, so the open batch may take more fast pushes.
        self.fast_pushes = self.fast_pushes_now();
        Some((id, batch))
    }

    fn on_done(&mut self, id: BatchId, now: Timestamp, failed: usize) {
        if let Some(running) = self.running.get_mut(id.0) {
            running.end(&mut self.state, now, failed);
        }
    }

    fn on_told(&mut self, id: BatchId) -> Option<Key> {
        self.running.remove(id.0);
        if self.is_wanted() {
            self.open.due.get_or_insert(Trigger::Idle);
        }
        None
    }

    fn set_limits(&mut self, limits: Limits) {
        self.state.limits = limits;
        if self.open.is_empty() {
            return;
        }
        self.open.set_delay(limits.max_delay);
        if self.open.len() >= limits.max_items {
            self.seal(Trigger::Items);
        } else if self.open.weight >= limits.max_weight {
            self.seal(Trigger::Weight);
        }
        self.fast_pushes = self.fast_pushes_now();
    }

    fn make_due(&mut self, trigger: Trigger) -> Action {
        let could_start = self.can_start();
        if !self.open.is_empty() {
            self.open.due.get_or_insert(trigger);
            self.fast_pushes = self.fast_pushes_now();
        }
        self.run_unless(could_start)
    }

    fn shed(&mut self) -> Option<(Shed<T, D>, Option<Key>)>
    where
        D: Clone,
    {
        let batch = match self.full.front_mut() {
            Some(oldest) => oldest,
            None if self.open.is_empty() => return None,
            None => &mut self.open,
        };
        let (shed, weight) = batch.shed();
        let is_empty = batch.is_empty();
        self.state.weight -= weight;
        self.state.stats.dropped += 1;
        if self.full.is_empty() {
            self.before_open += 1;
            if is_empty {
                drop(self.take_open());
            }
        } else {
            self.sealed -= 1;
            if is_empty {
                self.full.pop_front();
            }
        }
        self.fast_pushes = self.fast_pushes_now();
        Some((shed, None))
    }

    fn take_waiting(&mut self, left: &mut Vec<T>) -> Vec<Abandoned<D>> {
        let open = self.take_open();
        self.sealed = 0;
        let batches = self.full.drain(..).chain([open]);
        batches
            .map(|mut batch| {
                left.append(&mut batch.take_items());
                Abandoned { carried: batch.carried, dropped: batch.dropped }
            })
            .collect()
    }
}
