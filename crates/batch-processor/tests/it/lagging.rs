//! A clock that lags behind its timer.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use test_kit::{Behind, CountingWaker};
use tidegate_batch_processor::{Batcher, Clock, IntoBatches, Timer, Timestamp};

/// One item, and then none for a long time.
struct One(bool);

impl Stream for One {
    type Item = u32;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
        if core::mem::replace(&mut self.0, false) { Poll::Ready(Some(1)) } else { Poll::Pending }
    }
}

#[test]
fn a_clock_behind_its_timer_keeps_no_stream_of_batches_in_its_poll() {
    let settings = Batcher::builder().max_items(3).max_delay(Duration::from_millis(1));
    let mut batches = pin!(One(true).batches(settings.clock(Behind)).unwrap());
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(woken.clone());
    for polls in 1..4 {
        assert!(batches.as_mut().poll_next(&mut Context::from_waker(&waker)).is_pending());
        // The stream wakes itself for its next turn.
        assert_eq!(woken.count(), polls);
    }
}

#[test]
fn a_clock_behind_its_timer_keeps_no_driver_in_its_poll() {
    let settings = Batcher::builder().max_items(3).max_delay(Duration::from_millis(1));
    let (batcher, driver) = settings
        .clock(Behind)
        .build(|items: Vec<u32>| Ok::<_, core::convert::Infallible>(items))
        .unwrap();
    batcher.try_push(1).unwrap();
    let mut driver = pin!(driver);
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(woken.clone());
    for polls in 1..4 {
        assert!(driver.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // The driver wakes itself for its next turn.
        assert_eq!(woken.count(), polls);
    }
}

/// A clock on which an hour has passed when its timer has gone off for the second time.
#[derive(Clone, Default)]
struct SecondBell(Arc<AtomicU32>);

impl Clock for SecondBell {
    fn now(&self) -> Timestamp {
        let hours = u64::from(self.0.load(Ordering::SeqCst) / 2);
        Timestamp::ORIGIN + Duration::from_secs(3600 * hours)
    }
}

impl Timer for SecondBell {
    type Sleep = std::future::Ready<()>;

    fn sleep_until(&self, _time: Timestamp) -> Self::Sleep {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    }
}

#[test]
fn a_timer_a_little_early_costs_no_turn() {
    let settings = Batcher::builder().max_items(3).clock(SecondBell::default());
    let mut batches = pin!(One(true).batches(settings).unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(batches.as_mut().poll_next(&mut cx), Poll::Ready(Some(vec![1])));

    let settings = Batcher::builder().max_items(3).clock(SecondBell::default());
    let (batcher, driver) = settings.build(|items: Vec<u32>| Ok::<_, ()>(items)).unwrap();
    batcher.try_push(1).unwrap();
    assert!(pin!(driver).poll(&mut cx).is_pending());
    assert_eq!(batcher.stats().done, 1);
}
