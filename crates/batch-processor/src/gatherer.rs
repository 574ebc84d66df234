//! Where items become batches: a machine without clock, threads and wakers.
//!
//! ```text
//! push ──▶ open ──full──▶ full, full, … ──start──▶ running ──on_done──▶ done
//!           └──due: its time has come, a flush, a close, no room──start──▶┘
//! ```
//!
//! It is told the time and says what to do; who drives it brings the lock, the clock and the wakers. So a test drives
//! it step by step, and nothing in it can block.
//!
//! A batch that is *due* starts as soon as none is running, and grows until then: waiting for the handler makes batches
//! larger, never smaller. Batches start in the order of their items, one at a time, so how many items are done is one
//! number, and a flush is a comparison with it.
//!
//! A batch has one timer, from its first item. There is no timer to cancel and none can be stale: [`Gatherer::on_timer`]
//! looks at the time, not at who called it.

#[cfg(test)]
mod tests;

use core::{mem, time::Duration};

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::Timestamp;

use crate::{
    error::{DriverDropped, Unprocessed},
    stats::{Stats, Trigger},
};

/// What a batch and the line of batches may hold. `usize::MAX` weight means that items are not weighed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_items: usize,
    pub(crate) max_weight: usize,
    pub(crate) max_delay: Duration,
    // INVARIANT: at least `max_items`, so a line without room holds a batch that is full.
    pub(crate) capacity: usize,
    // INVARIANT: at least `max_weight`, so whatever fits into a batch fits into the empty line.
    pub(crate) capacity_weight: usize,
}

/// Gathers `T`s; each batch carries a `D` for whoever waits for it.
#[derive(Debug)]
pub(crate) struct Gatherer<T, D> {
    limits: Limits,
    // INVARIANT: oldest first; nothing can join them any more.
    full: VecDeque<Batch<T, D>>,
    // INVARIANT: younger than all of `full`.
    open: Batch<T, D>,
    // INVARIANT: the sums over `full` and `open`.
    items: usize,
    weight: usize,
    running: Option<Running>,
    // INVARIANT: everything before it is done, and its callers have been told.
    told: Mark,
    // INVARIANT: final once it is not `Open`.
    door: Door,
    /// What the driver left behind.
    left: Vec<T>,
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
    /// The driver was dropped: nothing will ever be processed.
    Abandoned,
}

/// Items that are handed over together.
#[derive(Debug)]
pub(crate) struct Batch<T, D> {
    pub(crate) items: Vec<T>,
    pub(crate) carried: D,
    weight: usize,
    /// When the first item came.
    since: Timestamp,
    /// Why it may start, `None` while it gathers.
    due: Option<Trigger>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    id: BatchId,
    items: usize,
    since: Timestamp,
}

/// The number of a batch, in the order of their starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchId(u64);

