//! Laws of values whose destructors all panic: each value is dropped, nothing else is lost, and the
//! process lives on.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use test_kit::{Bomb, Task, panics, quiet_panic};
use tidegate_batch_processor::{
    Backoff, Batcher, Blocking, Clock, Handler, IntoBatches, ManualClock, OnError, OnFull, Timer,
    Wait,
};
use tidegate_core::Timestamp;

/// Makes bombs, and says how many have gone off.
#[derive(Clone, Default)]
struct Maker(Arc<AtomicUsize>);

impl Maker {
    fn bomb(&self, n: u32) -> Bomb {
        Bomb(n, self.0.clone())
    }

    fn gone(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

#[test]
fn items_that_wait_are_dropped_each_with_their_batcher() {
    for (on_full, items, gone) in [(OnFull::Reject, 5, 5), (OnFull::DropOldest, 8, 8)] {
        let maker = Maker::default();
        let builder = Batcher::builder().max_items(3).capacity(6).on_full(on_full);
        let (batcher, driver) = builder.build(|items: Vec<Bomb>| Ok::<_, ()>(items)).unwrap();
        (0..items).for_each(|n| assert!(batcher.try_push(maker.bomb(n)).is_ok()));
        assert!(!panics(|| drop((driver, batcher))));
        assert_eq!(maker.gone(), gone);
    }
}

#[test]
fn items_that_wait_under_their_keys_are_dropped_each_with_their_batcher() {
    let maker = Maker::default();
    let builder = Batcher::builder().max_items(3).keyed();
    let handler = |items: Vec<(u32, Bomb)>| Ok::<_, ()>(items);
    let (batcher, driver) = builder.build(handler).unwrap();
    (0..8).for_each(|n| assert!(batcher.try_push((n % 2, maker.bomb(n))).is_ok()));
    assert!(!panics(|| drop((driver, batcher))));
    assert_eq!(maker.gone(), 8);
}

#[test]
fn what_a_shutdown_gives_back_is_dropped_each() {
    let maker = Maker::default();
    let builder = Batcher::builder().max_items(3);
    let (batcher, driver) = builder.build(|items: Vec<Bomb>| Ok::<_, ()>(items)).unwrap();
    (0..4).for_each(|n| assert!(batcher.try_push(maker.bomb(n)).is_ok()));
    drop(driver);
    let unprocessed = batcher.shutdown().wait().unwrap_err();
    assert!(!panics(|| drop(unprocessed)));
    assert_eq!(maker.gone(), 4);
}

#[test]
fn an_item_that_panics_when_the_panic_of_its_weight_or_key_drops_it_aborts_nothing() {
    let maker = Maker::default();
    let weighed = Batcher::builder()
        .max_weight(9, |bomb: &Bomb| if bomb.0 == 13 { quiet_panic("quiet") } else { 1 });
    let (batcher, driver) = weighed.build(|items: Vec<Bomb>| Ok::<_, ()>(items)).unwrap();
    assert!(panics(|| batcher.try_push(maker.bomb(13)).is_ok()));
    assert!(panics(|| drop(batcher.push(maker.bomb(13)))));
    assert!(batcher.try_push(maker.bomb(1)).is_ok());
    drop((driver, batcher));
    assert_eq!(maker.gone(), 3);

    let handler = |items: Vec<(Bomb, u32)>| {
        items.into_iter().for_each(|item| assert!(panics(|| drop(item))));
        Ok::<Vec<u32>, ()>(vec![])
    };
    let (batcher, driver) = Batcher::builder().keyed().build(handler).unwrap();
    assert!(batcher.try_push((maker.bomb(1), 1)).is_ok());
    assert!(panics(|| batcher.try_push((maker.bomb(13), 2)).is_ok()));
    assert!(!panics(|| drop((driver, batcher))));
    // The third is the clone of the first key.
    assert_eq!(maker.gone(), 3);
}

#[test]
fn clones_for_another_call_that_panic_are_dropped_each_and_their_batch_is_split() {
    let maker = Maker::default();
    let builder = Batcher::builder().max_items(3).on_error(OnError::Bisect);
    let handler = |items: Vec<Bomb>| {
        let results = items.iter().map(|bomb| bomb.0).collect();
        items.into_iter().for_each(|bomb| assert!(panics(|| drop(bomb))));
        Ok::<Vec<u32>, ()>(results)
    };
    let (batcher, driver) = builder.build(handler).unwrap();
    let mut driver = Task::new(driver);
    let replies = [1, 2, 13, 4, 5, 6].map(|n| batcher.try_submit(maker.bomb(n)).ok().unwrap());
    assert!((0..3).all(|_| driver.run().is_pending()));
    let results = replies.map(|reply| Task::new(reply).run());
    for (answer, n) in results.into_iter().zip([1, 2, 13, 4, 5, 6]) {
        let Poll::Ready(answer) = answer else { panic!("no answer") };
        assert_eq!(answer.ok(), Some(n));
    }
}

/// An error that panics when it is dropped.
#[derive(Debug)]
struct Fault;

impl Drop for Fault {
    fn drop(&mut self) {
        quiet_panic("quiet");
    }
}

#[test]
fn errors_of_calls_that_are_made_again_may_panic_when_they_are_dropped() {
    let mut calls = 0;
    let handler = Blocking::new(move |items: Vec<u32>| {
        calls += 1;
        if calls < 3 || items.len() > 1 { Err(Fault) } else { Ok(items) }
    });
    let builder = Batcher::builder()
        .max_items(2)
        .retry(Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(2));
    let (batcher, driver) = builder.on_error(OnError::Bisect).build_with(handler).unwrap();
    let mut driver = Task::new(driver);
    let replies = [1, 2].map(|n| batcher.try_submit(n).ok().unwrap());
    for _ in 0..8 {
        assert!(driver.run().is_pending());
    }
    for (reply, n) in replies.into_iter().zip([1, 2]) {
        let Poll::Ready(Ok(m)) = Task::new(reply).run() else { panic!("no result") };
        assert_eq!(m, n);
    }
}

#[test]
fn a_key_or_a_clone_that_panics_among_equal_items_drops_each_of_them() {
    let maker = Maker::default();
    let [keys, results] = [(); 2].map(|()| Maker::default());
    let handler = Blocking::new({
        let results = results.clone();
        move |items: Vec<Bomb>| {
            let made = items.iter().map(|bomb| results.bomb(bomb.0 % 100)).collect();
            items.into_iter().for_each(|bomb| assert!(panics(|| drop(bomb))));
            Ok::<Vec<Bomb>, ()>(made)
        }
    });
    let handler = handler.dedupe_by_key({
        let keys = keys.clone();
        move |item: &Bomb| if item.0 == 13 { quiet_panic("quiet") } else { keys.bomb(item.0) }
    });
    let (batcher, driver) = Batcher::builder().max_items(4).build_with(handler).unwrap();
    let mut driver = Task::new(driver);
    // In the first batch the third key panics; in the second, the clone of a result for an equal
    // item does; in the third, nothing does.
    for (batch, is_ok) in [([1, 2, 13, 3], false), ([1, 113, 113, 2], false), ([1, 2, 3, 4], true)]
    {
        let replies = batch.map(|n| batcher.try_submit(maker.bomb(n)).ok().unwrap());
        assert!((0..2).all(|_| driver.run().is_pending()));
        for reply in replies {
            let Poll::Ready(answer) = Task::new(reply).run() else { panic!("no answer") };
            assert_eq!(answer.is_ok(), is_ok);
            assert_eq!(panics(|| drop(answer)), is_ok);
        }
        assert_eq!(maker.gone(), 4);
    }
    assert_eq!((keys.gone(), results.gone()), (2 + 4 + 4, 3 + 1 + 4));
}

/// A stream of five bombs, after which it is pending for ever.
struct Bombs(u32, Maker);

impl Stream for Bombs {
    type Item = Bomb;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Bomb>> {
        self.0 += 1;
        if self.0 > 5 { Poll::Pending } else { Poll::Ready(Some(self.1.bomb(self.0))) }
    }
}

/// A clock that panics when it is dropped.
struct Fragile(ManualClock);

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Timer for Fragile {
    type Sleep = <ManualClock as Timer>::Sleep;

    fn sleep_until(&self, time: Timestamp) -> Self::Sleep {
        self.0.sleep_until(time)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        quiet_panic("quiet");
    }
}

#[test]
fn batches_of_a_stream_drop_each_of_their_items_and_lose_none_by_a_weight_or_a_clock_that_panics() {
    let maker = Maker::default();
    let mut has_panicked = false;
    let weigh = std::sync::Mutex::new(move || !std::mem::replace(&mut has_panicked, true));
    let settings = || Batcher::builder().max_items(9).max_delay(Duration::from_secs(1));
    let mut cx = Context::from_waker(Waker::noop());
    let mut batches =
        Box::pin(Bombs(0, maker.clone()).batches(settings().clock(ManualClock::new())).unwrap());
    assert!(batches.as_mut().poll_next(&mut cx).is_pending());
    assert!(!panics(|| drop(batches)));
    assert_eq!(maker.gone(), 5);

    let settings =
        settings().clock(Fragile(ManualClock::new())).max_weight(9, move |bomb: &Bomb| {
            let mut first = weigh.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if bomb.0 == 3 && first() { quiet_panic("quiet") } else { 1 }
        });
    let mut batches = Bombs(0, maker.clone()).batches(settings).unwrap();
    assert!(panics(|| Pin::new(&mut batches).poll_next(&mut cx).is_pending()));
    assert!(Pin::new(&mut batches).poll_next(&mut cx).is_pending());
    let (_, items) = batches.into_remainder();
    assert!(items.iter().map(|bomb| bomb.0).eq(1..6));
    items.into_iter().for_each(|bomb| assert!(panics(|| drop(bomb))));
}
