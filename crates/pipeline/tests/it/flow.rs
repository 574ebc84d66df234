//! What a flow as a whole promises: counts, errors, ends.

use std::{
    future::{Future, pending},
    num::NonZeroUsize,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use test_kit::{Task, quiet_panic};
use tidegate_pipeline::{
    AfterStop, CancelToken, ManualClock, OnError, Pipeline, Queue, Stage, Summary, Threads, Wait,
    policy,
};

use crate::desk::{Desk, n};

fn counts(summary: Summary) -> [u64; 5] {
    [summary.read, summary.succeeded, summary.failed, summary.skipped, summary.leftover()]
}

#[test]
fn the_first_error_stops_the_source_and_drains() {
    let desk = Desk::new(100);
    let mut run = Task::new(
        Pipeline::from_iter(0..100).try_map_async("work", n(4), |item| desk.work(item)).run(),
    );
    assert!(run.is_pending());
    desk.failed(2);
    desk.failed(3);
    assert!(run.is_pending());
    desk.done(0);
    desk.done(1);
    let stopped = run.output().unwrap_err();
    assert_eq!(stopped.error().unwrap().index(), 2);
    assert_eq!(counts(stopped.summary()), [4, 2, 2, 0, 0]);
}

#[test]
fn abandoned_items_are_dropped_at_once_and_counted_as_left_over() {
    let desk = Desk::new(100);
    let held = Arc::new(());
    let flow = Pipeline::from_iter(0..100).after_stop(AfterStop::Abandon).try_map_async(
        "work",
        n(4),
        |item| {
            let (held, work) = (held.clone(), desk.work(item));
            async move {
                let _held = held;
                work.await
            }
        },
    );
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    // Item 0 leaves, because no earlier item is in work; item 2 waits for item 1.
    desk.done(0);
    desk.done(2);
    assert!(run.is_pending());
    desk.failed(3);
    let stopped = run.output().unwrap_err();
    assert_eq!(counts(stopped.summary()), [6, 1, 1, 0, 4]);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_cancelled_flow_brings_what_it_has_to_the_end() {
    let (desk, token) = (Desk::new(100), CancelToken::new());
    let flow = Pipeline::from_iter(0..100).try_map_async("work", n(2), |item| desk.work(item));
    let mut run = Task::new(flow.stop_on(&token).run());
    assert!(run.is_pending());
    desk.done(1);
    assert!(run.is_pending());
    token.cancel();
    assert_eq!(run.woken(), 2);
    assert!(run.is_pending());
    desk.done(0);
    desk.done(2);
    let stopped = run.output().unwrap_err();
    assert!(stopped.is_cancelled());
    assert_eq!(counts(stopped.summary()), [3, 3, 0, 0, 0]);
}

#[test]
fn a_token_cancelled_before_the_start_reads_nothing() {
    let token = CancelToken::new();
    token.cancel();
    let stopped = Pipeline::from_iter(0..).stop_on(&token).run().wait().unwrap_err();
    assert_eq!(counts(stopped.summary()), [0; 5]);
}

#[test]
fn a_source_that_waits_is_notified_of_the_stop() {
    let (queue, token, desk) = (Queue::<usize>::unbounded(), CancelToken::new(), Desk::new(1));
    let mut run = Task::new(Pipeline::from_queue(&queue).stop_on(&token).run());
    assert!(run.is_pending());
    token.cancel();
    assert!(run.output().unwrap_err().is_cancelled());

    queue.try_push(0).unwrap();
    let flow = Pipeline::from_queue(&queue).try_map_async("work", n(2), |item| desk.work(item));
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    desk.failed(0);
    assert_eq!(run.output().unwrap_err().summary().failed, 1);
    assert!(!queue.is_closed());
}

#[test]
fn a_late_failure_behind_a_full_stage_ends_the_run() {
    let (queue, desk) = (Arc::new(Queue::unbounded()), Desk::new(2));
    let flow = Pipeline::from_queue(queue.clone())
        .map("first", |item| item)
        .try_map_async("work", n(1), |item| desk.work(item))
        .window(n(2))
        .try_map("last", |_| Err::<(), _>("no"));
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    queue.try_push(0).unwrap();
    assert!(run.is_pending());
    desk.done(0);
    assert_eq!(run.output().unwrap_err().error().unwrap().stage(), "last");
}

#[test]
fn a_panicking_source_ends_and_is_an_error() {
    let items = (0..10).map(|item| if item == 3 { quiet_panic("source") } else { item });
    let stopped = Pipeline::from_iter(items).run().wait().unwrap_err();
    assert_eq!((stopped.error().unwrap().stage(), stopped.error().unwrap().index()), ("source", 3));
    assert_eq!(counts(stopped.summary()), [4, 3, 1, 0, 0]);
}

#[test]
fn a_panic_at_the_end_is_an_error() {
    let mut seen = 0;
    let run = Pipeline::from_iter(0..5).for_each(|item| match item {
        2 => quiet_panic("end"),
        _ => seen += 1,
    });
    let stopped = run.wait().unwrap_err();
    assert_eq!(stopped.error().unwrap().stage(), "for_each");
    assert_eq!((counts(stopped.summary()), seen), ([3, 2, 1, 0, 0], 2));
}

#[test]
fn a_panic_in_the_handler_of_errors_stops_the_flow() {
    let flow = Pipeline::from_iter(0..5)
        .try_map("work", |item| if item == 1 { Err("no") } else { Ok(item) })
        .on_error(OnError::divert(|_| quiet_panic("handler")));
    let stopped = flow.run().wait().unwrap_err();
    assert!(stopped.error().unwrap().is_panic());
    assert_eq!(counts(stopped.summary()), [2, 1, 1, 0, 0]);
}

#[test]
fn a_whole_is_failed_if_one_of_its_parts_is() {
    let flow = Pipeline::from_iter([vec![1, 2], vec![], vec![3, 13], vec![13, 4]])
        .flat_map("parts", |parts| parts)
        .try_map("luck", |part| if part == 13 { Err("unlucky") } else { Ok(part) })
        .on_error(OnError::divert(drop));
    let monitor = flow.monitor();
    assert_eq!(flow.collect().wait().unwrap(), [1, 2, 3, 4]);
    assert_eq!(counts(monitor.stats().summary), [4, 1, 2, 1, 0]);
}

#[test]
fn the_items_of_a_batch_share_its_outcome() {
    let flow = Pipeline::from_iter(0..5)
        .batch("pair", n(2), Duration::MAX)
        .try_map("store", |pair: Vec<i32>| if pair.contains(&2) { Err("no") } else { Ok(pair) })
        .on_error(OnError::divert(|error| assert_eq!(error.index(), 2)));
    assert_eq!(counts(flow.run().wait().unwrap()), [5, 3, 2, 0, 0]);
}

#[test]
fn a_batch_is_emitted_when_full_when_due_or_at_the_end() {
    let (clock, queue, out) = (ManualClock::new(), Queue::unbounded(), Queue::unbounded());
    let flow = Pipeline::from_queue(&queue)
        .timer(clock.clone())
        .batch("rows", n(3), Duration::from_secs(5))
        .for_each(|rows| out.try_push(rows).unwrap());
    let mut run = Task::new(flow);
    let mut push = |item| {
        queue.try_push(item).unwrap();
        assert!(run.is_pending());
    };
    push(1);
    clock.advance(Duration::from_secs(4));
    push(2);
    assert!(out.is_empty());
    push(3);
    assert_eq!(out.try_pop().unwrap(), [1, 2, 3]);
    push(4);
    // The next batch does not become due at the time of the full one.
    clock.advance(Duration::from_secs(4));
    assert!(run.is_pending());
    assert!(out.is_empty());
    clock.advance(Duration::from_secs(1));
    assert!(run.is_pending());
    assert_eq!(out.try_pop().unwrap(), [4]);
    queue.try_push(5).unwrap();
    queue.close();
    run.output().unwrap();
    assert_eq!(out.try_pop().unwrap(), [5]);
}

#[test]
fn a_batch_of_a_flow_that_was_full_is_still_due_at_its_time() {
    let (clock, queue, desk) = (ManualClock::new(), Queue::unbounded(), Desk::new(4));
    let linger = Duration::from_secs(5);
    let flow = Pipeline::from_queue(&queue)
        .max_in_flight(n(4))
        .timer(clock.clone())
        .batch("rows", n(10), linger)
        .try_map_async("work", n(1), |rows: Vec<usize>| desk.work(rows[0]))
        .window(n(1));
    let mut run = Task::new(flow.run());
    queue.try_push(0).unwrap();
    assert!(run.is_pending());
    clock.advance(linger);
    assert!(run.is_pending());
    assert_eq!(desk.started(), 1);
    (1..4).for_each(|item| queue.try_push(item).unwrap());
    assert!(run.is_pending());
    desk.done(0);
    assert!(run.is_pending());
    clock.advance(linger);
    assert!(run.is_pending());
    assert_eq!(desk.started(), 2);
    desk.done(1);
    queue.close();
    assert_eq!(run.output().unwrap().succeeded, 4);
}

#[test]
fn an_endless_flow_lets_others_run() {
    let mut run = Task::new(Pipeline::from_iter(0_u64..).filter("none", |_| false).run());
    assert!(run.is_pending());
    assert_eq!(run.woken(), 1);
    let mut run = Task::new(Pipeline::from_iter([()]).flat_map("endless", |()| 0..).run());
    assert!(run.is_pending());
    assert_eq!(run.woken(), 1);
}

#[test]
fn a_stopped_flow_makes_all_of_an_item_unless_it_is_abandoned() {
    // More parts than one poll makes, and more than can ever be made.
    for (parts, after_stop, expected) in [
        (0..1000, AfterStop::Drain, [1, 1, 0, 0, 0]),
        (0..u64::MAX, AfterStop::Abandon, [1, 0, 0, 0, 1]),
    ] {
        let token = CancelToken::new();
        let flow = Pipeline::from_iter([parts]).flat_map("parts", |parts| parts);
        let mut run = Task::new(flow.after_stop(after_stop).stop_on(&token).run());
        assert!(run.is_pending());
        token.cancel();
        let stopped = loop {
            if let Poll::Ready(ended) = run.poll() {
                break ended.unwrap_err();
            }
        };
        assert_eq!(counts(stopped.summary()), expected);
    }
}

#[test]
fn a_stream_ends_with_the_error() {
    let stream = Pipeline::from_iter([1, 0, 2])
        .try_map("divide", |item: i32| 10_i32.checked_div(item).ok_or("by zero"))
        .into_stream();
    let mut results = Vec::new();
    let flow = Pipeline::from_stream(stream)
        .for_each(|result| results.push(result.map_err(|stopped| stopped.to_string())));
    flow.wait().unwrap();
    let error = "pipeline stopped: stage divide failed on item 1: by zero";
    // The item behind the failed one had not been read.
    assert_eq!(results, [Ok(10), Err(error.into())]);
}

#[test]
fn stats_say_which_stage_works_and_which_waits() {
    let (clock, queue, desk) = (ManualClock::new(), Queue::unbounded(), Desk::new(9));
    let flow = Pipeline::from_queue(&queue)
        .timer(clock.clone())
        .try_map_async("work", n(2), |item| desk.work(item))
        .inspect("look", |_| clock.advance(Duration::from_secs(1)));
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    let mut sleep = |seconds| {
        assert!(run.is_pending());
        clock.advance(Duration::from_secs(seconds));
    };
    sleep(3); // for an item
    (0..3).for_each(|item| queue.try_push(item).unwrap());
    sleep(5); // two in flight
    desk.done(0);
    sleep(10); // a second in `look`, two in flight
    assert!(run.is_pending());

    let [source, work, look] = monitor.stats().stages.try_into().unwrap();
    let seconds = |time: Duration| time.as_secs();
    assert_eq!((source.name, work.name, look.name), ("source", "work", "look"));
    assert_eq!(
        (source.emitted, work.received, work.emitted, look.received, work.in_flight),
        (3, 3, 1, 1, 2)
    );
    assert_eq!((seconds(source.busy), seconds(source.waiting_on_output)), (3, 15));
    assert_eq!((seconds(work.busy), seconds(work.waiting_on_input)), (2 * 15, 3));
    assert_eq!((seconds(look.busy), seconds(look.waiting_on_input)), (1, 18));
    assert_eq!(monitor.bottleneck().unwrap().name, "work");
}

#[test]
fn an_item_that_a_stage_skips_is_received_and_not_emitted() {
    let flow = Pipeline::from_iter(0..10).filter("even", |n| n % 2 == 0).map("add", |n| n + 1);
    let monitor = flow.monitor();
    assert_eq!(flow.run().wait().unwrap().skipped, 5);
    let [source, even, add] = monitor.stats().stages.try_into().unwrap();
    assert_eq!((source.emitted, even.received, even.emitted, add.received), (10, 10, 5, 5));
}

#[test]
fn a_run_can_be_sent_and_outlive_its_maker() {
    fn spawnable<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    let token = CancelToken::new();
    let gate = Arc::new(tidegate_semaphore::Semaphore::new(1));
    let pool = tidegate_worker_pool::WorkerPool::builder().build().unwrap();
    let queue = Arc::new(Queue::unbounded());
    (0..9).for_each(|item| queue.try_push(item).unwrap());
    queue.close();
    let run = Pipeline::from_queue(queue)
        .stop_on(&token)
        .gate("enter", gate.clone())
        .gated("call", n(2), gate, |item| async move { Ok::<_, String>(item) })
        .timeout(Duration::from_secs(60))
        .retry(policy(|_, _| None))
        .map_on(&pool, "double", n(2), |item| 2 * item)
        .unordered()
        .batch("rows", n(4), Duration::MAX)
        .flat_map("row", |rows| rows)
        .on_error(OnError::Skip)
        .for_each(drop);
    let thread = std::thread::spawn(|| spawnable(run).wait());
    assert_eq!(thread.join().unwrap().unwrap().succeeded, 9);
}

#[test]
fn a_flow_may_borrow_and_need_not_be_sent() {
    let cell = std::cell::Cell::new(0);
    let add = |n| cell.set(cell.get() + n);
    let flow = Pipeline::from_iter(1..=3).map_async("add", NonZeroUsize::MIN, |n| {
        add(n);
        async {}
    });
    flow.run().wait().unwrap();
    assert_eq!(cell.get(), 6);
}

#[test]
fn stages_can_be_written_as_functions() {
    fn positive<'h>(
        flow: Pipeline<'h, impl Stage<Item = i32>>,
    ) -> Pipeline<'h, impl Stage<Item = i32>> {
        flow.filter("positive", |n| *n > 0)
    }
    assert_eq!(positive(Pipeline::from_iter([-1, 1])).collect().wait().unwrap(), [1]);
}

