//! Readers, writers and streams within a rate.

use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use test_kit::{CountingWaker, quiet_panic};
use tidegate_rate_limiter::{
    Clock, Inherit, ManualClock, Quota, RateLimiter, SlidingWindow, Throttled, Timer, Timestamp,
    TokenBucket, Wait,
};

/// Has some bytes, or items, when it is ready.
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
    let quota = Quota::per_second(10).burst(4);
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
    // Two bytes are left, and two tokens are refunded.
    assert_eq!(read(100), Poll::Ready(2));
    assert_eq!(left(&limiter), 2);
    assert_eq!(read(100), Poll::Ready(0));
    assert_eq!(left(&limiter), 2);
}

#[test]
fn a_read_that_waits_for_its_peer_holds_no_tokens() {
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
fn a_dropped_read_leaves_the_wait_queue() {
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

/// Reads and writes any number of bytes.
struct Endless;

impl futures_io::AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }
}

impl futures_io::AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = buf.initialize_unfilled().len();
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Has an answer of its own to each call that moves no bytes.
struct Unconnected;

impl futures_io::AsyncWrite for Unconnected {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl tokio::io::AsyncWrite for Unconnected {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_io::AsyncWrite::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        futures_io::AsyncWrite::poll_close(self, cx)
    }
}

impl Stream for Unconnected {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (2, Some(7))
    }
}

#[test]
fn what_moves_no_bytes_is_answered_by_the_inner_object() {
    let (limiter, _clock) = limiter();
    let mut io = pin!(Throttled::new(Unconnected, &limiter));
    let mut cx = Context::from_waker(Waker::noop());
    let answers = [
        futures_io::AsyncWrite::poll_flush(io.as_mut(), &mut cx),
        tokio::io::AsyncWrite::poll_flush(io.as_mut(), &mut cx),
        futures_io::AsyncWrite::poll_close(io.as_mut(), &mut cx),
        tokio::io::AsyncWrite::poll_shutdown(io.as_mut(), &mut cx),
    ];
    let kinds = answers.map(|answer| answer.map(|result| result.unwrap_err().kind()));
    let [flushed, closed] = [io::ErrorKind::NotConnected, io::ErrorKind::ConnectionReset];
    assert_eq!(kinds, [flushed, flushed, closed, closed].map(Poll::Ready));
    assert_eq!(io.size_hint(), (2, Some(7)));
}

