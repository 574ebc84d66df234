//! Tests the gatherer against a reference, which keeps one list of all items and derives everything
//! from it at each step.

use core::{fmt, time::Duration};

use alloc::{vec, vec::Vec};

use proptest::prelude::*;
use tidegate_core::Timestamp;

use super::{Action, BatchId, Gather, Gatherer, Mark, Refusal, Refused};
use crate::{error::DriverDropped, limits::Limits, policy::Policy};

const LIMITS: Limits = Limits {
    max_items: 3,
    max_weight: 8,
    max_delay: Duration::from_nanos(10),
    max_in_flight: 1,
    policy: Policy::Delay,
    keeps_weights: false,
    asked_capacity: Some(5),
    capacity: 5,
    capacity_weight: 16,
};

type Machine = Gatherer<u64, Vec<u64>>;

/// Pushes an item as a pusher does: it passes the time only when the gatherer asks for it. The
/// batch carries its items' numbers.
fn push(
    machine: &mut Machine,
    now: u64,
    item: u64,
    weight: usize,
) -> Result<Action, (Refusal, Action)> {
    let mut time = None;
    loop {
        match machine.push(time, item, weight) {
            Ok(admitted) => {
                assert_eq!(admitted.carried.len(), admitted.index);
                admitted.carried.push(item);
                return Ok(admitted.action);
            }
            Err(refused) => {
                assert_eq!(time, None, "it asks once");
                time = Some(time_for(&refused, item, now)?);
            }
        }
    }
}

/// Returns the time if the gatherer has asked for it, else why it has refused the item.
pub(super) fn time_for<T: PartialEq + fmt::Debug>(
    refused: &Refused<T>,
    item: T,
    now: u64,
) -> Result<Timestamp, (Refusal, Action)> {
    assert_eq!(refused.item, item);
    match refused.why {
        Refusal::NoTime => Ok(Timestamp::from_nanos(now)),
        why => Err((why, refused.action)),
    }
}

fn start(machine: &mut Machine, now: u64) -> Option<(BatchId, Vec<u64>)> {
    let now = Timestamp::from_nanos(now);
    machine.on_timer(now);
    machine.start(now).map(|(id, mut batch)| {
        let items = batch.take_items();
        assert_eq!(items, batch.carried);
        (id, items)
    })
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Advance(u64),
    Look,
    Done,
    Flush,
    Change(Limits),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..10).prop_map(Step::Push),
        3 => (0_u64..8).prop_map(Step::Advance),
        4 => Just(Step::Look),
        4 => Just(Step::Done),
        1 => Just(Step::Flush),
        1 => any_limits(LIMITS).prop_map(Step::Change),
    ]
}

/// Returns other limits for batches, and for the room.
pub(super) fn any_limits(others: Limits) -> impl Strategy<Value = Limits> {
    (1_usize..5, 1_usize..12, 0_u64..20, prop::option::of(5_usize..8)).prop_map(
        move |(max_items, max_weight, delay, asked_capacity)| {
            let max_delay = Duration::from_nanos(delay);
            let limits = Limits { max_items, max_weight, max_delay, asked_capacity, ..others };
            limits.checked().unwrap()
        },
    )
}

/// All items in order. The first `started` have been handed over, the first `done` are done.
struct Reference {
    limits: Limits,
    items: Vec<(usize, u64)>,
    /// The ends of the batches that were full at the last change of the limits.
    full: Vec<usize>,
    started: usize,
    done: usize,
    /// Items up to here do not wait for more items to join their batch.
    urgent: usize,
    closed: bool,
}

impl Reference {
    fn new() -> Self {
        let (items, full) = (Vec::new(), Vec::new());
        Self { limits: LIMITS, items, full, started: 0, done: 0, urgent: 0, closed: false }
    }

    /// Returns the end of the next batch, and whether nothing more can join it.
    fn next_batch(&self) -> (usize, bool) {
        match self.full.iter().find(|end| **end > self.started) {
            Some(end) => (*end, true),
            None => self.batch_from(self.started),
        }
    }

    /// Returns the end of the batch that begins there, by the limits of this time, and whether
    /// nothing more can join it.
    fn batch_from(&self, start: usize) -> (usize, bool) {
        let Limits { max_items, max_weight, .. } = self.limits;
        let (mut end, mut weight) = (start, 0);
        for (item_weight, _) in &self.items[start..] {
            if end - start == max_items || weight == max_weight {
                return (end, true);
            }
            if weight + item_weight > max_weight {
                return (end, true);
            }
            weight += item_weight;
            end += 1;
        }
        (end, end - start == max_items || weight == max_weight)
    }

