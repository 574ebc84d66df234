//! Laws of when batches start, how many run, and what happens without room.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use test_kit::Task;
use tidegate_batch_processor::{
    BatchError, Batcher, BuildError, ManualClock, OnFull, Policy, PushError, Wait,
};

/// Polls once with a waker that does nothing.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns the output of a future that must be ready.
#[track_caller]
fn ready<F: Future>(future: F) -> F::Output {
    match poll(&mut pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is pending"),
    }
}

/// Doors at which a handler's batches wait: the first item of a batch is the number of its door.
#[derive(Clone, Default)]
struct Doors(Arc<[AtomicBool; 8]>);

impl Doors {
    fn open(&self, door: usize) {
        self.0[door].store(true, Ordering::SeqCst);
    }

    async fn pass(self, items: Vec<usize>) -> Result<Vec<usize>, ()> {
        poll_fn(|_| match self.0[items[0]].load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        Ok(items)
    }
}

#[test]
fn so_many_batches_run_at_once_and_end_in_any_order() {
    let doors = Doors::default();
    let handler = doors.clone();
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .max_in_flight(2)
        .build_async(move |items| handler.clone().pass(items))
        .unwrap();
    let mut driver = Box::pin(driver);
    let mut replies: Vec<_> = (0..3).map(|item| batcher.try_submit(item).unwrap()).collect();
    assert!(poll(&mut driver).is_pending());
    assert_eq!((batcher.stats().in_flight, batcher.stats().waiting), (2, 1));
    assert!((batcher.stats().mean_items() - 1.0).abs() < 1e-9, "two items in two batches");

    doors.open(1);
    doors.open(2);
    assert!(poll(&mut driver).is_pending());
    assert!(poll(&mut replies[0]).is_pending());
    assert_eq!(ready(replies.remove(1)).unwrap(), 1);
    assert!(poll(&mut driver).is_pending());
    assert_eq!(ready(replies.remove(1)).unwrap(), 2);

    // A flush waits for the first batch, too, although the later ones are done.
    let mut flush = batcher.flush();
    assert!(poll(&mut flush).is_pending());
    doors.open(0);
    assert!(poll(&mut driver).is_pending());
    assert_eq!(ready(replies.remove(0)).unwrap(), 0);
    ready(flush).unwrap();
    assert_eq!(batcher.stats().batches, 3);
}

#[test]
fn a_driver_that_is_dropped_fails_every_batch_that_runs() {
    let doors = Doors::default();
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .max_in_flight(2)
        .build_async(move |items| doors.clone().pass(items))
        .unwrap();
    let mut driver = Box::pin(driver);
    let replies: Vec<_> = (0..3).map(|item| batcher.try_submit(item).unwrap()).collect();
    assert!(poll(&mut driver).is_pending());
    drop(driver);
    for reply in replies {
        assert!(matches!(ready(reply), Err(BatchError::DriverDropped)));
    }
    assert_eq!(ready(batcher.shutdown()).unwrap_err().into_items(), [2]);
}

#[test]
fn immediate_hands_over_what_is_there_as_soon_as_a_handler_is_free() {
    let clock = ManualClock::new();
    let doors = Doors::default();
    let handler = doors.clone();
    let (batcher, driver) = Batcher::builder()
        .policy(Policy::Immediate)
        .max_delay(Duration::from_secs(1))
        .clock(clock)
        .build_async(move |items| handler.clone().pass(items))
        .unwrap();
    let mut driver = Box::pin(driver);
    batcher.try_push(0).unwrap();
    assert!(poll(&mut driver).is_pending());
    for item in 1..4 {
        batcher.try_push(item).unwrap();
    }
    assert_eq!((batcher.stats().in_flight, batcher.stats().waiting), (1, 3));
    doors.open(0);
    assert!(poll(&mut driver).is_pending());
    assert!(poll(&mut driver).is_pending());
    assert_eq!((batcher.stats().in_flight, batcher.stats().waiting), (3, 0));
    assert_eq!(batcher.stats().by_idle, 2);
}

#[test]
fn balanced_hands_over_at_once_when_idle_and_by_number_or_time_beside_others() {
    let clock = ManualClock::new();
    let doors = Doors::default();
    let open = doors.clone();
    let (batcher, driver) = Batcher::builder()
        .policy(Policy::Balanced { min: 2 })
        .max_delay(Duration::from_secs(1))
        .max_in_flight(4)
        .clock(clock.clone())
        .build_async(move |items| doors.clone().pass(items))
        .unwrap();
    let mut driver = Box::pin(driver);
    let mut running = |polls, expected| {
        (0..polls).for_each(|_| assert!(poll(&mut driver).is_pending()));
        assert_eq!(batcher.stats().batches, expected);
    };
    batcher.try_push(0).unwrap();
    running(1, 1);
    batcher.try_push(1).unwrap();
    running(1, 1);
    batcher.try_push(2).unwrap();
    running(1, 2);
    batcher.try_push(3).unwrap();
    running(1, 2);
    clock.advance(Duration::from_secs(1));
    running(1, 3);
    // Items that still gather when the last running batch ends are handed over then.
    batcher.try_push(4).unwrap();
    running(1, 3);
    (0..4).for_each(|door| open.open(door));
    // No door wakes the driver, so each poll of the driver polls one batch in turn.
    running(4, 4);
    let stats = batcher.stats();
    assert_eq!((stats.by_idle, stats.by_delay), (3, 1));
}

#[test]
fn others_run_after_each_batch() {
    let (batcher, driver) =
        Batcher::builder().max_items(1).build(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    let mut driver = Task::new(driver);
    (0..3).for_each(|item| batcher.try_push(item).unwrap());
    for (done, woken) in [(1, 1), (2, 2), (3, 3)] {
        assert!(driver.poll().is_pending());
        assert_eq!((batcher.stats().done, driver.woken()), (done, woken));
    }
    assert!(driver.poll().is_pending());
    assert_eq!(driver.woken(), 3, "there is nothing to do");
}

#[test]
fn size_waits_for_a_full_batch_however_long_that_takes() {
    let clock = ManualClock::new();
    let (batcher, driver) = Batcher::builder()
        .policy(Policy::Size)
        .max_items(2)
        .clock(clock.clone())
        .build(|items: Vec<u8>| Ok::<_, ()>(items))
        .unwrap();
    let mut driver = Box::pin(driver);
    batcher.try_push(1).unwrap();
    clock.advance(Duration::from_secs(3600));
    assert!(poll(&mut driver).is_pending());
    assert_eq!(batcher.stats().batches, 0);
    batcher.try_push(2).unwrap();
    assert!(poll(&mut driver).is_pending());
    assert_eq!(batcher.stats().batches, 1);
}

#[test]
fn without_room_it_is_as_the_builder_was_told() {
    let build = |on_full| {
        let builder = Batcher::builder().max_items(2).capacity(2).on_full(on_full);
        builder.build(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap()
    };

    let (batcher, _driver) = build(OnFull::Reject);
    assert!(ready(batcher.push(1)).and(ready(batcher.push(2))).is_ok());
    assert_eq!(ready(batcher.push(3)), Err(PushError::Full(3)));

    let (batcher, driver) = build(OnFull::DropNewest);
    let replies = [1, 2, 3].map(|item| batcher.try_submit(item).unwrap());
    batcher.close();
    driver.wait();
    let [first, second, third] = replies.map(ready);
    assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
    assert!(matches!(third, Err(BatchError::Dropped)));
    assert_eq!((batcher.stats().pushed, batcher.stats().dropped), (2, 1));

    let (batcher, driver) = build(OnFull::DropOldest);
    let replies = [1, 2, 3, 4].map(|item| batcher.try_submit(item).unwrap());
    batcher.close();
    driver.wait();
    let results = replies.map(ready);
    assert!(results[..2].iter().all(|result| matches!(result, Err(BatchError::Dropped))));
    assert!(matches!((&results[2], &results[3]), (Ok(3), Ok(4))));
    assert_eq!((batcher.stats().pushed, batcher.stats().dropped), (4, 2));
}

#[test]
fn no_more_items_are_dropped_than_weigh_enough_for_the_next() {
    // A batch that weighs 10 is full; one that weighs 9 still gathers.
    for (weights, kept) in [
        ([4, 3, 3, 5], [None, None, Some(3), Some(5)]),
        ([4, 3, 2, 5], [None, Some(3), Some(2), Some(5)]),
    ] {
        let builder = Batcher::builder().max_items(9).max_weight(10, |weight| *weight).capacity(9);
        let builder = builder.on_full(OnFull::DropOldest);
        let (batcher, driver) = builder.build(|items: Vec<usize>| Ok::<_, ()>(items)).unwrap();
        let replies = weights.map(|weight| batcher.try_submit(weight).unwrap());
        batcher.close();
        driver.wait();
        assert_eq!(replies.map(|reply| ready(reply).ok()), kept);
        let (stats, done) = (batcher.stats(), kept.iter().flatten().count() as u64);
        assert_eq!((stats.pushed, stats.done, stats.dropped), (4, done, 4 - done));
    }
}

#[test]
fn an_item_that_is_dropped_tells_its_caller_at_once() {
    let builder = Batcher::builder().max_items(2).capacity(2).on_full(OnFull::DropOldest);
    let (batcher, _driver) = builder.build(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    let mut first = Task::new(batcher.try_submit(1).unwrap());
    let mut second = Task::new(batcher.try_submit(2).unwrap());
    assert!(first.poll().is_pending());
    let _third = batcher.try_submit(3).unwrap();
    assert_eq!(first.woken(), 1);
    assert!(matches!(first.output(), Err(BatchError::Dropped)));
    // The second caller waits only now, in a batch that has lost an item.
    assert!(second.poll().is_pending());
    let _fourth = batcher.try_submit(4).unwrap();
    assert_eq!(second.woken(), 1);
    assert!(matches!(second.output(), Err(BatchError::Dropped)));
}

#[test]
fn an_item_that_was_dropped_stays_so_when_its_batch_is_abandoned() {
    let builder = Batcher::builder().max_items(2).capacity(2).on_full(OnFull::DropOldest);
    let (batcher, driver) = builder.build(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    let [first, second, _third] = [1, 2, 3].map(|item| batcher.try_submit(item).unwrap());
    drop(driver);
    assert!(matches!(ready(first), Err(BatchError::Dropped)));
    assert!(matches!(ready(second), Err(BatchError::DriverDropped)));
}

#[test]
fn what_makes_no_sense_is_named() {
    let build = |builder: tidegate_batch_processor::Builder<u8>| {
        builder.build(Ok::<Vec<u8>, ()>).map(drop).unwrap_err()
    };
    let error = build(Batcher::builder().max_in_flight(0));
    assert_eq!(error, BuildError::new("max_in_flight", 0, "at least 1"));
    let error = build(Batcher::builder().max_items(5).policy(Policy::Balanced { min: 6 }));
    assert_eq!((error.setting(), error.value()), ("policy.min", "6"));
    assert_eq!(error.to_string(), "policy.min is 6, but must be from 1 to max_items, 5");
}
