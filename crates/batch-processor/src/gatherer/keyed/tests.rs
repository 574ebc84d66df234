//! Tests the lanes against a reference: gatherers that know nothing of each other, one for each
//! key, and a list of all items.

use core::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use alloc::{collections::BTreeMap, vec, vec::Vec};

use proptest::prelude::*;
use tidegate_core::Timestamp;

use super::{Found, ItemKey, Key, KeyedGatherer};
use crate::{
    gatherer::{
        Action, Admitted, BatchId, Gather, Gatherer, Mark, Refusal, Refused, Shed,
        tests::{Driver, any_limits, time_for},
    },
    key_index::KeyIndex,
    limits::Limits,
    policy::Policy,
    stats::Trigger,
    steps::steps_of,
};

type Item = (u8, usize);

/// The lanes and the index of the keys, as a batcher has them.
struct Machine {
    keyed: KeyedGatherer<Item, Vec<usize>>,
    keys: KeyIndex<u8>,
}

impl Machine {
    fn new() -> Self {
        Self { keyed: KeyedGatherer::new(LIMITS), keys: KeyIndex::new() }
    }

    fn push(
        &mut self,
        now: Option<Timestamp>,
        item: Item,
        weight: usize,
    ) -> Result<Admitted<'_, Vec<usize>>, Refused<Item>> {
        let mut key = ItemKey::of(Some(&self.keys), &item);
        if !matches!(key.found(), Found::Seen(_)) && now.is_some() {
            key.claim(&item);
        }
        let pushed = self.keyed.push(now, key.found(), item, weight);
        if pushed.as_ref().is_ok_and(|admitted| admitted.keeps_key) {
            key.keep();
        }
        pushed
    }

    fn on_told(&mut self, id: BatchId) {
        let unused = self.keyed.on_told(id);
        unused.into_iter().for_each(|key| self.keys.release(key));
    }

    fn shed(&mut self) -> Option<Shed<Item, Vec<usize>>> {
        let (shed, unused) = self.keyed.shed()?;
        unused.into_iter().for_each(|key| self.keys.release(key));
        Some(shed)
    }
}

impl Deref for Machine {
    type Target = KeyedGatherer<Item, Vec<usize>>;

    fn deref(&self) -> &Self::Target {
        &self.keyed
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.keyed
    }
}

const LIMITS: Limits = Limits {
    max_items: 3,
    max_weight: 8,
    max_delay: Duration::from_nanos(10),
    max_in_flight: 2,
    policy: Policy::Delay,
    keeps_weights: true,
    asked_capacity: Some(6),
    capacity: 6,
    capacity_weight: 16,
};

/// Returns the limits of the reference's gatherers: each always has room, since the reference
/// checks the room of all.
fn alone(limits: Limits) -> Limits {
    Limits { max_in_flight: 1, capacity: 1000, capacity_weight: 10_000, ..limits }
}

fn push(
    machine: &mut Machine,
    now: u64,
    item: Item,
    weight: usize,
) -> Result<Action, (Refusal, Action)> {
    let mut time = None;
    loop {
        match machine.push(time, item, weight) {
            Ok(admitted) => {
                assert_eq!(admitted.carried.len(), admitted.index);
                admitted.carried.push(item.1);
                return Ok(admitted.action);
            }
            Err(refused) => time = Some(time_for(&refused, item, now)?),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8, usize),
    Advance(u64),
    Look,
    Done(usize),
    Flush,
    Shed,
    Change(Limits),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (0_u8..4, 0_usize..6).prop_map(|(key, weight)| Step::Push(key, weight)),
        3 => (0_u64..8).prop_map(Step::Advance),
        5 => Just(Step::Look),
        4 => (0_usize..6).prop_map(Step::Done),
        1 => Just(Step::Flush),
        1 => any_limits(LIMITS).prop_map(Step::Change),
    ]
}

/// All items in the order in which they came, and what has become of them.
struct Reference {
    limits: Limits,
    keys: BTreeMap<u8, Gatherer<Item, Vec<usize>>>,
    items: Vec<(u8, Progress, usize)>,
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waits,
    Runs,
    Over,
}

impl Reference {
    fn new() -> Self {
        Self { limits: LIMITS, keys: BTreeMap::new(), items: Vec::new(), closed: false }
    }

    fn count(&self, progress: Progress) -> usize {
        self.items.iter().filter(|(_, its, _)| *its == progress).count()
    }

