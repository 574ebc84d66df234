//! A gatherer for each key, and the order in which keys take turns.
//!
//! ```text
//! push ─▶ the lane of its key ──its first batch──▶ timers ──rings──▶ ready ──start──▶ running ──on_told──┐
//!          ▲   │                                                       ▲                                 │
//!          │   └──a batch is full, a flush, the close──────────────────┘◀──another batch is due──────────┤
//!          └── free ◀──────────────────────────the lane is empty: its key is given back──────────────────┘
//! ```
//!
//! A lane is a [`Gatherer`] with at most one batch in flight, so each key has its order, its timer
//! and its batch. Lanes that can start a batch take turns: a key with many items has its turn as
//! often as one with few.
//!
//! Items are numbered in the order in which they came, and the number of a batch's first item is
//! the number of the batch. Lanes that are not empty are sorted by the numbers of their oldest
//! batches. Every item with a number below the smallest of these is over, so a [`Mark`] is such a
//! number here, too. Lanes in which a batch waits are also sorted by the number of the oldest batch
//! that waits there.
//!
//! A step looks only at lanes that it changes. Only [`take_waiting`](Gather::take_waiting), when
//! the driver is gone, and [`set_limits`](Gather::set_limits) look at all. For all lanes together,
//! the gatherer keeps the sums, counts and orders that steps need; [`KeyedGatherer::refresh`]
//! updates them for each lane that has changed.

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
    Abandoned, Action, Admitted, Batch, BatchId, Gather, Gatherer, GathererState, Mark, Numbered,
    Refusal, Refused, Running, Shed,
};
use crate::{limits::Limits, stats::Trigger, steps};

/// Stands for a key: its place, and a number by which it differs from the keys that had the place
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) place: usize,
    pub(crate) id: u64,
}

/// Knows the places of keys. Its methods run foreign code, and are called with no lock held.
pub(crate) trait Keys<T>: Send + Sync {
    /// Returns the place that the item's key has, or had a moment ago; `None` if the index does not
    /// have the key.
    fn find(&self, item: &T) -> Option<Key>;

    /// Claims the item's key and returns its place. The key keeps the place until it is released as
    /// often as it was claimed.
    fn claim(&self, item: &T) -> Key;

    /// Ends a claim.
    fn release(&self, key: Key);
}

/// What the pusher of an item knows of the item's key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Nothing,
    /// The place that the key had a moment ago; the caller has no claim on the key.
    Seen(Key),
    Claimed(Key),
}

/// The key of an item that is being pushed. Its drop ends the claim, unless a lane has taken the
/// claim over.
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

    /// Hands the claim over to a lane, which ends it when all batches of the lane are over.
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
    // INVARIANT: indexed by the places of their keys.
    lanes: ByPlace<Lane<T, D>>,
    // INVARIANT: the lanes that can start, in the order of their turns.
    ready: BTreeSet<(u64, usize)>,
    /// The number of the turn that was given out last.
    turns: u64,
    // INVARIANT: the deadline of each lane that has one.
    timers: BTreeSet<(Timestamp, usize)>,
    // INVARIANT: for each lane that is not empty, the number of the first item of its oldest batch.
    oldest: BTreeSet<(u64, usize)>,
    // INVARIANT: for each lane in which a batch waits, the number of the first item of the oldest
    // such batch.
    first_waiting: BTreeSet<(u64, usize)>,
    // INVARIANT: for each lane whose open batch is not empty and not due, the number of the first
    // item of that batch.
    gathering: BTreeSet<(u64, usize)>,
    // INVARIANT: numbered by the ids of the batches; at most one batch for each lane.
    running: Numbered<Running<Source>>,
    // INVARIANT: how many items wait in all lanes, how many lanes have a batch that is due, and how
    // many have a full one.
    waiting: usize,
    due: usize,
    #[cfg(feature = "stream")]
    full: usize,
    pushed: u64,
    // INVARIANT: its statistics cover all lanes; those of the lanes' gatherers are not used.
    state: GathererState<T>,
}

struct Lane<T, D> {
    // INVARIANT: the number of the key on which the lane has a claim; `Some` if and only if the
    // lane is not empty.
    key: Option<u64>,
    gatherer: Gatherer<T, D>,
    // INVARIANT: the number of the first item of each batch, also of the one that runs, oldest
    // first.
    begins: VecDeque<u64>,
    entries: Entries,
}

/// Values that are reached only by their places, one at a time, so that tests can count the
/// accesses.
struct ByPlace<V>(Vec<V>);

