//! Clocks that lag: behind a refresh, or behind their own timer.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use test_kit::{Behind, CountingWaker};
use tidegate_rate_limiter::{
    CachedClock, KeyedLimiter, ManualClock, Quota, RateLimiter, Throttled, Timestamp,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Has bytes for ever.
struct Endless;

impl futures_io::AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }
}

#[test]
fn a_clock_behind_its_timer_does_not_hold_up_a_poll() {
    let quota = Quota::per_second(1);
    let limiter = RateLimiter::with_clock(quota, Behind);
    let keyed = KeyedLimiter::with_clock(quota, 4.try_into().unwrap(), Behind);
    limiter.try_acquire(1).unwrap();
    keyed.try_acquire(&"key", 1).unwrap();

    let (woken, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let mut reader = pin!(Throttled::new(Endless, &limiter));
    for polls in 1..4 {
        let read = futures_io::AsyncRead::poll_read(reader.as_mut(), &mut cx, &mut [0; 8]);
        assert!(read.is_pending());
        // It wakes itself.
        assert_eq!(woken.count(), polls);
    }
    let (mut wait, mut of_key) = (pin!(limiter.acquire(1)), pin!(keyed.acquire(&"key", 1)));
    for polls in 1..4 {
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        assert!(of_key.as_mut().poll(&mut cx).is_pending());
        assert_eq!(woken.count(), 3 + 2 * polls);
    }
}

#[test]
fn a_measured_wait_begins_with_the_wait_however_late_the_clock_is() {
    let hand = ManualClock::new();
    let clock = Arc::new(CachedClock::new(hand.clone()));
    let limiter = RateLimiter::with_clock(Quota::per_second(1), clock.clone());
    hand.advance(HOUR);
    limiter.try_acquire_at(1, Timestamp::ORIGIN + HOUR).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut wait = pin!(limiter.acquire(1));
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        hand.advance(SECOND);
        assert!(wait.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(limiter.stats().wait_time, SECOND);

    // The same of a reader.
    hand.advance(HOUR);
    limiter.try_acquire_at(1, Timestamp::ORIGIN + HOUR * 2 + SECOND).unwrap();
    let mut reader = pin!(Throttled::new(Endless, &limiter));
    let mut read = || futures_io::AsyncRead::poll_read(reader.as_mut(), &mut cx, &mut [0; 8]);
    assert!(read().is_pending());
    hand.advance(SECOND);
    assert!(matches!(read(), Poll::Ready(Ok(1))));
    assert_eq!(limiter.stats().wait_time, SECOND * 2);
}
