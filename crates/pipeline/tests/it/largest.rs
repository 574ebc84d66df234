//! The largest number that a setting takes: its cost is bounded by what is used, and nothing is
//! allocated up front.

use std::{
    future::{Future, poll_fn},
    num::NonZeroUsize,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use test_kit::Task;
use tidegate_pipeline::{CancelToken, Pipeline, Threads, Wait};
use tidegate_semaphore::Semaphore;
use tidegate_worker_pool::WorkerPool;

use crate::desk::n;

const MOST: NonZeroUsize = NonZeroUsize::MAX;

async fn pass(item: u64) -> Result<u64, String> {
    Ok(item)
}

fn all() -> impl Iterator<Item = u64> {
    0..1000
}

#[test]
fn the_largest_concurrency_is_bounded_by_what_is_used() {
    let flow = Pipeline::from_iter(all()).try_map_async("pass", MOST, pass);
    assert!(flow.collect().wait().unwrap().into_iter().eq(all()));
    let flow = Pipeline::from_iter(all()).try_map_keyed("pass", MOST, |item| item % 3, pass);
    assert!(flow.collect().wait().unwrap().into_iter().eq(all()));
    let pool = WorkerPool::builder().threads(2).queue(usize::MAX).build().unwrap();
    let flow = Pipeline::from_iter(all()).map_on(&pool, "pass", MOST, |item| item);
    assert!(flow.collect().wait().unwrap().into_iter().eq(all()));
    let flow = Pipeline::from_iter(all())
        .map_init(&pool, "pass", MOST, || (), |(), item| item)
        .and_map("pass on", |item| item);
    assert!(flow.collect().wait().unwrap().into_iter().eq(all()));
    let flow = Pipeline::from_iter(all()).map_on(Threads, "pass", MOST, |item| item);
    assert!(flow.collect().run_on_threads(n(3)).unwrap().into_iter().eq(all()));
    let calls = Semaphore::new(2);
    let flow = Pipeline::from_iter(all()).gated("pass", MOST, &calls, pass);
    assert!(flow.collect().wait().unwrap().into_iter().eq(all()));
}

#[test]
fn the_largest_window_is_bounded_by_what_is_used() {
    for concurrency in [n(1), n(3), MOST] {
        let flow = Pipeline::from_iter(all()).try_map_async("pass", concurrency, pass).window(MOST);
        assert!(flow.collect().wait().unwrap().into_iter().eq(all()));
        let flow = Pipeline::from_iter(all()).try_map_async("pass", concurrency, pass).window(n(1));
        assert!(flow.collect().wait().unwrap().into_iter().eq(all()));
        let flow = Pipeline::from_iter(all())
            .map_on(Threads, "pass", concurrency, |item| item)
            .window(MOST);
        assert!(flow.collect().run_on_threads(n(2)).unwrap().into_iter().eq(all()));
        let flow = Pipeline::from_iter(all())
            .map_on(Threads, "pass", concurrency, |item| item)
            .window(n(1));
        assert!(flow.collect().run_on_threads(n(2)).unwrap().into_iter().eq(all()));
        let flow = Pipeline::from_iter(all())
            .try_map_async("pass", concurrency, pass)
            .window(MOST)
            .unordered();
        assert_eq!(flow.run().wait().unwrap().succeeded, 1000);
    }
}

#[test]
fn the_largest_batch_is_bounded_by_what_is_used() {
    let flow = Pipeline::from_iter(all()).batch("all", MOST, Duration::MAX);
    assert!(flow.collect().wait().unwrap().into_iter().flatten().eq(all()));
}

#[test]
fn the_largest_number_in_flight_bounds_nothing() {
    let flow = Pipeline::from_iter(all()).max_in_flight(MOST).try_map_async("pass", n(3), pass);
    assert_eq!(flow.run().wait().unwrap().succeeded, 1000);
}

#[test]
fn the_largest_number_of_threads_is_bounded_by_what_is_used() {
    for concurrency in [n(1), n(4)] {
        let flow = Pipeline::from_iter(all()).map_on(Threads, "pass", concurrency, |item| item);
        assert!(flow.collect().run_on_threads(MOST).unwrap().into_iter().eq(all()));
    }
}

#[test]
fn the_largest_numbers_hold_in_a_deterministic_run() {
    for seed in 0..10 {
        let flow = Pipeline::from_iter(all())
            .map_on(Threads, "pass", MOST, |item| item)
            .try_map_async("pass on", MOST, pass);
        assert_eq!(flow.run_deterministic(seed).unwrap().succeeded, 1000);
    }
}

/// One waiter among very many is woken and polled alone: the others are not polled.
#[test]
fn a_wake_among_a_hundred_thousand_in_flight_polls_one() {
    for many in [6_250, 100_000] {
        let (polls, tokens) =
            (AtomicUsize::new(0), Vec::from_iter((0..many).map(|_| CancelToken::new())));
        let work = async |item: usize| {
            let mut cancelled = pin!(tokens[item].cancelled());
            let counted = poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                cancelled.as_mut().poll(cx)
            });
            counted.await;
        };
        let flow = Pipeline::from_iter(0..many).map_async("wait", MOST, work).unordered();
        let mut run = Task::new(flow.run());
        while polls.load(Ordering::Relaxed) < many {
            assert!(run.is_pending());
        }
        for item in [many / 2, many - 1, 0] {
            let (polled, woken) = (polls.load(Ordering::Relaxed), run.woken());
            tokens[item].cancel();
            assert!(run.woken() > woken);
            assert!(run.is_pending());
            assert_eq!(polls.load(Ordering::Relaxed) - polled, 1);
        }
        drop(run);
    }
}
