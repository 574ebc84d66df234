//! What happens to a batch that failed.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;

use crate::echo::{Log, entries};
use test_kit::{Task, quiet_panic};
use tidegate_batch_processor::{
    Backoff, BatchError, Batcher, Blocking, Builder, Handler, ManualClock, OnError, OnFull, Policy,
    Reply,
};

const PAUSE: Duration = Duration::from_secs(1);

/// A handler that fails at its first `times` calls, and a log of the items of each call.
#[allow(clippy::type_complexity, reason = "a handler has no name")]
fn failing(times: usize) -> (Log<u32>, impl FnMut(Vec<u32>) -> Result<Vec<u32>, usize>) {
    let log: Log<u32> = Arc::default();
    let handler = {
        let log = log.clone();
        move |items: Vec<u32>| {
            let mut log = log.lock().unwrap();
            log.push(items.clone());
            if log.len() <= times { Err(log.len()) } else { Ok(items) }
        }
    };
    (log, handler)
}

/// Batches of one item, two in flight, each tried twice.
fn one_by_one(clock: &ManualClock) -> Builder<u32, ManualClock> {
    let backoff = Backoff::fixed(PAUSE).jitter(0.0).max_attempts(2);
    Batcher::builder().max_items(1).max_in_flight(2).retry(backoff).clock(clock.clone())
}

fn result<R, E>(reply: &mut Reply<R, E>) -> Option<Result<R, BatchError<E>>> {
    match pin!(reply).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[test]
fn a_failed_batch_is_tried_again_after_its_pause_and_those_behind_it_wait() {
    let clock = ManualClock::new();
    let (log, handler) = failing(2);
    let (batcher, driver) = Batcher::builder()
        .max_items(2)
        .retry(Backoff::exponential(PAUSE, PAUSE * 9).jitter(0.0).max_attempts(3))
        .clock(clock.clone())
        .build(handler)
        .unwrap();
    let mut driver = Task::new(driver);
    let mut replies = [1, 2, 3, 4].map(|item| batcher.try_submit(item).unwrap());
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1, 2]]);
    for (pause, calls) in [(PAUSE, 2), (PAUSE * 2, 4)] {
        clock.advance(pause - Duration::from_nanos(1));
        assert!(driver.run().is_pending());
        assert_eq!(entries(&log).len(), calls - calls / 2);
        assert!(result(&mut replies[0]).is_none());
        clock.advance(Duration::from_nanos(1));
        assert!(driver.run().is_pending());
        assert_eq!(entries(&log).len(), calls);
    }
    assert_eq!(entries(&log), [[1, 2], [1, 2], [1, 2], [3, 4]]);
    assert!(replies.iter_mut().zip(1..).all(|(reply, n)| result(reply).unwrap().unwrap() == n));
    let stats = batcher.stats();
    assert_eq!((stats.batches, stats.retries, stats.failed, stats.run_time), (2, 2, 0, PAUSE * 3));
}

#[test]
fn batches_that_pause_until_the_same_moment_are_both_tried_again() {
    let clock = ManualClock::new();
    let (log, handler) = failing(2);
    let (batcher, driver) = one_by_one(&clock).build(handler).unwrap();
    let mut driver = Task::new(driver);
    let mut replies = [1, 2].map(|item| batcher.try_submit(item).unwrap());
    assert!(driver.run().is_pending());
    clock.advance(PAUSE);
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1], [2], [1], [2]]);
    assert!(replies.iter_mut().zip(1..).all(|(reply, n)| result(reply).unwrap().unwrap() == n));
}