    fn change(&mut self, limits: Limits) {
        let mut start = self.full.last().map_or(self.started, |end| self.started.max(*end));
        while let (end, true) = self.batch_from(start) {
            self.full.push(end);
            start = end;
        }
        self.limits = limits;
        let gathered = &self.items[start..];
        let weight: usize = gathered.iter().map(|(weight, _)| weight).sum();
        if gathered.len() >= limits.max_items || weight >= limits.max_weight {
            self.full.push(self.items.len());
        }
    }

    fn is_running(&self) -> bool {
        self.done < self.started
    }

    fn is_due(&self) -> bool {
        self.next_batch().1 || self.urgent > self.started
    }

    fn deadline(&self) -> Option<u64> {
        let (_, since) = self.items.get(self.started)?;
        let deadline = Timestamp::from_nanos(*since) + self.limits.max_delay;
        (!self.is_running() && !self.is_due()).then_some(deadline.as_nanos())
    }

    fn push(&mut self, now: u64, weight: usize) -> Result<(), Refusal> {
        let waiting = &self.items[self.started..];
        let Limits { max_weight, capacity, capacity_weight, .. } = self.limits;
        let load = waiting.iter().map(|(weight, _)| weight).sum::<usize>();
        let heavy = weight > 0 && load + weight > capacity_weight;
        if self.closed {
            Err(Refusal::Closed)
        } else if weight > max_weight {
            Err(Refusal::TooHeavy)
        } else if waiting.len() >= capacity || heavy {
            if !self.is_due() {
                self.urgent = self.items.len();
            }
            Err(Refusal::Full)
        } else {
            self.items.push((weight, now));
            Ok(())
        }
    }

    fn start(&mut self, now: u64) -> Option<Vec<u64>> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.urgent = self.started + 1;
        }
        if self.is_running() || !self.is_due() {
            return None;
        }
        let first = self.started as u64;
        self.started = self.next_batch().0;
        Some((first..self.started as u64).collect())
    }
}

/// The state of a driver that polls only when an action tells it to, or when its alarm goes off.
#[derive(Debug, Default)]
pub(super) struct Driver {
    pub(super) will_look: bool,
    pub(super) alarm: Option<Timestamp>,
}

