//! Foreign code that panics in a limiter, at each point where it runs: no token is lost or minted,
//! and the wait queue moves on.

use std::{
    future::Future,
    hash::{BuildHasher, Hash, Hasher},
    io::{self, Read, Write},
    num::NonZeroUsize,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use test_kit::{panics, quiet_panic, quietly};
use tidegate_rate_limiter::{
    Clock, FixedKeyedLimiter, Gate, KeyedLimiter, Limits, ManualClock, Pass, Quota, RateLimiter,
    SlidingLog, SlidingWindow, Throttled, Timer, Timestamp,
};

const SECOND: Duration = Duration::from_secs(1);

/// Panics when it is touched for the `n`th time.
#[derive(Clone, Default)]
struct Fuse(Arc<AtomicUsize>);

impl Fuse {
    fn light(&self, steps: usize) {
        self.0.store(steps, Ordering::Relaxed);
    }

    fn touch(&self) {
        let left = self.0.load(Ordering::Relaxed);
        if left == 0 || std::thread::panicking() {
            return;
        }
        self.0.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            quiet_panic("on purpose");
        }
    }
}

/// A clock that may panic when it is read, and when its sleeps are created, polled or dropped.
#[derive(Clone, Default)]
struct Brittle {
    clock: ManualClock,
    fuse: Fuse,
}

struct BrittleSleep {
    sleep: <ManualClock as Timer>::Sleep,
    fuse: Fuse,
}

impl Clock for Brittle {
    fn now(&self) -> Timestamp {
        self.fuse.touch();
        self.clock.now()
    }
}

impl Timer for Brittle {
    type Sleep = BrittleSleep;

    fn sleep_until(&self, time: Timestamp) -> BrittleSleep {
        self.fuse.touch();
        BrittleSleep { sleep: self.clock.sleep_until(time), fuse: self.fuse.clone() }
    }
}

impl Future for BrittleSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.fuse.touch();
        Pin::new(&mut self.sleep).poll(cx)
    }
}

impl Drop for BrittleSleep {
    fn drop(&mut self) {
        self.fuse.touch();
    }
}

/// Polls a future until it is ready or panics, while the clock advances. Then drops it, which may
/// panic, too. Returns whether anything has panicked.
fn finish<F: Future>(clock: &ManualClock, future: F) -> bool {
    let mut future = Box::pin(future);
    let mut cx = Context::from_waker(Waker::noop());
    let mut panicked = false;
    for _ in 0..50 {
        match quietly(|| future.as_mut().poll(&mut cx).is_ready()) {
            Some(true) => break,
            Some(false) => clock.advance(SECOND / 4),
            None => {
                panicked = true;
                break;
            }
        }
    }
    panics(move || drop(future)) || panicked
}

/// Runs `act` with a panic at the first touch, the second, and so on, until none panics.
fn at_each_touch(act: impl Fn(&Brittle, usize) -> bool) {
    for touches in 1..200 {
        let brittle = Brittle::default();
        if !act(&brittle, touches) {
            assert!(touches > 1, "it never goes off");
            return;
        }
    }
    panic!("it goes off at every length");
}

macro_rules! a_wait_costs_nothing {
    ($make:expr, $get:expr) => {
        at_each_touch(|brittle, touches| {
            let limiter = Arc::new($make(brittle.clone()));
            assert!(limiter.try_acquire(2).is_ok());
            // A waiter behind the one that panics.
            let mut next = Box::pin(limiter.acquire(1));
            brittle.fuse.light(touches);
            let panicked = finish(&brittle.clock, $get(&limiter));
            brittle.fuse.light(0);
            let mut cx = Context::from_waker(Waker::noop());
            while next.as_mut().poll(&mut cx).is_pending() {
                brittle.clock.advance(SECOND / 4);
            }
            drop(next);
            assert_eq!(limiter.stats().waiting, 0);
            brittle.clock.advance(10 * SECOND);
            assert_eq!(limiter.try_acquire(2).unwrap().remaining(), 0);
            assert!(limiter.try_acquire(1).is_err(), "none is minted");
            panicked
        });
    };
}

fn quota() -> Quota {
    Quota::per_second(2)
}