/// A batch pauses for a second. Meanwhile no batch gathers, or one that is due after the end of the
/// pause, or one that is due before it.
#[test]
fn the_end_of_a_pause_wakes_the_driver_whatever_gathers() {
    const NANO: Duration = Duration::from_nanos(1);
    for (gathers, delay, times) in [
        (false, PAUSE * 9, vec![PAUSE]),
        (true, PAUSE * 2, vec![PAUSE, PAUSE * 2]),
        (true, PAUSE / 2, vec![PAUSE / 2, PAUSE]),
    ] {
        let clock = ManualClock::new();
        let (log, handler) = failing(1);
        let builder = Batcher::builder().max_items(2).max_delay(delay).max_in_flight(2);
        let builder =
            builder.retry(Backoff::fixed(PAUSE).jitter(0.0).max_attempts(2)).clock(clock.clone());
        let (batcher, driver) = builder.build(handler).unwrap();
        let mut driver = Task::new(driver);
        (1..=2).for_each(|item| batcher.try_push(item).unwrap());
        assert!(driver.run().is_pending());
        if gathers {
            batcher.try_push(3).unwrap();
            assert!(driver.run().is_pending());
        }
        let mut now = Duration::ZERO;
        for time in times {
            clock.advance(time - now - NANO);
            assert!(driver.run().is_pending());
            let wakes = driver.woken();
            clock.advance(NANO);
            assert!(driver.woken() > wakes, "after {time:?}");
            assert!(driver.run().is_pending());
            now = time;
        }
        let calls = entries(&log);
        assert_eq!(calls.iter().filter(|items| **items == [1, 2]).count(), 2);
        assert_eq!(calls.len(), 2 + usize::from(gathers));
    }
}

#[test]
fn the_end_of_a_pause_wakes_the_leader() {
    let clock = ManualClock::new();
    let (log, handler) = failing(1);
    let builder = Batcher::builder()
        .policy(Policy::Immediate)
        .retry(Backoff::fixed(PAUSE).jitter(0.0).max_attempts(2));
    let led = builder.clock(clock.clone()).build_leader(Blocking::new(handler)).unwrap();
    let mut leader = Task::new(led.submit(1));
    assert!(leader.run().is_pending());
    clock.advance(PAUSE - Duration::from_nanos(1));
    assert!(leader.run().is_pending());
    let wakes = leader.woken();
    clock.advance(Duration::from_nanos(1));
    assert!(leader.woken() > wakes && leader.run().is_ready());
    assert_eq!(entries(&log), [[1], [1]]);
}

#[test]
fn without_a_retry_left_its_callers_share_the_last_error() {
    let (_, handler) = failing(9);
    let (batcher, driver) = Batcher::builder()
        .max_items(2)
        .retry(Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(3))
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut replies = [1, 2].map(|item| batcher.try_submit(item).unwrap());
    assert!(Task::new(driver).run().is_pending());
    for reply in &mut replies {
        assert_eq!(result(reply).unwrap().unwrap_err().handler_error(), Some(&3));
    }
    assert_eq!((batcher.stats().retries, batcher.stats().failed), (2, 1));
}

#[test]
fn a_flush_waits_for_the_retries_and_the_close_ends_their_pauses() {
    let (log, handler) = failing(1);
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .retry(Backoff::fixed(Duration::MAX).jitter(0.0).max_attempts(u32::MAX))
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut driver = Task::new(driver);
    let mut reply = batcher.try_submit(1).unwrap();
    let mut flush = Task::new(batcher.flush());
    assert!(driver.run().is_pending());
    assert!(flush.run().is_pending(), "it pauses for ever");
    let before = driver.woken();
    let mut shutdown = Task::new(batcher.shutdown());
    assert!(shutdown.run().is_pending());
    assert!(driver.woken() > before, "told of the close");
    assert!(driver.run().is_ready());
    assert!(shutdown.run().is_ready() && flush.run().is_ready());
    assert_eq!(result(&mut reply).unwrap().unwrap(), 1);
    assert_eq!(entries(&log), [[1], [1]]);
}

#[test]
fn nothing_is_tried_again_after_the_close() {
    let (log, handler) = failing(usize::MAX);
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .retry(Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(u32::MAX))
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut replies = [1, 2].map(|item| batcher.try_submit(item).unwrap());
    batcher.close();
    assert!(Task::new(driver).run().is_ready());
    assert_eq!(entries(&log), [[1], [2]]);
    assert!(replies.iter_mut().all(|reply| result(reply).unwrap().is_err()));
}