impl<V> Index<usize> for ByPlace<V> {
    type Output = V;

    fn index(&self, place: usize) -> &V {
        steps::step();
        &self.0[place]
    }
}

impl<V> IndexMut<usize> for ByPlace<V> {
    fn index_mut(&mut self, place: usize) -> &mut V {
        steps::step();
        &mut self.0[place]
    }
}

/// What a lane has entered into the orders and counts of all lanes.
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

/// The lane that a batch comes from, and the number of the batch there.
#[derive(Clone, Copy)]
struct Source {
    place: usize,
    in_lane: BatchId,
}

/// Changes a lane's entry in an order to `new`.
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

/// Counts a lane in `number` if `new` is true, and no longer counts it if not.
fn count(number: &mut usize, counted: &mut bool, new: bool) {
    *number = *number + usize::from(new) - usize::from(mem::replace(counted, new));
}

/// Returns the limits of a lane.
const fn of_lane(limits: Limits) -> Limits {
    Limits { max_in_flight: 1, ..limits }
}

impl<T, D: Default> KeyedGatherer<T, D> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            lanes: ByPlace(Vec::new()),
            ready: BTreeSet::new(),
            turns: 0,
            timers: BTreeSet::new(),
            oldest: BTreeSet::new(),
            first_waiting: BTreeSet::new(),
            gathering: BTreeSet::new(),
            running: Numbered::new(),
            waiting: 0,
            due: 0,
            #[cfg(feature = "stream")]
            full: 0,
            pushed: 0,
            state: GathererState::new(limits),
        }
    }

    /// Lets an item in; needs `now` only if the item is the first of its batch, and a claim only if
    /// the item's key has no lane.
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
        if let Some(why) =
            self.state.refusal(weight, self.waiting, known.is_none() && now.is_none())
        {
            // There is no room and no batch is due: the oldest batch becomes due, which makes room.
            let is_stuck = why == Refusal::Full && self.due == 0;
            if let Some(place) = self.longest_waiting().filter(|_| is_stuck) {
                self.lanes[place].gatherer.make_due(Trigger::Weight);
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
            while self.lanes.0.len() <= place {
                self.add_lane();
            }
            self.lanes[place].key = Some(id);
        }
        let Admitted { index, .. } = self.lanes[place].gatherer.push(now, item, weight)?;
        if index == 0 {
            let lane = &mut self.lanes[place];
            if lane.begins.is_empty() {
                self.oldest.insert((self.pushed, place));
            }
            lane.begins.push_back(self.pushed);
        }
        self.pushed += 1;
        self.waiting += 1;
        self.state.weight += weight;
        self.refresh(place);
        let action = self.action(could_start);
        let carried = self.lanes[place].gatherer.carried_by_the_last();
        Ok(Admitted { carried, index, action, keeps_key })
    }

    /// Returns whether the lane at the place of `key` is that of `key`.
    fn is_of(&self, key: Key) -> bool {
        steps::step();
        self.lanes.0.get(key.place).is_some_and(|lane| lane.key == Some(key.id))
    }

    fn add_lane(&mut self) {
        let gatherer = Gatherer::new(of_lane(self.state.limits));
        let begins = VecDeque::new();
        self.lanes.0.push(Lane { key: None, gatherer, begins, entries: Entries::default() });
    }

    /// Returns whether a full batch waits, one that nothing can join any more.
    #[cfg(feature = "stream")]
    pub(crate) fn has_full(&self) -> bool {
        self.full > 0
    }

    /// Returns the lane of the batch that has waited longest.
    fn longest_waiting(&self) -> Option<usize> {
        self.first_waiting.first().map(|(_, place)| *place)
    }

    fn can_start(&self) -> bool {
        !self.ready.is_empty() && !self.state.is_busy()
    }

    fn action(&self, could_start: bool) -> Action {
        if self.can_start() && !could_start {
            return Action::Run;
        }
        match (self.timers.first(), self.state.alarm) {
            (None, _) => Action::Rest,
            (Some((deadline, _)), Some(alarm)) if alarm <= *deadline => Action::Rest,
            _ => Action::Arm,
        }
    }

    /// Updates a lane's entries in all orders and counts, after a change of its gatherer or of
    /// `begins`.
    fn refresh(&mut self, place: usize) {
        let Lane { gatherer, begins, entries, .. } = &mut self.lanes[place];
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

    /// Takes note that the batch at `index` of a lane is over. If the lane has no other batch,
    /// takes its key and returns it, for the caller to release the claim.
    fn end_batch(&mut self, place: usize, index: usize) -> Option<Key> {
        let lane = &mut self.lanes[place];
        let oldest = lane.begins.front().copied();
        lane.begins.remove(index);
        let next = lane.begins.front().copied();
        if oldest != next {
            self.oldest.extend(next.map(|first| (first, place)));
            self.oldest.remove(&(oldest.unwrap_or_default(), place));
        }
        let key = self.lanes[place].key.take_if(|_| next.is_none());
        key.map(|id| Key { place, id })
    }
}

