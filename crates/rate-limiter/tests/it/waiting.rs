//! The laws of waiting for a limiter, with a clock that is turned by hand.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use test_kit::Task;
use tidegate_rate_limiter::{
    Algorithm, CancelToken, Clock, Gate, Limiter, ManualClock, Pass, Quota, RateLimiter, Refused,
    SlidingLog, SlidingWindow, TimedOut, Timestamp, TokenBucket, Wait, future::Acquire,
};

const SECOND: Duration = Duration::from_secs(1);

type Waits<'a> = Acquire<'a, TokenBucket, ManualClock>;

/// A limiter of one token a second, with an empty bucket.
fn empty(burst: u32) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(burst);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    limiter.try_acquire(burst).unwrap();
    (limiter, clock)
}

/// A wait that has been polled and is pending.
fn waiting(limiter: &RateLimiter<ManualClock>, n: u32) -> Task<Waits<'_>> {
    Task::waiting(limiter.acquire(n))
}

#[test]
fn tokens_go_out_in_the_order_of_arrival() {
    let (limiter, clock) = empty(3);
    // The large request is not passed by the small one behind it.
    let (mut large, mut small) = (waiting(&limiter, 3), waiting(&limiter, 1));
    clock.advance(2 * SECOND);
    assert!(small.poll().is_pending());
    assert!(large.poll().is_pending());
    clock.advance(SECOND);
    assert!(small.poll().is_pending());
    assert_eq!(large.poll().map(|grant| grant.unwrap().remaining()), Poll::Ready(0));
    assert!(small.poll().is_pending());
    clock.advance(SECOND);
    assert!(small.poll().is_ready());
}

#[test]
fn a_newcomer_does_not_overtake_waiters() {
    let (limiter, clock) = empty(3);
    let mut head = waiting(&limiter, 3);
    clock.advance(2 * SECOND);
    // Two tokens are available, for the head.
    let refused = limiter.try_acquire(1).unwrap_err();
    assert_eq!(refused.retry_after(), Some(2 * SECOND));
    assert!(limiter.try_acquire(0).is_err());
    clock.advance(SECOND);
    assert!(head.poll().is_ready());
    clock.advance(SECOND);
    assert!(limiter.try_acquire(1).is_ok());
}

#[test]
fn a_cancelled_head_lets_the_next_through() {
    let (limiter, clock) = empty(3);
    let head = waiting(&limiter, 3);
    let mut next = waiting(&limiter, 1);
    clock.advance(SECOND);
    assert_eq!(next.woken(), 0);
    drop(head);
    assert_eq!(next.woken(), 1);
    assert!(next.is_ready());
}

#[test]
fn a_cancelled_wait_leaves_no_trace() {
    let (limiter, clock) = empty(1);
    let (head, mut middle, last) =
        (waiting(&limiter, 1), waiting(&limiter, 1), waiting(&limiter, 1));
    assert_eq!(limiter.stats().waiting, 3);
    drop(last);
    drop(head);
    clock.advance(SECOND);
    assert!(middle.poll().is_ready());
    assert_eq!(limiter.stats().waiting, 0);
    assert_eq!(clock.next_due(), None);
    clock.advance(SECOND);
    assert!(limiter.try_acquire(1).is_ok());
}

#[test]
fn only_the_head_keeps_a_timer_until_its_tokens_are_there() {
    let (limiter, clock) = empty(2);
    let mut head = waiting(&limiter, 2);
    let mut next = waiting(&limiter, 1);
    assert_eq!(clock.next_due(), Some(Timestamp::ORIGIN + 2 * SECOND));
    clock.advance(2 * SECOND);
    assert_eq!(clock.next_due(), None);
    assert!(head.poll().is_ready());
    assert!(next.poll().is_pending());
    assert_eq!(clock.next_due(), Some(Timestamp::ORIGIN + 3 * SECOND));
}

#[test]
fn a_refund_wakes_the_head_at_once() {
    let (limiter, _clock) = empty(2);
    let mut head = waiting(&limiter, 1);
    limiter.refund(1);
    assert_eq!(head.woken(), 1);
    assert!(head.is_ready());
}

#[test]
fn a_cancelled_reservation_wakes_the_head_for_its_earlier_time() {
    let (limiter, clock) = empty(1);
    let reserved = limiter.reserve(1).unwrap();
    let mut head = waiting(&limiter, 1);
    assert_eq!(reserved.cancel(), 1);
    assert_eq!(head.woken(), 1);
    assert!(head.is_pending());
    clock.advance(SECOND);
    assert_eq!(head.woken(), 2);
    assert!(head.is_ready());
}

#[test]
fn a_higher_limit_wakes_the_head() {
    fn raises<A: Algorithm>(
        limiter: &Limiter<A, ManualClock>,
        set_limit: fn(&Limiter<A, ManualClock>, NonZeroU32),
    ) {
        limiter.try_acquire(1).unwrap();
        let mut head = Task::waiting(limiter.acquire(1));
        set_limit(limiter, NonZeroU32::new(2).unwrap());
        assert_eq!(head.woken(), 1);
        assert!(head.is_ready());
    }
    let clock = ManualClock::new();
    raises(&SlidingLog::with_clock(1, SECOND, clock.clone()).unwrap(), SlidingLog::set_limit);
    raises(&SlidingWindow::with_clock(1, SECOND, clock).unwrap(), SlidingWindow::set_limit);
}