#[test]
fn a_driver_dropped_in_a_pause_fails_the_batch() {
    let (_, handler) = failing(9);
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .retry(Backoff::fixed(PAUSE).jitter(0.0).max_attempts(10))
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut driver = Task::new(driver);
    let mut replies = [1, 2].map(|item| batcher.try_submit(item).unwrap());
    assert!(driver.run().is_pending());
    drop(driver);
    for reply in &mut replies {
        assert!(matches!(result(reply), Some(Err(BatchError::DriverDropped))));
    }
    let Poll::Ready(Err(left)) = Task::new(batcher.shutdown()).run() else { panic!("dropped") };
    assert_eq!((left.interrupted(), left.into_items()), (1, vec![2]));
}

#[test]
fn a_batch_that_pauses_does_not_hold_up_another_in_flight() {
    let clock = ManualClock::new();
    let (log, handler) = failing(1);
    let (batcher, driver) = one_by_one(&clock).build(handler).unwrap();
    let mut driver = Task::new(driver);
    let mut replies = [1, 2, 3].map(|item| batcher.try_submit(item).unwrap());
    assert!(driver.run().is_pending());
    assert_eq!(entries(&log), [[1], [2], [3]]);
    clock.advance(PAUSE);
    assert!(driver.run().is_pending());
    assert!(replies.iter_mut().zip(1..).all(|(reply, n)| result(reply).unwrap().unwrap() == n));
}

/// A handler that says which of its errors are transient.
struct Moody;

impl Handler<u32> for Moody {
    type Output = u32;
    type Error = &'static str;
    type Run = std::future::Ready<Result<Vec<u32>, &'static str>>;

    fn start(&mut self, items: Vec<u32>) -> Self::Run {
        std::future::ready(Err(if items[0] == 0 { "for ever" } else { "busy" }))
    }

    fn is_transient(&self, error: &&'static str) -> bool {
        *error == "busy"
    }
}

#[test]
fn an_error_that_the_handler_calls_lasting_is_not_tried_again() {
    fn is_tried_again(handler: impl Handler<u32>) {
        let builder = Batcher::builder().max_items(2).clock(ManualClock::new());
        let backoff = Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(4);
        let (batcher, driver) = builder.retry(backoff).build_with(handler).unwrap();
        let mut driver = Task::new(driver);
        for (item, retries, failed) in [(0, 0, 1), (1, 3, 2)] {
            (0..2).for_each(|_| batcher.try_push(item).unwrap());
            assert!(driver.run().is_pending());
            assert_eq!((batcher.stats().retries, batcher.stats().failed), (retries, failed));
        }
    }
    is_tried_again(Moody);
    // The wrapper asks the wrapped handler whether an error is transient.
    is_tried_again(Moody.dedupe_by_key(|item: &u32| *item));
}

#[test]
fn a_bisected_batch_gives_each_caller_its_own_result() {
    let calls = Arc::new(Mutex::new(0_u64));
    let handler = {
        let calls = calls.clone();
        move |items: Vec<u32>| {
            *calls.lock().unwrap() += 1;
            match items.iter().find(|item| **item % 5 == 4) {
                Some(9) => std::panic::resume_unwind(Box::new("nine")),
                Some(poison) => Err(*poison),
                None => Ok(items),
            }
        }
    };
    let (batcher, driver) = Batcher::builder()
        .max_items(10)
        .on_error(OnError::Bisect)
        .retry(Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(2))
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut replies: Vec<_> = (0..10).map(|item| batcher.try_submit(item).unwrap()).collect();
    assert!(Task::new(driver).run().is_pending());
    for (item, reply) in (0..).zip(&mut replies) {
        match (item, result(reply).unwrap()) {
            (4, Err(BatchError::Handler(poison))) => assert_eq!(*poison, 4),
            (9, Err(BatchError::Panicked(message))) => assert_eq!(&*message, "nine"),
            (_, outcome) => assert_eq!(outcome.unwrap(), item),
        }
    }
    let stats = batcher.stats();
    assert_eq!((stats.failed, stats.failed_items, stats.done, stats.retries), (1, 2, 10, 1));
    assert_eq!(*calls.lock().unwrap(), stats.batches + stats.retries + 2 * stats.splits);
}

