//! Back-pressure, cancelling, flush, shutdown, and what happens without a driver.

use std::{
    future::{Future, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{
        Context,
        Poll::{self, Ready},
        Wake, Waker,
    },
    time::Duration,
};

use crate::echo::{echo, entries};
use test_kit::Task;
use tidegate_batch_processor::{
    BatchError, Batcher, CancelToken, DriverDropped, ManualClock, PushError, SubmitError, Timer,
    Wait,
};

/// A batcher of batches of two with room for two, its driver, and what the handler got.
macro_rules! batcher_of_two {
    () => {{
        let (log, handler) = echo();
        let builder = Batcher::builder().max_items(2).capacity(2).clock(ManualClock::new());
        let (batcher, driver) = builder.build(handler).unwrap();
        (batcher, Task::new(driver), log)
    }};
}

#[test]
fn a_full_batcher_makes_pushers_wait() {
    let (batcher, mut driver, log) = batcher_of_two!();
    batcher.try_push(1).unwrap();
    batcher.try_push(2).unwrap();
    assert_eq!(batcher.try_push(3), Err(PushError::Full(3)));
    let mut pushers = [3, 4, 5].map(|n| Task::new(batcher.push(n)));
    for pusher in &mut pushers {
        assert!(pusher.poll().is_pending());
    }
    assert!(driver.run().is_pending());
    // There is room for two, so two are woken, in their order.
    assert_eq!(pushers.each_ref().map(Task::woken), [1, 1, 0]);
    assert!(pushers[0].poll().is_ready());
    assert!(pushers[1].poll().is_ready());
    assert!(pushers[2].poll().is_pending());
    assert!(driver.run().is_pending());
    assert!(pushers[2].poll().is_ready());
    assert_eq!(entries(&log), [[1, 2], [3, 4]]);
}

#[test]
fn a_pusher_without_room_hurries_the_batch() {
    let (log, handler) = echo();
    let (batcher, driver) = Batcher::builder()
        .max_items(5)
        .capacity(5)
        .max_weight(10, |weight: &usize| *weight)
        .max_delay(Duration::MAX)
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut driver = Task::new(driver);
    batcher.try_push(6).unwrap();
    let mut heavy = Task::new(batcher.push(7));
    assert!(driver.run().is_pending());
    assert!(heavy.poll().is_pending(), "no room, and a batch that is neither full nor timed");
    assert!(driver.run().is_pending());
    assert_eq!((entries(&log), heavy.woken()), (vec![vec![6]], 1));
    assert!(heavy.poll().is_ready());
}

#[test]
fn a_dropped_waiter_neither_loses_nor_repeats_its_item() {
    let (batcher, mut driver, log) = batcher_of_two!();
    let mut accepted = [1, 2].map(|n| Task::new(batcher.submit(n)));
    let mut outside = Task::new(batcher.submit(3));
    assert!(accepted[0].poll().is_pending());
    assert!(accepted[1].poll().is_pending());
    assert!(outside.poll().is_pending());
    let [first, mut second] = accepted;
    drop(first);
    drop(outside);
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1, 2]]);
    assert!(matches!(second.poll(), Ready(Ok(2))));
    assert_eq!(batcher.stats().pushed, 2, "the one outside left no trace");
}

#[test]
fn a_cancelled_submission_does_not_start() {
    let (batcher, _driver, _log) = batcher_of_two!();
    let token = CancelToken::new();
    token.cancel();
    assert!(batcher.submit(1).or_cancelled(&token).wait().is_err());
    assert_eq!(batcher.stats().pushed, 0);
}

#[test]
fn what_is_withdrawn_comes_back() {
    let (batcher, _driver, _log) = batcher_of_two!();
    assert_eq!(batcher.push(1).into_inner(), Some(1));
    assert_eq!(batcher.submit(1).into_inner(), Some(1));
    let mut accepted = Box::pin(batcher.submit(1));
    let waker = std::task::Waker::noop();
    assert!(accepted.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    assert_eq!(std::pin::Pin::into_inner(accepted).into_inner(), None);
}

#[test]
fn a_flush_waits_for_everything_before_it() {
    let (batcher, mut driver, log) = batcher_of_two!();
    batcher.try_push(1).unwrap();
    let mut reply = Task::new(batcher.try_submit(2).unwrap());
    let mut flush = Task::new(batcher.flush());
    assert!(flush.poll().is_pending());
    assert!(driver.poll().is_pending());
    batcher.try_push(3).unwrap();
    assert_eq!(flush.woken(), 1);
    assert_eq!(flush.poll(), Ready(Ok(())));
    assert!(matches!(reply.poll(), Ready(Ok(2))), "what is flushed has its result");
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1, 2]], "what came later still gathers");
    // A flush hands over half a batch, too; and one with no item before it has nothing to wait for.
    assert!(Task::new(batcher.flush()).poll().is_pending());
    assert!(driver.run().is_pending());
    assert_eq!(Task::new(batcher.flush()).poll(), Ready(Ok(())));
    assert_eq!(batcher.stats().by_flush, 1);
}