#[test]
fn more_than_the_burst_is_refused_for_good_whatever_comes_first() {
    let refusals = |limiter: &RateLimiter<ManualClock>| {
        let all = [
            limiter.try_acquire(3).map(drop),
            limiter.reserve(3).map(drop),
            limiter.acquire(3).wait_timeout(Duration::ZERO).unwrap().map(drop),
        ];
        all.map(|refused| matches!(refused, Err(Refused::TooMany { .. })))
    };
    let (limiter, _clock) = empty(2);
    assert_eq!(refusals(&limiter), [true; 3], "behind no waiter");
    let _waits = waiting(&limiter, 1);
    assert_eq!(refusals(&limiter)[..2], [true; 2], "behind a waiter");
    let (limiter, clock) = empty(2);
    let _reserved = limiter.reserve(2).unwrap();
    assert_eq!(refusals(&limiter), [true; 3], "behind a reservation");
    clock.advance(10 * SECOND);
    let _later = (limiter.reserve(2).unwrap(), limiter.reserve(2).unwrap());
    assert_eq!(refusals(&limiter), [true; 3], "behind some that were promised later");
}

#[test]
fn the_tokens_of_cancelled_reservations_come_no_faster_than_the_rate() {
    let (limiter, clock) = empty(2);
    let [first, second, _third] = [(); 3].map(|()| limiter.reserve(2).unwrap());
    first.cancel();
    second.cancel();
    for _ in 0..4 {
        assert!(limiter.try_acquire(1).is_err());
        clock.advance(SECOND);
        assert!(limiter.try_acquire(1).is_ok());
    }
}

#[test]
fn a_refund_that_is_too_small_restarts_the_timer() {
    let (limiter, clock) = empty(3);
    let mut head = waiting(&limiter, 3);
    limiter.refund(1);
    assert!(head.poll().is_pending());
    assert_eq!(clock.next_due(), Some(Timestamp::ORIGIN + 2 * SECOND));
    clock.advance(2 * SECOND);
    assert!(head.poll().is_ready());
}

#[test]
fn a_refunded_pass_serves_the_next_and_a_settled_one_stays_spent() {
    let (limiter, clock) = empty(1);
    clock.advance(SECOND);
    let pass = limiter.try_enter().unwrap();
    let mut next = pin!(limiter.enter());
    assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    pass.give_back();
    let Poll::Ready(Ok(pass)) = next.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the token is back")
    };
    assert_eq!(pass.grant().remaining(), 0);
    drop(pass);
    assert!(limiter.try_enter().is_err());
}

#[test]
fn a_penalty_holds_the_head_back() {
    let (limiter, clock) = empty(1);
    let mut head = waiting(&limiter, 1);
    limiter.penalize_for(10 * SECOND);
    clock.advance(SECOND);
    assert!(head.poll().is_pending());
    assert_eq!(clock.next_due(), Some(Timestamp::ORIGIN + 10 * SECOND));
    clock.advance(9 * SECOND);
    assert!(head.poll().is_ready());
}

