//! Sizes, weights and delays that change while the batcher is used.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use test_kit::Task;
use tidegate_batch_processor::{
    Batcher, Blocking, BuildError, Builder, Driver, ManualClock, OnFull, Policy, PushError, Wait,
};

use crate::echo::{echo, entries};

const SECOND: Duration = Duration::from_secs(1);

/// Returns a builder whose batches wait for ten items, or for ten seconds.
fn builder(clock: &ManualClock) -> Builder<u32, ManualClock> {
    Batcher::builder().max_items(10).max_delay(10 * SECOND).clock(clock.clone())
}

/// Polls the driver until it has nothing to do; it must not end.
fn run<T, H, C>(driver: &mut Task<Driver<T, H, C>>)
where
    H: tidegate_batch_processor::Handler<T>,
    C: tidegate_batch_processor::Timer,
{
    assert!(driver.run().is_pending());
}

#[test]
fn a_size_that_is_reached_makes_the_batch_due() {
    for (items, handed) in [(5, vec![]), (4, vec![4]), (1, vec![4])] {
        let (log, handler) = echo();
        let (batcher, driver) = builder(&ManualClock::new()).build(handler).unwrap();
        let mut driver = Task::new(driver);
        (0..4).for_each(|n| batcher.try_push(n).unwrap());
        run(&mut driver);
        batcher.set_max_items(items).unwrap();
        run(&mut driver);
        assert_eq!(entries(&log).iter().map(Vec::len).collect::<Vec<_>>(), handed);
        assert_eq!(batcher.stats().by_items, handed.len() as u64);
        // From here on, batches have the new size.
        for n in 4..20 {
            batcher.try_push(n).unwrap();
            run(&mut driver);
        }
        assert!(entries(&log)[handed.len()..].iter().all(|batch| batch.len() == items));
    }
}

#[test]
fn a_larger_size_lets_the_batch_go_on() {
    let (log, handler) = echo();
    let (batcher, driver) = builder(&ManualClock::new()).max_items(2).build(handler).unwrap();
    let mut driver = Task::new(driver);
    batcher.try_push(0).unwrap();
    batcher.set_max_items(4).unwrap();
    (1..5).for_each(|n| batcher.try_push(n).unwrap());
    run(&mut driver);
    assert_eq!(entries(&log), [[0, 1, 2, 3]]);
}

#[test]
fn a_batch_that_is_full_already_stays_as_it_is() {
    let (log, handler) = echo();
    let (batcher, driver) = builder(&ManualClock::new()).max_items(3).build(handler).unwrap();
    (0..4).for_each(|n| batcher.try_push(n).unwrap());
    batcher.set_max_items(2).unwrap();
    batcher.try_push(4).unwrap();
    batcher.set_max_items(9).unwrap();
    batcher.try_push(5).unwrap();
    batcher.close();
    driver.wait();
    assert_eq!(entries(&log), [vec![0, 1, 2], vec![3, 4], vec![5]]);
}

#[test]
fn a_shorter_delay_brings_the_deadline_forward() {
    for (delay, until_due) in [(4, 1), (3, 0), (1, 0), (0, 0)] {
        let clock = ManualClock::new();
        let (log, handler) = echo();
        let (batcher, driver) = builder(&clock).build(handler).unwrap();
        let mut driver = Task::new(driver);
        batcher.try_push(1).unwrap();
        run(&mut driver);
        clock.advance(3 * SECOND);
        run(&mut driver);
        let woken = driver.woken();
        batcher.set_max_delay(delay * SECOND);
        assert!(driver.woken() > woken, "to set its timer anew");
        run(&mut driver);
        assert_eq!(entries(&log).len(), usize::from(until_due == 0));
        clock.advance(until_due * SECOND);
        run(&mut driver);
        assert_eq!(entries(&log), [[1]]);
        assert_eq!(batcher.stats().by_delay, 1);
    }
}

#[test]
fn a_longer_delay_lets_the_batch_go_on() {
    for delay in [20 * SECOND, Duration::MAX] {
        let clock = ManualClock::new();
        let (log, handler) = echo();
        let (batcher, driver) = builder(&clock).build(handler).unwrap();
        let mut driver = Task::new(driver);
        batcher.try_push(1).unwrap();
        run(&mut driver);
        clock.advance(9 * SECOND);
        batcher.set_max_delay(delay);
        run(&mut driver);
        clock.advance(10 * SECOND);
        run(&mut driver);
        assert_eq!(batcher.stats().batches, 0);
        clock.advance(SECOND);
        run(&mut driver);
        assert_eq!(entries(&log).len(), usize::from(delay != Duration::MAX));
        // A batch that had no deadline gets one.
        batcher.set_max_delay(SECOND);
        run(&mut driver);
        assert_eq!(entries(&log), [[1]]);
    }
}

