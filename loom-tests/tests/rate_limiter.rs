//! Models of the rate limiters: the laws of waiting, with refunds as releases, and races with the
//! clock.

use std::{
    future::{Future, Pending, pending},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use loom_tests::{
    CallingWaker, CountingWaker,
    laws::{self, Subject},
    model, poll, poll_quietly, thread,
};
use tidegate_core::{Clock, Closed, ManualClock, Timer, Timestamp, Wait};
use tidegate_rate_limiter::{KeyedLimiter, Limits, Quota, RateLimiter, SlidingLog, Throttled};

const SECOND: Duration = Duration::from_secs(1);

/// One token a second, and an empty bucket.
fn empty(burst: u32) -> (Arc<RateLimiter<ManualClock>>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(burst);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    limiter.try_acquire(burst).unwrap();
    (Arc::new(limiter), clock)
}

/// A clock that stands still. It takes no steps of the model.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::ORIGIN
    }
}

impl Timer for Still {
    type Sleep = Pending<()>;

    fn sleep_until(&self, _time: Timestamp) -> Pending<()> {
        pending()
    }
}

/// A limiter whose time stands still: a unit is a token that is refunded.
struct Refunds {
    limiter: RateLimiter<Still>,
}

impl Subject for Refunds {
    const FIFO: bool = true;

    fn new() -> Self {
        let limiter = RateLimiter::with_clock(Quota::per_second(4), Still);
        limiter.try_acquire(4).unwrap();
        Self { limiter }
    }

    fn put(&self) {
        self.limiter.refund(1);
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        Box::pin(async { self.limiter.acquire(1).await.map(|_| ()).map_err(|_| Closed) })
    }

    fn close(&self) {
        unreachable!("a limiter cannot be closed");
    }

    fn units(&self) -> usize {
        self.limiter.try_acquire(0).map_or(0, |grant| grant.remaining() as usize)
    }
}

#[test]
fn nothing_is_lost_or_made_up() {
    laws::nothing_is_lost_or_made_up::<Refunds>();
}

/// Law 2. The kit's version, with two threads that take tokens, needs twenty seconds here; one of
/// them is polled by hand instead.
#[test]
fn nobody_sleeps_beside_what_it_waits_for() {
    let take = |subject: &Arc<Refunds>| {
        let subject = subject.clone();
        thread::spawn(move || subject.take().wait())
    };
    model(move || {
        let subject = Arc::new(Refunds::new());
        let taker = take(&subject);
        subject.put();
        assert_eq!(taker.join().unwrap(), Ok(()));
        assert_eq!(subject.units(), 0);
    });
    model(move || {
        let subject = Arc::new(Refunds::new());
        let mut head = subject.take();
        assert!(poll_quietly(&mut head).is_pending());
        let next = take(&subject);
        subject.put();
        subject.put();
        assert_eq!(poll_quietly(&mut head), Poll::Ready(Ok(())));
        assert_eq!(next.join().unwrap(), Ok(()));
        assert_eq!(subject.units(), 0);
    });
}

#[test]
fn cancelled_before_the_grant_leaves_no_trace() {
    laws::cancelled_before_the_grant_leaves_no_trace::<Refunds>();
}

#[test]
fn cancelled_after_the_grant_passes_it_on() {
    laws::cancelled_after_the_grant_passes_it_on::<Refunds>();
}

#[test]
fn a_cancelled_head_lets_the_next_through() {
    laws::a_cancelled_head_lets_the_next_through::<Refunds>();
}

#[test]
fn order_is_as_promised() {
    laws::order_is_as_promised::<Refunds>();
}

#[test]
fn the_last_registered_waker_is_the_one_woken() {
    laws::the_last_registered_waker_is_the_one_woken::<Refunds>();
}

#[test]
fn no_lock_is_held_in_wake() {
    laws::no_lock_is_held_in_wake::<Refunds>();
}

#[test]
fn a_timeout_that_races_a_grant_keeps_one() {
    laws::a_timeout_that_races_a_grant_keeps_one::<Refunds>();
}