#[test]
fn a_wait_that_would_come_too_late_is_refused_at_once() {
    let (limiter, clock) = empty(2);
    let _head = waiting(&limiter, 2);
    // Two seconds for the head, one more for itself.
    let mut late = pin!(limiter.acquire(1).or_refuse_after(3 * SECOND - Duration::from_nanos(1)));
    let answer = late.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let refused = answer.map_err(|refused| refused.retry_after());
    assert_eq!(refused, Poll::Ready(Err(Some(3 * SECOND))));
    let mut in_time = pin!(limiter.acquire(1).or_refuse_after(3 * SECOND));
    assert!(in_time.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!((limiter.stats().refused, limiter.stats().waiting), (1, 2));
    drop(clock);
}

#[test]
fn a_penalty_makes_the_head_refuse_what_would_come_too_late() {
    let (limiter, clock) = empty(1);
    let mut head = Task::waiting(limiter.acquire(1).or_refuse_after(5 * SECOND));
    limiter.penalize_for(60 * SECOND);
    clock.advance(SECOND);
    let Poll::Ready(Err(refused)) = head.poll() else { panic!("not refused") };
    assert_eq!(refused.retry_after(), Some(59 * SECOND));
    assert_eq!(limiter.stats().waiting, 0);
}

#[test]
fn only_a_caller_without_a_deadline_waits_for_a_limiter_that_is_stopped() {
    let (limiter, clock) = empty(1);
    limiter.penalize_until(Timestamp::NEVER);
    let mut patient = Task::waiting(limiter.acquire(1));
    clock.advance(1000 * SECOND);
    assert!(patient.poll().is_pending());
    let is_refused = || {
        let mut wait = Box::pin(limiter.acquire(1).or_refuse_after(1000 * SECOND));
        let answer = test_kit::poll(&mut wait).map_err(|refused| refused.retry_after());
        answer == Poll::Ready(Err(Some(Duration::MAX)))
    };
    assert!(is_refused(), "behind a waiter");
    drop(patient);
    assert!(is_refused(), "as the first");
}

#[test]
fn a_newcomer_to_a_window_waits_as_many_windows_as_the_queue_fills() {
    let clock = ManualClock::new();
    let log = SlidingLog::with_clock(2, SECOND, clock.clone()).unwrap();
    log.try_acquire(1).unwrap();
    clock.advance(SECOND / 2);
    log.try_acquire(1).unwrap();
    let _head = Task::waiting(log.acquire(2));
    // One token more is the third in all: it comes a window after the first one has left.
    assert_eq!(log.try_acquire(1).unwrap_err().retry_after(), Some(SECOND * 3 / 2));
    assert_eq!(log.try_acquire(2).unwrap_err().retry_after(), Some(2 * SECOND));
}

#[test]
fn more_than_the_limit_is_refused_without_a_wait() {
    let (limiter, _clock) = empty(2);
    let refused = limiter.acquire(3).wait().unwrap_err();
    assert_eq!(refused, Refused::TooMany { asked: 3, limit: 2 });
    assert_eq!(limiter.stats().waiting, 0);
}

#[test]
fn a_timeout_and_a_cancellation_leave_the_tokens_there() {
    let (limiter, clock) = empty(1);
    assert_eq!(limiter.acquire(1).wait_timeout(Duration::from_millis(1)), Err(TimedOut));
    let token = CancelToken::new();
    token.cancel();
    assert!(limiter.acquire(1).or_cancelled(&token).wait().is_err());
    clock.advance(SECOND);
    assert!(limiter.try_acquire(1).is_ok());
}

#[test]
fn threads_and_tasks_wait_in_one_queue() {
    let (limiter, clock) = empty(1);
    let mut task = waiting(&limiter, 1);
    thread::scope(|s| {
        let thread = s.spawn(|| limiter.acquire(1).wait());
        while limiter.stats().waiting < 2 {
            thread::yield_now();
        }
        clock.advance(SECOND);
        assert!(task.poll().is_ready());
        // The thread is the head: it arms its own timer, whenever it gets there.
        while clock.next_due().is_none() {
            thread::yield_now();
        }
        clock.advance(SECOND);
        assert!(thread.join().unwrap().is_ok());
    });
    assert_eq!(clock.now(), Timestamp::ORIGIN + 2 * SECOND);
    let stats = limiter.stats();
    assert_eq!((stats.allowed, stats.waited, stats.waiting), (3, 2, 0));
    assert!(stats.wait_time >= 2 * SECOND);
}

#[test]
fn each_granted_wait_is_in_one_bucket() {
    let (limiter, clock) = empty(1);
    for seconds in [1, 1, 5] {
        let mut task = Task::waiting(limiter.acquire(1));
        clock.advance(seconds * SECOND);
        assert!(task.output().is_ok());
        let _rest = limiter.try_acquire_up_to(1);
    }
    drop(Task::waiting(limiter.acquire(1)));
    let stats = limiter.stats();
    // Above 0.5 s and not above 1 s; above 2.5 s and not above 5 s.
    assert_eq!((stats.waits.counts()[11], stats.waits.counts()[13]), (2, 1));
    assert_eq!((stats.waits.total(), stats.waited, stats.wait_time), (3, 3, 7 * SECOND));
}

#[test]
fn windows_wait_as_buckets_do() {
    let clock = ManualClock::new();
    let log = SlidingLog::with_clock(2, SECOND, clock.clone()).unwrap();
    let buckets = SlidingWindow::with_clock(2, SECOND, clock.clone()).unwrap();
    log.try_acquire(2).unwrap();
    buckets.try_acquire(2).unwrap();
    // Two waiters need four tokens: a newcomer waits a full window longer than behind one of them.
    let (mut log_first, mut log_second) = (pin!(log.acquire(2)), pin!(log.acquire(2)));
    let mut bucket = pin!(buckets.acquire(2));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(log_first.as_mut().poll(&mut cx).is_pending());
    assert!(log_second.as_mut().poll(&mut cx).is_pending());
    assert!(bucket.as_mut().poll(&mut cx).is_pending());
    assert_eq!(log.try_acquire(1).unwrap_err().retry_after(), Some(3 * SECOND));
    clock.advance(SECOND);
    assert!(log_first.as_mut().poll(&mut cx).is_ready());
    assert!(log_second.as_mut().poll(&mut cx).is_pending());
    assert!(bucket.as_mut().poll(&mut cx).is_pending());
    clock.advance(SECOND);
    assert!(log_second.as_mut().poll(&mut cx).is_ready());
    assert!(bucket.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn futures_and_limiters_go_to_other_threads() {
    fn goes<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<RateLimiter>();
    is_shared::<SlidingLog>();
    is_shared::<SlidingWindow>();
    goes::<Waits<'_>>();
    goes::<<&Limiter<TokenBucket, ManualClock> as Gate>::Enter>();
    goes::<<&Limiter<TokenBucket, ManualClock> as Gate>::Pass>();
}