#[test]
fn a_weight_that_is_reached_makes_the_batch_due() {
    let (log, handler) = echo();
    let builder = builder(&ManualClock::new()).max_weight(20, |weight: &u32| *weight as usize);
    let (batcher, driver) = builder.build(handler).unwrap();
    let mut driver = Task::new(driver);
    [3, 4, 0].into_iter().for_each(|n| batcher.try_push(n).unwrap());
    batcher.set_max_weight(8).unwrap();
    run(&mut driver);
    assert_eq!(batcher.stats().batches, 0);
    batcher.set_max_weight(5).unwrap();
    run(&mut driver);
    assert_eq!(entries(&log), [[3, 4, 0]]);
    assert_eq!(batcher.try_push(6), Err(PushError::TooHeavy(6)));
    [3, 3].into_iter().for_each(|n| batcher.try_push(n).unwrap());
    batcher.set_max_weight(6).unwrap();
    [2, 1, 6].into_iter().for_each(|n| batcher.try_push(n).unwrap());
    run(&mut driver);
    assert_eq!(entries(&log)[1..], [vec![3], vec![3, 2, 1], vec![6]]);
    assert_eq!(batcher.stats().by_weight, 4);
}

#[test]
fn room_that_is_added_wakes_those_who_wait_for_it() {
    let (_log, handler) = echo();
    let builder = builder(&ManualClock::new()).max_weight(10, |weight: &u32| *weight as usize);
    let (batcher, _driver) = builder.capacity(10).build(handler).unwrap();
    batcher.try_push(10).unwrap();
    let [mut light, mut heavy] = [5, 9].map(|weight| Task::new(batcher.push(weight)));
    assert!(light.poll().is_pending() && heavy.poll().is_pending());
    batcher.set_capacity(20).unwrap();
    assert!((light.woken(), heavy.woken()) == (1, 1) && light.poll().is_ready());
    assert!(heavy.poll().is_pending());
    // It is too heavy for any batch from here on.
    batcher.set_max_weight(8).unwrap();
    assert_eq!(heavy.poll(), std::task::Poll::Ready(Err(PushError::TooHeavy(9))));
}

#[test]
fn with_less_room_no_item_is_let_in_until_enough_have_left() {
    for on_full in [OnFull::Wait, OnFull::DropOldest] {
        let (log, handler) = echo();
        let builder = builder(&ManualClock::new()).max_items(2).capacity(8).on_full(on_full);
        let (batcher, driver) = builder.build(handler).unwrap();
        let mut driver = Task::new(driver);
        (0..7).for_each(|n| batcher.try_push(n).unwrap());
        batcher.set_capacity(3).unwrap();
        let pushed = batcher.try_push(7);
        if on_full == OnFull::Wait {
            assert_eq!(pushed, Err(PushError::Full(7)));
            run(&mut driver);
            assert_eq!(entries(&log), [[0, 1], [2, 3], [4, 5]]);
            (7..9).for_each(|n| batcher.try_push(n).unwrap());
        } else {
            assert_eq!((pushed, batcher.stats().dropped), (Ok(()), 5));
            run(&mut driver);
            assert_eq!(entries(&log), [vec![5], vec![6, 7]]);
        }
    }
}

#[test]
fn room_for_ten_batches_follows_their_size_unless_it_was_set() {
    let (_log, handler) = echo();
    let (batcher, _driver) = builder(&ManualClock::new()).build(handler).unwrap();
    batcher.set_max_items(2).unwrap();
    (0..20).for_each(|n| batcher.try_push(n).unwrap());
    assert_eq!(batcher.try_push(20), Err(PushError::Full(20)));
    batcher.set_capacity(21).unwrap();
    batcher.set_max_items(21).unwrap();
    batcher.try_push(20).unwrap();
    assert_eq!(batcher.try_push(21), Err(PushError::Full(21)));
}

#[test]
fn a_change_out_of_range_is_refused_and_changes_nothing() {
    let (log, handler) = echo();
    let builder = builder(&ManualClock::new()).policy(Policy::Balanced { min: 3 }).capacity(12);
    let (batcher, driver) = builder.build(handler).unwrap();
    let says = |changed: Result<(), BuildError>| changed.unwrap_err().to_string();
    for (changed, error) in [
        (batcher.set_max_items(2), "max_items is 2, but must be at least policy.min, 3"),
        (batcher.set_max_items(13), "max_items is 13, but must be at most capacity, 12"),
        (batcher.set_capacity(9), "capacity is 9, but must be at least max_items, 10"),
        (
            batcher.set_max_weight(7),
            "max_weight is 7, but must be left out for items that are not weighed",
        ),
    ] {
        assert_eq!(says(changed), error);
    }
    (0..12).for_each(|n| batcher.try_push(n).unwrap());
    assert_eq!(batcher.try_push(12), Err(PushError::Full(12)));
    batcher.close();
    driver.wait();
    assert_eq!(entries(&log).iter().map(Vec::len).collect::<Vec<_>>(), [10, 2]);

    let builder = Batcher::builder().max_weight(1, |_: &u32| 1);
    let (batcher, _driver) = builder.build(echo().1).unwrap();
    assert_eq!(says(batcher.set_max_items(0)), "max_items is 0, but must be at least 1");
    assert_eq!(says(batcher.set_max_weight(0)), "max_weight is 0, but must be at least 1");
}