    fn push(&mut self, now: u64, key: u8, weight: usize) -> Result<(), Refusal> {
        let waiting = self.items.iter().filter(|(_, progress, _)| *progress == Progress::Waits);
        let load = waiting.map(|(_, _, weight)| weight).sum::<usize>() + weight;
        let Limits { max_weight, capacity, capacity_weight, .. } = self.limits;
        if self.closed {
            return Err(Refusal::Closed);
        }
        if weight > max_weight {
            return Err(Refusal::TooHeavy);
        }
        let is_heavy = weight > 0 && load > capacity_weight;
        if self.count(Progress::Waits) >= capacity || is_heavy {
            let oldest = self.items.iter().find(|(_, progress, _)| *progress == Progress::Waits);
            if let (Some((oldest, ..)), false) = (oldest, self.keys.values().any(Gatherer::has_due))
            {
                self.keys.get_mut(oldest).unwrap().make_due(Trigger::Weight);
            }
            return Err(Refusal::Full);
        }
        let item = (key, self.items.len());
        let limits = alone(self.limits);
        let gatherer = self.keys.entry(key).or_insert_with(|| Gatherer::new(limits));
        assert!(gatherer.push(Some(Timestamp::from_nanos(now)), item, weight).is_ok());
        self.items.push((key, Progress::Waits, weight));
        Ok(())
    }

    fn set(&mut self, items: &[usize], progress: Progress) {
        items.iter().for_each(|number| self.items[*number].1 = progress);
    }

