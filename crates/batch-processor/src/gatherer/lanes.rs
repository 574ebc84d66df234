//! A gatherer for each key, and whose turn it is.
//!
//! ```text
//! push ─▶ the lane of its key ──its first batch──▶ timers ──rings──▶ ready ──start──▶ running ──on_told──┐
//!          ▲   │                                                       ▲                                 │
//!          │   └──a batch is full, a flush, the close──────────────────┘◀──another batch is due──────────┤
//!          └── free ◀───────────────────────────the lane is empty: its key is forgotten──────────────────┘
//! ```
//!
//! A lane is a [`Gatherer`] with one batch in flight, so each key has its order, its timer and its batch. Lanes that
//! can start stand in line: a key with many items has its turn as often as one with few.
//!
//! All items have a number, in the order in which they came; each batch remembers that of its first. Lanes that hold
//! something are sorted by that of their oldest batch: everything before the first of these is over, so a mark is a
//! number here, too.

use alloc::{
    boxed::Box,
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use tidegate_core::Timestamp;

use super::{
    Abandoned, Action, Admitted, Batch, BatchId, Door, Gatherer, Limits, Mark, Refusal, Refused,
    Shed,
};
use crate::{
    error::{DriverDropped, Unprocessed},
    stats::{Stats, Trigger},
};

/// Knows the places of keys.
pub(crate) trait Keys<T>: Send {
    /// Returns the place of the item's key, if it has one.
    fn find(&self, item: &T) -> Option<usize>;

    /// Gives the item's key, which has none, this place.
    fn insert(&mut self, item: &T, place: usize);

    /// Forgets the key that has this place.
    fn forget(&mut self, place: usize);
}

/// Gathers `T`s by key.
pub(crate) struct Lanes<T, D> {
    limits: Limits,
    keys: Box<dyn Keys<T>>,
    // INVARIANT: those in `free` are empty and have no key; the others are not empty, and have one.
    lanes: Vec<Lane<T, D>>,
    free: Vec<usize>,
    // INVARIANT: the lanes that can start.
    ready: VecDeque<usize>,
    // INVARIANT: of each lane that has one, its deadline.
    timers: BTreeSet<(Timestamp, usize)>,
    // INVARIANT: of each lane that is not empty, the number of the first item of its oldest batch.
    oldest: BTreeSet<(u64, usize)>,
    // INVARIANT: one for each lane at most; `busy` of them are not done.
    running: Vec<Running>,
    busy: usize,
    // INVARIANT: the sums over the lanes.
    waiting: usize,
    weight: usize,
    pushed: u64,
    started: u64,
    alarm: Option<Timestamp>,
    door: Door,
    /// What no lane counts.
    stats: Stats,
}

struct Lane<T, D> {
    gatherer: Gatherer<T, D>,
    is_ready: bool,
    // INVARIANT: its entry in `timers`.
    deadline: Option<Timestamp>,
    // INVARIANT: the number of the first item of each batch, also of the one that runs.
    begins: VecDeque<u64>,
}

/// A batch that the handler has, or whose callers are being told.
struct Running {
    id: BatchId,
    place: usize,
    in_lane: BatchId,
    is_done: bool,
}

impl<T, D: Default> Lanes<T, D> {
    pub(crate) fn new(limits: Limits, keys: Box<dyn Keys<T>>) -> Self {
        Self {
            limits,
            keys,
            lanes: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            oldest: BTreeSet::new(),
            running: Vec::new(),
            busy: 0,
            waiting: 0,
            weight: 0,
            pushed: 0,
            started: 0,
            alarm: None,
            door: Door::Open,
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
        let could_start = self.can_start();
        let known = self.keys.find(&item);
        if let Some(why) = self.refusal(now, weight, known.is_some()) {
            if let (Refusal::Full, Some(place)) = (why, self.longest_waiting()) {
                // Nothing can come to any batch before something goes.
                if !self.has_due() {
                    self.lanes[place].gatherer.make_due(Trigger::Weight);
                    self.refresh(place);
                }
            }
            return Err(Refused { item, why, action: self.action(could_start) });
        }
        let place = known.unwrap_or_else(|| {
            let place = self.free.pop().unwrap_or_else(|| self.add_lane());
            self.keys.insert(&item, place);
            place
        });
        let (index, action) = match self.lanes[place].gatherer.push(now, item, weight) {
            Ok(Admitted { index, action, .. }) => (index, action),
            // A lane without a key was empty, so this one's is known.
            Err(refused) => return Err(Refused { action: Action::Rest, ..refused }),
        };
        if index == 0 {
            let lane = &mut self.lanes[place];
            if lane.begins.is_empty() {
                self.oldest.insert((self.pushed, place));
            }
            lane.begins.push_back(self.pushed);
        }
        self.pushed += 1;
        self.waiting += 1;
        self.weight += weight;
        if action != Action::Rest {
            self.refresh(place);
        }
        let action = self.action(could_start);
        let carried = self.lanes[place].gatherer.carried_by_the_last();
        Ok(Admitted { carried, index, action })
    }

    fn refusal(&self, now: Option<Timestamp>, weight: usize, is_known: bool) -> Option<Refusal> {
        let Limits { max_weight, capacity, capacity_weight, .. } = self.limits;
        match self.door {
            Door::Closed => Some(Refusal::Closed),
            Door::Abandoned(_) => Some(Refusal::Abandoned),
            Door::Open if weight > max_weight => Some(Refusal::TooHeavy),
            Door::Open if self.waiting == capacity => Some(Refusal::Full),
            Door::Open if weight > capacity_weight - self.weight => Some(Refusal::Full),
            Door::Open => (!is_known && now.is_none()).then_some(Refusal::NoTime),
        }
    }

    fn add_lane(&mut self) -> usize {
        let gatherer = Gatherer::new(Limits { max_in_flight: 1, ..self.limits });
        let begins = VecDeque::new();
        self.lanes.push(Lane { gatherer, is_ready: false, deadline: None, begins });
        self.lanes.len() - 1
    }

    /// Looks which batches' time has come.
    pub(crate) fn on_timer(&mut self, now: Timestamp) -> Action {
        let could_start = self.can_start();
        while let Some(&(deadline, place)) = self.timers.first() {
            if deadline > now {
                break;
            }
            self.lanes[place].gatherer.on_timer(now);
            self.refresh(place);
        }
        self.action(could_start)
    }

    /// Returns when the driver has to look next, whatever it hears.
    pub(crate) fn alarm(&mut self, now: Timestamp) -> Option<Timestamp> {
        let pending = self.alarm.filter(|alarm| *alarm > now);
        self.alarm = match (pending, self.timers.first()) {
            (Some(alarm), Some((deadline, _))) => Some(alarm.min(*deadline)),
            (alarm, deadline) => alarm.or(deadline.map(|(deadline, _)| *deadline)),
        };
        self.alarm
    }

    /// Takes the oldest batch of the lane whose turn it is, if one may run.
    pub(crate) fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        if !self.can_start() {
            return None;
        }
        let place = self.ready.pop_front()?;
        let lane = &mut self.lanes[place];
        lane.is_ready = false;
        let (in_lane, batch) = lane.gatherer.start(now)?;
        let id = BatchId(self.started);
        self.started += 1;
        self.waiting -= batch.items.len();
        self.weight -= batch.weight;
        self.running.push(Running { id, place, in_lane, is_done: false });
        self.busy += 1;
        self.refresh(place);
        Some((id, batch))
    }

    /// Takes note that a running batch is done; its callers are told next.
    pub(crate) fn on_done(&mut self, id: BatchId, now: Timestamp, failed: bool) {
        let running = self.running.iter_mut().find(|running| running.id == id);
        if let Some(running) = running.filter(|running| !running.is_done) {
            running.is_done = true;
            self.busy -= 1;
            self.lanes[running.place].gatherer.on_done(running.in_lane, now, failed);
        }
    }

    /// Takes note that the handler is called again for a batch that runs.
    pub(crate) fn on_again(&mut self, is_split: bool) {
        self.stats.count_again(is_split);
    }

    /// Takes note that the callers of a batch that is done have been told. Forgets its key if nothing else is there.
    pub(crate) fn on_told(&mut self, id: BatchId) -> Action {
        if let Some(index) = self.running.iter().position(|running| running.id == id) {
            let Running { place, in_lane, .. } = self.running.swap_remove(index);
            self.lanes[place].gatherer.on_told(in_lane);
            self.end_batch(place, 0);
            self.refresh(place);
        }
        if self.can_start() || self.is_over() { Action::Run } else { self.action(false) }
    }

    /// Makes everything that is in due; returns the mark behind it.
    pub(crate) fn flush(&mut self) -> (Mark, Action) {
        (Mark(self.pushed), self.make_all_due(|gatherer| _ = gatherer.flush()))
    }

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
            _ => Mark(self.oldest.first().map_or(self.pushed, |(first, _)| *first)),
        }
    }

    #[cfg(feature = "stream")]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    #[cfg(feature = "stream")]
    pub(crate) fn has_full(&self) -> bool {
        self.ready.iter().any(|place| self.lanes[*place].gatherer.has_full())
    }

    /// Drops the first item of the batch that has waited longest.
    pub(crate) fn shed(&mut self) -> Option<Shed<T, D>>
    where
        D: Clone,
    {
        let place = self.longest_waiting()?;
        let lane = &mut self.lanes[place];
        let weight = lane.gatherer.weight;
        let shed = lane.gatherer.shed();
        self.waiting -= 1;
        self.weight -= weight - lane.gatherer.weight;
        let batches = lane.gatherer.running.len() + lane.gatherer.batches();
        if batches < lane.begins.len() {
            let is_gone = lane.gatherer.running.len();
            self.end_batch(place, is_gone);
        }
        self.refresh(place);
        shed
    }

    pub(crate) fn count_dropped(&mut self) {
        self.stats.dropped += 1;
    }

    /// Refuses items from now on; those that are in become due. Returns `None` if that was so already.
    pub(crate) fn close(&mut self) -> Option<Action> {
        if self.door != Door::Open {
            return None;
        }
        self.door = Door::Closed;
        let action = self.make_all_due(|gatherer| _ = gatherer.close());
        Some(if self.is_over() { Action::Run } else { action })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.door != Door::Open
    }

    pub(crate) fn is_over(&self) -> bool {
        self.door == Door::Closed && self.oldest.is_empty()
    }

    /// Takes note that there is no driver any more; returns the batches that will never start.
    pub(crate) fn abandon(&mut self) -> Vec<Abandoned<D>> {
        if self.is_over() {
            return Vec::new();
        }
        self.door = Door::Abandoned(self.over());
        (self.waiting, self.weight) = (0, 0);
        self.ready.clear();
        self.timers.clear();
        self.lanes.iter_mut().flat_map(|lane| lane.gatherer.abandon()).collect()
    }

    /// Takes what has been left behind, key by key.
    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        self.oldest.iter().fold(Unprocessed::new(Vec::new(), 0), |all, (_, place)| {
            all.and(self.lanes[*place].gatherer.leftovers())
        })
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lanes.iter().fold(self.stats, |all, lane| all.plus(&lane.gatherer.stats()))
    }

    /// Returns the lane of the batch that has waited longest.
    fn longest_waiting(&self) -> Option<usize> {
        let waiting = |(place, lane): (usize, &Lane<T, D>)| {
            lane.begins.get(lane.gatherer.running.len()).map(|first| (*first, place))
        };
        let (_, place) = self.lanes.iter().enumerate().filter_map(waiting).min()?;
        Some(place)
    }

    /// Returns whether a batch is due, now or when the one before it is done.
    fn has_due(&self) -> bool {
        let is_next = |running: &Running| self.lanes[running.place].gatherer.has_due();
        !self.ready.is_empty() || self.running.iter().any(is_next)
    }

    fn can_start(&self) -> bool {
        !self.ready.is_empty() && self.busy < self.limits.max_in_flight
    }

    fn action(&self, could_start: bool) -> Action {
        if self.can_start() && !could_start {
            return Action::Run;
        }
        match (self.timers.first(), self.alarm) {
            (None, _) => Action::Rest,
            (Some((deadline, _)), Some(alarm)) if alarm <= *deadline => Action::Rest,
            _ => Action::Arm,
        }
    }

    fn make_all_due(&mut self, make_due: impl Fn(&mut Gatherer<T, D>)) -> Action {
        let could_start = self.can_start();
        // In the order in which they came.
        let places: Vec<_> = self.oldest.iter().map(|(_, place)| *place).collect();
        for place in places {
            make_due(&mut self.lanes[place].gatherer);
            self.refresh(place);
        }
        self.action(could_start)
    }

    /// Puts a lane in line, and sets its timer, as is due to it.
    fn refresh(&mut self, place: usize) {
        let lane = &mut self.lanes[place];
        let can_start = lane.gatherer.can_start();
        if can_start && !lane.is_ready {
            self.ready.push_back(place);
        } else if lane.is_ready && !can_start {
            // Its only batch was dropped.
            self.ready.retain(|ready| *ready != place);
        }
        lane.is_ready = can_start;
        let deadline = lane.gatherer.deadline();
        if deadline != lane.deadline {
            if let Some(old) = lane.deadline {
                self.timers.remove(&(old, place));
            }
            self.timers.extend(deadline.map(|deadline| (deadline, place)));
            lane.deadline = deadline;
        }
    }

    /// Takes note that the batch of a lane with this index is over; a lane without another is free.
    fn end_batch(&mut self, place: usize, index: usize) {
        let lane = &mut self.lanes[place];
        let oldest = lane.begins.front().copied();
        lane.begins.remove(index);
        let next = lane.begins.front().copied();
        if oldest != next {
            self.oldest.extend(next.map(|first| (first, place)));
            self.oldest.remove(&(oldest.unwrap_or_default(), place));
        }
        if next.is_none() {
            self.keys.forget(place);
            self.free.push(place);
        }
    }
}

#[cfg(test)]
mod tests;
