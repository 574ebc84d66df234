//! A batcher, with one lane or one per key, against a reference: what starts, when, who is told.
#![no_main]

mod paper;

use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use test_kit::Task;
use tidegate::{
    Batcher, ManualClock,
    batch_processor::{
        BatchError, Driver, Handler, OnFull, Policy, PushError, SubmitError,
        future::{Flush, Submit},
    },
};

use paper::{DELAY, Fate, Item, Load, Paper, Settings};

#[derive(Debug, Arbitrary)]
struct Choice {
    items: u8,
    weight: u8,
    room: u8,
    in_flight: u8,
    policy: u8,
    on_full: u8,
    keyed: bool,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// Hands an item in, and polls its caller once.
    Submit {
        key: u8,
        weight: u8,
    },
    Push {
        key: u8,
        weight: u8,
    },
    /// Polls a caller that waits for room or for a result, woken or not.
    Poll(u8),
    GiveUp(u8),
    Drive,
    /// Lets the handler finish a batch.
    Return {
        which: u8,
        fails: bool,
    },
    Advance(u8),
    Flush,
    Close,
}

#[derive(Debug, Arbitrary)]
enum End {
    Close,
    DropDriver,
}

/// A batch that the handler has, and what it will return.
struct Call {
    items: Vec<Item>,
    returns: Option<Result<(), &'static str>>,
    waker: Option<Waker>,
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// What the reference expects of a caller.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    WaitsForRoom,
    Waits,
    Has(Result<usize, &'static str>),
    Dropped,
    Refused,
}

struct Caller<'a> {
    submit: Task<Submit<'a, Item, usize, &'static str, ManualClock>>,
    item: Item,
    seen: usize,
    said: Said,
}

struct Flushing<'a> {
    flush: Task<Flush<'a, Item, usize, &'static str, ManualClock>>,
    mark: usize,
}

fn handler(calls: &Calls) -> impl FnMut(Vec<Item>) -> Running + 'static {
    let calls = calls.clone();
    move |items| {
        let mut all = calls.lock().unwrap();
        all.push(Call { items, returns: None, waker: None });
        let (number, calls) = (all.len() - 1, calls.clone());
        Box::pin(poll_fn(move |cx| {
            let call = &mut calls.lock().unwrap()[number];
            let Some(returns) = call.returns else {
                call.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            Poll::Ready(returns.map(|()| call.items.iter().map(|(_, load)| load.number).collect()))
        }))
    }
}

type Running = std::pin::Pin<Box<dyn Future<Output = Result<Vec<usize>, &'static str>>>>;

fn settings(choice: &Choice) -> Settings {
    let max_items = usize::from(choice.items % 4) + 1;
    Settings {
        max_items,
        max_weight: usize::from(choice.weight % 6) + 1,
        capacity: max_items + usize::from(choice.room % 6),
        max_in_flight: usize::from(choice.in_flight % 3) + 1,
        policy: match choice.policy % 4 {
            0 => Policy::Size,
            1 => Policy::Delay,
            2 => Policy::Immediate,
            _ => Policy::Balanced { min: usize::from(choice.policy / 4) % max_items + 1 },
        },
        on_full: [OnFull::Wait, OnFull::Reject, OnFull::DropOldest, OnFull::DropNewest]
            [usize::from(choice.on_full % 4)],
        keyed: choice.keyed,
    }
}

/// An index into a list, if it has any.
fn pick(of: u8, len: usize) -> Option<usize> {
    usize::from(of).checked_rem(len)
}

/// A batcher and its reference.
struct Bench<'a, H: Handler<Item, Output = usize, Error = &'static str>> {
    batcher: &'a Batcher<Item, usize, &'static str, ManualClock>,
    driver: Task<Driver<Item, H, ManualClock>>,
    /// How many wake-ups the driver had at its last poll; `None` before its first poll.
    followed: Option<usize>,
    ended: bool,
    calls: Calls,
    /// Which calls run, in the order of the reference's `running`.
    running: Vec<usize>,
    paper: Paper,
    settings: Settings,
    callers: Vec<Caller<'a>>,
    flushes: Vec<Flushing<'a>>,
    next: usize,
}