    fn can_start(&self) -> bool {
        self.keys.values().any(Gatherer::can_start)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn each_key_has_what_a_gatherer_of_its_own_would_give_it(
        steps in prop::collection::vec(step(), 0..150),
        close_after in 0_usize..150,
    ) {
        let mut machine = Machine::new();
        let (mut reference, mut driver, mut now) = (Reference::new(), Driver::default(), 0);
        let mut running: Vec<(BatchId, BatchId, u8, Vec<usize>)> = Vec::new();
        let mut steps = steps;
        steps.insert(close_after.min(steps.len()), Step::Close);
        // In the end everything that was accepted must be done.
        let last = [Step::Look, Step::Done(0)];
        steps.extend(last.into_iter().cycle().take(120));
        for step in steps {
            let time = Timestamp::from_nanos(now);
            match step {
                Step::Push(key, weight) => {
                    let item = (key, reference.items.len());
                    let expected = reference.push(now, key, weight);
                    let action = match push(&mut machine, now, item, weight) {
                        Ok(action) => { prop_assert_eq!(expected, Ok(())); action }
                        Err((why, action)) => { prop_assert_eq!(expected, Err(why)); action }
                    };
                    driver.hear(action, &mut machine.keyed, now);
                }
                Step::Advance(nanos) => now += nanos,
                Step::Look => {
                    machine.on_timer(time);
                    reference.keys.values_mut().for_each(|gatherer| gatherer.on_timer(time));
                    let could_start = reference.can_start() && running.len() < LIMITS.max_in_flight;
                    let started = machine.start(time);
                    prop_assert_eq!(started.is_some(), could_start);
                    let more = started.is_some() && reference.keys.values().filter(|g| g.can_start()).count() > 1;
                    if let Some((id, mut batch)) = started {
                        let items = batch.take_items();
                        let key = items[0].0;
                        let gatherer = reference.keys.get_mut(&key).unwrap();
                        let (in_lane, mut alone) = gatherer.start(time).unwrap();
                        let alone = alone.take_items();
                        prop_assert_eq!(&items, &alone);
                        let numbers = batch.carried;
                        prop_assert!(numbers.iter().copied().eq(alone.iter().map(|item| item.1)));
                        reference.set(&numbers, Progress::Runs);
                        running.push((id, in_lane, key, numbers));
                    }
                    // The driver looks again after it has begun a batch, if another one can start.
                    let alarm = machine.alarm(time);
                    driver = Driver { will_look: more || machine.is_over(), alarm };
                }
                Step::Done(which) => {
                    if !running.is_empty() {
                        let (id, in_lane, key, items) = running.remove(which % running.len());
                        machine.on_done(id, time, 0);
                        // A second `on_done` changes nothing.
                        machine.on_done(id, time, 1);
                        prop_assert!(machine.stats().failed == 0 && !machine.is_over());
                        machine.on_told(id);
                        driver.will_look = true;
                        let gatherer = reference.keys.get_mut(&key).unwrap();
                        gatherer.on_done(in_lane, time, 0);
                        gatherer.on_told(in_lane);
                        reference.set(&items, Progress::Over);
                    }
                }
                Step::Flush => {
                    let (mark, action) = machine.flush();
                    prop_assert_eq!(mark, Mark(reference.items.len() as u64));
                    driver.hear(action, &mut machine.keyed, now);
                    reference.keys.values_mut().for_each(|gatherer| _ = gatherer.flush());
                }
                Step::Change(limits) => {
                    machine.set_limits(limits);
                    reference.limits = limits;
                    reference.keys.values_mut().for_each(|gatherer| gatherer.set_limits(alone(limits)));
                    driver.will_look = true;
                }
                Step::Close => {
                    prop_assert_eq!(machine.close(), !reference.closed);
                    driver.will_look = true;
                    reference.keys.values_mut().for_each(|gatherer| _ = gatherer.close());
                    reference.closed = true;
                }
                Step::Shed => unreachable!("not among these steps"),
            }
            let over = reference.items.iter().position(|(_, progress, _)| *progress != Progress::Over);
            let over = over.unwrap_or(reference.items.len()) as u64;
            // The marks up to the first item that is not over are done, and no later one.
            prop_assert_eq!(machine.is_done(Mark(over)), Some(Ok(())));
            prop_assert_eq!(machine.is_done(Mark(over + 1)), None);
            prop_assert_eq!(machine.is_over(), reference.closed && over == reference.items.len() as u64);
            let stats = machine.stats();
            prop_assert_eq!((stats.pushed, stats.waiting), (reference.items.len() as u64, reference.count(Progress::Waits)));
            prop_assert_eq!((stats.in_flight, stats.done), (reference.count(Progress::Runs), reference.count(Progress::Over) as u64));
            // Idle keys are forgotten, and other keys take their places.
            let busy = |key: &u8| reference.items.iter().any(|(its, progress, _)| its == key && *progress != Progress::Over);
            let keys: Vec<_> = (0..4_u8).filter(busy).collect();
            prop_assert!((0..4_u8).all(|key| machine.keys.find(&key).is_some() == keys.contains(&key)));
            prop_assert_eq!(machine.keyed.lanes.0.iter().filter(|lane| lane.key.is_some()).count(), keys.len());
            prop_assert!(machine.keyed.lanes.0.len() <= 4);
            let deadline = reference.keys.values().filter_map(Gatherer::deadline).min();
            prop_assert_eq!(machine.timers.first().map(|(deadline, _)| *deadline), deadline);
            // A driver that relies on the actions does not sleep while there is work.
            if running.len() < LIMITS.max_in_flight {
                prop_assert!(driver.will_look || !(reference.can_start() || machine.is_over()));
                let in_time = driver.alarm.is_some_and(|alarm| Some(alarm) <= deadline);
                prop_assert!(driver.will_look || deadline.is_none() || in_time);
            }
        }
        prop_assert!(machine.is_over());
    }

    /// Takes the steps of the test above, and also drops the oldest items: no other item is lost,
    /// and each key keeps its order.
    #[test]
    fn what_is_not_dropped_is_handed_over_in_the_order_of_its_key(
        steps in prop::collection::vec(prop_oneof![4 => step(), 1 => Just(Step::Shed)], 0..150),
    ) {
        let mut machine = Machine::new();
        let (mut now, mut running) = (0, Vec::new());
        let mut fates = BTreeMap::<u8, Vec<usize>>::new();
        let (mut dropped, mut accepted) = (Vec::new(), 0);
        let last = [Step::Look, Step::Done(0)];
        let end = vec![Step::Close].into_iter().chain(last.into_iter().cycle().take(120));
        for step in steps.into_iter().chain(end) {
            let time = Timestamp::from_nanos(now);
            match step {
                Step::Push(key, weight) => {
                    accepted += usize::from(push_numbered(&mut machine, now, key, weight, accepted));
                }
                Step::Advance(nanos) => now += nanos,
                Step::Look => {
                    machine.on_timer(time);
                    if let Some((id, mut batch)) = machine.start(time) {
                        let items = batch.take_items();
                        let handed = fates.entry(items[0].0).or_default();
                        prop_assert!(items.iter().all(|item| item.0 == items[0].0));
                        handed.extend(items.iter().map(|item| item.1));
                        running.push(id);
                    }
                }
                Step::Done(which) => {
                    if !running.is_empty() {
                        let id = running.remove(which % running.len());
                        machine.on_done(id, time, 0);
                        machine.on_told(id);
                    }
                }
                Step::Flush => _ = machine.flush(),
                Step::Shed => dropped.extend(machine.shed().map(|shed| shed.item.1)),
                Step::Change(limits) => machine.set_limits(limits),
                Step::Close => _ = machine.close(),
            }
            prop_assert_eq!(machine.ready.is_empty(), !machine.keyed.lanes.0.iter().any(|lane| lane.gatherer.can_start()));
        }
        prop_assert!(machine.is_over());
        prop_assert!(fates.values().all(|numbers| numbers.is_sorted()));
        let mut all: Vec<_> = fates.into_values().flatten().chain(dropped.iter().copied()).collect();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..accepted));
        prop_assert_eq!(machine.stats().dropped, dropped.len() as u64);
        prop_assert_eq!((machine.waiting, machine.state.weight), (0, 0));
        prop_assert!(machine.keyed.lanes.0.iter().all(|lane| lane.key.is_none()));
    }
}

