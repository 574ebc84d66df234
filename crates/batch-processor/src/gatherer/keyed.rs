//! A gatherer for each key, and whose turn it is.
//!
//! ```text
//! push ─▶ the lane of its key ──its first batch──▶ timers ──rings──▶ ready ──start──▶ running ──on_told──┐
//!          ▲   │                                                       ▲                                 │
//!          │   └──a batch is full, a flush, the close──────────────────┘◀──another batch is due──────────┤
//!          └── free ◀──────────────────────────the lane is empty: its key is given back──────────────────┘
//! ```
//!
//! A lane is a [`Gatherer`] with one batch in flight, so each key has its order, its timer and its
//! batch. Lanes that can start stand in line: a key with many items has its turn as often as one
//! with few.
//!
//! All items have a number, in the order in which they came; each batch remembers that of its
//! first. Lanes that hold something are sorted by that of their oldest batch: everything before the
//! first of these is over, so a mark is a number here, too. Lanes in which something waits are
//! sorted once more by the oldest batch that does.
//!
//! No step looks at all keys, but the one that finds the driver gone. What is asked of all of them
//! together is kept as a sum, a count or an order, and set right lane by lane, when something has
//! changed there ([`KeyedGatherer::refresh`]).

use core::{
    mem,
    ops::{Index, IndexMut},
};

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};
use tidegate_core::Timestamp;

use super::{
    Abandoned, Action, Admitted, Batch, BatchId, Door, Gatherer, Limits, Mark, Numbered, Refusal,
    Refused, Shed,
};
use crate::{
    error::{DriverDropped, Unprocessed},
    stats::{Stats, Trigger},
    steps,
    unwind::DropEach,
};

/// The place of a key, and the number that tells it from those that had the place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) place: usize,
    pub(crate) id: u64,
}

/// Knows the places of keys. Its code is foreign, and runs with no lock held.
pub(crate) trait Keys<T>: Send + Sync {
    /// Returns the place that the item's key had a moment ago.
    fn find(&self, item: &T) -> Option<Key>;

    /// Returns the place of the item's key, which stays its own until it was released as often as
    /// claimed.
    fn claim(&self, item: &T) -> Key;

    /// Ends a claim.
    fn release(&self, key: Key);
}

/// What is known of an item's key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Nothing,
    /// The place that it had a moment ago.
    Seen(Key),
    Claimed(Key),
}

/// The key of an item that is on its way in. A claim that no lane has taken over ends with it.
pub(crate) struct ItemKey<'a, T> {
    keys: Option<&'a dyn Keys<T>>,
    found: Found,
}

impl<'a, T> ItemKey<'a, T> {
    /// Looks for the key of an item, if there are keys.
    #[inline]
    pub(crate) fn of(keys: Option<&'a dyn Keys<T>>, item: &T) -> Self {
        let found = match keys.and_then(|keys| keys.find(item)) {
            Some(key) => Found::Seen(key),
            None => Found::Nothing,
        };
        Self { keys, found }
    }

    #[inline]
    pub(crate) fn found(&self) -> Found {
        self.found
    }

    pub(crate) fn claim(&mut self, item: &T) {
        if let Some(keys) = self.keys {
            self.found = Found::Claimed(keys.claim(item));
        }
    }

    /// Leaves the claim to a lane, until its batches are over.
    #[inline]
    pub(crate) fn keep(&mut self) {
        self.found = Found::Nothing;
    }
}

impl<T> Drop for ItemKey<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let (Some(keys), Found::Claimed(key)) = (self.keys, self.found) {
            keys.release(key);
        }
    }
}