impl Driver {
    pub(super) fn hear<T, D>(&mut self, action: Action, machine: &mut dyn Gather<T, D>, now: u64) {
        match action {
            Action::Rest => {}
            Action::Arm => self.alarm = machine.alarm(Timestamp::from_nanos(now)),
            Action::Run => self.will_look = true,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn behaves_as_the_reference(
        steps in prop::collection::vec(step(), 0..120),
        close_after in 0_usize..120,
    ) {
        let mut machine = Machine::new(LIMITS);
        let mut reference = Reference::new();
        let mut driver = Driver::default();
        let mut now = 0;
        let mut running = None;
        let mut steps = steps;
        steps.insert(close_after.min(steps.len()), Step::Close);
        // In the end everything that was accepted must be done.
        steps.extend(vec![Step::Look, Step::Done].into_iter().cycle().take(100));
        for step in steps {
            match step {
                Step::Push(weight) => {
                    let item = reference.items.len() as u64;
                    let expected = reference.push(now, weight);
                    let action = match push(&mut machine, now, item, weight) {
                        Ok(action) => { prop_assert_eq!(expected, Ok(())); action }
                        Err((why, action)) => { prop_assert_eq!(expected, Err(why)); action }
                    };
                    driver.hear(action, &mut machine, now);
                }
                Step::Advance(nanos) => now += nanos,
                Step::Look => {
                    let batch = start(&mut machine, now);
                    prop_assert_eq!(batch.as_ref().map(|(_, items)| items.clone()), reference.start(now));
                    running = running.or(batch.map(|(id, _)| id));
                    let alarm = machine.alarm(Timestamp::from_nanos(now));
                    driver = Driver { will_look: machine.is_over(), alarm };
                }
                Step::Done => {
                    if let Some(id) = running.take() {
                        machine.on_done(id, Timestamp::from_nanos(now), 0);
                        // A second `on_done` changes nothing.
                        machine.on_done(id, Timestamp::from_nanos(now), 1);
                        prop_assert!(machine.stats().failed == 0 && !machine.is_over());
                        machine.on_told(id);
                        driver.will_look = true;
                        reference.done = reference.started;
                    }
                }
                Step::Flush => {
                    let (mark, action) = machine.flush();
                    prop_assert_eq!(mark, Mark(reference.items.len() as u64));
                    reference.urgent = reference.items.len();
                    driver.hear(action, &mut machine, now);
                }
                Step::Change(limits) => {
                    machine.set_limits(limits);
                    reference.change(limits);
                    driver.will_look = true;
                }
                Step::Close => {
                    prop_assert_eq!(machine.close(), !reference.closed);
                    driver.will_look = true;
                    reference.closed = true;
                    reference.urgent = reference.items.len();
                }
            }
            let all_done = reference.done == reference.items.len();
            prop_assert_eq!(machine.is_done(Mark(reference.done as u64)), Some(Ok(())));
            prop_assert_eq!(machine.is_done(Mark(reference.done as u64 + 1)), None);
            prop_assert_eq!(machine.is_over(), reference.closed && all_done);
            prop_assert_eq!(machine.stats().waiting, reference.items.len() - reference.started);
            prop_assert_eq!(machine.stats().in_flight, reference.started - reference.done);
            let deadline = reference.deadline().map(Timestamp::from_nanos);
            prop_assert_eq!(machine.deadline(), deadline);
            // A driver that relies on the actions does not sleep while there is work.
            if !reference.is_running() {
                prop_assert!(driver.will_look || !(reference.is_due() || machine.is_over()));
                // An alarm that goes off too early is harmless: the driver polls again then.
                let in_time = driver.alarm.is_some_and(|alarm| Some(alarm) <= deadline);
                prop_assert!(driver.will_look || deadline.is_none() || in_time);
            }
        }
        prop_assert!(machine.is_over());
        let stats = machine.stats();
        let triggers = stats.by_items + stats.by_weight + stats.by_delay + stats.by_flush + stats.by_close;
        prop_assert_eq!((stats.pushed, triggers), (stats.done, stats.batches));
    }
}

#[test]
fn an_early_timer_is_harmless() {
    let mut machine = Machine::new(LIMITS);
    assert_eq!(push(&mut machine, 5, 0, 0), Ok(Action::Arm));
    assert_eq!(start(&mut machine, 14), None);
    assert_eq!(start(&mut machine, 15).map(|(_, items)| items), Some(vec![0]));
}

#[test]
fn the_driver_hears_of_the_first_item_and_of_the_last() {
    let mut machine = Machine::new(LIMITS);
    // Items with a weight never take the short path of `Gatherer::is_fast`.
    let actions = [0, 1, 2].map(|item| push(&mut machine, 0, item, 1).unwrap());
    assert_eq!(actions, [Action::Arm, Action::Rest, Action::Run]);
}

#[test]
fn an_alarm_serves_a_later_deadline_and_none_before_it() {
    let mut machine = Machine::new(LIMITS);
    assert_eq!(push(&mut machine, 5, 0, 0), Ok(Action::Arm));
    assert_eq!(machine.alarm(Timestamp::from_nanos(5)), Some(Timestamp::from_nanos(15)));
    // The last item comes after the first one, but its pusher has read the time earlier.
    for (now, action) in [(7, Action::Rest), (3, Action::Arm)] {
        machine.flush();
        let (id, _) = start(&mut machine, 7).unwrap();
        machine.on_done(id, Timestamp::from_nanos(7), 0);
        machine.on_told(id);
        assert_eq!(push(&mut machine, now, 1, 0), Ok(action));
    }
}

#[test]
fn a_delay_beyond_the_end_of_time_never_comes() {
    let mut machine = Machine::new(Limits { max_delay: Duration::MAX, ..LIMITS });
    assert_eq!(push(&mut machine, 5, 0, 0), Ok(Action::Rest));
    assert_eq!(machine.deadline(), None);
    assert_eq!(machine.flush(), (Mark(1), Action::Run));
}

#[test]
fn abandoned_items_come_back_in_order_and_once() {
    let mut machine = Machine::new(LIMITS);
    for item in 0..5 {
        push(&mut machine, 0, item, 0).unwrap();
    }
    assert_eq!(start(&mut machine, 0).unwrap().1, [0, 1, 2]);
    push(&mut machine, 0, 5, 0).unwrap();
    let (mark, _) = machine.flush();
    let carried: Vec<_> = machine.abandon().into_iter().map(|batch| batch.carried).collect();
    assert_eq!(carried, [vec![3, 4, 5], vec![]]);
    assert_eq!(machine.is_done(mark), Some(Err(DriverDropped)));
    assert_eq!(push(&mut machine, 0, 6, 0), Err((Refusal::Abandoned, Action::Rest)));
    let left = machine.state_mut().leftovers();
    assert_eq!((left.interrupted(), left.into_items()), (3, vec![3, 4, 5]));
    assert_eq!(machine.state_mut().leftovers().into_items(), []);
    assert!(machine.shed().is_none(), "nothing waits");
}

#[test]
fn a_batch_can_start_once_it_is_due_and_one_may_run() {
    let mut machine = Machine::new(LIMITS);
    assert!(!machine.can_start(), "there is none");
    push(&mut machine, 0, 0, 0).unwrap();
    assert!(!machine.can_start(), "it gathers");
    machine.flush();
    assert!(machine.can_start());
    start(&mut machine, 0).unwrap();
    push(&mut machine, 0, 1, 0).unwrap();
    machine.flush();
    assert!(!machine.can_start(), "one runs");
}
