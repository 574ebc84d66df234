//! What `{:?}` shows of public types.

use std::{collections::VecDeque, fmt::Debug, pin::Pin, task::Context, task::Poll};

use futures_core::Stream;
use test_kit::Task;
use tidegate_batch_processor::{
    Async, Batcher, Blocking, Builder, Handler, IntoBatches, ManualClock, Policy,
};

fn settings() -> Builder<u8, ManualClock> {
    Batcher::builder().max_items(2).clock(ManualClock::new())
}

/// Checks how the `Debug` output of a value begins.
#[track_caller]
fn shows(value: &impl Debug, expected: &str) {
    let shown = format!("{value:?}");
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn a_batcher_its_driver_and_its_futures_show_their_state() {
    let clock = format!("{:?}", ManualClock::new());
    let expected = "Builder { max_items: 2, max_delay: 10ms, max_weight: None, capacity: None";
    assert_eq!(format!("{:?}", settings()), format!("{expected}, clock: {clock} }}"));
    shows(
        &settings().max_weight(5, |_| 1),
        "Builder { max_items: 2, max_delay: 10ms, max_weight: Some(5)",
    );

    let (batcher, driver) = settings().build(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    shows(&batcher.push(1), "Push { .. }");
    shows(&batcher.enqueue(1), "Enqueue { .. }");
    shows(&batcher.submit(1), "Submit { accepted: false, .. }");
    let mut submit = Box::pin(batcher.submit(1));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(Future::poll(submit.as_mut(), &mut cx).is_pending());
    shows(&submit, "Submit { accepted: true, .. }");
    let mut reply = batcher.try_submit(2).unwrap();
    shows(&reply, "Reply { is_settled: false, .. }");
    shows(&batcher, "Batcher { stats: Stats { pushed: 2, done: 0, waiting: 2");
    shows(&driver, "Driver { stats: Stats { pushed: 2, done: 0, waiting: 2");
    shows(&batcher.flush(), "Flush { mark: None, .. }");
    shows(&batcher.shutdown(), "Shutdown { flush: Flush { mark: None, .. } }");

    let mut driver = Task::new(driver);
    assert!(driver.run().is_pending());
    shows(&reply, "Reply { is_settled: true, .. }");
    assert!(Future::poll(Pin::new(&mut reply), &mut cx).is_ready());
    shows(&reply, "Reply { is_settled: true, .. }");
    batcher.try_push(3).unwrap();
    drop(driver);
    let Poll::Ready(Err(left)) = Task::new(batcher.shutdown()).run() else { panic!("dropped") };
    assert_eq!(format!("{left:?}"), "Unprocessed { items: 1, interrupted: 0 }");
    let message = "batch driver dropped with 1 items waiting and 0 in the handler";
    assert_eq!(left.to_string(), message);
}

#[test]
fn handlers_show_what_they_are() {
    let handler = |items: Vec<u8>| Ok::<_, ()>(items);
    shows(&Blocking::new(handler), "Blocking(..)");
    shows(&Async::new(handler), "Async(..)");
    let mut deduped = Blocking::new(handler).dedupe_by_key(|item: &u8| *item);
    shows(&deduped, "Deduped(Blocking(..))");
    shows(&deduped.start(vec![1, 1]), "RunDeduped { .. }");
}

#[test]
fn a_caller_shows_whether_it_leads() {
    let handler = |_: Vec<u8>| std::future::pending::<Result<Vec<u8>, ()>>();
    let led = settings().policy(Policy::Immediate).build_leader(Async::new(handler)).unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let (mut leader, follower) = (Box::pin(led.submit(1)), led.submit(2));
    assert!(Future::poll(leader.as_mut(), &mut cx).is_pending());
    shows(&leader, "Leader { is_leading: true, .. }");
    shows(&follower, "Leader { is_leading: false, .. }");
    shows(&led, "LeaderBatcher { stats: Stats { pushed: 1, ");
}

struct Items(VecDeque<u8>);

impl Stream for Items {
    type Item = u8;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
        self.0.pop_front().map_or(Poll::Pending, |item| Poll::Ready(Some(item)))
    }
}

#[test]
fn batches_of_a_stream_show_how_many_items_wait() {
    let mut batches = Items([1].into()).batches(settings()).unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut batches).poll_next(&mut cx).is_pending());
    assert_eq!(format!("{batches:?}"), "Batches { waiting: 1, .. }");
}

#[test]
fn the_thread_of_a_driver_shows_whether_it_has_ended() {
    let (_batcher, thread) =
        settings().build_on_thread(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    assert_eq!(format!("{thread:?}"), "DriverThread { is_finished: false }");
}
