//! Models of `core`'s cancellation: tokens, `or_cancelled`, deadlines.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom_tests::{CallingWaker, CountingWaker, model, poll, poll_quietly, thread};
use tidegate_core::{
    CancelToken, Clock, ManualClock, Queue, Reason, Timer, Timestamp, Wait,
    lock::Lock,
    primitive::atomic::{AtomicBool, AtomicU32, Ordering},
};

#[test]
fn a_waiting_thread_learns_of_the_cancel() {
    model(|| {
        let token = CancelToken::new();
        let clone = token.clone();
        let waiter = thread::spawn(move || clone.cancelled().wait());
        token.cancel_because("enough");
        assert_eq!(waiter.join().unwrap(), Reason::Because("enough".into()));
    });
}

#[test]
fn what_came_before_a_turn_of_the_clock_is_seen_by_who_reads_the_new_time() {
    model(|| {
        let (clock, told) = (ManualClock::new(), Arc::new(AtomicU32::new(0)));
        let looker = {
            let (clock, told) = (clock.clone(), told.clone());
            thread::spawn(move || {
                assert!(clock.now() == Timestamp::ORIGIN || told.load(Ordering::Relaxed) == 7);
            })
        };
        told.store(7, Ordering::Relaxed);
        clock.advance(Duration::from_secs(1));
        looker.join().unwrap();
    });
}

#[test]
fn one_cancel_of_two_wins_and_its_reason_stays() {
    model(|| {
        let token = CancelToken::new();
        let clone = token.clone();
        let other = thread::spawn(move || clone.cancel_because("other"));
        let first = token.cancel();
        let second = other.join().unwrap();
        assert!(first != second);
        let expected = if first { Reason::Requested } else { Reason::Because("other".into()) };
        assert_eq!(token.reason(), Some(expected));
    });
}

#[test]
fn a_child_born_during_the_cancel_is_cancelled() {
    model(|| {
        let parent = CancelToken::new();
        let clone = parent.clone();
        let birth = thread::spawn(move || clone.child());
        parent.cancel();
        let child = birth.join().unwrap();
        assert_eq!(child.reason(), Some(Reason::Requested));
    });
}

#[test]
fn the_cancel_passes_through_a_parent_that_is_dropped_meanwhile() {
    model(|| {
        let root = CancelToken::new();
        let middle = root.child();
        let leaf = middle.child();
        // The other leaf leaves the family during the cancel; only it holds its parent.
        let other_leaf = middle.child();
        let dropper = thread::spawn(move || drop((middle, other_leaf)));
        root.cancel();
        dropper.join().unwrap();
        assert!(leaf.is_cancelled());
    });
}

#[test]
fn what_came_before_the_cancel_is_seen_by_who_finds_it() {
    use tidegate_core::primitive::atomic::{AtomicU32, Ordering};
    model(|| {
        let token = CancelToken::new();
        let value = Arc::new(AtomicU32::new(0));
        let canceller = {
            let (token, value) = (token.clone(), value.clone());
            thread::spawn(move || {
                value.store(7, Ordering::Relaxed);
                token.cancel();
            })
        };
        if token.is_cancelled() {
            assert_eq!(value.load(Ordering::Relaxed), 7);
        }
        canceller.join().unwrap();
    });
}

#[test]
fn a_cancelled_pop_takes_nothing_or_everything() {
    model(|| {
        let queue = Arc::new(Queue::unbounded());
        let token = CancelToken::new();
        let popper = {
            let (queue, token) = (queue.clone(), token.clone());
            thread::spawn(move || queue.pop().or_cancelled(&token).wait().is_ok())
        };
        queue.try_push(1).unwrap();
        token.cancel();
        let popped = popper.join().unwrap();
        assert_eq!(queue.len(), usize::from(!popped));
    });
}

#[test]
fn a_cancelled_operation_does_not_start() {
    model(|| {
        let token = CancelToken::new();
        let clone = token.clone();
        let canceller = thread::spawn(move || clone.cancel());
        let is_cancelled = token.is_cancelled();
        let mut is_started = false;
        let operation = std::future::poll_fn(|_| {
            is_started = true;
            Poll::Ready(())
        });
        let is_done = operation.or_cancelled(&token).wait().is_ok();
        assert_eq!(is_done, is_started);
        assert!(!is_cancelled || !is_started, "it was cancelled before");
        assert!(canceller.join().unwrap());
    });
}

#[test]
fn a_deadline_and_a_cancel_agree_on_one_reason() {
    model(|| {
        let clock = ManualClock::new();
        let token = CancelToken::new().child_with_timeout(&clock, Duration::from_secs(1));
        let turner = {
            let clock = clock.clone();
            thread::spawn(move || clock.advance(Duration::from_secs(1)))
        };
        let won = token.cancel();
        turner.join().unwrap();
        let expected = if won { Reason::Requested } else { Reason::DeadlineExceeded };
        assert_eq!(token.reason(), Some(expected));
    });
}

