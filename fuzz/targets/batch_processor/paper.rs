//! The reference of a batcher, written for reading: a lane of batches for each key.

use std::collections::{BTreeMap, VecDeque};

use tidegate::batch_processor::{OnFull, Policy};

/// A key, and an item of that key.
pub type Item = (u8, Load);

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub number: usize,
    pub weight: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub max_items: usize,
    pub max_weight: usize,
    pub capacity: usize,
    pub max_in_flight: usize,
    pub policy: Policy,
    pub on_full: OnFull,
    pub keyed: bool,
}

/// How long a batch gathers, in nanoseconds.
pub const DELAY: u64 = 10;

#[derive(Debug, Clone, Default)]
struct Batch {
    /// Each item with its place in the order of all admitted items.
    items: Vec<(usize, Load)>,
    /// How many items were admitted before its first item, even if that was dropped since.
    first: usize,
    since: u64,
    due: bool,
}

/// The batches of a key. The last one is open, unless it is sealed.
#[derive(Debug, Default)]
struct Lane {
    batches: VecDeque<Batch>,
    sealed: usize,
    running: usize,
}

/// A batch that the handler has.
#[derive(Debug)]
pub struct Run {
    key: u8,
    batch: Batch,
}

pub struct Paper {
    settings: Settings,
    pub now: u64,
    pub admitted: usize,
    pub closed: bool,
    lanes: BTreeMap<u8, Lane>,
    /// In the order of their starts.
    pub running: Vec<Run>,
}

/// What becomes of an item.
#[derive(Debug, PartialEq)]
pub enum Fate {
    Admitted { dropped: Vec<usize> },
    Full,
    Dropped,
    TooHeavy,
    Closed,
}

impl Batch {
    fn weight(&self) -> usize {
        self.items.iter().map(|(_, load)| load.weight).sum()
    }
}

impl Lane {
    fn open(&mut self) -> Option<&mut Batch> {
        if self.sealed == self.batches.len() { None } else { self.batches.back_mut() }
    }

    fn is_due(&self, now: u64, policy: Policy) -> bool {
        let is_timed = matches!(policy, Policy::Delay | Policy::Balanced { .. });
        let has_come = |batch: &Batch| batch.due || is_timed && now >= batch.since + DELAY;
        self.sealed > 0 || self.batches.front().is_some_and(has_come)
    }
}

impl Paper {
    pub fn new(settings: Settings) -> Self {
        let (lanes, running) = (BTreeMap::new(), Vec::new());
        Self { settings, now: 0, admitted: 0, closed: false, lanes, running }
    }

    fn batches(&self) -> impl Iterator<Item = &Batch> + Clone {
        self.lanes.values().flat_map(|lane| &lane.batches)
    }

    pub fn waiting(&self) -> Vec<usize> {
        self.batches().flat_map(|batch| &batch.items).map(|(_, load)| load.number).collect()
    }

    pub fn has_room(&self, weight: usize) -> bool {
        let Settings { max_items, max_weight, capacity, .. } = self.settings;
        let there: usize = self.batches().map(Batch::weight).sum();
        let may_weigh =
            max_weight * capacity.div_ceil(max_items) + usize::from(cfg!(feature = "wrong"));
        self.waiting().len() < capacity && there + weight <= may_weigh
    }

    pub fn push(&mut self, (key, load): Item) -> Fate {
        let Settings { max_items, max_weight, policy, on_full, .. } = self.settings;
        if self.closed {
            return Fate::Closed;
        }
        if load.weight > max_weight {
            return Fate::TooHeavy;
        }
        let mut dropped = Vec::new();
        while !self.has_room(load.weight) {
            self.unblock();
            match on_full {
                OnFull::DropOldest => dropped.push(self.shed()),
                OnFull::DropNewest => return Fate::Dropped,
                _ => return Fate::Full,
            }
        }
        let (now, first) = (self.now, self.admitted);
        let lane = self.lanes.entry(key).or_default();
        if lane.open().is_some_and(|open| open.weight() + load.weight > max_weight) {
            lane.sealed += 1;
        }
        if lane.open().is_none() {
            lane.batches.push_back(Batch { since: now, first, ..Batch::default() });
        }
        let is_idle = lane.running == 0;
        let open = lane.open().expect("just made");
        open.items.push((first, load));
        if open.items.len() == max_items || open.weight() == max_weight {
            lane.sealed += 1;
        } else {
            open.due |= match policy {
                Policy::Immediate => true,
                Policy::Balanced { min } => is_idle || open.items.len() >= min,
                _ => false,
            };
        }
        self.admitted += 1;
        Fate::Admitted { dropped }
    }

    fn oldest(&mut self) -> Option<&mut Lane> {
        let waiting = self.lanes.values_mut().filter(|lane| !lane.batches.is_empty());
        waiting.min_by_key(|lane| lane.batches[0].first)
    }

    /// To be called without room: if nothing is due, makes the oldest batch due.
    fn unblock(&mut self) {
        let (now, policy) = (self.now, self.settings.policy);
        if !self.lanes.values().any(|lane| lane.is_due(now, policy))
            && let Some(open) = self.oldest().and_then(Lane::open)
        {
            open.due = true;
        }
    }

    fn shed(&mut self) -> usize {
        let lane = self.oldest().expect("full");
        let (_, load) = lane.batches[0].items.remove(0);
        if lane.batches[0].items.is_empty() {
            lane.batches.pop_front();
            lane.sealed = lane.sealed.saturating_sub(1);
        }
        load.number
    }

    pub fn make_all_due(&mut self) {
        for open in self.lanes.values_mut().filter_map(Lane::open) {
            open.due = true;
        }
    }

    fn may_start(&self, lane: &Lane) -> bool {
        let each = if self.settings.keyed { 1 } else { self.settings.max_in_flight };
        let may_run = self.running.len() < self.settings.max_in_flight && lane.running < each;
        may_run && lane.is_due(self.now, self.settings.policy)
    }

    pub fn can_start(&self) -> bool {
        self.lanes.values().any(|lane| self.may_start(lane))
    }

    /// Notes that the handler got a batch of this key.
    pub fn start(&mut self, key: u8, items: &[Load]) {
        assert!(self.may_start(&self.lanes[&key]), "a batch that is not due, or is one too many");
        let lane = self.lanes.get_mut(&key).expect("just asked");
        let batch = lane.batches.pop_front().expect("due");
        assert!(batch.items.iter().map(|(_, load)| load).eq(items), "{batch:?} is {items:?}");
        lane.sealed = lane.sealed.saturating_sub(1);
        lane.running += 1;
        self.running.push(Run { key, batch });
    }

    /// Notes that the driver was told that the handler has finished the batch at `place`.
    pub fn finish(&mut self, place: usize) {
        let run = self.running.remove(place);
        let lane = self.lanes.get_mut(&run.key).expect("it ran");
        lane.running -= 1;
        if lane.running == 0
            && matches!(self.settings.policy, Policy::Balanced { .. })
            && let Some(open) = lane.open()
        {
            open.due = true;
        }
    }

    /// Returns whether no item, and whether no batch, from before `mark` waits or runs.
    pub fn is_over(&self, mark: usize) -> (bool, bool) {
        let mut there = self.batches().chain(self.running.iter().map(|run| &run.batch));
        let no_batch = there.clone().all(|batch| batch.first >= mark);
        let no_item = there.all(|batch| batch.items.iter().all(|(place, _)| *place >= mark));
        (no_item, no_batch)
    }
}
