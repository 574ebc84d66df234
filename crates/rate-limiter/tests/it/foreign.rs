//! Foreign code that panics in a limiter, at each place where it runs: no token is lost or minted, and the line moves on.

use std::{
    future::Future,
    hash::{BuildHasher, Hash, Hasher},
    io::{self, Read, Write},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use tidegate_rate_limiter::{
    Clock, FixedKeyed, Gate, KeyedLimiter, Limits, ManualClock, Pass, Quota, RateLimiter,
    SlidingLog, SlidingWindow, Throttled, Timer, Timestamp,
};

const SECOND: Duration = Duration::from_secs(1);

/// Goes off when it is touched for the so-many-th time.
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
            resume_unwind(Box::new("on purpose"));
        }
    }
}

/// A clock whose readings, sleeps, polls of sleeps and drops of sleeps are foreign code that may panic.
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

fn panics<R>(act: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

/// Polls until it is ready or panics; turns the clock meanwhile. Dropped in the end, which may panic, too.
fn finish<F: Future>(clock: &ManualClock, future: F) -> bool {
    let mut future = Box::pin(future);
    let mut cx = Context::from_waker(Waker::noop());
    let mut panicked = false;
    for _ in 0..50 {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx).is_ready())) {
            Ok(true) => break,
            Ok(false) => clock.advance(SECOND / 4),
            Err(_) => {
                panicked = true;
                break;
            }
        }
    }
    panics(move || drop(future)) || panicked
}

/// Runs `act` with fuses of all lengths until none goes off; `check` looks at what is left each time.
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
            // One that waits behind the one that is cut off.
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
    Quota::per_second(2).unwrap()
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
        |clock| Limits::of_with_clock([quota(), quota()], clock),
        |limiter: &Arc<Limits<2, Brittle>>| limiter.clone().enter()
    );
}

/// A token comes back while one waits that is cut off at each touch: it is that one's, or still there.
macro_rules! a_token_on_its_way_is_not_lost {
    ($limiter:expr) => {
        at_each_touch(|brittle, touches| {
            let limiter = $limiter(brittle.clone());
            assert!(limiter.try_acquire(2).is_ok());
            let mut wait = Box::pin(limiter.acquire(1));
            let mut cx = Context::from_waker(Waker::noop());
            brittle.fuse.light(touches);
            let (mut came_back, mut panicked, mut granted) = (0, false, false);
            for _ in 0..3 {
                let poll = || wait.as_mut().poll(&mut cx).map(|answer| answer.is_ok());
                match catch_unwind(AssertUnwindSafe(poll)) {
                    Ok(Poll::Pending) if came_back == 0 => {
                        came_back = 1;
                        limiter.refund(1);
                    }
                    Ok(Poll::Pending) => {}
                    Ok(Poll::Ready(answer)) => {
                        granted = answer;
                        break;
                    }
                    Err(_) => {
                        panicked = true;
                        break;
                    }
                }
            }
            panicked |= panics(move || drop(wait));
            brittle.fuse.light(0);
            let left = limiter.try_acquire_up_to(2).map_or(0, |grant| grant.tokens());
            assert_eq!(left, came_back - u32::from(granted), "after {touches} touches");
            panicked
        });
    };
}

#[test]
fn a_token_on_its_way_to_one_whose_clock_panics_is_there_for_the_next() {
    let (quota, hour) = (Quota::per_hour(2).unwrap(), 3600 * SECOND);
    a_token_on_its_way_is_not_lost!(|clock| RateLimiter::with_clock(quota, clock));
    a_token_on_its_way_is_not_lost!(|clock| SlidingLog::with_clock(2, hour, clock).unwrap());
    a_token_on_its_way_is_not_lost!(|clock| SlidingWindow::with_clock(2, hour, clock).unwrap());
    a_token_on_its_way_is_not_lost!(|clock| Limits::of_with_clock([quota, quota], clock));
}

#[test]
fn a_clock_that_panics_in_a_wait_for_a_key_loses_no_token_and_no_place() {
    at_each_touch(|brittle, touches| {
        let keys = KeyedLimiter::with_clock(quota(), NonZeroUsize::MIN, brittle.clone());
        let keys = Arc::new(keys);
        assert!(keys.try_acquire(&1, 2).is_ok());
        brittle.fuse.light(touches);
        let panicked = finish(&brittle.clock, async { keys.acquire(&1, 1).await.is_ok() });
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
        assert_eq!(keys.try_acquire(&2, 2).unwrap().remaining(), 0, "the place is free again");
        panicked || again
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

fn go_off() -> ! {
    resume_unwind(Box::new("on purpose"))
}

impl Read for Faulty {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        go_off()
    }
}

impl Write for Faulty {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        go_off()
    }

    fn flush(&mut self) -> io::Result<()> {
        go_off()
    }
}

impl Stream for Faulty {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        go_off()
    }
}

impl futures_io::AsyncRead for Faulty {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        go_off()
    }
}

impl futures_io::AsyncWrite for Faulty {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        go_off()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        go_off()
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        go_off()
    }
}

impl tokio::io::AsyncRead for Faulty {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        go_off()
    }
}

impl tokio::io::AsyncWrite for Faulty {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        go_off()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        go_off()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        go_off()
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
            go_off()
        }
    }
    struct Builder;
    impl BuildHasher for Builder {
        type Hasher = std::hash::DefaultHasher;

        fn build_hasher(&self) -> Self::Hasher {
            go_off()
        }
    }
    let limiter = FixedKeyed::<1, _>::with_clock(quota(), ManualClock::new());
    assert!(panics(|| limiter.try_acquire(&Key, 1).is_ok()));
    assert!(panics(|| limiter.balance(&Key)));
    assert_eq!(limiter.try_acquire(&7, 2).unwrap().remaining(), 0, "there is one cell");
    let broken = FixedKeyed::<1, _, _>::with_hasher(quota(), ManualClock::new(), Builder);
    assert!(panics(|| broken.try_acquire(&7, 1).is_ok()));
}
