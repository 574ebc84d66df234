//! What parallel stages promise.

use std::{
    cell::Cell,
    future::{pending, ready},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use test_kit::{Task, quiet_panic};
use tidegate_pipeline::{
    Backoff, Clock, ManualClock, OnError, Panicked, Pipeline, Queue, Reason, TimedOut, Wait, policy,
};
use tidegate_semaphore::Semaphore;
use tidegate_worker_pool::WorkerPool;

use crate::desk::{Desk, n};

#[test]
fn results_come_in_the_order_of_the_source() {
    let (desk, seen) = (Desk::new(3), Queue::unbounded());
    let mut run = Task::new(
        Pipeline::from_iter(0..3)
            .try_map_async("work", n(3), |item| desk.work(item))
            .for_each(|item| seen.try_push(item).unwrap()),
    );
    assert!(run.is_pending());
    desk.done(2);
    desk.done(1);
    assert!(run.is_pending());
    assert!(seen.is_empty());
    desk.done(0);
    assert_eq!(run.output().unwrap().succeeded, 3);
    assert_eq!([(); 3].map(|()| seen.try_pop().unwrap()), [0, 1, 2]);
}

/// Without order, a slow head holds up no other.
#[test]
fn unordered_results_come_as_they_finish() {
    let (desk, seen) = (Desk::new(3), Queue::unbounded());
    let mut run = Task::new(
        Pipeline::from_iter(0..3)
            .try_map_async("work", n(3), |item| desk.work(item))
            .unordered()
            .for_each(|item| seen.try_push(item).unwrap()),
    );
    for item in [2, 0, 1] {
        assert!(run.is_pending());
        desk.done(item);
    }
    run.output().unwrap();
    assert_eq!([(); 3].map(|()| seen.try_pop().unwrap()), [2, 0, 1]);
}

#[test]
fn concurrency_and_window_bound_what_is_read() {
    let (desk, read) = (Desk::new(100), AtomicUsize::new(0));
    let mut run = Task::new(
        Pipeline::from_iter((0..100).map(|item| (read.fetch_add(1, Ordering::SeqCst), item).1))
            .try_map_async("work", n(2), |item| desk.work(item))
            .window(n(5))
            .run(),
    );
    assert!(run.is_pending());
    assert_eq!((desk.started(), read.load(Ordering::SeqCst)), (2, 2));
    // The head takes long; the others go on until the window is full.
    for item in 1..10 {
        desk.done(item);
        assert!(run.is_pending());
    }
    assert_eq!((desk.started(), read.load(Ordering::SeqCst)), (5, 5));
}

/// futures-rs' #2387: a buffered stage stalls while its consumer is busy.
#[test]
fn stages_advance_while_the_next_is_busy_up_to_the_window() {
    let (first, second) = (Desk::new(100), Desk::new(100));
    let mut run = Task::new(
        Pipeline::from_iter(0..100)
            .try_map_async("first", n(2), |item| first.work(item))
            .window(n(4))
            .try_map_async("second", n(1), |item| second.work(item))
            .window(n(1))
            .run(),
    );
    assert!(run.is_pending());
    for item in 0..10 {
        first.done(item);
        assert!(run.is_pending());
    }
    // One item is in the second stage, which is stuck; and the window of the first is full behind
    // it.
    assert_eq!((second.started(), first.started()), (1, 5));
}

#[test]
fn only_woken_futures_are_polled() {
    let desk = Desk::new(3);
    let mut run = Task::new(
        Pipeline::from_iter(0..3).try_map_async("work", n(3), |item| desk.work(item)).run(),
    );
    assert!(run.is_pending());
    assert!(run.is_pending());
    desk.done(1);
    assert_eq!(run.woken(), 1);
    assert!(run.is_pending());
    assert_eq!([desk.polls(0), desk.polls(1), desk.polls(2)], [1, 2, 1]);
}

#[test]
fn a_failed_head_lets_the_rest_through() {
    let desk = Desk::new(3);
    let flow = Pipeline::from_iter(0..3)
        .try_map_async("work", n(3), |item| desk.work(item))
        .on_error(OnError::Skip);
    let mut run = Task::new(flow.collect());
    desk.done(1);
    desk.failed(0);
    desk.done(2);
    assert_eq!(run.output().unwrap(), [1, 2]);
}

/// futures-rs' #2348: a concurrency of zero hangs. Here zero cannot be written (`NonZeroUsize`),
/// and a concurrency of one does not hang.
#[test]
fn failures_in_a_row_do_not_wedge_the_smallest_window() {
    let flow =
        Pipeline::from_iter(0..10)
            .try_map_async("work", n(1), |item| async move {
                if item == 9 { Ok(item) } else { Err("no") }
            })
            .window(n(1))
            .on_error(OnError::Skip);
    assert_eq!(flow.collect().wait().unwrap(), [9]);
}

#[test]
fn a_panic_is_an_error_with_stage_and_index_and_frees_its_slot() {
    let desk = Desk::new(3);
    let mut errors = Vec::new();
    let mut run = Task::new(
        Pipeline::from_iter(0..3)
            .try_map_async("work", n(1), |item| desk.work(item))
            .on_error(OnError::divert(|error| errors.push(error)))
            .collect(),
    );
    desk.done(0);
    desk.panicked(1);
    desk.done(2);
    assert_eq!(run.output().unwrap(), [0, 2]);
    drop(run);
    assert_eq!((errors[0].stage(), errors[0].index(), errors.len()), ("work", 1, 1));
    assert_eq!(errors[0].cause().downcast_ref::<Panicked>().unwrap().message(), "the desk broke");
}

#[test]
fn a_panic_before_the_future_is_an_error_too() {
    let flow = Pipeline::from_iter(0..3).map_async("start", n(2), |item| {
        if item == 1 {
            quiet_panic("no future");
        }
        async move { item }
    });
    let stopped = flow.run().wait().unwrap_err();
    assert!(stopped.error().is_some_and(|error| error.is_panic() && error.index() == 1));
    assert_eq!((stopped.summary().succeeded, stopped.summary().leftover()), (1, 0));
}

#[test]
fn each_attempt_is_limited_and_repeated_after_its_pause() {
    let (clock, attempts) = (ManualClock::new(), AtomicUsize::new(0));
    let flow = Pipeline::from_iter(["page"])
        .timer(clock.clone())
        .map_async("fetch", n(1), |_| {
            attempts.fetch_add(1, Ordering::SeqCst);
            pending::<()>()
        })
        .timeout(Duration::from_secs(1))
        .retry(
            Backoff::exponential(Duration::from_secs(10), Duration::from_secs(15))
                .jitter(0.0)
                .max_attempts(3),
        );
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    let mut log = Vec::new();
    let stopped = loop {
        if let std::task::Poll::Ready(end) = run.poll() {
            break end.unwrap_err();
        }
        log.push((clock.now().as_nanos() / 1_000_000_000, attempts.load(Ordering::SeqCst)));
        clock.advance_to(clock.next_due().unwrap());
    };
    // Attempts at 0, 11 and 27, each for a second; then the error is final.
    assert_eq!(log, [(0, 1), (1, 1), (11, 2), (12, 2), (27, 3)]);
    assert!(stopped.error().unwrap().cause().is::<TimedOut>());
    assert_eq!(monitor.stats().stages[1].retried, 2);
}

#[test]
fn a_limit_after_the_retries_is_for_all_of_them() {
    let clock = ManualClock::new();
    let flow = Pipeline::from_iter([()])
        .timer(clock.clone())
        .try_map_async("fetch", n(1), |()| async { Err::<(), _>("busy") })
        .retry(policy(|_, _| Some(Duration::from_secs(1))))
        .timeout(Duration::from_millis(2500));
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    while run.is_pending() {
        clock.advance_to(clock.next_due().unwrap());
        if monitor.stats().summary.failed > 0 {
            break;
        }
    }
    assert_eq!(monitor.stats().stages[1].retried, 3);
    assert_eq!(clock.now().as_nanos(), 2_500_000_000);
}

#[test]
fn a_gate_admits_bounds_and_learns_how_it_went() {
    let (desk, gate) = (Desk::new(4), Semaphore::new(2));
    let flow = Pipeline::from_iter(0..4)
        .gated("call", n(4), &gate, |item| desk.work(item))
        .on_error(OnError::Skip);
    let mut run = Task::new(flow.collect());
    assert!(run.is_pending());
    assert_eq!((gate.available_permits(), desk.started()), (0, 2));
    desk.failed(0);
    // The failure frees a permit, which wakes the next in the wait queue.
    assert!(run.is_pending());
    assert!(run.is_pending());
    assert_eq!((run.woken(), desk.started()), (2, 3));
    (1..4).for_each(|item| desk.done(item));
    assert_eq!(run.output().unwrap(), [1, 2, 3]);
    assert_eq!(gate.available_permits(), 2);
}

#[test]
fn a_gate_that_refuses_fails_the_item_with_its_error() {
    let gate = Semaphore::new(1);
    gate.close();
    let never = |()| pending::<Result<(), String>>();
    let stopped =
        Pipeline::from_iter([()]).gated("call", n(1), &gate, never).run().wait().unwrap_err();
    assert!(!stopped.error().unwrap().is_panic());
    assert_eq!(stopped.summary().failed, 1);
}

#[test]
fn dropping_the_run_releases_passes() {
    let (desk, gate) = (Desk::new(2), Semaphore::new(1));
    let mut run = Task::new(
        Pipeline::from_iter(0..2).gated("call", n(2), &gate, |item| desk.work(item)).run(),
    );
    assert!(run.is_pending());
    assert_eq!(gate.available_permits(), 0);
    drop(run);
    assert_eq!(gate.available_permits(), 1);
}

#[test]
fn work_on_a_pool_comes_back_in_order() {
    let pool = WorkerPool::builder().build().unwrap();
    let flow = Pipeline::from_iter(0..100_u64).map_on(&pool, "square", n(4), |item| item * item);
    let squares = flow.collect().wait().unwrap();
    assert!(squares.into_iter().eq((0..100).map(|item| item * item)));
}

#[test]
fn a_panic_on_a_pool_is_the_items_error() {
    let pool = WorkerPool::builder().build().unwrap();
    let flow = Pipeline::from_iter(0..3).map_on(&pool, "odd", n(2), |item| match item {
        1 => quiet_panic("odd"),
        even => even,
    });
    let stopped = flow.run().wait().unwrap_err();
    let error = stopped.error().unwrap();
    assert_eq!(error.to_string(), "stage odd failed on item 1: panicked: odd");
    assert!(error.is_panic());
    assert_eq!(stopped.reason(), None::<&Reason>);
}

#[test]
fn a_closed_pool_fails_the_items() {
    let pool = WorkerPool::detached(1);
    pool.close();
    let flow =
        Pipeline::from_iter(0..3).map_on(&pool, "work", n(2), |item| item).on_error(OnError::Skip);
    assert_eq!(flow.run().wait().unwrap().skipped, 3);
}

#[test]
fn each_item_adds_to_the_budget_of_retries() {
    let calls = Cell::new(0);
    // Every other call fails.
    let work = |item| {
        calls.set(calls.get() + 1);
        ready(if calls.get() % 2 == 1 { Err("busy") } else { Ok(item) })
    };
    let backoff = Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(2).budget(100);
    let flow = Pipeline::from_iter(0..1000).timer(ManualClock::new());
    let flow = flow.try_map_async("work", n(1), work).retry(backoff);
    assert_eq!(flow.run().wait().unwrap().succeeded, 1000);
}

/// A stage without room drives those before it, also through a box.
#[test]
fn a_boxed_stage_goes_on_while_the_next_one_has_no_room() {
    let (before, behind) = (Desk::new(3), Desk::new(3));
    let flow = Pipeline::from_iter(0..3)
        .try_map_async("before", n(1), |item| before.work(item))
        .boxed()
        .try_map_async("behind", n(1), |item| behind.work(item));
    let mut run = Task::new(flow.collect());
    assert!(run.is_pending());
    before.done(0);
    assert!(run.is_pending());
    assert_eq!((before.started(), behind.started()), (2, 1));
    before.done(1);
    let polls = before.polls(1);
    assert!(run.is_pending());
    assert_eq!(before.polls(1), polls + 1, "nobody asks for its result, but it goes on");
    (0..2).for_each(|item| behind.done(item));
    before.done(2);
    behind.done(2);
    assert_eq!(run.output().unwrap(), [0, 1, 2]);
}