type Form =
    fn(Pin<&mut Throttled<'_, Endless, TokenBucket, ManualClock>>, &Waker, usize) -> Poll<usize>;

/// A read or a write of so many bytes, in each form; returns how many were moved.
const FORMS: [Form; 6] = [
    |io, waker, n| {
        let (mut cx, mut buf) = (Context::from_waker(waker), vec![0; n]);
        futures_io::AsyncRead::poll_read(io, &mut cx, &mut buf).map(Result::unwrap)
    },
    |io, waker, n| {
        let (mut cx, mut buf) = (Context::from_waker(waker), vec![0; n]);
        let mut bufs = [io::IoSliceMut::new(&mut []), io::IoSliceMut::new(&mut buf)];
        futures_io::AsyncRead::poll_read_vectored(io, &mut cx, &mut bufs).map(Result::unwrap)
    },
    |io, waker, n| {
        let mut cx = Context::from_waker(waker);
        futures_io::AsyncWrite::poll_write(io, &mut cx, &vec![0; n]).map(Result::unwrap)
    },
    |io, waker, n| {
        let (mut cx, mut buf) = (Context::from_waker(waker), vec![0; n]);
        let mut buf = tokio::io::ReadBuf::new(&mut buf);
        tokio::io::AsyncRead::poll_read(io, &mut cx, &mut buf).map(|_| buf.filled().len())
    },
    |io, waker, n| {
        let mut cx = Context::from_waker(waker);
        tokio::io::AsyncWrite::poll_write(io, &mut cx, &vec![0; n]).map(Result::unwrap)
    },
    |io, waker, n| {
        let (mut cx, buf) = (Context::from_waker(waker), vec![0; n]);
        let bufs = [io::IoSlice::new(&[]), io::IoSlice::new(&buf)];
        tokio::io::AsyncWrite::poll_write_vectored(io, &mut cx, &bufs).map(Result::unwrap)
    },
];

#[test]
fn a_call_moves_what_it_requests_whatever_an_earlier_call_requested() {
    for earlier in FORMS {
        for form in FORMS {
            for (first, second) in [(4, 2), (2, 4), (4, 1), (1, 4)] {
                let (limiter, clock) = limiter();
                limiter.try_acquire(4).unwrap();
                let mut io = pin!(Throttled::new(Endless, &limiter));
                assert!(earlier(io.as_mut(), Waker::noop(), first).is_pending());
                clock.advance(Duration::from_secs(1));
                assert_eq!(form(io.as_mut(), Waker::noop(), second), Poll::Ready(second));
                assert_eq!(left(&limiter) as usize, 4 - second);
            }
        }
    }
}

#[test]
fn an_empty_buffer_says_nothing_of_the_next_one() {
    for form in FORMS {
        let (limiter, clock) = limiter();
        limiter.penalize_for(Duration::from_secs(1));
        let mut io = pin!(Throttled::new(Endless, &limiter));
        assert!(form(io.as_mut(), Waker::noop(), 0).is_pending());
        assert!(form(io.as_mut(), Waker::noop(), 3).is_pending());
        clock.advance(Duration::from_secs(2));
        assert_eq!(form(io.as_mut(), Waker::noop(), 3), Poll::Ready(3));
        assert_eq!(form(io.as_mut(), Waker::noop(), 0), Poll::Ready(0));
    }
}

#[test]
fn a_reader_whose_read_was_abandoned_keeps_nobody_from_available_tokens() {
    for given_up in FORMS {
        for form in FORMS {
            let (limiter, clock) = limiter();
            limiter.try_acquire(4).unwrap();
            let mut idle: Vec<_> =
                (0..5).map(|_| Box::pin(Throttled::new(Endless, &limiter))).collect();
            for idle in &mut idle {
                assert!(given_up(idle.as_mut(), Waker::noop(), 4).is_pending());
            }
            clock.advance(Duration::from_millis(100));
            let mut io = pin!(Throttled::new(Endless, &limiter));
            assert_eq!(form(io.as_mut(), Waker::noop(), 4), Poll::Ready(1));
            assert!(form(io.as_mut(), Waker::noop(), 4).is_pending());
            clock.advance(Duration::from_millis(100));
            assert!(limiter.acquire(1).wait().is_ok(), "nor those in line");
            clock.advance(Duration::from_millis(100));
            assert!(limiter.try_acquire(1).is_ok(), "nor callers that do not wait");
        }
    }
}

/// Returns how often `n` readers that share a limiter are woken until each has read a byte. Checks
/// that they read in order.
fn wakes_of(n: usize, idle: usize) -> usize {
    let (limiter, clock) = limiter();
    limiter.try_acquire(4).unwrap();
    let reader = || Box::pin(Throttled::new(Endless, &limiter));
    let mut unpolled: Vec<_> = (0..idle).map(|_| reader()).collect();
    for reader in &mut unpolled {
        assert!(FORMS[0](reader.as_mut(), Waker::noop(), 1).is_pending());
    }
    let mut readers: Vec<_> = (0..n).map(|_| (reader(), CountingWaker::new(), 0, false)).collect();
    for (reader, (_, waker), ..) in &mut readers {
        assert!(FORMS[0](reader.as_mut(), waker, 1).is_pending());
    }
    // A token a tick; all have read within their own ticks and those of the idle ones.
    for tick in 1..=n + idle {
        clock.advance(Duration::from_millis(100));
        for (index, (reader, (woken, waker), seen, done)) in readers.iter_mut().enumerate() {
            if woken.count() > *seen && !*done {
                *seen = woken.count();
                *done = FORMS[0](reader.as_mut(), waker, 1).is_ready();
                assert!(!*done || idle > 0 || tick == index + 1, "in the order of arrival");
            }
        }
    }
    assert!(readers.iter().all(|(.., done)| *done));
    readers.iter().map(|(_, (woken, _), ..)| woken.count()).sum()
}

#[test]
fn a_reader_is_woken_when_its_own_token_is_due() {
    assert_eq!(wakes_of(8, 0), 8);
    assert_eq!(wakes_of(16 * 8, 0), 16 * 8);
    assert!(wakes_of(16 * 8, 3) <= 16 * 8 * 2);
}

#[test]
fn a_reader_is_woken_when_the_quota_is_raised_or_tokens_come_back() {
    let (limiter, _clock) = limiter();
    limiter.consume_now(36_000);
    let (woken, waker) = CountingWaker::new();
    let mut reader = pin!(Throttled::new(Endless, &limiter));
    let mut read = || FORMS[0](reader.as_mut(), &waker, 3);
    assert!(read().is_pending());
    limiter.set_quota(Quota::per_second(100), Inherit::Reset);
    assert_eq!((woken.count(), read()), (1, Poll::Ready(3)));
    limiter.consume_now(97);
    assert!(read().is_pending());
    limiter.refund(2);
    assert_eq!((woken.count(), read()), (2, Poll::Ready(2)));
}

#[test]
fn a_reader_sleeps_until_its_token_is_due_whatever_comes_in_between() {
    let (limiter, clock) = limiter();
    limiter.try_acquire(4).unwrap();
    let after = |millis| Some(Timestamp::ORIGIN + Duration::from_millis(millis));
    let mut reader = pin!(Throttled::new(Endless, &limiter));
    let mut read = || FORMS[0](reader.as_mut(), Waker::noop(), 1);
    assert_eq!((read(), clock.next_due()), (Poll::Pending, after(100)));
    limiter.consume_now(10);
    assert_eq!((read(), clock.next_due()), (Poll::Pending, after(1100)));
    for _ in 0..2 {
        limiter.refund(4);
        limiter.consume_now(2);
    }
    for _ in 0..2 {
        assert_eq!((read(), clock.next_due()), (Poll::Pending, after(700)));
    }
    clock.advance(Duration::from_millis(700));
    assert_eq!(read(), Poll::Ready(1));
    // What it has slept before delays no later sleep.
    clock.advance(Duration::from_secs(1));
    limiter.try_acquire(4).unwrap();
    assert_eq!((read(), clock.next_due()), (Poll::Pending, after(1800)));
}

#[test]
fn a_limiter_that_is_stopped_neither_fails_a_reader_nor_ends_a_stream() {
    let (limiter, clock) = limiter();
    limiter.penalize_until(Timestamp::NEVER);
    let (woken, waker) = CountingWaker::new();
    let (mut reader, mut stream) = (
        pin!(Throttled::new(Endless, &limiter)),
        pin!(Throttled::new(Source { bytes: 7, is_ready: true }, &limiter)),
    );
    for _ in 0..3 {
        assert!(FORMS[0](reader.as_mut(), &waker, 3).is_pending());
        assert!(stream.as_mut().poll_next(&mut Context::from_waker(&waker)).is_pending());
        clock.advance(Duration::from_secs(1_000_000));
    }
    assert_eq!(woken.count(), 0, "nor wakes them in vain");
}

#[test]
fn a_reader_and_a_writer_of_one_object_are_both_woken() {
    let (limiter, clock) = limiter();
    limiter.try_acquire(4).unwrap();
    let mut io = pin!(Throttled::new(Endless, &limiter));
    let wakers = [(); 2].map(|()| CountingWaker::new());
    for (form, (_, waker)) in [FORMS[0], FORMS[2]].into_iter().zip(&wakers) {
        assert!(form(io.as_mut(), waker, 1).is_pending());
    }
    clock.advance(Duration::from_millis(200));
    assert_eq!([0, 1].map(|n| wakers[n].0.count()), [1, 1]);
    for form in [FORMS[2], FORMS[0]] {
        assert_eq!(form(io.as_mut(), Waker::noop(), 1), Poll::Ready(1));
    }
    assert_eq!((limiter.stats().waiting, limiter.stats().waited), (0, 2));
}

/// A waiter in the queue is not polled again: sleepers beside the queue do not overtake it, and
/// their polls end.
#[test]
fn a_poll_ends_while_the_head_of_the_queue_is_not_polled() {
    let (limiter, clock) = limiter();
    limiter.try_acquire(4).unwrap();
    let mut head = Box::pin(limiter.acquire(2));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(head.as_mut().poll(&mut cx).is_pending());
    let (woken, waker) = CountingWaker::new();
    let mut reader = pin!(Throttled::new(Endless, &limiter));
    let mut read = || FORMS[0](reader.as_mut(), &waker, 3);
    assert!(read().is_pending());
    clock.advance(Duration::from_secs(10));
    assert!(read().is_pending());
    drop(head);
    let before = woken.count();
    clock.advance(Duration::from_millis(100));
    assert!(woken.count() > before);
    assert_eq!(read(), Poll::Ready(3));
}

/// A blocking reader takes tokens in one window and refunds them in the next, in which others took
/// some.
#[test]
fn a_late_refund_is_not_deducted_from_what_others_took() {
    struct Slow<'a>(&'a ManualClock, &'a SlidingWindow<ManualClock>);
    impl io::Read for Slow<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.advance(Duration::from_secs(6));
            assert_eq!(self.1.try_acquire_up_to(10).unwrap().tokens(), 5);
            Ok(0)
        }
    }
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(10, Duration::from_secs(10), clock.clone()).unwrap();
    clock.advance(Duration::from_secs(9));
    let mut reader = Throttled::new(Slow(&clock, &window), &window);
    assert_eq!(io::Read::read(&mut reader, &mut [0; 10]).unwrap(), 0);
    assert!(window.try_acquire_up_to(10).is_ok_and(|grant| grant.tokens() == 5));
}