/// Pushes an item, and returns whether it was let in. The item's number is not added to what the
/// batch carries: it would stay there when the item is dropped.
fn push_numbered(machine: &mut Machine, now: u64, key: u8, weight: usize, number: usize) -> bool {
    let now = Timestamp::from_nanos(now);
    machine.push(Some(now), (key, number), weight).is_ok()
}

/// Returns a key that is claimed without an index, so that finding it costs no step.
fn direct(key: usize) -> Found {
    Found::Claimed(Key { place: key, id: key as u64 })
}

/// Returns how many lanes four operations look at: a refusal, drops of the oldest item and pushes
/// into their place, a snapshot, and a flush that finds nothing new. Meanwhile `keys` keys wait
/// with one item each, and there is no room.
fn lanes_looked_at(keys: usize, max_in_flight: usize) -> [usize; 4] {
    let limits = Limits {
        capacity: keys,
        max_weight: usize::MAX,
        capacity_weight: usize::MAX,
        max_in_flight,
        ..LIMITS
    };
    let mut machine = KeyedGatherer::<(usize, usize), ()>::new(limits);
    let now = Timestamp::from_nanos(5);
    (0..keys + max_in_flight).for_each(|key| {
        assert!(machine.push(Some(now), direct(key), (key, key), 1).is_ok());
        if key < max_in_flight {
            machine.flush();
            assert!(machine.start(now).is_some());
        }
    });
    machine.flush();
    let refuse = steps_of(|| {
        assert!(machine.push(Some(now), direct(keys + max_in_flight), (0, 0), 1).is_err())
    });
    let replace = steps_of(|| {
        for n in 0..10 {
            assert_eq!(machine.shed().map(|(shed, _)| shed.item.0), Some(max_in_flight + n));
            let key = keys + max_in_flight + n;
            assert!(machine.push(Some(now), direct(key), (key, key), 1).is_ok());
        }
    });
    machine.flush();
    let look = steps_of(|| assert_eq!((machine.stats().waiting, machine.is_over()), (keys, false)));
    let flush = steps_of(|| _ = machine.flush());
    [refuse, replace, look, flush]
}

#[test]
fn the_driver_hears_of_what_changes_when_it_looks() {
    let mut machine = Machine::new();
    let mut action = |now, key, weight| push(&mut machine, now, (key, 0), weight).unwrap();
    // Two batches become full by weight, the second one while the first can start already.
    assert_eq!([action(5, 1, 4), action(6, 2, 4)], [Action::Arm; 2]);
    assert_eq!([action(6, 1, 4), action(6, 2, 4)], [Action::Run, Action::Rest]);
    let at = Timestamp::from_nanos;
    let mut machine = Machine::new();
    assert_eq!(push(&mut machine, 5, (1, 0), 0), Ok(Action::Arm));
    assert_eq!(machine.alarm(at(5)), Some(at(15)));
    // Of the two other keys, the first has a deadline after the alarm, the second one before it.
    let mut action = |now, key| push(&mut machine, now, (key, 0), 0).unwrap();
    assert_eq!(
        [action(6, 1), action(7, 2), action(3, 3)],
        [Action::Rest, Action::Rest, Action::Arm]
    );
    // A batch without a deadline sets no alarm.
    let limits = Limits { max_delay: Duration::MAX, ..LIMITS };
    let mut machine = KeyedGatherer::<(usize, usize), ()>::new(limits);
    let pushed = machine.push(Some(at(5)), direct(1), (1, 0), 0);
    assert_eq!(pushed.unwrap().action, Action::Rest);
}

#[test]
fn no_step_looks_at_more_lanes_the_more_keys_there_are() {
    assert_eq!(lanes_looked_at(100, 10), lanes_looked_at(1600, 160));
}