#[test]
fn a_deadline_set_while_the_clock_turns_is_kept() {
    model(|| {
        let clock = ManualClock::new();
        let turner = {
            let clock = clock.clone();
            thread::spawn(move || clock.advance(Duration::from_secs(1)))
        };
        let deadline = tidegate_core::Timestamp::ORIGIN + Duration::from_secs(1);
        let token = CancelToken::new().child_with_deadline(&clock, deadline);
        turner.join().unwrap();
        assert_eq!(token.reason(), Some(Reason::DeadlineExceeded));
    });
}

#[test]
fn no_lock_is_held_while_a_token_wakes() {
    model(|| {
        let token = CancelToken::new();
        let re_enter = {
            let token = token.clone();
            CallingWaker::new(move || {
                assert!(token.child().is_cancelled());
                assert!(!token.cancel());
            })
        };
        let mut cancelled = token.cancelled();
        assert!(poll(&mut cancelled, &re_enter).is_pending());
        let clone = token.clone();
        let canceller = thread::spawn(move || clone.cancel());
        let child = token.child();
        assert!(canceller.join().unwrap() && child.is_cancelled());
        assert_eq!(poll_quietly(&mut cancelled), Poll::Ready(Reason::Requested));
    });
}

#[test]
fn a_sleeper_that_registers_while_the_clock_turns_is_woken() {
    model(|| {
        let clock = ManualClock::new();
        let sleeper = {
            let clock = clock.clone();
            thread::spawn(move || {
                clock.sleep_until(tidegate_core::Timestamp::from_nanos(5)).wait();
                assert!(clock.now().as_nanos() >= 5);
            })
        };
        clock.advance(Duration::from_nanos(5));
        sleeper.join().unwrap();
    });
}

#[test]
fn a_sleeper_that_changes_its_waker_while_the_clock_turns_is_woken() {
    model(|| {
        let clock = ManualClock::new();
        let [(_, old_waker), (new, new_waker)] = [CountingWaker::new(), CountingWaker::new()];
        let mut sleep = clock.sleep(Duration::from_nanos(5));
        assert!(poll(&mut sleep, &old_waker).is_pending());
        let turner = {
            let clock = clock.clone();
            thread::spawn(move || clock.advance(Duration::from_nanos(5)))
        };
        let ready = poll(&mut sleep, &new_waker).is_ready();
        turner.join().unwrap();
        assert!(ready || new.count() == 1, "neither ready nor woken");
    });
}

#[test]
fn two_turners_wake_everybody_who_is_due() {
    model(|| {
        let clock = ManualClock::new();
        let [(first, first_waker), (second, second_waker)] =
            [CountingWaker::new(), CountingWaker::new()];
        let (mut one, mut two) =
            (clock.sleep(Duration::from_nanos(1)), clock.sleep(Duration::from_nanos(2)));
        assert!(poll(&mut one, &first_waker).is_pending());
        assert!(poll(&mut two, &second_waker).is_pending());
        let turner = {
            let clock = clock.clone();
            thread::spawn(move || clock.advance(Duration::from_nanos(1)))
        };
        clock.advance(Duration::from_nanos(1));
        turner.join().unwrap();
        assert!(clock.now().as_nanos() >= 1);
        clock.advance_to(tidegate_core::Timestamp::from_nanos(2));
        assert_eq!((first.count(), second.count()), (1, 1));
    });
}

/// A clock that may wake its one sleeper before the sleep's time.
#[derive(Clone)]
struct Early {
    face: Arc<(AtomicBool, Lock<Option<Waker>>)>,
}

impl Early {
    fn ring(&self) {
        if let Some(waker) = self.face.1.with(Option::take) {
            waker.wake();
        }
    }
}

impl Clock for Early {
    fn now(&self) -> Timestamp {
        Timestamp::ORIGIN
    }
}

impl Timer for Early {
    type Sleep = Self;

    fn sleep_until(&self, _: Timestamp) -> Self {
        self.clone()
    }
}

impl Future for Early {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        drop(self.face.1.with(|held| held.replace(waker)));
        if self.face.0.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn a_deadline_that_comes_while_its_sleep_is_asked_is_not_missed() {
    model(|| {
        let clock = Early { face: Arc::new((AtomicBool::new(false), Lock::new(None))) };
        let deadline = Timestamp::from_nanos(5);
        let token = CancelToken::new().child_with_deadline(&clock, deadline);
        let early = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        clock.face.0.store(true, Ordering::SeqCst);
        clock.ring();
        early.join().unwrap();
        assert_eq!(token.reason(), Some(Reason::DeadlineExceeded));
        // A model must not leak.
        clock.face.1.with(Option::take);
    });
}

#[test]
fn a_deadline_that_is_asked_and_a_cancel_leave_no_sleep_behind() {
    model(|| {
        let clock = Early { face: Arc::new((AtomicBool::new(false), Lock::new(None))) };
        let token = CancelToken::new().child_with_deadline(&clock, Timestamp::from_nanos(5));
        let early = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        assert!(token.cancel());
        early.join().unwrap();
        assert_eq!(token.reason(), Some(Reason::Requested));
        clock.face.1.with(Option::take);
        assert_eq!(Arc::strong_count(&clock.face), 1, "the sleep is gone");
    });
}