#[test]
fn a_clock_that_panics_anywhere_in_a_wait_loses_no_token_and_no_turn() {
    let bucket = |clock| RateLimiter::with_clock(quota(), clock);
    a_wait_costs_nothing!(bucket, |limiter: &Arc<RateLimiter<Brittle>>| {
        limiter.clone().enter()
    });
    a_wait_costs_nothing!(bucket, |limiter: &Arc<RateLimiter<Brittle>>| {
        let limiter = limiter.clone();
        async move { limiter.acquire(2).or_refuse_after(10 * SECOND).await.is_ok() }
    });
    a_wait_costs_nothing!(
        |clock| SlidingLog::with_clock(2, SECOND, clock).unwrap(),
        |limiter: &Arc<SlidingLog<Brittle>>| limiter.clone().enter()
    );
    a_wait_costs_nothing!(
        |clock| SlidingWindow::with_clock(2, SECOND, clock).unwrap(),
        |limiter: &Arc<SlidingWindow<Brittle>>| limiter.clone().enter()
    );
    a_wait_costs_nothing!(
        |clock| Limits::with_clock([quota(), quota()], clock),
        |limiter: &Arc<Limits<2, Brittle>>| limiter.clone().enter()
    );
}

/// A token is refunded while a caller waits, whose clock panics at each touch in turn: the caller
/// gets the token, or it is still available.
macro_rules! a_refunded_token_is_not_lost {
    ($limiter:expr) => {
        at_each_touch(|brittle, touches| {
            let limiter = $limiter(brittle.clone());
            assert!(limiter.try_acquire(2).is_ok());
            let mut wait = Box::pin(limiter.acquire(1));
            let mut cx = Context::from_waker(Waker::noop());
            brittle.fuse.light(touches);
            let (mut refunded, mut panicked, mut granted) = (0, false, false);
            for _ in 0..3 {
                let poll = || wait.as_mut().poll(&mut cx).map(|answer| answer.is_ok());
                match quietly(poll) {
                    Some(Poll::Pending) if refunded == 0 => {
                        refunded = 1;
                        limiter.refund(1);
                    }
                    Some(Poll::Pending) => {}
                    Some(Poll::Ready(answer)) => {
                        granted = answer;
                        break;
                    }
                    None => {
                        panicked = true;
                        break;
                    }
                }
            }
            panicked |= panics(move || drop(wait));
            brittle.fuse.light(0);
            let left = limiter.try_acquire_up_to(2).map_or(0, |grant| grant.tokens());
            assert_eq!(left, refunded - u32::from(granted), "after {touches} touches");
            panicked
        });
    };
}

#[test]
fn a_token_for_a_waiter_whose_clock_panics_goes_to_the_next() {
    let (quota, hour) = (Quota::per_hour(2), 3600 * SECOND);
    a_refunded_token_is_not_lost!(|clock| RateLimiter::with_clock(quota, clock));
    a_refunded_token_is_not_lost!(|clock| SlidingLog::with_clock(2, hour, clock).unwrap());
    a_refunded_token_is_not_lost!(|clock| SlidingWindow::with_clock(2, hour, clock).unwrap());
    a_refunded_token_is_not_lost!(|clock| Limits::with_clock([quota, quota], clock));
}

#[test]
fn a_clock_that_panics_in_a_wait_for_a_key_loses_no_token_and_no_slot() {
    at_each_touch(|brittle, touches| {
        let keys = KeyedLimiter::with_clock(quota(), NonZeroUsize::MIN, brittle.clone());
        let keys = Arc::new(keys);
        assert!(keys.try_acquire(&1, 2).is_ok());
        brittle.fuse.light(touches);
        let panicked = finish(&brittle.clock, async { keys.acquire(&1, 1).await.is_ok() });
        let looked_up = finish(&brittle.clock, async { keys.lookup_gate(1).enter().await.is_ok() });
        let again = finish(&brittle.clock, async {
            let gate = keys.clone().gate_owned(&1);
            match gate {
                Ok(gate) => gate.enter().await.is_ok(),
                Err(_) => false,
            }
        });
        brittle.fuse.light(0);
        assert_eq!(keys.stats().waiting, 0);
        brittle.clock.advance(10 * SECOND);
        assert_eq!(keys.try_acquire(&2, 2).unwrap().remaining(), 0, "the slot is free again");
        panicked || looked_up || again
    });
}

#[test]
fn a_clock_that_panics_outside_of_waits_leaves_the_limiter_as_it_was() {
    at_each_touch(|brittle, touches| {
        let limiter = RateLimiter::with_clock(quota(), brittle.clone());
        brittle.fuse.light(touches);
        let panicked = panics(|| {
            _ = limiter.try_acquire(1);
            _ = limiter.try_acquire_up_to(1);
            if let Ok(pass) = (&limiter).try_enter() {
                pass.give_back();
            }
            let grant = limiter.consume_now(1);
            limiter.adjust(grant, 2);
            limiter.penalize_for(SECOND);
            drop(limiter.reserve(1));
            limiter.set_quota(quota(), tidegate_rate_limiter::Inherit::AsIs);
        });
        brittle.fuse.light(0);
        brittle.clock.advance(10 * SECOND);
        assert_eq!(limiter.try_acquire(2).unwrap().remaining(), 0);
        assert!(limiter.try_acquire(1).is_err());
        panicked
    });
}