#[test]
fn shutdown_processes_what_is_in() {
    let (batcher, mut driver, log) = batcher_of_two!();
    let mut reply = Task::new(batcher.try_submit(1).unwrap());
    let mut outside = [2, 3].map(|n| Task::new(batcher.submit(n)));
    for caller in &mut outside {
        assert!(caller.poll().is_pending());
    }
    let mut shutdown = Task::new(batcher.shutdown());
    assert!(!batcher.is_closed(), "not before the first poll");
    assert!(shutdown.poll().is_pending());
    assert!(batcher.is_closed() && !batcher.close());
    let [mut accepted, mut refused] = outside;
    let Ready(Err(error)) = refused.poll() else { panic!("no room, and there will be none") };
    assert_eq!(error.into_inner(), Some(3));
    assert!(driver.run().is_ready());
    assert!(matches!(shutdown.poll(), Ready(Ok(()))));
    assert!(matches!(reply.poll(), Ready(Ok(1))));
    assert!(matches!(accepted.poll(), Ready(Ok(2))));
    assert_eq!(entries(&log), [[1, 2]]);
    assert_eq!(batcher.try_push(4), Err(PushError::Closed(4)));
    assert!(matches!(Task::new(batcher.shutdown()).poll(), Ready(Ok(()))));
}

#[test]
fn the_last_handle_closes() {
    let (batcher, mut driver, log) = batcher_of_two!();
    let other = batcher.clone();
    drop(batcher);
    other.try_push(1).unwrap();
    assert!(driver.run().is_pending());
    drop(other);
    assert!(driver.run().is_ready());
    assert_eq!(entries(&log), [[1]]);
}

#[test]
fn shutdown_gives_back_what_was_not_processed() {
    let (batcher, driver) = Batcher::builder()
        .max_items(2)
        .clock(ManualClock::new())
        .build_async(|_: Vec<u32>| pending::<Result<Vec<()>, ()>>())
        .unwrap();
    let mut driver = Task::new(driver);
    for n in 0..5 {
        batcher.try_push(n).unwrap();
    }
    assert!(driver.run().is_pending());
    drop(driver);
    let unprocessed = batcher.shutdown().wait().unwrap_err();
    assert_eq!(unprocessed.interrupted(), 2);
    assert_eq!(
        unprocessed.to_string(),
        "batch driver dropped with 3 items waiting and 2 in the handler"
    );
    assert_eq!(unprocessed.into_items(), [2, 3, 4]);
}

#[test]
fn a_dropped_driver_fails_everybody() {
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .capacity(1)
        .clock(ManualClock::new())
        .build_async(|_: Vec<u32>| pending::<Result<Vec<()>, ()>>())
        .unwrap();
    let mut driver = Task::new(driver);
    let mut callers: Vec<_> = (0..3)
        .map(|n| {
            let mut caller = Task::new(batcher.submit(n));
            assert!(caller.poll().is_pending());
            assert!(driver.run().is_pending());
            caller
        })
        .collect();
    let mut flush = Task::new(batcher.flush());
    assert!(flush.poll().is_pending());
    drop(driver);

    let [running, waiting, outside] = &mut callers[..] else { panic!("three callers") };
    for accepted in [running, waiting] {
        assert!(accepted.woken() > 0);
        let Ready(Err(error)) = accepted.poll() else { panic!("failed") };
        assert!(matches!(error.batch_error(), Some(BatchError::DriverDropped)));
    }
    assert!(outside.woken() > 0);
    let Ready(Err(SubmitError::Refused(error))) = outside.poll() else { panic!("refused") };
    assert_eq!(error, PushError::DriverDropped(2));
    assert_eq!((flush.woken(), flush.poll()), (1, Ready(Err(DriverDropped))));
    assert!(batcher.is_closed());
}

#[test]
fn a_dropped_driver_with_nothing_to_do_leaves_nothing_undone() {
    let (batcher, driver, _log) = batcher_of_two!();
    drop(driver);
    assert_eq!(Task::new(batcher.flush()).poll(), Ready(Ok(())));
    assert!(matches!(Task::new(batcher.shutdown()).poll(), Poll::Ready(Ok(()))));
    assert_eq!(batcher.try_push(1), Err(PushError::DriverDropped(1)));
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("a waker"));
    }
}