#[test]
fn a_throttled_future_can_be_sent() {
    fn goes<T: Send>(_: &T) {}
    let (limiter, _clock) = limiter();
    goes(&Throttled::new(Source { bytes: 0, is_ready: true }, &limiter));
}

/// A clock that panics when it is read after it was told to.
struct Broken(Arc<AtomicUsize>);

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        if self.0.load(Ordering::SeqCst) > 0 {
            quiet_panic("clock");
        }
        Timestamp::ORIGIN
    }
}

impl Timer for Broken {
    type Sleep = core::future::Pending<()>;

    fn sleep_until(&self, _time: Timestamp) -> Self::Sleep {
        core::future::pending()
    }
}

#[test]
fn a_clock_that_panics_while_a_read_is_unwound_leaves_the_reads_panic() {
    struct Faulty(Arc<AtomicUsize>);
    impl io::Read for Faulty {
        fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
            self.0.store(1, Ordering::SeqCst);
            quiet_panic("read")
        }
    }
    let is_broken = Arc::new(AtomicUsize::new(0));
    let limiter = RateLimiter::with_clock(Quota::per_second(9), Broken(is_broken.clone()));
    let mut reader = Throttled::new(Faulty(is_broken), &limiter);
    let panicked = catch_unwind(AssertUnwindSafe(|| io::Read::read(&mut reader, &mut [0; 4])));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "read");
}
