//! Batches by key.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use crate::{
    echo::{echo, entries},
    still::Still,
};
use test_kit::Task;
use tidegate_batch_processor::{
    Backoff, Batcher, Blocking, ManualClock, OnFull, Policy, PushError, Wait,
};

const DELAY: Duration = Duration::from_millis(10);

#[test]
fn each_key_has_a_batch_and_a_timer_of_its_own() {
    let clock = ManualClock::new();
    let (log, handler) = echo();
    let (batcher, driver) =
        Batcher::builder().max_items(3).clock(clock.clone()).keyed().build(handler).unwrap();
    let mut driver = Task::new(driver);
    batcher.try_push(('a', 1)).unwrap();
    clock.advance(DELAY / 2);
    batcher.try_push(('b', 2)).unwrap();
    batcher.try_push(('a', 3)).unwrap();
    assert!(driver.run().is_pending());
    clock.advance(DELAY / 2);
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[('a', 1), ('a', 3)]]);
    batcher.try_push(('b', 4)).unwrap();
    batcher.try_push(('b', 5)).unwrap();
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log)[1], [('b', 2), ('b', 4), ('b', 5)]);
    let stats = batcher.stats();
    assert_eq!((stats.by_delay, stats.by_items, stats.done), (1, 1, 5));
}

#[test]
fn a_key_has_one_batch_in_flight_and_holds_up_no_other() {
    let gate = Arc::new(AtomicBool::new(false));
    let (log, mut handler) = echo();
    let slow = {
        let gate = gate.clone();
        move |items: Vec<(char, u32)>| {
            let (gate, is_slow) = (gate.clone(), items[0].0 == 'a');
            let mut results = Some(handler(items));
            poll_fn(move |_| match is_slow && !gate.load(Ordering::SeqCst) {
                true => Poll::Pending,
                false => Poll::Ready(results.take().unwrap()),
            })
        }
    };
    let builder = Batcher::builder().max_items(1).max_in_flight(2).clock(ManualClock::new());
    let (batcher, driver) = builder.keyed().build_async(slow).unwrap();
    let mut driver = Task::new(driver);
    for item in [('a', 1), ('a', 2), ('b', 3), ('b', 4)] {
        batcher.try_push(item).unwrap();
    }
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[('a', 1)], [('b', 3)], [('b', 4)]]);
    gate.store(true, Ordering::SeqCst);
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log)[3], [('a', 2)]);
}

#[test]
fn the_clock_is_read_for_the_first_item_of_a_batch_only() {
    let clock = Still::default();
    let build = || Batcher::builder().max_items(3).clock(clock.clone());
    let (one, _driver) = build().build(|items: Vec<(char, u32)>| Ok::<_, ()>(items)).unwrap();
    let (keyed, _driver) =
        build().keyed().build(|items: Vec<(char, u32)>| Ok::<_, ()>(items)).unwrap();
    for (batcher, item, readings) in [
        (&one, ('a', 0), 1),
        (&one, ('b', 1), 1),
        (&keyed, ('a', 0), 2),
        (&keyed, ('a', 1), 2),
        (&keyed, ('b', 2), 3),
        (&keyed, ('b', 3), 3),
    ] {
        batcher.try_push(item).unwrap();
        assert_eq!(clock.readings(), readings);
    }
}

#[test]
fn keys_take_turns() {
    let (log, handler) = echo();
    let builder = Batcher::builder().max_items(1).clock(ManualClock::new());
    let (batcher, driver) = builder.keyed().build(handler).unwrap();
    for item in [('a', 1), ('a', 2), ('a', 3), ('b', 4)] {
        batcher.try_push(item).unwrap();
    }
    assert!(Task::new(driver).run().is_pending());
    assert_eq!(entries(&log).concat(), [('a', 1), ('b', 4), ('a', 2), ('a', 3)]);
}

#[test]
fn all_keys_share_the_room_and_the_oldest_batch_makes_some() {
    let (log, handler) = echo();
    let builder = Batcher::builder().max_items(3).capacity(3).policy(Policy::Size);
    let (batcher, driver) = builder.clock(ManualClock::new()).keyed().build(handler).unwrap();
    let mut driver = Task::new(driver);
    assert!(driver.run().is_pending());
    for item in [('b', 1), ('a', 2), ('b', 3)] {
        batcher.try_push(item).unwrap();
    }
    assert!(driver.run().is_pending());
    assert_eq!(batcher.try_push(('c', 4)), Err(PushError::Full(('c', 4))));
    let mut push = Task::new(batcher.push(('c', 4)));
    assert!(push.run().is_pending());
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[('b', 1), ('b', 3)]]);
    assert!(push.woken() > 0 && push.run().is_ready());
}

#[test]
fn the_oldest_of_all_keys_is_dropped() {
    let (log, handler) = echo();
    let builder = Batcher::builder().max_items(2).capacity(2).on_full(OnFull::DropOldest);
    let (batcher, driver) = builder.clock(ManualClock::new()).keyed().build(handler).unwrap();
    for item in [('b', 1), ('a', 2), ('c', 3)] {
        batcher.try_push(item).unwrap();
    }
    batcher.close();
    assert!(Task::new(driver).run().is_ready());
    assert_eq!(entries(&log), [[('a', 2)], [('c', 3)]]);
    assert_eq!(batcher.stats().dropped, 1);
}

