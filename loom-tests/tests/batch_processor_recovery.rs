//! The batch processor's second calls: races with producers, the clock, a flush and the close while
//! a batch pauses or is split.

use std::{convert::Infallible, task::Poll, time::Duration};

use loom_tests::{model, poll_quietly, thread};
use tidegate_batch_processor::{
    Backoff, BatchError, Batcher, DriverDropped, ManualClock, OnError, Wait,
};

/// A handler that fails with its first call.
fn failing_once() -> impl FnMut(Vec<u32>) -> Result<Vec<u32>, ()> + Send {
    let mut is_first = true;
    move |items| if std::mem::take(&mut is_first) { Err(()) } else { Ok(items) }
}

/// The close finds the driver before the pause, in it, or on its way to sleep: the driver is told,
/// and the pause, which has no other end, ends.
#[test]
fn a_close_against_a_pause() {
    model(|| {
        let (batches, driver) = Batcher::builder()
            .max_items(1)
            .retry(Backoff::fixed(Duration::MAX).jitter(0.0).max_attempts(2))
            .clock(ManualClock::new())
            .build(failing_once())
            .unwrap();
        let reply = batches.try_submit(1).unwrap();
        let driver = thread::spawn(move || driver.wait());
        batches.close();
        // If the close came before the first call failed, the batch is not tried again.
        match reply.wait() {
            Ok(result) => assert_eq!((result, batches.stats().retries), (1, 1)),
            Err(error) => assert!(matches!(error, BatchError::Handler(_))),
        }
        driver.join().unwrap();
    });
}

/// One turn of the clock ends the delay of a batch and the pause of the one before it, while the
/// item that fills the batch comes.
#[test]
fn the_last_item_and_a_timer_against_a_pause() {
    model(|| {
        const DELAY: Duration = Duration::from_millis(1);
        let clock = ManualClock::new();
        let (batches, driver) = Batcher::builder()
            .max_items(2)
            .max_delay(DELAY)
            .retry(Backoff::fixed(DELAY).jitter(0.0).max_attempts(2))
            .clock(clock.clone())
            .build(failing_once())
            .unwrap();
        let mut driver = Box::pin(driver);
        let paused = [1, 2].map(|item| batches.try_submit(item).unwrap());
        assert!(poll_quietly(&mut driver).is_pending());
        let waiting = batches.try_submit(3).unwrap();
        let driver = thread::spawn(move || driver.wait());
        let last = {
            let batches = batches.clone();
            thread::spawn(move || batches.try_push(4).unwrap())
        };
        clock.advance(DELAY);
        assert_eq!(paused.map(|reply| reply.wait().unwrap()), [1, 2]);
        last.join().unwrap();
        assert_eq!(waiting.wait().unwrap(), 3);
        batches.close();
        driver.join().unwrap();
        assert_eq!(batches.stats().done, 4);
    });
}

/// A flush during a bisection ends with its last part; then each caller has its own result.
#[test]
fn a_flush_against_a_bisection() {
    model(|| {
        let poisoned = |items: Vec<u32>| if items.contains(&1) { Err(()) } else { Ok(items) };
        let builder = Batcher::builder().max_items(2).on_error(OnError::Bisect);
        let (batches, driver) = builder.clock(ManualClock::new()).build(poisoned).unwrap();
        let [mut poison, mut good] = [1, 2].map(|item| batches.try_submit(item).unwrap());
        let driver = thread::spawn(move || driver.wait());
        assert_eq!(batches.flush().wait(), Ok(()));
        assert!(matches!(poll_quietly(&mut poison), Poll::Ready(Err(BatchError::Handler(_)))));
        assert!(matches!(poll_quietly(&mut good), Poll::Ready(Ok(2))));
        batches.close();
        driver.join().unwrap();
    });
}

/// The driver is dropped in a pause: the caller and the flush are told.
#[test]
fn a_dropped_driver_against_a_pause() {
    model(|| {
        let fails = |_: Vec<u32>| Err::<Vec<Infallible>, _>(());
        let (batches, driver) = Batcher::builder()
            .max_items(1)
            .retry(Backoff::fixed(Duration::MAX).jitter(0.0).max_attempts(2))
            .clock(ManualClock::new())
            .build(fails)
            .unwrap();
        let mut driver = Box::pin(driver);
        let reply = batches.try_submit(1).unwrap();
        assert!(poll_quietly(&mut driver).is_pending());
        let dropper = thread::spawn(move || drop(driver));
        assert_eq!(batches.flush().wait(), Err(DriverDropped));
        assert!(matches!(reply.wait(), Err(BatchError::DriverDropped)));
        dropper.join().unwrap();
    });
}