impl<T, D: Default> Gather<T, D> for KeyedGatherer<T, D> {
    fn state(&self) -> &GathererState<T> {
        &self.state
    }

    fn state_mut(&mut self) -> &mut GathererState<T> {
        &mut self.state
    }

    fn waiting(&self) -> usize {
        self.waiting
    }

    fn over(&self) -> Mark {
        Mark(self.oldest.first().map_or(self.pushed, |(first, _)| *first))
    }

    fn end(&self) -> Mark {
        Mark(self.pushed)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    fn on_timer(&mut self, now: Timestamp) {
        while let Some(&(deadline, place)) = self.timers.first() {
            if deadline > now {
                break;
            }
            self.lanes[place].gatherer.on_timer(now);
            self.refresh(place);
        }
    }

    fn start(&mut self, now: Timestamp) -> Option<(BatchId, Batch<T, D>)> {
        if !self.can_start() {
            return None;
        }
        let (_, place) = *self.ready.first()?;
        let (in_lane, batch) = self.lanes[place].gatherer.start(now)?;
        let items = batch.len();
        let id = self.state.begin(&batch, now);
        let from = Source { place, in_lane };
        self.waiting -= items;
        self.running.push(id.0, Running { from, items, since: now, is_done: false });
        self.refresh(place);
        Some((id, batch))
    }

    fn on_done(&mut self, id: BatchId, now: Timestamp, failed: usize) {
        let running = self.running.get_mut(id.0);
        let ended = running.and_then(|running| running.end(&mut self.state, now, failed));
        if let Some(Source { place, in_lane }) = ended {
            self.lanes[place].gatherer.on_done(in_lane, now, failed);
        }
    }

    fn on_told(&mut self, id: BatchId) -> Option<Key> {
        let Running { from: Source { place, in_lane }, .. } = self.running.remove(id.0)?;
        self.lanes[place].gatherer.on_told(in_lane);
        let unused = self.end_batch(place, 0);
        self.refresh(place);
        unused
    }

    fn set_limits(&mut self, limits: Limits) {
        self.state.limits = limits;
        for place in 0..self.lanes.0.len() {
            self.lanes[place].gatherer.set_limits(of_lane(limits));
            self.refresh(place);
        }
    }

    /// Looks only at the lanes whose open batch becomes due, which happens once for a batch.
    fn make_due(&mut self, trigger: Trigger) -> Action {
        let could_start = self.can_start();
        // The oldest batch first.
        while let Some((_, place)) = self.gathering.first().copied() {
            self.lanes[place].gatherer.make_due(trigger);
            self.refresh(place);
        }
        self.action(could_start)
    }

    fn shed(&mut self) -> Option<(Shed<T, D>, Option<Key>)>
    where
        D: Clone,
    {
        let place = self.longest_waiting()?;
        let lane = &mut self.lanes[place];
        let weight = lane.gatherer.state.weight;
        let (shed, _) = lane.gatherer.shed()?;
        let mut unused = None;
        self.waiting -= 1;
        self.state.weight -= weight - lane.gatherer.state.weight;
        self.state.stats.dropped += 1;
        let batches = lane.gatherer.running.len() + lane.gatherer.batches();
        if batches < lane.begins.len() {
            let is_gone = lane.gatherer.running.len();
            unused = self.end_batch(place, is_gone);
        }
        self.refresh(place);
        Some((shed, unused))
    }

    fn take_waiting(&mut self, left: &mut Vec<T>) -> Vec<Abandoned<D>> {
        (self.waiting, self.due) = (0, 0);
        self.ready.clear();
        self.timers.clear();
        self.first_waiting.clear();
        self.gathering.clear();
        let mut batches = Vec::new();
        for (_, place) in &self.oldest {
            batches.append(&mut self.lanes[*place].gatherer.take_waiting(left));
        }
        batches
    }
}

#[cfg(test)]
mod tests;