/// Gathers `T`s by key.
pub(crate) struct KeyedGatherer<T, D> {
    limits: Limits,
    // INVARIANT: by the places of their keys.
    keyed: Rows<KeyGatherer<T, D>>,
    // INVARIANT: the lanes that can start, in the order of their turns.
    ready: BTreeSet<(u64, usize)>,
    /// The number of the last turn.
    turns: u64,
    // INVARIANT: of each lane that has one, its deadline.
    timers: BTreeSet<(Timestamp, usize)>,
    // INVARIANT: of each lane that is not empty, the number of the first item of its oldest batch.
    oldest: BTreeSet<(u64, usize)>,
    // INVARIANT: the same of its oldest batch that waits.
    first_waiting: BTreeSet<(u64, usize)>,
    // INVARIANT: the same of its open batch, if that holds something and is not due.
    gathering: BTreeSet<(u64, usize)>,
    // INVARIANT: by their ids; one for each lane at most; `busy` of them are not done.
    running: Numbered<Running>,
    busy: usize,
    // INVARIANT: the sums over the lanes: of items, of their weights, and of lanes of which a batch
    // is due, or full.
    waiting: usize,
    with_the_handler: usize,
    weight: usize,
    due: usize,
    #[cfg(feature = "stream")]
    full: usize,
    pushed: u64,
    started: u64,
    alarm: Option<Timestamp>,
    door: Door,
    /// What the driver left behind.
    left: DropEach<Vec<T>>,
    // INVARIANT: the sums over the lanes, but of what is counted above.
    stats: Stats,
}

struct KeyGatherer<T, D> {
    // INVARIANT: the number of the key that the lane has a claim to: there is one if and only if
    // the lane is not empty.
    key: Option<u64>,
    gatherer: Gatherer<T, D>,
    // INVARIANT: the number of the first item of each batch, also of the one that runs.
    begins: VecDeque<u64>,
    entries: Entries,
}

/// What is reached by its place, and only so: nobody goes through all of them.
struct Rows<V>(Vec<V>);

impl<V> Index<usize> for Rows<V> {
    type Output = V;

    fn index(&self, place: usize) -> &V {
        steps::step();
        &self.0[place]
    }
}

impl<V> IndexMut<usize> for Rows<V> {
    fn index_mut(&mut self, place: usize) -> &mut V {
        steps::step();
        &mut self.0[place]
    }
}

/// As what a lane stands in the orders and counts of all lanes.
#[derive(Default)]
struct Entries {
    ready: Option<u64>,
    deadline: Option<Timestamp>,
    first_waiting: Option<u64>,
    gathering: Option<u64>,
    is_due: bool,
    #[cfg(feature = "stream")]
    is_full: bool,
}

/// A batch that the handler has, or whose callers are being told.
struct Running {
    place: usize,
    in_lane: BatchId,
    items: usize,
    is_done: bool,
}

/// Changes a lane's entry in an order.
fn enter<V: Ord + Copy>(
    order: &mut BTreeSet<(V, usize)>,
    place: usize,
    entry: &mut Option<V>,
    new: Option<V>,
) {
    if *entry == new {
        return;
    }
    if let Some(old) = mem::replace(entry, new) {
        order.remove(&(old, place));
    }
    order.extend(new.map(|new| (new, place)));
}

/// Changes a lane's part in a count.
fn count(number: &mut usize, counted: &mut bool, new: bool) {
    *number = *number + usize::from(new) - usize::from(mem::replace(counted, new));
}

