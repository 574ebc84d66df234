//! What comes into a batch, and when it is handed over.

use std::time::Duration;

use crate::echo::{echo, entries};
use test_kit::Task;
use tidegate_batch_processor::{Batcher, BuildError, ManualClock, PushError};
use tidegate_core::report::Histogram;

const DELAY: Duration = Duration::from_millis(10);

#[test]
fn a_full_batch_is_handed_over_at_once() {
    let (log, handler) = echo();
    let (batcher, driver) =
        Batcher::builder().max_items(2).clock(ManualClock::new()).build(handler).unwrap();
    let mut driver = Task::new(driver);
    for n in 0..5 {
        batcher.try_push(n).unwrap();
    }
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[0, 1], [2, 3]]);
    assert_eq!((batcher.stats().by_items, batcher.stats().waiting), (2, 1));
    assert_eq!(batcher.stats().mean_items(), 2.0);
}

#[test]
fn each_batch_is_in_one_bucket_by_its_items_and_in_one_by_its_wait() {
    let clock = ManualClock::new();
    let (_log, handler) = echo();
    let builder = Batcher::builder().max_items(5).max_delay(DELAY).clock(clock.clone());
    let (batcher, driver) = builder.build(handler).unwrap();
    let mut driver = Task::new(driver);
    // Two full batches at once, then three that are due by their time.
    for (items, wait) in [(10, Duration::ZERO), (1, DELAY), (2, DELAY), (3, 2 * DELAY)] {
        for n in 0..items {
            batcher.try_push(n).unwrap();
        }
        clock.advance(wait);
        assert!(driver.run().is_pending());
    }
    let stats = batcher.stats();
    let filled = |histogram: Histogram| -> Vec<(usize, u64)> {
        histogram.counts().into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
    };
    // Bounds: 1, 2, 4, 8 items; at most 1 µs, 10 ms, 25 ms.
    assert_eq!(filled(stats.sizes), [(0, 1), (1, 1), (2, 1), (3, 2)]);
    assert_eq!(filled(stats.waits), [(0, 2), (5, 2), (6, 1)]);
    assert_eq!((stats.sizes.total(), stats.waits.total()), (stats.batches, stats.batches));
}

#[test]
fn the_delay_counts_from_the_first_item() {
    let clock = ManualClock::new();
    let (log, handler) = echo();
    let (batcher, driver) = Batcher::builder().clock(clock.clone()).build(handler).unwrap();
    let mut driver = Task::new(driver);
    assert!(driver.run().is_pending());
    batcher.try_push(1).unwrap();
    clock.advance(DELAY / 2);
    batcher.try_push(2).unwrap();
    assert!(driver.run().is_pending());
    clock.advance(DELAY / 2 - Duration::from_nanos(1));
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[0; 0]; 0]);
    clock.advance(Duration::from_nanos(1));
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1, 2]]);
    assert_eq!((batcher.stats().by_delay, batcher.stats().wait_time), (1, DELAY));
    // The next batch has a timer of its own.
    batcher.try_push(3).unwrap();
    assert!(driver.run().is_pending());
    clock.advance(DELAY);
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [vec![1, 2], vec![3]]);
}

#[test]
fn no_batch_is_too_large_or_too_heavy() {
    let (log, handler) = echo();
    let (batcher, driver) = Batcher::builder()
        .max_items(3)
        .max_weight(10, |weight: &usize| *weight)
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    for weight in [6, 5, 5, 0, 0, 0, 0, 10] {
        batcher.try_push(weight).unwrap();
    }
    assert_eq!(batcher.try_push(11), Err(PushError::TooHeavy(11)));
    batcher.close();
    assert!(Task::new(driver).run().is_ready());
    assert_eq!(entries(&log), [vec![6], vec![5, 5], vec![0, 0, 0], vec![0, 10]]);
    assert_eq!((batcher.stats().by_weight, batcher.stats().by_items), (3, 1));
}

#[test]
fn a_due_batch_grows_while_another_runs() {
    let clock = ManualClock::new();
    let (batcher, driver) = Batcher::builder()
        .max_items(3)
        .max_delay(Duration::ZERO)
        .clock(clock.clone())
        .build_async(|items: Vec<u32>| {
            let mut polled = false;
            std::future::poll_fn(move |_| match std::mem::replace(&mut polled, true) {
                false => std::task::Poll::Pending,
                true => std::task::Poll::Ready(Ok::<_, ()>(vec![items.len(); items.len()])),
            })
        })
        .unwrap();
    let mut driver = Task::new(driver);
    let first = batcher.try_submit(1).unwrap();
    assert!(driver.poll().is_pending());
    // The delay is zero, so each of these would be a batch of its own if the handler were idle.
    let others = [2, 3].map(|n| batcher.try_submit(n).unwrap());
    assert!(driver.poll().is_pending());
    assert!(driver.poll().is_pending());
    assert!(driver.poll().is_pending());
    assert_eq!(Task::new(first).poll().map(Result::ok), std::task::Poll::Ready(Some(1)));
    for reply in others {
        assert_eq!(Task::new(reply).poll().map(Result::ok), std::task::Poll::Ready(Some(2)));
    }
}

#[test]
fn an_idle_driver_is_woken_twice_a_batch() {
    let (_log, handler) = echo();
    let (batcher, driver) =
        Batcher::builder().max_items(50).clock(ManualClock::new()).build(handler).unwrap();
    let mut driver = Task::new(driver);
    assert!(driver.run().is_pending());
    let idle = driver.woken();
    batcher.try_push(0).unwrap();
    assert_eq!(driver.woken() - idle, 1, "to set its timer");
    assert!(driver.run().is_pending());
    for n in 1..50 {
        assert_eq!(driver.woken() - idle, 1);
        batcher.try_push(n).unwrap();
    }
    assert_eq!(driver.woken() - idle, 2, "to hand the batch over");
}

#[test]
fn a_contradiction_is_an_error_of_the_builder() {
    let builder = || Batcher::<u8, (), ()>::builder();
    let build = |builder: tidegate_batch_processor::Builder<u8>| {
        builder.build(Ok::<_, ()>).map(|_| ()).unwrap_err()
    };
    assert_eq!(build(builder().max_items(0)), BuildError::new("max_items", 0, "at least 1"));
    assert_eq!(
        build(builder().max_weight(0, |_| 1)),
        BuildError::new("max_weight", 0, "at least 1")
    );
    let error = build(builder().max_items(5).capacity(4));
    assert_eq!(error.to_string(), "capacity is 4, but must be at least max_items, 5");
}
