//! Laws named after bugs of other batchers.

use std::time::Duration;

use crate::echo::{echo, entries};
use test_kit::Task;
use tidegate_batch_processor::{Batcher, ManualClock};

const DELAY: Duration = Duration::from_millis(10);

/// akka/akka-core #20232: while the last item fills a group (of one item, there), the timer and the
/// end of the stream race, and the item is lost. reactor/reactor-core #3634: a timeout and a full
/// buffer race in the same way.
#[test]
fn a_timer_against_a_full_batch_loses_no_item() {
    // The driver is polled after the item, the timer, both or neither. The timer goes off before or
    // after the item that fills the batch, and the end follows at once.
    for (max_items, looks, rings_first) in
        (1..4).flat_map(|items| (0..8).map(move |n| (items, n / 2, n % 2 == 0)))
    {
        let clock = ManualClock::new();
        let (log, handler) = echo();
        let builder = Batcher::builder().max_items(max_items).clock(clock.clone());
        let (batcher, driver) = builder.build(handler).unwrap();
        let mut driver = Task::new(driver);
        for item in 1..max_items {
            batcher.try_push(item).unwrap();
        }
        assert!(driver.run().is_pending());
        for is_item in [!rings_first, rings_first] {
            if is_item {
                batcher.try_push(max_items).unwrap();
            } else {
                clock.advance(DELAY);
            }
            if looks & (1 << u8::from(is_item)) != 0 {
                assert!(driver.run().is_pending());
            }
        }
        batcher.close();
        assert!(driver.run().is_ready());
        assert_eq!(entries(&log).concat(), (1..=max_items).collect::<Vec<_>>());
    }
}

/// The same bugs: a timer that was set for a batch which became full must not end the next batch,
/// which has a timer of its own.
#[test]
fn the_timer_of_a_full_batch_does_not_cut_the_next_short() {
    let clock = ManualClock::new();
    let (log, handler) = echo();
    let (batcher, driver) =
        Batcher::builder().max_items(2).clock(clock.clone()).build(handler).unwrap();
    let mut driver = Task::new(driver);
    batcher.try_push(1).unwrap();
    assert!(driver.run().is_pending());
    clock.advance(DELAY - Duration::from_nanos(1));
    batcher.try_push(2).unwrap();
    batcher.try_push(3).unwrap();
    clock.advance(Duration::from_nanos(1));
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1, 2]]);
    clock.advance(DELAY - Duration::from_nanos(1));
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [vec![1, 2], vec![3]]);
}

/// open-telemetry/opentelemetry-rust #3453: an item is counted after it was enqueued, so a flush
/// between the two finds nothing to do. Here both are one step; the model `a_flush_against_a_push`
/// tries the race.
#[test]
fn a_flush_covers_an_item_pushed_just_before() {
    let (log, handler) = echo();
    let (batcher, driver) = Batcher::builder()
        .max_delay(Duration::MAX)
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut driver = Task::new(driver);
    for item in 0..3 {
        // The driver has not been polled yet in the first round, and sleeps in the others.
        batcher.try_push(item).unwrap();
        let mut flush = Task::new(batcher.flush());
        assert!(flush.poll().is_pending(), "an item is in");
        assert!(driver.run().is_pending());
        assert_eq!(entries(&log).concat().last(), Some(&item));
        assert!(flush.poll().is_ready());
    }
}

/// open-telemetry/opentelemetry-rust #3116: a shutdown drops what is queued.
#[test]
fn a_shutdown_hands_over_all_that_is_queued() {
    let (log, handler) = echo();
    let (batcher, driver) = Batcher::builder()
        .max_items(2)
        .capacity(7)
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    for item in 0..7 {
        batcher.try_push(item).unwrap();
    }
    let mut shutdown = Task::new(batcher.shutdown());
    assert!(shutdown.poll().is_pending());
    assert!(Task::new(driver).run().is_ready());
    assert_eq!(entries(&log).concat(), [0, 1, 2, 3, 4, 5, 6]);
    assert!(matches!(shutdown.poll(), std::task::Poll::Ready(Ok(()))));
}
