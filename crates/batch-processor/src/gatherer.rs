//! Where items become batches: a machine without clock, threads and wakers.
//!
//! ```text
//! push ──▶ open ──full──▶ full, full, … ──start──▶ running, running, … ──on_done, on_told──▶ over
//!           └──due: its time, an idle handler, a flush, a close, no room──start──▶┘
//! ```
//!
//! It is told the time and says what to do; who drives it brings the lock, the clock and the
//! wakers. So a test drives it step by step, and nothing in it can block.
//!
//! A batch that is *due* starts as soon as fewer run than may, and grows until then: waiting for
//! the handler makes batches larger, never smaller. Batches start in the order of their items, so
//! what is over is everything before the oldest batch that runs, and a flush is a comparison with
//! that.
//!
//! A batch has one timer, from its first item. There is no timer to cancel and none can be stale:
//! [`Gatherer::on_timer`] looks at the time, not at who called it. An alarm that was set for an
//! earlier batch is kept until it rings; while it is early enough for the next batch, the driver
//! need not be told of that.
//!
//! Most pushes change nothing but the open batch: for how many that is so is a number,
//! `fast_pushes`, which such a push counts down. Every other count is worked out from the length of
//! the batch when it is asked for.

mod batch;
mod keyed;
mod numbered;
#[cfg(test)]
mod tests;

use core::{mem, time::Duration};

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::Timestamp;

use self::numbered::Numbered;
pub(crate) use self::{
    batch::{Abandoned, Batch, BatchId, Shed},
    keyed::{Found, ItemKey, Key, KeyedGatherer, Keys},
};
use crate::{
    error::{DriverDropped, Unprocessed},
    policy::Policy,
    stats::{Stats, Trigger},
    unwind::DropEach,
};

/// What a batch and the line of batches may hold. `usize::MAX` weight means that items are not
/// weighed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_items: usize,
    pub(crate) max_weight: usize,
    pub(crate) max_delay: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) policy: Policy,
    /// Whether each item's weight is kept, so that it can be dropped again.
    pub(crate) keeps_weights: bool,
    // INVARIANT: at least `max_items`, so a line without room holds a batch that is full.
    pub(crate) capacity: usize,
    // INVARIANT: at least `max_weight`, so whatever fits into a batch fits into the empty line.
    pub(crate) capacity_weight: usize,
}

/// Gathers `T`s; each batch carries a `D` for whoever waits for it.
#[derive(Debug)]
pub(crate) struct Gatherer<T, D> {
    // INVARIANT: so many more items may be pushed, if they weigh nothing, without any change but to
    // `open`.
    fast_pushes: usize,
    // INVARIANT: younger than all of `full`.
    open: Batch<T, D>,
    limits: Limits,
    // INVARIANT: oldest first, none empty; nothing can join them any more.
    full: VecDeque<Batch<T, D>>,
    // INVARIANT: the sums over `full`, and over `open` for the weight.
    sealed: usize,
    weight: usize,
    /// Items that were let in before the open batch.
    before_open: u64,
    // INVARIANT: by their ids, which is the order of their items; `busy` of them are not done, and
    // have so many items.
    running: Numbered<Running>,
    busy: usize,
    with_the_handler: usize,
    /// When the driver looks, whatever happens.
    alarm: Option<Timestamp>,
    // INVARIANT: final once it is not `Open`.
    door: Door,
    /// What the driver left behind.
    left: DropEach<Vec<T>>,
    /// How many batches have started.
    started: u64,
    /// Length of the batch that started last: the best guess at the next one's.
    usual_len: usize,
    stats: Stats,
}

/// Whether items are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// No more items; those that are in will be processed.
    Closed,
    /// The driver was dropped: nothing behind the mark will ever be processed.
    Abandoned(Mark),
}

/// A batch that the handler has, or whose callers are being told.
#[derive(Debug, Clone, Copy)]
struct Running {
    /// Where its items begin.
    from: Mark,
    items: usize,
    since: Timestamp,
    is_done: bool,
}