#[test]
fn a_flush_and_a_shutdown_are_for_all_keys() {
    let (log, handler) = echo();
    let builder = Batcher::builder().max_delay(Duration::MAX).clock(ManualClock::new());
    let (batcher, driver) = builder.keyed().build(handler).unwrap();
    let mut driver = Task::new(driver);
    for item in [('a', 1), ('b', 2)] {
        batcher.try_push(item).unwrap();
    }
    let mut flush = Task::new(batcher.flush());
    assert!(flush.poll().is_pending());
    assert!(driver.run().is_pending());
    assert!(matches!(flush.poll(), Poll::Ready(Ok(()))));
    assert_eq!(entries(&log), [[('a', 1)], [('b', 2)]]);
    for item in [('b', 3), ('c', 4)] {
        batcher.try_push(item).unwrap();
    }
    let mut shutdown = Task::new(batcher.shutdown());
    assert!(shutdown.poll().is_pending());
    assert!(driver.run().is_ready());
    assert!(matches!(shutdown.poll(), Poll::Ready(Ok(()))));
    assert_eq!((batcher.stats().by_flush, batcher.stats().by_close), (2, 2));
    assert_eq!(batcher.try_push(('d', 5)), Err(PushError::Closed(('d', 5))));
}

#[test]
fn a_flush_waits_for_no_key_that_came_later() {
    let (_, handler) = echo();
    let builder = Batcher::builder().max_delay(Duration::MAX).clock(ManualClock::new());
    let (batcher, driver) = builder.keyed().build(handler).unwrap();
    let mut driver = Task::new(driver);
    batcher.try_push(('a', 1)).unwrap();
    let mut flush = Task::new(batcher.flush());
    assert!(flush.poll().is_pending());
    batcher.try_push(('b', 2)).unwrap();
    assert!(driver.run().is_pending());
    assert!(flush.poll().is_ready());
    assert_eq!((batcher.stats().done, batcher.stats().waiting), (1, 1));
}

#[test]
fn a_dropped_driver_gives_back_what_all_keys_have() {
    let (_, handler) = echo();
    let builder = Batcher::builder().max_items(5).clock(ManualClock::new());
    let (batcher, driver) = builder.keyed().build(handler).unwrap();
    let mut reply = Task::new(batcher.try_submit(('b', 0)).unwrap());
    for item in [('a', 1), ('b', 2), ('a', 3)] {
        batcher.try_push(item).unwrap();
    }
    drop(driver);
    assert!(matches!(reply.poll(), Poll::Ready(Err(_))));
    let Poll::Ready(Err(left)) = Task::new(batcher.shutdown()).poll() else { panic!("dropped") };
    assert_eq!(left.into_items(), [('b', 0), ('b', 2), ('a', 1), ('a', 3)]);
}

#[test]
fn an_idle_key_is_forgotten() {
    let key = Arc::new("key");
    let builder = Batcher::builder().max_items(1).clock(ManualClock::new()).keyed();
    let handler = |items: Vec<(Arc<&str>, u32)>| Ok::<_, ()>(vec![(); items.len()]);
    let (batcher, driver) = builder.build(handler).unwrap();
    let mut driver = Task::new(driver);
    for round in 0..3 {
        batcher.try_push((key.clone(), round)).unwrap();
        assert!(Arc::strong_count(&key) > 2);
        assert!(driver.run().is_pending());
        assert_eq!(Arc::strong_count(&key), 1);
    }
}

#[test]
fn a_key_whose_batch_pauses_holds_up_no_other() {
    let clock = ManualClock::new();
    let handler = {
        let mut fails = true;
        move |items: Vec<(char, u32)>| match items[0].0 == 'a' && std::mem::take(&mut fails) {
            true => Err("busy"),
            false => Ok(items),
        }
    };
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .max_in_flight(2)
        .retry(Backoff::fixed(DELAY).jitter(0.0).max_attempts(2))
        .clock(clock.clone())
        .keyed()
        .build(handler)
        .unwrap();
    let mut driver = Task::new(driver);
    let items = [('a', 1), ('a', 2), ('b', 3)];
    let mut replies = items.map(|item| Task::new(batcher.try_submit(item).unwrap()));
    assert!(driver.run().is_pending());
    let mut are_there = || replies.each_mut().map(|reply| reply.poll().is_ready());
    assert_eq!(are_there(), [false, false, true]);
    drop(replies);
    clock.advance(DELAY);
    assert!(driver.run().is_pending());
    assert_eq!((batcher.stats().done, batcher.stats().retries), (3, 1));
}

#[test]
fn keys_can_be_led_by_their_callers() {
    let led = Batcher::builder()
        .policy(Policy::Immediate)
        .keyed()
        .build_leader(Blocking::new(|items: Vec<(char, u32)>| Ok::<_, ()>(items)))
        .unwrap();
    assert_eq!(led.submit(('a', 1)).wait().unwrap(), ('a', 1));
    assert_eq!(led.submit(('b', 2)).wait().unwrap(), ('b', 2));
}
