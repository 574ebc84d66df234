//! What keys, forks, second attempts and the bound on all items promise.

use std::{
    cell::Cell,
    future::{Future, pending, poll_fn, ready},
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use test_kit::{Task, quiet_panic};
use tidegate_pipeline::{
    AfterStop, Backoff, Clock, ManualClock, OnError, Pipeline, Queue, Threads, TimedOut, Timer,
    Wait,
};

use crate::desk::{Desk, n};

#[test]
fn a_key_with_many_items_leaves_all_its_room() {
    // Each item's future is pending once, so the next item has to wait for it.
    let work = |item| async move {
        let mut is_woken = false;
        poll_fn(|cx| match mem::replace(&mut is_woken, true) {
            true => Poll::Ready(item),
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    };
    let flow = Pipeline::from_iter(0..40).map_keyed("work", n(2), |_| 1, work);
    let Poll::Ready(items) = Task::new(flow.collect()).run() else { panic!("it has no room") };
    assert!(items.unwrap().into_iter().eq(0..40));
}

#[test]
fn items_of_one_key_are_worked_on_one_by_one_and_in_order() {
    let desk = Desk::new(4);
    let flow = Pipeline::from_iter(0..4).try_map_keyed(
        "work",
        n(4),
        |item| item % 2,
        |item| desk.work(item),
    );
    let mut run = Task::new(flow.collect());
    assert!(run.is_pending());
    assert_eq!(desk.started(), 2);
    // Item 3 could end if it had begun.
    desk.done(3);
    assert!(run.is_pending());
    assert_eq!(desk.started(), 2);
    desk.done(1);
    assert!(run.is_pending());
    assert_eq!(desk.started(), 3);
    desk.done(0);
    desk.done(2);
    assert_eq!(run.output().unwrap(), [1, 3, 0, 2]);
}

#[test]
fn a_slow_key_holds_up_no_other_up_to_the_window() {
    let desk = Desk::new(10);
    let flow = Pipeline::from_iter(0..10)
        .try_map_keyed("work", n(2), |item| item % 2, |item| desk.work(item))
        .window(n(4));
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    // Key 0 never moves; key 1 goes on as long as the items of key 0 leave room in the window.
    (0..5).for_each(|odd| desk.done(2 * odd + 1));
    assert!(run.is_pending());
    let summary = monitor.stats().summary;
    assert_eq!((summary.succeeded, summary.leftover()), (3, 4));
}

#[test]
fn a_failure_lets_the_next_of_its_key_begin() {
    let flow = Pipeline::from_iter(0..6)
        .try_map_keyed(
            "work",
            n(2),
            |_| (),
            |item| {
                if item == 1 {
                    quiet_panic("no future");
                }
                ready(if item == 2 { Err("no") } else { Ok(item) })
            },
        )
        .on_error(OnError::Skip);
    assert_eq!(flow.collect().wait().unwrap(), [0, 3, 4, 5]);
}

#[test]
fn a_key_that_panics_fails_its_item() {
    let flow = Pipeline::from_iter(0..4)
        .map_keyed("work", n(2), |item| if *item == 2 { quiet_panic("key") } else { 0 }, ready)
        .on_error(OnError::divert(|error| assert!(error.is_panic() && error.index() == 2)));
    assert_eq!(flow.collect().wait().unwrap(), [0, 1, 3]);
}

#[test]
fn a_long_queue_behind_one_key_is_no_deep_recursion() {
    let desk = Desk::new(100_000);
    let flow = Pipeline::from_iter(0..100_000)
        .try_map_keyed("work", n(1), |_| (), |item| desk.work(item))
        .window(n(100_000));
    let mut run = Task::new(flow.run());
    assert!(run.is_pending());
    (1..100_000).for_each(|item| desk.done(item));
    desk.done(0);
    while run.is_pending() {
        assert_ne!(desk.started(), 0);
        if desk.started() == 100_000 {
            break;
        }
    }
}

#[test]
fn the_whole_flow_holds_no_more_than_its_cap() {
    let desk = Desk::new(10);
    let flow = Pipeline::from_iter(0..10)
        .max_in_flight(n(3))
        .map_async("first", n(8), ready)
        .try_map_async("second", n(8), |item| desk.work(item));
    let monitor = flow.monitor();
    let mut run = Task::new(flow.run());
    for item in 0..10 {
        assert!(run.is_pending());
        assert_eq!(monitor.stats().summary.leftover(), 3.min(10 - item as u64));
        desk.done(item);
    }
    assert_eq!(run.output().unwrap().succeeded, 10);
}

#[test]
fn a_capped_flow_waits_for_no_larger_batch() {
    let flow = Pipeline::from_iter(0..5).max_in_flight(n(2)).batch("rows", n(100), Duration::MAX);
    assert_eq!(flow.collect().wait().unwrap(), [vec![0, 1], vec![2, 3], vec![4]]);
    let flow = Pipeline::from_iter(0..5)
        .max_in_flight(n(2))
        .map_on(Threads, "pass", n(1), |item| item)
        .batch("rows", n(100), Duration::MAX)
        .flat_map("row", |rows| rows);
    assert_eq!(flow.collect().run_on_threads(n(2)).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn an_item_that_fails_makes_room_in_a_capped_flow() {
    let flow = Pipeline::from_iter(0..100)
        .max_in_flight(n(1))
        .try_map_async("odd", n(4), |item| {
            ready(if item % 2 == 1 { Ok(item) } else { Err("even") })
        })
        .on_error(OnError::Skip)
        .filter("none", |_| false);
    assert_eq!(flow.run().wait().unwrap().skipped, 100);
}

#[test]
fn the_two_branches_of_a_fork_are_bounded_and_meet_again() {
    let desk = Desk::new(100);
    let flow = Pipeline::from_iter(0..100).split(
        "even?",
        |item| item % 2 == 0,
        |even| even.try_map_async("slow", n(1), |item| desk.work(item)).window(n(1)),
        |odd| odd.map("fast", |item| item),
    );
    let monitor = flow.monitor();
    let mut run = Task::new(flow.collect());
    assert!(run.is_pending());
    // Item 0 is in work, 1 has passed, 2 waits at the beginning of its branch, and 3 is not read.
    assert_eq!(monitor.stats().summary.read, 3);
    (0..100).for_each(|item| desk.done(item));
    let mut items = loop {
        if let std::task::Poll::Ready(items) = run.poll() {
            break items.unwrap();
        }
    };
    items.sort_unstable();
    assert!(items.into_iter().eq(0..100));
}

#[test]
fn the_stages_before_a_fork_work_while_an_item_waits_for_its_branch() {
    let (desk, slow) = (Desk::new(4), Desk::new(4));
    let flow =
        Pipeline::from_iter(0..4).try_map_async("before", n(4), |item| desk.work(item)).split(
            "all",
            |_| true,
            |all| all.try_map_async("slow", n(1), |item| slow.work(item)).window(n(1)),
            |none| none,
        );
    let mut run = Task::new(flow.collect());
    desk.done(0);
    desk.done(1);
    assert!(run.is_pending());
    // Item 0 is in work in its branch, and 1 waits in front of it.
    assert_eq!((desk.started(), slow.started()), (4, 1));
    let polls = desk.polls(2);
    desk.done(2);
    assert!(run.is_pending());
    assert_eq!(desk.polls(2), polls + 1, "what 0 needs might be in the hands of 2");
    desk.done(3);
    (0..4).for_each(|item| slow.done(item));
    assert_eq!(run.output().unwrap(), [0, 1, 2, 3]);
}

#[test]
fn a_failure_in_one_branch_stops_both() {
    let flow = Pipeline::from_iter(0..).split(
        "even?",
        |item| item % 2 == 0,
        |even| even.try_map("fail", |item| if item < 6 { Ok(item) } else { Err("large") }),
        |odd| odd,
    );
    let stopped = flow.run().wait().unwrap_err();
    assert_eq!((stopped.error().unwrap().stage(), stopped.error().unwrap().index()), ("fail", 6));
    assert_eq!(stopped.summary().leftover(), 0);
}

#[test]
fn a_choice_that_panics_fails_its_item() {
    let flow = Pipeline::from_iter(0..4)
        .split("choose", |item| *item != 2 || quiet_panic("choice"), |all| all, |none| none)
        .on_error(OnError::Skip);
    // `on_error` is for the stage added last. That is the fork itself: its branches add no stages.
    assert_eq!(flow.collect().wait().unwrap(), [0, 1, 3]);
}

#[test]
fn a_flow_ends_when_both_its_sources_have() {
    let (queue, other) = (Queue::unbounded(), Queue::unbounded());
    let stream = Pipeline::from_queue(&other).into_stream();
    let flow = Pipeline::from_queue(&queue).map("ok", Ok).merge("other", stream);
    let mut run = Task::new(flow.try_map("check", |item| item).collect());
    other.try_push(2).unwrap();
    other.close();
    assert!(run.is_pending());
    queue.try_push(1).unwrap();
    queue.close();
    assert_eq!(run.output().unwrap(), [2, 1]);
}

#[test]
fn a_second_attempt_begins_after_the_delay_and_the_first_success_wins() {
    for winner in 0..2 {
        let (clock, desk, next) = (ManualClock::new(), Desk::new(4), Cell::new(0));
        let flow = Pipeline::from_iter(["page", "next", "last"])
            .timer(clock.clone())
            .try_map_async("fetch", n(1), |_| desk.work(next.replace(next.get() + 1)))
            .hedge(Duration::from_secs(5));
        let monitor = flow.monitor();
        let mut run = Task::new(flow.collect());
        assert!(run.is_pending());
        clock.advance(Duration::from_secs(4));
        assert!(run.is_pending());
        assert_eq!(desk.started(), 1);
        clock.advance(Duration::from_secs(1));
        assert!(run.is_pending());
        assert_eq!(desk.started(), 2);
        desk.failed(1 - winner);
        assert!(run.is_pending());
        desk.done(winner);
        for item in [2, 3] {
            assert!(run.is_pending());
            desk.done(item);
        }
        assert_eq!(run.output().unwrap(), [winner, 2, 3]);
        assert_eq!(monitor.stats().stages[1].retried, 1, "the first attempts do not count");
    }
}

#[test]
fn a_hedged_item_fails_early_or_when_both_attempts_have() {
    let (clock, desk, next) = (ManualClock::new(), Desk::new(3), Cell::new(0));
    let flow = Pipeline::from_iter(["a", "b"])
        .timer(clock.clone())
        .try_map_async("fetch", n(1), |_| desk.work(next.replace(next.get() + 1)))
        .hedge(Duration::from_secs(5))
        .on_error(OnError::Skip);
    let mut run = Task::new(flow.run());
    desk.failed(0);
    assert!(run.is_pending());
    clock.advance(Duration::from_secs(5));
    assert!(run.is_pending());
    desk.failed(1);
    assert!(run.is_pending());
    desk.failed(2);
    assert_eq!(run.output().unwrap().skipped, 2);
}

#[test]
fn a_simulated_run_takes_no_time_and_repeats_itself() {
    let trace = |seed| {
        let clock = ManualClock::new();
        let mut trace = Vec::new();
        let flow = Pipeline::from_iter(0..20_u64)
            .simulated(&clock)
            .try_map_async("nap", n(4), |item| {
                let nap = clock.sleep(Duration::from_secs(3600 * (item % 3)));
                async move {
                    nap.await;
                    if item % 7 == 6 { Err("no") } else { Ok(item) }
                }
            })
            .timeout(Duration::from_secs(7000))
            .retry(Backoff::fixed(Duration::from_secs(60)).jitter(1.0).seed(seed).max_attempts(3))
            .unordered()
            .on_error(OnError::Skip)
            .for_each(|item| trace.push((clock.now().as_nanos(), item)));
        flow.run_deterministic(seed).unwrap();
        trace
    };
    assert_eq!(trace(3), trace(3));
    assert!((0..20).any(|seed| trace(seed) != trace(3)));
}

#[test]
fn a_deterministic_run_finds_the_orders_that_threads_may_take() {
    let orders = (0..200).map(|seed| {
        let flow = Pipeline::from_iter(0..3).map_async("pass", n(3), ready);
        flow.unordered().collect().run_deterministic(seed).unwrap()
    });
    let orders: std::collections::BTreeSet<_> = orders.collect();
    assert_eq!(orders.len(), 6);
}

#[test]
fn two_sides_take_turns_unless_a_seed_draws_the_side() {
    let flow = || {
        let high = Pipeline::from_iter([10, 20, 30]).into_stream();
        let flow = Pipeline::from_iter([1, 2]).map("low", Ok).merge("high", high);
        flow.try_map("check", |item| item).collect()
    };
    assert_eq!(flow().wait().unwrap(), [1, 10, 2, 20, 30]);
    let orders: Vec<_> = (0..50).map(|seed| flow().run_deterministic(seed).unwrap()).collect();
    for first in [[1, 2], [1, 10], [10, 1], [10, 20]] {
        assert!(orders.iter().any(|order| order.starts_with(&first)), "{first:?}");
    }
}

/// A stream that ends after a sleep, and panics if it is polled again and again before.
struct Nap<S>(Pin<Box<S>>, u32);

impl<S: Future<Output = ()>> Stream for Nap<S> {
    type Item = u32;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        self.1 += 1;
        if self.1 > 99 {
            quiet_panic("the clock stands still");
        }
        self.0.as_mut().poll(cx).map(|()| None)
    }
}

#[test]
fn a_simulated_clock_goes_on_while_other_threads_would_have_nothing_to_do() {
    let clock = ManualClock::new();
    let nap = Nap(Box::pin(clock.sleep(Duration::from_secs(3600))), 0);
    let flow = Pipeline::from_stream(nap).simulated(&clock).map_on(Threads, "pass", n(1), |n| n);
    assert_eq!(flow.run_deterministic(1).unwrap().read, 0);
    assert_eq!(clock.now().as_nanos(), 3600 * 1_000_000_000);
}

#[test]
fn a_deterministic_run_that_is_abandoned_ends() {
    let flow = Pipeline::from_iter(0..100)
        .try_map_async("hang", n(2), |_| pending::<Result<(), TimedOut>>())
        .map_on(Threads, "pass", n(2), |item| item);
    let token = tidegate_pipeline::CancelToken::new();
    token.cancel();
    let run = flow.stop_on(&token).after_stop(AfterStop::Abandon);
    assert!(run.run_deterministic(1).unwrap_err().is_cancelled());
}