/// Law 3 as a limiter keeps it: the head is woken; when it takes its token, the next becomes the
/// head.
#[test]
fn two_refunds_let_two_through() {
    model(|| {
        let (limiter, _clock) = empty(4);
        let [(first_woken, first_waker), (second_woken, second_waker)] =
            [CountingWaker::new(), CountingWaker::new()];
        let (mut first, mut second) = (limiter.acquire(1), limiter.acquire(1));
        assert!(poll(&mut first, &first_waker).is_pending());
        assert!(poll(&mut second, &second_waker).is_pending());
        let refunder = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1))
        };
        limiter.refund(1);
        refunder.join().unwrap();
        assert_eq!(first_woken.count(), 1);
        assert!(poll_quietly(&mut first).is_ready());
        assert_eq!(second_woken.count(), 1);
        assert!(poll_quietly(&mut second).is_ready());
    });
}

/// Law 11 where nothing closes: a waiter behind one whose waker panics gets its token.
#[test]
fn a_panicking_waker_loses_nobody() {
    model(|| {
        let (limiter, _clock) = empty(4);
        let panicking =
            CallingWaker::new(|| std::panic::resume_unwind(Box::new("a waker panicked")));
        let mut first = limiter.acquire(1);
        assert!(poll(&mut first, &panicking).is_pending());
        let next = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.acquire(1).wait().is_ok())
        };
        let _ = catch_unwind(AssertUnwindSafe(|| limiter.refund(1)));
        // The first was woken, and is never polled again.
        drop(first);
        assert!(next.join().unwrap());
    });
}

#[test]
fn racing_callers_share_the_tokens_that_are_there() {
    model(|| {
        let (limiter, clock) = empty(2);
        clock.advance(2 * SECOND);
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || (0..2).filter(|_| limiter.try_acquire(1).is_ok()).count())
        };
        let own = (0..2).filter(|_| limiter.try_acquire(1).is_ok()).count();
        assert_eq!(own + other.join().unwrap(), 2);
    });
}

#[test]
fn the_head_does_not_miss_its_time() {
    model(|| {
        let (limiter, clock) = empty(1);
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.acquire(1).wait().is_ok())
        };
        clock.advance(SECOND);
        assert!(taker.join().unwrap());
    });
}

#[test]
fn a_token_of_time_and_a_refunded_one_let_two_through() {
    model(|| {
        let (limiter, clock) = empty(2);
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.acquire(2).wait().is_ok())
        };
        let refunder = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1))
        };
        clock.advance(SECOND);
        refunder.join().unwrap();
        assert!(taker.join().unwrap());
    });
}

#[test]
fn a_head_that_is_cancelled_at_its_time_leaves_the_token_to_the_next() {
    model(|| {
        let (limiter, clock) = empty(1);
        let mut head = limiter.acquire(1);
        assert!(poll_quietly(&mut head).is_pending());
        let next = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.acquire(1).wait().is_ok())
        };
        clock.advance(SECOND);
        drop(head);
        assert!(next.join().unwrap());
    });
}

#[test]
fn a_waiter_is_not_overtaken_by_a_newcomer() {
    model(|| {
        let (limiter, clock) = empty(1);
        let mut head = limiter.acquire(1);
        assert!(poll_quietly(&mut head).is_pending());
        let newcomer = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire(1).is_ok())
        };
        clock.advance(SECOND);
        assert!(!newcomer.join().unwrap());
        assert!(poll_quietly(&mut head).is_ready());
    });
}

#[test]
fn a_penalty_that_races_a_caller_comes_before_or_after_it() {
    model(|| {
        let (limiter, clock) = empty(1);
        clock.advance(SECOND);
        let caller = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire(1).err())
        };
        limiter.penalize_for(9 * SECOND);
        let refused = caller.join().unwrap();
        assert!(refused.is_none_or(|refused| refused.retry_after() == Some(9 * SECOND)));
        // In either order the penalty holds and is not shortened.
        let refused = limiter.try_acquire(1).unwrap_err();
        assert_eq!(refused.retry_after(), Some(9 * SECOND));
    });
}