/// The items of one call.
type Call = Vec<usize>;

/// Submits the items of one batch and drives it. Returns the items of each call, and each item's
/// result.
fn run(
    len: usize,
    retries: Option<u32>,
    on_error: OnError,
    mut handler: impl FnMut(&[usize]) -> Result<Vec<usize>, ()>,
) -> (Vec<Call>, Vec<Result<usize, BatchError<()>>>) {
    let calls: Log<usize> = Arc::default();
    let log = calls.clone();
    let mut builder =
        Batcher::builder().max_items(len).on_error(on_error).clock(ManualClock::new());
    if let Some(retries) = retries {
        builder =
            builder.retry(Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(retries + 1));
    }
    let (batcher, driver) = builder
        .build(move |items: Vec<usize>| {
            log.lock().unwrap().push(items.clone());
            handler(&items)
        })
        .unwrap();
    let mut replies: Vec<_> = (0..len).map(|item| batcher.try_submit(item).unwrap()).collect();
    assert!(Task::new(driver).run().is_pending());
    (entries(&calls), replies.iter_mut().map(|reply| result(reply).unwrap()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn bisecting_isolates_the_poison_in_a_bounded_number_of_calls(
        len in 1_usize..70,
        poison in prop::collection::btree_set(0_usize..70, 0..8),
        retries in prop::option::of(0_u32..3),
        panics: bool,
    ) {
        let poison: BTreeSet<_> = poison.into_iter().filter(|item| *item < len).collect();
        let poisonous = poison.clone();
        let (calls, results) = run(len, retries, OnError::Bisect, move |items| {
            match items.iter().any(|item| poisonous.contains(item)) {
                true if panics => quiet_panic("poison"),
                true => Err(()),
                false => Ok(items.iter().map(|item| item * 2).collect()),
            }
        });
        for (item, result) in results.iter().enumerate() {
            prop_assert_eq!(result.as_ref().ok().copied(), (!poison.contains(&item)).then_some(item * 2));
        }
        // Each good item was in one call that succeeded, and each poisoned one was alone in a call.
        let made_it = calls.iter().filter(|call| !call.iter().any(|item| poison.contains(item)));
        prop_assert_eq!(made_it.flatten().count(), len - poison.len());
        let alone = calls.iter().filter(|call| call.len() == 1 && poison.contains(&call[0])).count();
        prop_assert!(alone >= poison.len());
        let first = if poison.is_empty() { 1 } else { 1 + retries.unwrap_or(0) as usize };
        let depth = len.next_power_of_two().ilog2() as usize;
        prop_assert!(calls.len() <= first + (2 * poison.len() * depth).min(2 * len - 2));
    }

    #[test]
    fn a_whole_batch_is_tried_again_until_it_succeeds_or_no_retry_is_left(
        len in 1_usize..5,
        retries in 0_u32..5,
        broken in 0_u32..8,
    ) {
        let mut failures = 0;
        let (calls, results) = run(len, Some(retries), OnError::Fail, move |items| {
            failures += 1;
            if failures <= broken { Err(()) } else { Ok(items.to_vec()) }
        });
        prop_assert_eq!(calls.len(), 1 + retries.min(broken) as usize);
        prop_assert!(calls.iter().all(|call| call.iter().copied().eq(0..len)));
        prop_assert!(results.iter().all(|result| result.is_ok() == (broken <= retries)));
    }
}

#[test]
fn the_last_call_gets_the_items_themselves() {
    let mut owners = Vec::new();
    let (batcher, driver) = Batcher::builder()
        .max_items(1)
        .on_error(OnError::Bisect)
        .retry(Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(2))
        .clock(ManualClock::new())
        .build(|items: Vec<Rc<()>>| {
            owners.push(Rc::strong_count(&items[0]));
            Err::<Vec<()>, _>(())
        })
        .unwrap();
    let item = Rc::new(());
    batcher.try_push(item.clone()).unwrap();
    assert!(Task::new(driver).run().is_pending());
    assert_eq!(owners, [3, 2], "a clone, as it may fail, and then the item");
}

#[test]
fn a_wrong_number_of_results_is_bisected_too() {
    // The handler returns no results for odd items.
    let handler = |items: Vec<u32>| Ok::<_, ()>(items.into_iter().filter(|n| n % 2 == 0).collect());
    let (batcher, driver) = Batcher::builder()
        .max_items(3)
        .on_error(OnError::Bisect)
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut replies = [2, 3, 4].map(|item| batcher.try_submit(item).unwrap());
    assert!(Task::new(driver).run().is_pending());
    assert!(matches!(result(&mut replies[0]), Some(Ok(2))));
    let wrong = result(&mut replies[1]).unwrap().unwrap_err();
    assert!(matches!(wrong, BatchError::WrongLength { sent: 1, got: 0 }));
    assert!(matches!(result(&mut replies[2]), Some(Ok(4))));
}

#[test]
fn a_batch_that_lost_its_oldest_items_is_recovered_without_them() {
    let (log, handler) = failing(2);
    let (batcher, driver) = Batcher::builder()
        .max_items(3)
        .capacity(3)
        .on_full(OnFull::DropOldest)
        .on_error(OnError::Bisect)
        .retry(Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(2))
        .clock(ManualClock::new())
        .build(handler)
        .unwrap();
    let mut replies = [1, 2, 3, 4].map(|item| batcher.try_submit(item).unwrap());
    assert!(Task::new(driver).run().is_pending());
    assert_eq!(entries(&log), [vec![2, 3], vec![2, 3], vec![2], vec![3]]);
    let [oldest, second, third, _waits] = &mut replies;
    assert!(matches!(result(oldest), Some(Err(BatchError::Dropped))));
    assert_eq!((result(second).unwrap().unwrap(), result(third).unwrap().unwrap()), (2, 3));
}

/// A value that panics when it is cloned.
struct Dear(u32);

impl Clone for Dear {
    fn clone(&self) -> Self {
        std::panic::resume_unwind(Box::new("too dear"))
    }
}

#[test]
fn a_clone_that_panics_counts_as_a_panic_of_the_handler() {
    let (batcher, driver) = Batcher::builder()
        .max_items(2)
        .on_error(OnError::Bisect)
        .clock(ManualClock::new())
        .build(|items: Vec<Dear>| Ok::<_, ()>(items.into_iter().map(|item| item.0).collect()))
        .unwrap();
    let mut replies = [1, 2].map(|item| batcher.try_submit(Dear(item)).unwrap());
    assert!(Task::new(driver).run().is_pending());
    // An item that is alone in its call is not cloned.
    assert!(replies.iter_mut().zip(1..).all(|(reply, n)| result(reply).unwrap().unwrap() == n));
}

#[test]
fn a_leader_dropped_in_a_pause_passes_it_on() {
    let clock = ManualClock::new();
    let (log, handler) = failing(1);
    let led = Batcher::builder()
        .policy(Policy::Immediate)
        .max_items(1)
        .retry(Backoff::fixed(PAUSE).jitter(0.0).max_attempts(2))
        .clock(clock.clone())
        .build_leader(Blocking::new(handler))
        .unwrap();
    let (mut first, mut second) = (Task::new(led.submit(1)), Task::new(led.submit(2)));
    assert!(first.run().is_pending());
    assert!(second.run().is_pending());
    drop(first);
    assert!(second.run().is_pending(), "leads, and waits for the pause");
    let before = second.woken();
    clock.advance(PAUSE);
    assert!(second.woken() > before);
    assert!(matches!(second.run(), Poll::Ready(Ok(2))));
    assert_eq!(entries(&log), [[1], [1], [2]]);
}