/// A reader, a writer and a stream that panic.
struct Faulty;

impl Read for Faulty {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        quiet_panic("on purpose")
    }
}

impl Write for Faulty {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        quiet_panic("on purpose")
    }

    fn flush(&mut self) -> io::Result<()> {
        quiet_panic("on purpose")
    }
}

impl Stream for Faulty {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        quiet_panic("on purpose")
    }
}

impl futures_io::AsyncRead for Faulty {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        quiet_panic("on purpose")
    }
}

impl futures_io::AsyncWrite for Faulty {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        quiet_panic("on purpose")
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        quiet_panic("on purpose")
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        quiet_panic("on purpose")
    }
}

impl tokio::io::AsyncRead for Faulty {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        quiet_panic("on purpose")
    }
}

impl tokio::io::AsyncWrite for Faulty {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        quiet_panic("on purpose")
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        quiet_panic("on purpose")
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        quiet_panic("on purpose")
    }
}

#[test]
fn what_panics_behind_a_throttled_reader_writer_or_stream_uses_no_token() {
    let limiter = RateLimiter::with_clock(quota(), ManualClock::new());
    let mut faulty = pin!(Throttled::new(Faulty, &limiter));
    let mut cx = Context::from_waker(Waker::noop());
    let (cx, buffer) = (&mut cx, &mut [0; 8][..]);
    for _ in 0..3 {
        assert!(panics(|| Read::read(&mut Throttled::new(Faulty, &limiter), buffer)));
        assert!(panics(|| Write::write(&mut Throttled::new(Faulty, &limiter), buffer)));
        assert!(panics(|| Write::flush(&mut Throttled::new(Faulty, &limiter))));
        assert!(panics(|| Stream::poll_next(faulty.as_mut(), cx)));
        assert!(panics(|| futures_io::AsyncRead::poll_read(faulty.as_mut(), cx, buffer)));
        assert!(panics(|| futures_io::AsyncWrite::poll_write(faulty.as_mut(), cx, buffer)));
        assert!(panics(|| futures_io::AsyncWrite::poll_flush(faulty.as_mut(), cx)));
        let mut read = tokio::io::ReadBuf::new(buffer);
        assert!(panics(|| tokio::io::AsyncRead::poll_read(faulty.as_mut(), cx, &mut read)));
        assert!(panics(|| tokio::io::AsyncWrite::poll_write(faulty.as_mut(), cx, buffer)));
        assert!(panics(|| tokio::io::AsyncWrite::poll_shutdown(faulty.as_mut(), cx)));
    }
    assert_eq!(limiter.try_acquire(2).unwrap().remaining(), 0);
}

/// A stream that is always ready.
struct Ready;

impl Stream for Ready {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        Poll::Ready(Some(()))
    }
}

#[test]
fn a_clock_that_panics_anywhere_in_a_throttled_stream_loses_no_token() {
    at_each_touch(|brittle, touches| {
        let limiter = RateLimiter::with_clock(quota(), brittle.clone());
        assert!(limiter.try_acquire(2).is_ok());
        let mut stream = Box::pin(Throttled::new(Ready, &limiter));
        brittle.fuse.light(touches);
        let next = std::future::poll_fn(|cx| stream.as_mut().poll_next(cx));
        let panicked = finish(&brittle.clock, next);
        let panicked = panics(move || drop(stream)) || panicked;
        brittle.fuse.light(0);
        assert_eq!(limiter.stats().waiting, 0);
        brittle.clock.advance(10 * SECOND);
        assert_eq!(limiter.try_acquire(2).unwrap().remaining(), 0);
        assert!(limiter.try_acquire(1).is_err());
        panicked
    });
}

#[test]
fn a_key_or_a_hasher_that_panics_takes_nothing_of_a_fixed_limiter() {
    struct Key;
    impl Hash for Key {
        fn hash<H: Hasher>(&self, _: &mut H) {
            quiet_panic("on purpose")
        }
    }
    struct Builder;
    impl BuildHasher for Builder {
        type Hasher = std::hash::DefaultHasher;

        fn build_hasher(&self) -> Self::Hasher {
            quiet_panic("on purpose")
        }
    }
    let limiter = FixedKeyedLimiter::<1, _>::with_clock(quota(), ManualClock::new());
    assert!(panics(|| limiter.try_acquire(&Key, 1).is_ok()));
    assert!(panics(|| limiter.balance(&Key)));
    assert_eq!(limiter.try_acquire(&7, 2).unwrap().remaining(), 0, "there is one cell");
    let broken = FixedKeyedLimiter::<1, _, _>::with_hasher(quota(), ManualClock::new(), Builder);
    assert!(panics(|| broken.try_acquire(&7, 1).is_ok()));
}
