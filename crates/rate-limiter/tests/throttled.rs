//! Readers, writers and streams within a rate.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter, Throttled};

/// Hands out what it has, when it is ready.
struct Source {
    bytes: usize,
    is_ready: bool,
}

impl futures_io::AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.is_ready {
            return Poll::Pending;
        }
        let n = buf.len().min(self.bytes);
        self.bytes -= n;
        Poll::Ready(Ok(n))
    }
}

impl tokio::io::AsyncRead for Source {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = futures_io::AsyncRead::poll_read(self, cx, buf.initialize_unfilled());
        read.map_ok(|n| buf.advance(n))
    }
}

impl Stream for Source {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<()>> {
        if !self.is_ready {
            return Poll::Pending;
        }
        self.bytes = self.bytes.saturating_sub(1);
        Poll::Ready((self.bytes > 0).then_some(()))
    }
}

fn limiter() -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(10).and_then(|quota| quota.burst(4)).unwrap();
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

fn left(limiter: &RateLimiter<ManualClock>) -> u32 {
    limiter.try_acquire(0).unwrap().remaining()
}

#[test]
fn a_read_takes_what_it_reads_and_no_more_than_a_burst() {
    let (limiter, clock) = limiter();
    let source = Source { bytes: 7, is_ready: true };
    let mut reader = pin!(Throttled::new(source, &limiter));
    let mut cx = Context::from_waker(Waker::noop());
    let mut buf = [0; 100];
    let mut read = |length: usize| {
        let read = futures_io::AsyncRead::poll_read(reader.as_mut(), &mut cx, &mut buf[..length]);
        read.map(|read| read.unwrap())
    };
    assert_eq!(read(1), Poll::Ready(1));
    assert_eq!(read(100), Poll::Ready(3));
    assert_eq!(read(100), Poll::Pending);
    clock.advance(Duration::from_millis(100));
    assert_eq!(read(100), Poll::Ready(1));
    clock.advance(Duration::from_secs(1));
    // Two bytes are left, and two tokens come back.
    assert_eq!(read(100), Poll::Ready(2));
    assert_eq!(left(&limiter), 2);
    assert_eq!(read(100), Poll::Ready(0));
    assert_eq!(left(&limiter), 2);
}

#[test]
fn who_waits_for_its_peer_holds_no_tokens() {
    let (limiter, _clock) = limiter();
    let mut cx = Context::from_waker(Waker::noop());
    let source = || Source { bytes: 7, is_ready: false };
    let mut buf = [0; 100];
    let mut reader = pin!(Throttled::new(source(), &limiter));
    let read = futures_io::AsyncRead::poll_read(reader.as_mut(), &mut cx, &mut buf);
    assert!(read.is_pending());
    let mut part = tokio::io::ReadBuf::new(&mut buf);
    assert!(tokio::io::AsyncRead::poll_read(reader, &mut cx, &mut part).is_pending());
    let mut stream = pin!(Throttled::new(source(), &limiter));
    assert!(stream.as_mut().poll_next(&mut cx).is_pending());
    assert_eq!(left(&limiter), 4);
    assert_eq!(limiter.stats().waiting, 0);
}

#[test]
fn a_dropped_read_leaves_the_line() {
    let (limiter, clock) = limiter();
    limiter.try_acquire(4).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut reader = Box::pin(Throttled::new(Source { bytes: 7, is_ready: true }, &limiter));
    let mut buf = [0; 100];
    let read = futures_io::AsyncRead::poll_read(reader.as_mut(), &mut cx, &mut buf);
    assert!(read.is_pending());
    assert_eq!(limiter.stats().waiting, 1);
    drop(reader);
    clock.advance(Duration::from_secs(1));
    assert_eq!(left(&limiter), 4);
}

#[test]
fn tokio_reads_are_charged_alike() {
    let (limiter, _clock) = limiter();
    let mut cx = Context::from_waker(Waker::noop());
    let mut buf = [0; 3];
    let mut part = tokio::io::ReadBuf::new(&mut buf);
    let reader = pin!(Throttled::new(Source { bytes: 2, is_ready: true }, &limiter));
    let read = tokio::io::AsyncRead::poll_read(reader, &mut cx, &mut part);
    assert!(read.is_ready());
    assert_eq!((part.filled().len(), left(&limiter)), (2, 2));
}

#[test]
fn writes_are_charged_by_what_was_written() {
    let (limiter, clock) = limiter();
    let mut cx = Context::from_waker(Waker::noop());
    let mut writer = pin!(Throttled::new(Vec::new(), &limiter));
    let mut write = || tokio::io::AsyncWrite::poll_write(writer.as_mut(), &mut cx, &[7; 6]);
    assert!(matches!(write(), Poll::Ready(Ok(4))));
    assert!(write().is_pending());
    clock.advance(Duration::from_millis(250));
    assert!(matches!(write(), Poll::Ready(Ok(2))));
    assert_eq!(writer.get_ref().len(), 6);
}

#[test]
fn an_item_costs_a_token_and_the_end_none() {
    let (limiter, _clock) = limiter();
    let mut cx = Context::from_waker(Waker::noop());
    let mut stream = pin!(Throttled::new(Source { bytes: 3, is_ready: true }, &limiter));
    assert_eq!(stream.as_mut().poll_next(&mut cx), Poll::Ready(Some(())));
    assert_eq!(stream.as_mut().poll_next(&mut cx), Poll::Ready(Some(())));
    assert_eq!(stream.as_mut().poll_next(&mut cx), Poll::Ready(None));
    assert_eq!(left(&limiter), 2);
}

#[test]
fn a_throttled_future_can_be_sent() {
    fn goes<T: Send>(_: &T) {}
    let (limiter, _clock) = limiter();
    goes(&Throttled::new(Source { bytes: 0, is_ready: true }, &limiter));
}