impl<T, D: Default> KeyedGatherer<T, D> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            keyed: Rows(Vec::new()),
            ready: BTreeSet::new(),
            turns: 0,
            timers: BTreeSet::new(),
            oldest: BTreeSet::new(),
            first_waiting: BTreeSet::new(),
            gathering: BTreeSet::new(),
            running: Numbered::new(),
            busy: 0,
            waiting: 0,
            with_the_handler: 0,
            weight: 0,
            due: 0,
            #[cfg(feature = "stream")]
            full: 0,
            pushed: 0,
            started: 0,
            alarm: None,
            door: Door::Open,
            left: DropEach::default(),
            stats: Stats::default(),
        }
    }

    /// Lets an item in. `now` is asked for only where an item is the first of its batch, a claim
    /// where its key has no lane.
    pub(crate) fn push(
        &mut self,
        now: Option<Timestamp>,
        found: Found,
        item: T,
        weight: usize,
    ) -> Result<Admitted<'_, D>, Refused<T>> {
        let could_start = self.can_start();
        let known = match found {
            Found::Seen(key) | Found::Claimed(key) if self.is_of(key) => Some(key),
            _ => None,
        };
        if let Some(why) = self.refusal(now, weight, known.is_some()) {
            // Nothing can come to any batch before something goes.
            let is_stuck = why == Refusal::Full && self.due == 0;
            if let Some(place) = self.longest_waiting().filter(|_| is_stuck) {
                self.keyed[place].gatherer.make_due(Trigger::Weight);
                self.refresh(place);
            }
            return Err(Refused { item, why, action: self.action(could_start) });
        }
        let (Key { place, id }, keeps_key) = match (known, found) {
            (Some(known), _) => (known, false),
            (None, Found::Claimed(claimed)) => (claimed, true),
            (None, _) => return Err(Refused { item, why: Refusal::NoKey, action: Action::Rest }),
        };
        if keeps_key {
            while self.keyed.0.len() <= place {
                self.add_lane();
            }
            self.keyed[place].key = Some(id);
        }
        let index = match self.keyed[place].gatherer.push(now, item, weight) {
            Ok(Admitted { index, .. }) => index,
            // An empty lane asks for the time, which is known then.
            Err(refused) => return Err(Refused { action: Action::Rest, ..refused }),
        };
        if index == 0 {
            let lane = &mut self.keyed[place];
            if lane.begins.is_empty() {
                self.oldest.insert((self.pushed, place));
            }
            lane.begins.push_back(self.pushed);
        }
        self.pushed += 1;
        self.waiting += 1;
        self.weight += weight;
        self.refresh(place);
        let action = self.action(could_start);
        let carried = self.keyed[place].gatherer.carried_by_the_last();
        Ok(Admitted { carried, index, action, keeps_key })
    }

    /// Returns whether the lane at a key's place is its own.
    fn is_of(&self, key: Key) -> bool {
        steps::step();
        self.keyed.0.get(key.place).is_some_and(|lane| lane.key == Some(key.id))
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

    fn add_lane(&mut self) {
        let gatherer = Gatherer::new(Limits { max_in_flight: 1, ..self.limits });
        let begins = VecDeque::new();
        self.keyed.0.push(KeyGatherer { key: None, gatherer, begins, entries: Entries::default() });
    }

    /// Looks which batches' time has come.
    pub(crate) fn on_timer(&mut self, now: Timestamp) -> Action {
        let could_start = self.can_start();
        while let Some(&(deadline, place)) = self.timers.first() {
            if deadline > now {
                break;
            }
            self.keyed[place].gatherer.on_timer(now);
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

    #[cfg(feature = "stream")]
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the oldest batch of the lane whose turn it is, if one may run.
    pub(crate) fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        if !self.can_start() {
            return None;
        }
        let (_, place) = *self.ready.first()?;
        let lane = &mut self.keyed[place];
        let (in_lane, batch) = lane.gatherer.start(now)?;
        let id = BatchId(self.started);
        self.started += 1;
        let items = batch.len();
        self.waiting -= items;
        self.weight -= batch.weight;
        self.running.push(id.0, Running { place, in_lane, items, is_done: false });
        self.busy += 1;
        self.with_the_handler += items;
        self.collect(place);
        self.refresh(place);
        Some((id, batch))
    }

    /// Takes note that a running batch is done; its callers are told next.
    pub(crate) fn on_done(&mut self, id: BatchId, now: Timestamp, failed: bool) {
        let running = self.running.get_mut(id.0);
        if let Some(running) = running.filter(|running| !running.is_done) {
            running.is_done = true;
            let place = running.place;
            self.busy -= 1;
            self.with_the_handler -= running.items;
            self.keyed[place].gatherer.on_done(running.in_lane, now, failed);
            self.collect(place);
        }
    }

    /// Takes note that the handler is called again for a batch that runs.
    pub(crate) fn on_again(&mut self, is_split: bool) {
        self.stats.count_again(is_split);
    }

    /// Takes note that the callers of a batch that is done have been told. Returns its key if
    /// nothing else of it is there: its claim is to be released.
    pub(crate) fn on_told(&mut self, id: BatchId) -> (Action, Option<Key>) {
        let mut unused = None;
        if let Some(Running { place, in_lane, .. }) = self.running.remove(id.0) {
            self.keyed[place].gatherer.on_told(in_lane);
            unused = self.end_batch(place, 0);
            self.refresh(place);
        }
        let is_due = self.can_start() || self.is_over();
        (if is_due { Action::Run } else { self.action(false) }, unused)
    }

    /// Makes everything that is in due; returns the mark behind it.
    pub(crate) fn flush(&mut self) -> (Mark, Action) {
        (Mark(self.pushed), self.make_all_due(Trigger::Flush))
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
        self.full > 0
    }

    /// Drops the first item of the batch that has waited longest. Returns its key, too, if nothing
    /// else of it is there.
    pub(crate) fn shed(&mut self) -> Option<(Shed<T, D>, Option<Key>)>
    where
        D: Clone,
    {
        let place = self.longest_waiting()?;
        let lane = &mut self.keyed[place];
        let weight = lane.gatherer.weight;
        let shed = lane.gatherer.shed()?;
        let mut unused = None;
        self.waiting -= 1;
        self.weight -= weight - lane.gatherer.weight;
        let batches = lane.gatherer.running.len() + lane.gatherer.batches();
        if batches < lane.begins.len() {
            let is_gone = lane.gatherer.running.len();
            unused = self.end_batch(place, is_gone);
        }
        self.collect(place);
        self.refresh(place);
        Some((shed, unused))
    }

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
        let action = self.make_all_due(Trigger::Close);
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
        self.left.reserve_exact(self.waiting);
        (self.waiting, self.weight, self.due) = (0, 0, 0);
        self.ready.clear();
        self.timers.clear();
        self.first_waiting.clear();
        self.gathering.clear();
        let mut batches = Vec::new();
        for (_, place) in &self.oldest {
            let gatherer = &mut self.keyed[*place].gatherer;
            batches.append(&mut gatherer.abandon());
            self.left.append(&mut gatherer.left);
        }
        batches
    }

    /// Takes what has been left behind, key by key.
    pub(crate) fn leftovers(&mut self) -> Unprocessed<T> {
        Unprocessed::new(mem::take(&mut *self.left), self.with_the_handler)
    }

    pub(crate) fn stats(&self) -> Stats {
        let (waiting, in_flight) = (self.waiting, self.with_the_handler);
        Stats { pushed: self.pushed, waiting, in_flight, ..self.stats }
    }

    /// Returns the lane of the batch that has waited longest.
    fn longest_waiting(&self) -> Option<usize> {
        self.first_waiting.first().map(|(_, place)| *place)
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

    /// Looks only at the lanes where something is made due: each batch is that once.
    fn make_all_due(&mut self, trigger: Trigger) -> Action {
        let could_start = self.can_start();
        // In the order in which they came.
        while let Some((_, place)) = self.gathering.first().copied() {
            self.keyed[place].gatherer.make_due(trigger);
            self.refresh(place);
        }
        self.action(could_start)
    }

    /// Puts a lane where it belongs, in every order and count, after a change of its gatherer or of
    /// `begins`.
    fn refresh(&mut self, place: usize) {
        let KeyGatherer { gatherer, begins, entries, .. } = &mut self.keyed[place];
        let can_start = gatherer.can_start();
        let turn = entries.ready.filter(|_| can_start).or_else(|| {
            self.turns += u64::from(can_start);
            can_start.then_some(self.turns)
        });
        let first_waiting = begins.get(gatherer.running.len()).copied();
        let is_gathering = !gatherer.open.is_empty() && gatherer.open.due.is_none();
        let gathering = begins.back().copied().filter(|_| is_gathering);
        enter(&mut self.ready, place, &mut entries.ready, turn);
        enter(&mut self.timers, place, &mut entries.deadline, gatherer.deadline());
        enter(&mut self.first_waiting, place, &mut entries.first_waiting, first_waiting);
        enter(&mut self.gathering, place, &mut entries.gathering, gathering);
        count(&mut self.due, &mut entries.is_due, gatherer.has_due());
        #[cfg(feature = "stream")]
        count(&mut self.full, &mut entries.is_full, gatherer.has_full());
    }

    /// Adds what a lane has counted to what all have.
    fn collect(&mut self, place: usize) {
        let counted = mem::take(&mut self.keyed[place].gatherer.stats);
        self.stats = self.stats.plus(&counted);
    }

    /// Takes note that the batch of a lane with this index is over; a lane without another gives
    /// its key back.
    fn end_batch(&mut self, place: usize, index: usize) -> Option<Key> {
        let lane = &mut self.keyed[place];
        let oldest = lane.begins.front().copied();
        lane.begins.remove(index);
        let next = lane.begins.front().copied();
        if oldest != next {
            self.oldest.extend(next.map(|first| (first, place)));
            self.oldest.remove(&(oldest.unwrap_or_default(), place));
        }
        let key = self.keyed[place].key.take_if(|_| next.is_none());
        key.map(|id| Key { place, id })
    }
}

#[cfg(test)]
mod tests;