#[test]
fn a_sliding_log_hands_out_its_limit() {
    model(|| {
        let limiter = SlidingLog::with_clock(1, SECOND, ManualClock::new()).unwrap();
        let limiter = Arc::new(limiter);
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire(1).is_ok())
        };
        let own = limiter.try_acquire(1).is_ok();
        assert!(own != other.join().unwrap());
    });
}

#[test]
fn a_refusal_by_one_of_several_limits_takes_from_none() {
    model(|| {
        let burst = |n| Quota::per_second(1).burst(n);
        let limits = Arc::new(Limits::with_clock([burst(3), burst(4)], Still));
        let other = {
            let limits = limits.clone();
            thread::spawn(move || limits.try_acquire(2).is_ok())
        };
        let took = limits.try_acquire(2).is_ok();
        assert_ne!(took, other.join().unwrap(), "one of the two");
        // The first limit has one token left. The refused caller has taken none from the second,
        // which has two.
        limits.try_acquire(1).unwrap();
        assert!(limits.try_acquire(1).is_err());
        limits.refund(3);
        assert_eq!(limits.try_acquire(3).unwrap().remaining(), 0);
    });
}

#[test]
fn two_first_callers_of_a_key_share_its_bucket() {
    model(|| {
        let quota = Quota::per_second(1);
        let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, ManualClock::new());
        let keys = Arc::new(keys);
        let other = {
            let keys = keys.clone();
            thread::spawn(move || keys.try_acquire(&7, 1).is_ok())
        };
        let own = keys.try_acquire(&7, 1).is_ok();
        assert!(own != other.join().unwrap());
        assert_eq!(keys.len(), 1);
    });
}

#[test]
fn a_key_that_was_evicted_at_a_later_time_gets_nothing_for_an_earlier_one() {
    model(|| {
        let quota = Quota::per_second(1);
        let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, ());
        let keys = Arc::new(keys);
        keys.try_acquire_at(&7, 1, Timestamp::ORIGIN).unwrap();
        let evicter = {
            let keys = keys.clone();
            thread::spawn(move || {
                keys.try_acquire_at(&8, 1, Timestamp::ORIGIN + SECOND).unwrap();
                keys.forget(&8);
            })
        };
        // Its old bucket, no slot, or a new bucket: none has a token at that time.
        assert!(keys.try_acquire_at(&7, 1, Timestamp::ORIGIN).is_err());
        evicter.join().unwrap();
    });
}

#[test]
fn a_refund_reaches_the_waiter_for_the_same_key() {
    model(|| {
        let quota = Quota::per_second(1);
        let keys = KeyedLimiter::<u32, _>::with_clock(quota, NonZeroUsize::MIN, ManualClock::new());
        let keys = Arc::new(keys);
        keys.try_acquire(&7, 1).unwrap();
        let refunder = {
            let keys = keys.clone();
            thread::spawn(move || keys.refund(&7, 1))
        };
        let mut wait = keys.acquire(&7, 1);
        let (woken, waker) = CountingWaker::new();
        let polled = poll(&mut wait, &waker);
        refunder.join().unwrap();
        if polled.is_pending() {
            assert_eq!(woken.count(), 1);
            assert!(matches!(poll_quietly(&mut wait), Poll::Ready(Ok(_))));
        }
    });
}

/// A stream that always has an item.
struct Items;

impl Stream for Items {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        Poll::Ready(Some(()))
    }
}

#[test]
fn a_refund_reaches_a_throttled_stream() {
    model(|| {
        let limiter = RateLimiter::with_clock(Quota::per_second(1), Still);
        let limiter = Arc::new(limiter);
        limiter.try_acquire(1).unwrap();
        let refunder = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1))
        };
        let mut items = pin!(Throttled::new(Items, &*limiter));
        let (woken, waker) = CountingWaker::new();
        let polled = items.as_mut().poll_next(&mut Context::from_waker(&waker));
        refunder.join().unwrap();
        if polled.is_pending() {
            assert_eq!(woken.count(), 1);
            let mut cx = Context::from_waker(&waker);
            assert_eq!(items.as_mut().poll_next(&mut cx), Poll::Ready(Some(())));
        }
    });
}
