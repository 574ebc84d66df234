//! A clock that lags behind its timer.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use test_kit::{Behind, CountingWaker};
use tidegate_batch_processor::{Batcher, IntoBatches};

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
        // It asks for its next turn.
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
        // It asks for its next turn.
        assert_eq!(woken.count(), polls);
    }
}