/// What the driver has to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing that it does not know of already.
    Rest,
    /// Come back at [`Gatherer::deadline`], which has changed.
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
            limits,
            full: VecDeque::new(),
            open: Batch::new(),
            items: 0,
            weight: 0,
            running: None,
            told: Mark(0),
            door: Door::Open,
            left: Vec::new(),
            usual_len: 0,
            stats: Stats::default(),
        }
    }

    /// Lets an item in. `now` is asked for only where an item is the first of its batch.
    pub(crate) fn push(
        &mut self,
        now: Option<Timestamp>,
        item: T,
        weight: usize,
    ) -> Result<Admitted<'_, D>, Refused<T>> {
        if let Some(why) = self.refusal(now, weight) {
            // What fills the line is not heavy enough for a batch, and nothing can come to it before something goes.
            let stuck = why == Refusal::Full && !self.has_due();
            let action = if stuck { self.make_due(Trigger::Weight) } else { Action::Rest };
            return Err(Refused { item, why, action });
        }
        let had_due = self.has_due();
        if !self.fits(weight) {
            self.seal(Trigger::Weight);
        }
        let index = self.open.items.len();
        if index == 0 {
            self.open.since = now.unwrap_or(Timestamp::ORIGIN);
            self.open.items.reserve(self.usual_len.max(1));
        }
        self.open.items.push(item);
        self.open.weight += weight;
        self.items += 1;
        self.weight += weight;
        self.stats.pushed += 1;

        let is_last = if self.open.items.len() == self.limits.max_items {
            Some(Trigger::Items)
        } else {
            (self.open.weight == self.limits.max_weight).then_some(Trigger::Weight)
        };
        if let Some(trigger) = is_last {
            self.seal(trigger);
        }
        let action = match self.deadline() {
            Some(_) if index == 0 => Action::Arm,
            _ => self.run_if_newly_due(had_due),
        };
        let joined = match is_last {
            Some(_) => self.full.back_mut().unwrap_or(&mut self.open),
            None => &mut self.open,
        };
        Ok(Admitted { carried: &mut joined.carried, index, action })
    }

    fn refusal(&self, now: Option<Timestamp>, weight: usize) -> Option<Refusal> {
        let Limits { max_weight, capacity, capacity_weight, .. } = self.limits;
        let is_first = self.open.items.is_empty() || !self.fits(weight);
        match self.door {
            Door::Closed => Some(Refusal::Closed),
            Door::Abandoned => Some(Refusal::Abandoned),
            Door::Open if weight > max_weight => Some(Refusal::TooHeavy),
            Door::Open if self.items == capacity => Some(Refusal::Full),
            Door::Open if weight > capacity_weight - self.weight => Some(Refusal::Full),
            Door::Open => (is_first && now.is_none()).then_some(Refusal::NoTime),
        }
    }

    /// Returns whether the open batch can bear that much more.
    fn fits(&self, weight: usize) -> bool {
        weight <= self.limits.max_weight - self.open.weight
    }

    /// Returns when the open batch becomes due; `None` where that would change nothing, or never happens.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        if self.running.is_some() || self.has_due() || self.open.items.is_empty() {
            return None;
        }
        let deadline = self.open.since + self.limits.max_delay;
        (deadline != Timestamp::NEVER).then_some(deadline)
    }

    /// Looks whether the open batch's time has come.
    pub(crate) fn on_timer(&mut self, now: Timestamp) -> Action {
        match self.deadline() {
            Some(deadline) if now >= deadline => self.make_due(Trigger::Delay),
            _ => Action::Rest,
        }
    }

    /// Takes the oldest batch out if one is due and none is running; it is running from now on.
    pub(crate) fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        if self.running.is_some() || !self.has_due() {
            return None;
        }
        let batch = self.full.pop_front().unwrap_or_else(|| mem::take(&mut self.open));
        let items = batch.items.len();
        let id = BatchId(self.stats.batches);
        self.items -= items;
        self.weight -= batch.weight;
        self.usual_len = items;
        self.running = Some(Running { id, items, since: now });
        self.stats.batches += 1;
        self.stats.count(batch.due.unwrap_or(Trigger::Items));
        self.stats.queue_time = self.stats.queue_time.saturating_add(now.since(batch.since));
        Some((id, batch))
    }

    /// Takes note that the running batch is done; its callers are told next. Says nothing about any other batch.
    pub(crate) fn on_done(&mut self, id: BatchId, now: Timestamp, failed: bool) {
        if let Some(running) = self.running.take_if(|running| running.id == id) {
            self.stats.done += running.items as u64;
            self.stats.failures += u64::from(failed);
            self.stats.run_time = self.stats.run_time.saturating_add(now.since(running.since));
        }
    }

    /// Takes note that the callers of everything done have been told.
    pub(crate) fn on_told(&mut self) -> Action {
        self.told = Mark(self.stats.done);
        match self.deadline() {
            Some(_) => Action::Arm,
            None if self.has_due() || self.is_over() => Action::Run,
            None => Action::Rest,
        }
    }

    /// Makes everything that is in due; returns the mark behind it.
    pub(crate) fn flush(&mut self) -> (Mark, Action) {
        (Mark(self.stats.pushed), self.make_due(Trigger::Flush))
    }

    /// Returns `Ok` once everything before the mark is done, an error once it is clear that it never will be.
    pub(crate) fn is_done(&self, mark: Mark) -> Option<Result<(), DriverDropped>> {
        if self.told >= mark {
            return Some(Ok(()));
        }
        (self.door == Door::Abandoned).then_some(Err(DriverDropped))
    }

    /// Refuses items from now on; those that are in become due. Returns `None` if that was so already.
    pub(crate) fn close(&mut self) -> Option<Action> {
        if self.door != Door::Open {
            return None;
        }
        self.door = Door::Closed;
        let action = self.make_due(Trigger::Close);
        Some(if self.is_over() { Action::Run } else { action })
    }

    /// Returns whether no item is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.door != Door::Open
    }

    /// Returns whether it was closed and everything is done.
    pub(crate) fn is_over(&self) -> bool {
        self.door == Door::Closed && self.told == Mark(self.stats.pushed)
    }

    /// Takes note that there is no driver any more; returns what the batches carried that will never start.
    pub(crate) fn abandon(&mut self) -> Vec<D> {
        if self.is_over() {
            return Vec::new();
        }
        self.door = Door::Abandoned;
        self.left.reserve_exact(self.items);
        (self.items, self.weight) = (0, 0);
        let batches = self.full.drain(..).chain([mem::take(&mut self.open)]);
        batches
            .map(|mut batch| {
                self.left.append(&mut batch.items);
                batch.carried
            })
            .collect()
    }

    /// Takes what an abandoned line has left behind: the items for the first caller only, and how many the handler had.
    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        let interrupted = self.running.map_or(0, |running| running.items);
        Unprocessed::new(mem::take(&mut self.left), interrupted)
    }

    pub(crate) fn stats(&self) -> Stats {
        let running = self.running.map_or(0, |running| running.items);
        Stats { waiting: self.items, running, ..self.stats }
    }

    fn has_due(&self) -> bool {
        !self.full.is_empty() || self.open.due.is_some()
    }

    /// Puts the open batch behind the full ones.
    fn seal(&mut self, trigger: Trigger) {
        let mut batch = mem::take(&mut self.open);
        // What came first counts.
        batch.due.get_or_insert(trigger);
        self.full.push_back(batch);
    }

    fn make_due(&mut self, trigger: Trigger) -> Action {
        let had_due = self.has_due();
        if !self.open.items.is_empty() {
            self.open.due.get_or_insert(trigger);
        }
        self.run_if_newly_due(had_due)
    }

    /// The driver looks by itself when a batch is done, and was told of what was due before.
    fn run_if_newly_due(&self, had_due: bool) -> Action {
        let is_news = !had_due && self.has_due() && self.running.is_none();
        if is_news { Action::Run } else { Action::Rest }
    }
}

impl<T, D: Default> Batch<T, D> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            carried: D::default(),
            weight: 0,
            since: Timestamp::ORIGIN,
            due: None,
        }
    }
}

impl<T, D: Default> Default for Batch<T, D> {
    fn default() -> Self {
        Self::new()
    }
}