#[test]
fn each_key_has_the_new_size_and_delay() {
    let clock = ManualClock::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = log.clone();
    let (batcher, driver) = Batcher::builder()
        .max_items(10)
        .max_delay(10 * SECOND)
        .clock(clock.clone())
        .keyed()
        .build(move |items: Vec<(char, u32)>| {
            seen.lock().unwrap().push(items.iter().map(|(key, n)| format!("{key}{n}")).collect());
            Ok::<_, ()>(items)
        })
        .unwrap();
    let mut driver = Task::new(driver);
    let handed = || -> Vec<Vec<String>> { std::mem::take(&mut *log.lock().unwrap()) };
    let push = |items: &[(char, u32)]| items.iter().for_each(|it| batcher.try_push(*it).unwrap());
    push(&[('a', 1), ('b', 1), ('a', 2), ('c', 1), ('b', 2), ('a', 3)]);
    run(&mut driver);
    batcher.set_max_items(2).unwrap();
    run(&mut driver);
    assert_eq!(handed(), [vec!["a1", "a2", "a3"], vec!["b1", "b2"]]);
    push(&[('d', 1), ('d', 2), ('c', 2)]);
    run(&mut driver);
    assert_eq!(handed(), [["d1", "d2"], ["c1", "c2"]]);
    push(&[('e', 1)]);
    clock.advance(SECOND);
    push(&[('a', 4)]);
    run(&mut driver);
    batcher.set_max_delay(2 * SECOND);
    for key in ["e1", "a4"] {
        run(&mut driver);
        assert!(handed().is_empty());
        clock.advance(SECOND);
        run(&mut driver);
        assert_eq!(handed(), [[key]]);
    }
}

#[test]
fn a_leader_hands_over_what_is_due_by_a_change() {
    let clock = ManualClock::new();
    let handler = Blocking::new(|items: Vec<u32>| Ok::<_, ()>(items));
    let builder = builder(&clock).max_weight(9, |weight: &u32| *weight as usize);
    let led = builder.build_leader(handler).unwrap();
    for change in 0..3 {
        let mut submits = [1, 2].map(|n| Task::new(led.submit(n)));
        assert!(submits.iter_mut().all(|submit| submit.poll().is_pending()));
        let woken = submits[0].woken();
        match change {
            0 => led.set_max_items(2).unwrap(),
            1 => led.set_max_weight(3).unwrap(),
            _ => led.set_max_delay(Duration::ZERO),
        }
        assert!(submits[0].woken() > woken);
        assert!(submits.iter_mut().all(|submit| submit.run().is_ready()));
        led.set_capacity(10).unwrap();
        led.set_max_items(10).unwrap();
        led.set_max_weight(9).unwrap();
    }
}

#[test]
fn changes_beside_pushes_lose_and_repeat_nothing() {
    for is_keyed in [false, true] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handed = seen.clone();
        let handler = move |items: Vec<(u32, u32)>| {
            handed.lock().unwrap().extend(items.iter().copied());
            Ok::<_, ()>(items)
        };
        let builder = Batcher::builder().max_items(4).max_delay(Duration::ZERO);
        let (batcher, driver) = match is_keyed {
            false => builder.build_on_thread(handler).unwrap(),
            true => builder.keyed().build_on_thread(handler).unwrap(),
        };
        let is_over = AtomicBool::new(false);
        thread::scope(|s| {
            let (batcher, is_over) = (&batcher, &is_over);
            s.spawn(move || {
                for n in (1..8).cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    batcher.set_max_items(n).unwrap();
                    batcher.set_max_delay(Duration::from_micros((n * 10) as u64));
                }
            });
            let pushers = [0, 1].map(|key| {
                s.spawn(move || {
                    for n in 0..2000 {
                        batcher.push((key, n)).wait().unwrap();
                    }
                })
            });
            pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
            is_over.store(true, Ordering::Relaxed);
        });
        batcher.shutdown().wait().unwrap();
        driver.join();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 4000);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 4000);
        for key in [0, 1] {
            assert!(seen.iter().filter(|item| item.0 == key).is_sorted());
        }
    }
}