impl<H> Bench<'_, H>
where
    H: Handler<Item, Output = usize, Error = &'static str>,
{
    fn item(&mut self, key: u8, weight: u8) -> Item {
        self.next += 1;
        let key = if self.settings.keyed { key % 3 } else { 0 };
        let weight = usize::from(weight) % (self.settings.max_weight + 2);
        (key, Load { number: self.next, weight })
    }

    fn say(&mut self, number: usize, said: Said) {
        if let Some(caller) = self.callers.iter_mut().find(|caller| caller.item.1.number == number)
        {
            caller.said = said;
        }
    }

    fn says(&mut self, fate: Fate, number: usize) {
        match fate {
            Fate::Admitted { dropped } => {
                self.say(number, Said::Waits);
                dropped.into_iter().for_each(|number| self.say(number, Said::Dropped));
            }
            Fate::Full if self.settings.on_full == OnFull::Wait => {}
            Fate::Full | Fate::TooHeavy | Fate::Closed => self.say(number, Said::Refused),
            Fate::Dropped => self.say(number, Said::Dropped),
        }
    }

    fn poll(&mut self, at: usize) {
        let Caller { item, said, .. } = self.callers[at];
        if said == Said::WaitsForRoom {
            let fate = self.paper.push(item);
            self.says(fate, item.1.number);
        }
        let Caller { submit, seen, said, .. } = &mut self.callers[at];
        *seen = submit.woken();
        let polled = submit.poll();
        let right = match &polled {
            Poll::Pending => matches!(said, Said::WaitsForRoom | Said::Waits),
            Poll::Ready(Ok(number)) => *said == Said::Has(Ok(*number)),
            Poll::Ready(Err(SubmitError::Refused(
                PushError::Full(back) | PushError::TooHeavy(back) | PushError::Closed(back),
            ))) => *said == Said::Refused && *back == item,
            Poll::Ready(Err(SubmitError::Failed(BatchError::Handler(error)))) => {
                *said == Said::Has(Err(**error))
            }
            Poll::Ready(Err(SubmitError::Failed(BatchError::Dropped))) => *said == Said::Dropped,
            Poll::Ready(_) => false,
        };
        assert!(right, "{polled:?} is {said:?}");
        if polled.is_ready() {
            self.callers.swap_remove(at);
        }
    }

    fn push(&mut self, item: Item) {
        let fate = self.paper.push(item);
        let pushed = self.batcher.try_push(item);
        let right = match (&pushed, &fate) {
            (Ok(()), Fate::Admitted { .. } | Fate::Dropped) => true,
            (Err(PushError::Full(back)), Fate::Full)
            | (Err(PushError::TooHeavy(back)), Fate::TooHeavy)
            | (Err(PushError::Closed(back)), Fate::Closed) => *back == item,
            _ => false,
        };
        assert!(right, "{pushed:?} is {fate:?}");
        self.says(fate, item.1.number);
    }

    fn returns(&mut self, which: u8, fails: bool) {
        let Some(at) = pick(which, self.running.len()) else { return };
        let call = &mut self.calls.lock().unwrap()[self.running[at]];
        call.returns.get_or_insert(if fails { Err("it fails") } else { Ok(()) });
        if let Some(waker) = call.waker.take() {
            waker.wake();
        }
    }

    /// Returns whether the driver would find a finished call.
    fn has_returned(&self) -> bool {
        let calls = self.calls.lock().unwrap();
        self.running.iter().any(|call| calls[*call].returns.is_some())
    }

    /// Runs the driver if somebody has woken it; returns whether it has ended.
    fn drive(&mut self) -> bool {
        if self.ended || self.followed == Some(self.driver.woken()) {
            return self.ended;
        }
        let before = self.calls.lock().unwrap().len();
        self.ended = self.driver.run().is_ready();
        self.followed = Some(self.driver.woken());
        let calls = self.calls.clone();
        let calls = calls.lock().unwrap();
        let mut at = 0;
        while at < self.running.len() {
            let call = &calls[self.running[at]];
            let Some(returns) = call.returns else {
                at += 1;
                continue;
            };
            for (_, load) in &call.items {
                self.say(load.number, Said::Has(returns.map(|()| load.number)));
            }
            self.paper.finish(at);
            self.running.remove(at);
        }
        for (number, call) in calls.iter().enumerate().skip(before) {
            let (key, _) = call.items[0];
            assert!(call.items.iter().all(|(other, _)| *other == key), "a batch of two keys");
            let loads: Vec<_> = call.items.iter().map(|(_, load)| *load).collect();
            self.paper.start(key, &loads);
            self.running.push(number);
        }
        self.ended
    }

    /// Checks that nobody sleeps beside what it waits for.
    fn look(&mut self) {
        if self.followed == Some(self.driver.woken()) {
            assert!(!self.paper.can_start() && !self.has_returned(), "the driver sleeps");
        }
        for caller in &self.callers {
            let waits = matches!(caller.said, Said::WaitsForRoom | Said::Waits);
            assert!(waits || caller.submit.woken() > caller.seen, "asleep, and {:?}", caller.said);
        }
        for Caller { submit, item, seen, said } in &self.callers {
            if *said == Said::WaitsForRoom && submit.woken() == *seen {
                assert!(!self.paper.closed, "asleep, and closed");
                assert!(!self.paper.has_room(item.1.weight), "asleep beside room");
            }
        }
        let paper = &self.paper;
        self.flushes.retain_mut(|Flushing { flush, mark }| {
            let (no_item, no_batch) = paper.is_over(*mark);
            let ready = (flush.woken() > 0 || no_batch) && flush.poll().is_ready();
            assert!(if ready { no_item } else { !no_batch }, "flushed: {ready}");
            !ready
        });
        let stats = self.batcher.stats();
        assert_eq!(stats.waiting, self.paper.waiting().len());
        assert_eq!(stats.pushed, self.paper.admitted as u64);
    }
}