#[test]
fn a_dropped_run_drops_what_is_in_it() {
    let held = Arc::new(());
    let hold = |held: Arc<()>| async move {
        let _held = held;
        pending::<()>().await
    };
    let items = std::iter::repeat_with(|| held.clone());
    let flow = Pipeline::from_iter(items).map_async("hold", n(3), hold);
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    assert_eq!(Arc::strong_count(&held), 4);
    drop(run);
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(monitor.stats().summary.leftover(), 3);
}

/// Polls a flow whose last stage is busy for ever; returns how many items were read.
fn read_before_a_busy_stage<S: Stage>(flow: Pipeline<'_, S, ManualClock>) -> u64 {
    let flow = flow.map_async("hang", n(1), |_| pending::<()>()).window(n(1));
    let monitor = flow.monitor();
    assert!(Task::new(flow.run()).run().is_pending());
    monitor.stats().summary.read
}

#[test]
fn the_stages_before_a_busy_one_go_on() {
    let flow = || {
        let flow = Pipeline::from_iter(0..100_u64).timer(ManualClock::new());
        flow.map_async("work", n(1), |n| async move { n }).window(n(2))
    };
    // One item hangs, and two have been worked on.
    assert_eq!(read_before_a_busy_stage(flow()), 3);
    assert_eq!(read_before_a_busy_stage(flow().map("add", |n| n + 1)), 3);
    assert_eq!(read_before_a_busy_stage(flow().flat_map("one", |n| [n])), 3);
    assert_eq!(read_before_a_busy_stage(flow().map_on(Threads, "here", n(1), |n| n)), 3);
    let none = Pipeline::from_iter(0..0_u64).into_stream();
    assert_eq!(read_before_a_busy_stage(flow().map("low", Ok).merge("none", none)), 3);
    // One more waits in its branch.
    let split = flow().split("even?", |n| n % 2 == 0, |even| even, |odd| odd);
    assert_eq!(read_before_a_busy_stage(split), 4);
    // One more is in the next batch.
    assert_eq!(read_before_a_busy_stage(flow().batch("row", n(1), Duration::MAX)), 4);
}

#[test]
fn a_stage_whose_window_is_full_waits_on_its_output() {
    let clock = ManualClock::new();
    let flow = Pipeline::from_iter(0..100_u64).timer(clock.clone());
    let flow = flow.map_async("work", n(2), |n| async move { n });
    let flow = flow.map_async("hang", n(1), |_| pending::<()>()).window(n(1));
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(run.is_pending());
    let [_, work, hang] = monitor.stats().stages.try_into().unwrap();
    assert_eq!((work.waiting_on_input, work.waiting_on_output), (Duration::ZERO, hang.busy));
    assert_eq!((hang.busy, hang.in_flight), (Duration::from_secs(1), 1));
}