/// What the driver has to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing that it does not know of already.
    Rest,
    /// Come back at [`Gatherer::deadline`], which is earlier than its alarm.
    Arm,
    /// Call [`Gatherer::start`]; or, when everything is done, end.
    Run,
}

/// An item was let in, as the one with this index in a batch that carries this.
#[derive(Debug)]
pub(crate) struct Admitted<'a, D> {
    pub(crate) carried: &'a mut D,
    pub(crate) index: usize,
    pub(crate) action: Action,
    /// Whether the lane has taken over the key that was claimed for the item.
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
    /// The item would be the first of its batch, and nobody said what time it is.
    NoTime,
    /// The item's key has no place, and none was claimed for it.
    NoKey,
    Full,
    TooHeavy,
    Closed,
    Abandoned,
}

/// A point in the order of all items: everything that was let in before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

impl<T, D: Default> Gatherer<T, D> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            fast_pushes: 0,
            open: Batch::new(),
            limits,
            full: VecDeque::new(),
            sealed: 0,
            weight: 0,
            before_open: 0,
            running: Numbered::new(),
            busy: 0,
            with_the_handler: 0,
            alarm: None,
            door: Door::Open,
            left: DropEach::default(),
            started: 0,
            usual_len: 0,
            stats: Stats::default(),
        }
    }

    /// Lets an item in. `now` is asked for only where an item is the first of its batch.
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
            // What fills the line is not heavy enough for a batch, and nothing can come to it
            // before something goes.
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
            self.open.begin(now.unwrap_or(Timestamp::ORIGIN), &self.limits);
            self.open.reserve(self.usual_len.max(1));
        }
        let index = self.open.add(item, weight);
        self.weight += weight;

        let is_last = if self.open.len() == self.limits.max_items {
            Some(Trigger::Items)
        } else {
            (self.open.weight == self.limits.max_weight).then_some(Trigger::Weight)
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

    /// Returns what the batch carries that the youngest item is in.
    fn carried_by_the_last(&mut self) -> &mut D {
        match self.full.back_mut() {
            Some(last) if self.open.is_empty() => &mut last.carried,
            _ => &mut self.open.carried,
        }
    }

    fn refusal(&self, now: Option<Timestamp>, weight: usize) -> Option<Refusal> {
        let Limits { max_weight, capacity, capacity_weight, .. } = self.limits;
        let is_first = self.open.is_empty() || !self.fits(weight);
        match self.door {
            Door::Closed => Some(Refusal::Closed),
            Door::Abandoned(_) => Some(Refusal::Abandoned),
            Door::Open if weight > max_weight => Some(Refusal::TooHeavy),
            Door::Open if self.waiting() == capacity => Some(Refusal::Full),
            Door::Open if weight > capacity_weight - self.weight => Some(Refusal::Full),
            Door::Open => (is_first && now.is_none()).then_some(Refusal::NoTime),
        }
    }

    /// Returns whether the open batch can bear that much more.
    fn fits(&self, weight: usize) -> bool {
        weight <= self.limits.max_weight - self.open.weight
    }

    /// Returns for how many items the open batch is certain to be neither full, nor wanted, nor
    /// without room.
    fn fast_pushes_now(&self) -> usize {
        let Limits { max_items, capacity, policy, .. } = self.limits;
        let len = self.open.len();
        if len == 0 || self.door != Door::Open {
            return 0;
        }
        let enough = match policy {
            Policy::Balanced { min } if self.open.due.is_none() && len < min => min,
            _ => max_items,
        };
        (enough - len).saturating_sub(1).min(capacity - self.waiting())
    }

    /// Returns whether the policy wants the open batch to start now.
    fn is_wanted(&self) -> bool {
        let len = self.open.len();
        len > 0
            && match self.limits.policy {
                Policy::Size | Policy::Delay => false,
                Policy::Immediate => true,
                Policy::Balanced { min } => self.busy == 0 || len >= min,
            }
    }

    /// Returns when the open batch becomes due; `None` where that would change nothing, or never
    /// happens.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let is_timed = matches!(self.limits.policy, Policy::Delay | Policy::Balanced { .. });
        let is_open = !self.open.is_empty() && !self.has_due() && !self.is_busy();
        let deadline = self.open.deadline;
        (is_timed && is_open && deadline != Timestamp::NEVER).then_some(deadline)
    }

    /// Looks whether the open batch's time has come.
    pub(crate) fn on_timer(&mut self, now: Timestamp) -> Action {
        match self.deadline() {
            Some(deadline) if now >= deadline => self.make_due(Trigger::Delay),
            _ => Action::Rest,
        }
    }

    /// Returns when the driver has to look next, whatever it hears: at the latest at the deadline.
    pub(crate) fn alarm(&mut self, now: Timestamp) -> Option<Timestamp> {
        let pending = self.alarm.filter(|alarm| *alarm > now);
        self.alarm = match (pending, self.deadline()) {
            (Some(alarm), Some(deadline)) => Some(alarm.min(deadline)),
            (alarm, deadline) => alarm.or(deadline),
        };
        self.alarm
    }

    /// Takes the oldest batch out if one is due and may run; it is running from now on.
    pub(crate) fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        if !self.can_start() {
            return None;
        }
        let from = self.line_starts_at();
        let batch = match self.full.pop_front() {
            Some(batch) => {
                self.sealed -= batch.len();
                batch
            }
            None => self.take_open(),
        };
        let items = batch.len();
        let id = BatchId(self.started);
        self.started += 1;
        self.weight -= batch.weight;
        self.usual_len = items;
        self.running.push(id.0, Running { from, items, since: now, is_done: false });
        self.busy += 1;
        self.with_the_handler += items;
        self.stats.batches += 1;
        self.stats.count(batch.due.unwrap_or(Trigger::Items));
        self.stats.wait_time = self.stats.wait_time.saturating_add(now.since(batch.since));
        // There is more room for the open batch.
        self.fast_pushes = self.fast_pushes_now();
        Some((id, batch))
    }

    /// Takes note that a running batch is done; its callers are told next. Says nothing about any
    /// other batch.
    pub(crate) fn on_done(&mut self, id: BatchId, now: Timestamp, failed: bool) {
        let running = self.running.get_mut(id.0);
        if let Some(running) = running.filter(|running| !running.is_done) {
            running.is_done = true;
            self.busy -= 1;
            self.with_the_handler -= running.items;
            self.stats.done += running.items as u64;
            self.stats.failed += u64::from(failed);
            self.stats.run_time = self.stats.run_time.saturating_add(now.since(running.since));
        }
    }

    /// Takes note that the handler is called again for a batch that runs: with all of it, or with a
    /// half.
    pub(crate) fn on_again(&mut self, is_split: bool) {
        self.stats.count_again(is_split);
    }

    /// Takes note that the callers of a batch that is done have been told.
    pub(crate) fn on_told(&mut self, id: BatchId) -> Action {
        self.running.remove(id.0);
        if self.is_wanted() && self.busy == 0 {
            self.open.due.get_or_insert(Trigger::Idle);
        }
        match self.deadline() {
            Some(deadline) => self.arm_for(deadline),
            None if self.can_start() || self.is_over() => Action::Run,
            None => Action::Rest,
        }
    }

    /// Makes everything that is in due; returns the mark behind it.
    pub(crate) fn flush(&mut self) -> (Mark, Action) {
        (self.line_ends_at(), self.make_due(Trigger::Flush))
    }

    /// Returns `Ok` once everything before the mark is over, an error once it is clear that it
    /// never will be.
    pub(crate) fn is_done(&self, mark: Mark) -> Option<Result<(), DriverDropped>> {
        if self.over() >= mark {
            return Some(Ok(()));
        }
        matches!(self.door, Door::Abandoned(_)).then_some(Err(DriverDropped))
    }

    /// Everything before it is done or dropped, and its callers have been told.
    fn over(&self) -> Mark {
        match self.door {
            Door::Abandoned(mark) => mark,
            _ => self.running.first().map_or_else(|| self.line_starts_at(), |oldest| oldest.from),
        }
    }

    /// Returns whether nothing waits.
    #[cfg(feature = "stream")]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Returns whether a batch waits that nothing can join any more.
    #[cfg(feature = "stream")]
    pub(crate) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Drops the item that has waited longest.
    pub(crate) fn shed(&mut self) -> Option<Shed<T, D>>
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
        self.weight -= weight;
        self.stats.dropped += 1;
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
        Some(shed)
    }

    /// Counts an item that was dropped instead of being let in.
    pub(crate) fn count_dropped(&mut self) {
        self.stats.dropped += 1;
    }

    /// Refuses items from now on; those that are in become due. Returns `None` if that was so
    /// already.
    pub(crate) fn close(&mut self) -> Option<Action> {
        if self.door != Door::Open {
            return None;
        }
        self.door = Door::Closed;
        self.fast_pushes = 0;
        let action = self.make_due(Trigger::Close);
        Some(if self.is_over() { Action::Run } else { action })
    }

    /// Returns whether no item is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.door != Door::Open
    }

    /// Returns whether it was closed and everything is done.
    pub(crate) fn is_over(&self) -> bool {
        self.door == Door::Closed && self.over() == self.line_ends_at()
    }

    /// Takes note that there is no driver any more; returns the batches that will never start.
    pub(crate) fn abandon(&mut self) -> Vec<Abandoned<D>> {
        if self.is_over() {
            return Vec::new();
        }
        self.door = Door::Abandoned(self.over());
        let waiting = self.waiting();
        self.left.reserve_exact(waiting);
        let open = self.take_open();
        (self.sealed, self.weight) = (0, 0);
        let batches = self.full.drain(..).chain([open]);
        batches
            .map(|mut batch| {
                self.left.append(&mut batch.take_items());
                Abandoned { carried: batch.carried, dropped: batch.dropped }
            })
            .collect()
    }

    /// Takes what an abandoned line has left behind: the items for the first caller only, and how
    /// many the handler had.
    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        Unprocessed::new(mem::take(&mut *self.left), self.with_the_handler)
    }

    pub(crate) fn stats(&self) -> Stats {
        let Mark(pushed) = self.line_ends_at();
        Stats { pushed, waiting: self.waiting(), in_flight: self.with_the_handler, ..self.stats }
    }

    /// Returns how many batches wait to be handed over.
    fn batches(&self) -> usize {
        self.full.len() + usize::from(!self.open.is_empty())
    }

    /// Returns how many items wait to be handed over.
    fn waiting(&self) -> usize {
        self.sealed + self.open.len()
    }

    fn line_starts_at(&self) -> Mark {
        Mark(self.before_open - self.sealed as u64)
    }

    fn line_ends_at(&self) -> Mark {
        Mark(self.before_open + self.open.len() as u64)
    }

    fn has_due(&self) -> bool {
        !self.full.is_empty() || self.open.due.is_some()
    }

    /// Returns whether as many batches run as may.
    fn is_busy(&self) -> bool {
        self.busy == self.limits.max_in_flight
    }

    fn can_start(&self) -> bool {
        self.has_due() && !self.is_busy()
    }

    /// Puts the open batch behind the full ones.
    fn seal(&mut self, trigger: Trigger) {
        let mut batch = self.take_open();
        // What came first counts.
        batch.due.get_or_insert(trigger);
        self.sealed += batch.len();
        self.full.push_back(batch);
    }

    fn take_open(&mut self) -> Batch<T, D> {
        self.fast_pushes = 0;
        self.before_open += self.open.len() as u64;
        mem::take(&mut self.open)
    }

    fn make_due(&mut self, trigger: Trigger) -> Action {
        let could_start = self.can_start();
        if !self.open.is_empty() {
            self.open.due.get_or_insert(trigger);
            self.fast_pushes = self.fast_pushes_now();
        }
        self.run_unless(could_start)
    }

    /// The driver looks by itself when a batch is done, and was told of what could start before.
    fn run_unless(&self, could_start: bool) -> Action {
        if self.can_start() && !could_start { Action::Run } else { Action::Rest }
    }

    fn arm_for(&self, deadline: Timestamp) -> Action {
        match self.alarm {
            Some(alarm) if alarm <= deadline => Action::Rest,
            _ => Action::Arm,
        }
    }
}