/// Polls a future that has to wait, with a waker that panics.
fn let_wait(future: &mut (impl Future + Unpin)) {
    let waker = Waker::from(Arc::new(Panicking));
    assert!(Pin::new(future).poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn who_waits_for_room_hears_of_a_close_past_a_panicking_driver() {
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .capacity(1)
        .build_async(|_: Vec<u8>| pending::<Result<Vec<()>, ()>>())
        .unwrap();
    let mut driver = Box::pin(driver);
    batcher.try_push(1).unwrap();
    let_wait(&mut driver);
    batcher.try_push(2).unwrap();
    let mut pusher = Task::new(batcher.push(3));
    assert!(pusher.poll().is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| batcher.close())).is_err());
    assert_eq!(pusher.woken(), 1);
    assert_eq!(pusher.poll(), Ready(Err(PushError::Closed(3))));
}

#[test]
fn a_driver_that_is_dropped_tells_all_past_a_panicking_waker() {
    let (batcher, driver, _log) = batcher_of_two!();
    let mut first = batcher.try_submit(1).unwrap();
    let_wait(&mut first);
    let mut other = Task::new(batcher.try_submit(2).unwrap());
    let mut flush = Task::new(batcher.flush());
    let mut pusher = Task::new(batcher.push(3));
    assert!(other.poll().is_pending() && flush.poll().is_pending() && pusher.poll().is_pending());
    drop(driver);
    assert_eq!([other.woken(), flush.woken(), pusher.woken()], [1; 3]);
}

#[test]
fn a_panicking_waker_does_not_stop_the_driver() {
    let (batcher, mut driver, log) = batcher_of_two!();
    let mut replies = [1, 2].map(|n| batcher.try_submit(n).unwrap());
    let_wait(&mut replies[0]);
    let [first, second] = replies;
    let mut second = Task::new(second);
    assert!(second.poll().is_pending());
    assert!(driver.run().is_pending());
    assert_eq!(second.woken(), 1);
    assert!(matches!(first.wait(), Ok(1)));
    batcher.try_push(3).unwrap();
    batcher.try_push(4).unwrap();
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1, 2], [3, 4]]);
}

/// Counts the polls of `n` handler futures that are in flight at once and end one by one.
fn polls_until_all_have_ended(n: usize) -> usize {
    let (polls, clock) = (Arc::new(AtomicUsize::new(0)), ManualClock::new());
    let (counted, sleeps) = (polls.clone(), clock.clone());
    let settings = Batcher::builder().max_items(1).capacity(n).max_in_flight(n);
    let (batcher, driver) = settings
        .build_async(move |items: Vec<u64>| {
            let polls = counted.clone();
            let mut sleep = Box::pin(sleeps.sleep(Duration::from_millis(items[0] + 1)));
            poll_fn(move |cx| {
                polls.fetch_add(1, Ordering::SeqCst);
                sleep.as_mut().poll(cx).map(|()| Ok::<_, ()>(vec![(); 1]))
            })
        })
        .unwrap();
    (0..n as u64).for_each(|item| batcher.try_push(item).unwrap());
    let mut driver = Task::new(driver);
    while batcher.stats().in_flight < n {
        assert!(driver.run().is_pending());
    }
    let before = polls.load(Ordering::SeqCst);
    for _ in 0..n {
        clock.advance(Duration::from_millis(1));
        assert!(driver.run().is_pending());
    }
    assert_eq!(batcher.stats().done, n as u64);
    polls.load(Ordering::SeqCst) - before
}

#[test]
fn a_handler_future_is_polled_when_it_was_woken_not_when_another_was() {
    let (few, many) = (polls_until_all_have_ended(50), polls_until_all_have_ended(800));
    // For each call, one poll finds that it has ended, and one of another future finds nothing.
    assert!(many <= 3 * 800 && few <= 3 * 50, "{few} polls for 50 futures, {many} for 800");
}

#[test]
fn enqueue_waits_for_room_and_its_reply_for_the_result() {
    let (batcher, mut driver, log) = batcher_of_two!();
    let [one, two] = [1, 2].map(|item| batcher.enqueue(item).wait().unwrap());
    let mut third = Task::new(batcher.enqueue(3));
    let withdrawn = Task::new(batcher.enqueue(4));
    assert!(third.run().is_pending());
    drop(withdrawn);
    assert!(driver.run().is_pending());
    assert!(third.woken() > 0);
    let Ready(Ok(three)) = third.run() else { panic!("there is room") };
    // No caller has waited for a result so far.
    assert_eq!([one, two].map(|reply| reply.wait().unwrap()), [1, 2]);
    batcher.close();
    assert!(driver.run().is_ready());
    assert_eq!(three.wait().unwrap(), 3);
    assert_eq!(entries(&log).concat(), [1, 2, 3]);
    let late = batcher.enqueue(5);
    assert_eq!(late.wait().unwrap_err(), PushError::Closed(5));
    assert_eq!(batcher.enqueue(6).into_inner(), Some(6));
}