fuzz_target!(|input: (Choice, Vec<Step>, End)| {
    let (choice, steps, end) = input;
    let settings = settings(&choice);
    let clock = ManualClock::new();
    let builder = Batcher::builder()
        .max_items(settings.max_items)
        .max_weight(settings.max_weight, |(_, load): &Item| load.weight)
        .capacity(settings.capacity)
        .max_in_flight(settings.max_in_flight)
        .max_delay(Duration::from_nanos(DELAY))
        .policy(settings.policy)
        .on_full(settings.on_full)
        .clock(clock.clone());
    let builder = if settings.keyed { builder.keyed() } else { builder };
    let calls = Calls::default();
    let (batcher, driver) = builder.build_async(handler(&calls)).expect("in range");
    let mut bench = Bench {
        batcher: &batcher,
        driver: Task::new(driver),
        followed: None,
        ended: false,
        calls,
        running: Vec::new(),
        paper: Paper::new(settings),
        settings,
        callers: Vec::new(),
        flushes: Vec::new(),
        next: 0,
    };
    for step in steps {
        match step {
            Step::Submit { key, weight } => {
                let item = bench.item(key, weight);
                let submit = Task::new(batcher.submit(item));
                bench.callers.push(Caller { submit, item, seen: 0, said: Said::WaitsForRoom });
                bench.poll(bench.callers.len() - 1);
            }
            Step::Push { key, weight } => {
                let item = bench.item(key, weight);
                bench.push(item);
            }
            Step::Poll(which) => {
                if let Some(at) = pick(which, bench.callers.len()) {
                    bench.poll(at);
                }
            }
            Step::GiveUp(which) => {
                if let Some(at) = pick(which, bench.callers.len()) {
                    bench.callers.swap_remove(at);
                }
            }
            Step::Drive => _ = bench.drive(),
            Step::Return { which, fails } => bench.returns(which, fails),
            Step::Advance(nanos) => {
                clock.advance(Duration::from_nanos((nanos % 16).into()));
                bench.paper.now += u64::from(nanos % 16);
            }
            Step::Flush => {
                let mut flush = Task::new(batcher.flush());
                let mark = bench.paper.admitted;
                bench.paper.make_all_due();
                let ready = flush.poll().is_ready();
                assert_eq!(ready, bench.paper.is_over(mark).0, "flushed at once: {ready}");
                if !ready {
                    bench.flushes.push(Flushing { flush, mark });
                }
            }
            Step::Close => {
                assert_eq!(batcher.close(), !bench.paper.closed);
                bench.paper.closed = true;
                bench.paper.make_all_due();
            }
        }
        bench.look();
    }
    match end {
        End::Close => {
            batcher.close();
            bench.paper.closed = true;
            bench.paper.make_all_due();
            while !bench.drive() {
                bench.look();
                assert!(!bench.running.is_empty(), "neither ended nor busy");
                bench.returns(0, false);
            }
            assert!(bench.paper.waiting().is_empty() && bench.running.is_empty());
            while !bench.callers.is_empty() {
                bench.poll(0);
            }
        }
        End::DropDriver => {
            let Bench { driver, paper, callers, flushes, .. } = bench;
            drop(driver);
            let is_over = paper.closed && paper.waiting().is_empty() && paper.running.is_empty();
            let mut left = match Task::new(batcher.shutdown()).poll() {
                Poll::Ready(Ok(())) => Vec::new(),
                Poll::Ready(Err(left)) => left.into_items(),
                Poll::Pending => panic!("a shutdown waits for a driver that is gone"),
            };
            left.sort_by_key(|(_, load)| load.number);
            let mut waiting = paper.waiting();
            waiting.sort_unstable();
            assert_eq!(left.iter().map(|(_, load)| load.number).collect::<Vec<_>>(), waiting);
            for mut flushing in flushes {
                assert!(flushing.flush.poll().is_ready());
            }
            for Caller { mut submit, said, seen, .. } in callers {
                let woken = submit.woken() > seen;
                let polled = submit.poll();
                assert!(woken && polled.is_ready(), "asleep, and the driver is gone");
                let refused = matches!(
                    polled,
                    Poll::Ready(Err(SubmitError::Refused(PushError::DriverDropped(_))
                        | SubmitError::Failed(BatchError::DriverDropped)))
                );
                let waited = matches!(said, Said::WaitsForRoom | Said::Waits);
                assert!(waited == refused || is_over, "{said:?}");
            }
        }
    }
});
