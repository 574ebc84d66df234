//! What `Wait` promises to threads.

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use test_kit::CountingWaker;
use tidegate_core::{
    CancelToken, Clock, Event, ManualClock, Queue, SystemClock, TimedOut, Timer, Timestamp,
    Turnstile, Wait,
};

/// Ready at its second poll, having woken itself at its first.
fn yield_once() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn a_wait_within_a_wait_works() {
    let outer = poll_fn(|_| {
        // Really waits, each time, on the same thread.
        SystemClock.sleep(Duration::from_micros(50)).wait();
        assert_eq!(pending::<()>().wait_timeout(Duration::from_micros(50)), Err(TimedOut));
        Poll::Ready(7)
    });
    let outer = async {
        yield_once().await;
        outer.await
    };
    assert_eq!(outer.wait(), 7);
}

#[test]
fn a_wake_up_meant_for_the_outer_wait_survives_an_inner_one() {
    let queue = Arc::new(Queue::unbounded());
    let outer = {
        let queue = queue.clone();
        async move {
            let mut pop = pin!(queue.pop());
            poll_fn(|cx| match pop.as_mut().poll(cx) {
                Poll::Ready(item) => Poll::Ready(item),
                Poll::Pending => {
                    // The item comes while the outer future is registered and the thread is in an inner wait.
                    let pusher = {
                        let queue = queue.clone();
                        thread::spawn(move || queue.try_push(1).unwrap())
                    };
                    SystemClock.sleep(Duration::from_micros(50)).wait();
                    pusher.join().unwrap();
                    Poll::Pending
                }
            })
            .await
        }
    };
    assert_eq!(outer.wait(), Ok(1));
}

#[test]
fn a_duration_beyond_the_end_of_time_means_for_ever() {
    let queue = Arc::new(Queue::unbounded());
    let waiter = {
        let queue = queue.clone();
        thread::spawn(move || queue.pop().wait_timeout(Duration::MAX))
    };
    queue.try_push(1).unwrap();
    assert_eq!(waiter.join().unwrap(), Ok(Ok(1)));
}

#[test]
fn a_deadline_in_the_past_still_polls_once() {
    let past = Instant::now();
    assert_eq!(async { 1 }.wait_deadline(past), Ok(1));
    assert_eq!(pending::<()>().wait_deadline(past), Err(TimedOut));
    assert_eq!(pending::<()>().wait_timeout(Duration::ZERO), Err(TimedOut));
}

#[test]
fn a_timed_out_future_is_dropped() {
    struct SetOnDrop(Arc<AtomicUsize>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let guard = SetOnDrop(dropped.clone());
    let future = async move {
        let _guard = guard;
        pending::<()>().await;
    };
    assert_eq!(future.wait_timeout(Duration::from_micros(1)), Err(TimedOut));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panicking_future_leaves_the_thread_able_to_wait() {
    let panicking = async {
        yield_once().await;
        std::panic::resume_unwind(Box::new("on purpose"));
    };
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panicking.wait()));
    assert!(unwound.is_err());
    yield_once().wait();
}

#[test]
fn a_sleep_that_ends_before_its_thread_parks_is_over() {
    for nanos in (0..2000).cycle().take(20_000) {
        SystemClock.sleep(Duration::from_nanos(nanos)).wait();
    }
}

#[test]
fn the_shortest_of_several_sleeps_in_one_wait_ends_it() {
    let mut long = SystemClock.sleep(Duration::from_secs(3600));
    let mut short = SystemClock.sleep(Duration::from_millis(1));
    let either = poll_fn(|cx| {
        assert!(Pin::new(&mut long).poll(cx).is_pending());
        Pin::new(&mut short).poll(cx)
    });
    either.wait();
}

#[test]
fn a_sleep_to_the_end_of_time_does_not_end() {
    let mut never = SystemClock.sleep_until(Timestamp::NEVER);
    assert_eq!(
        poll_fn(|cx| Pin::new(&mut never).poll(cx)).wait_timeout(Duration::from_millis(1)),
        Err(TimedOut)
    );
}

#[test]
fn manual_time_wakes_in_the_order_of_time() {
    let clock = ManualClock::new();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    struct Note(u64, ManualClock, Arc<std::sync::Mutex<Vec<(u64, u64)>>>);
    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.2.lock().unwrap().push((self.0, self.1.now().as_nanos()));
        }
    }
    let mut sleeps: Vec<_> =
        [30, 10, 20, 10].map(|nanos| (nanos, clock.sleep(Duration::from_nanos(nanos)))).into();
    for (nanos, sleep) in &mut sleeps {
        let waker = Waker::from(Arc::new(Note(*nanos, clock.clone(), order.clone())));
        assert!(Pin::new(sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(clock.next_due(), Some(Timestamp::from_nanos(10)));
    clock.advance(Duration::from_nanos(25));
    assert_eq!(*order.lock().unwrap(), [(10, 10), (10, 10), (20, 20)]);
    assert_eq!(clock.next_due(), Some(Timestamp::from_nanos(30)));
}

#[test]
fn a_dropped_sleep_is_forgotten() {
    let clock = ManualClock::new();
    let mut sleep = clock.sleep(Duration::from_secs(1));
    let count = Arc::new(CountingWaker::default());
    let waker = Waker::from(count.clone());
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(sleep);
    assert_eq!(clock.next_due(), None);
    clock.advance(Duration::from_secs(2));
    assert_eq!(count.count(), 0);
}

#[test]
fn or_timeout_counts_what_is_ready_in_time_however_late_the_poll() {
    let clock = ManualClock::new();
    let queue = Queue::unbounded();
    let mut pop = pin!(queue.pop().or_timeout(&clock, Duration::from_secs(1)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pop.as_mut().poll(&mut cx).is_pending());
    queue.try_push(1).unwrap();
    clock.advance(Duration::from_secs(2));
    assert_eq!(pop.as_mut().poll(&mut cx), Poll::Ready(Ok(Ok(1))));
}

#[test]
fn a_task_and_a_thread_wait_for_the_same_event() {
    static ROUND: AtomicUsize = AtomicUsize::new(0);
    static CHANGED: Event = Event::new();
    let reached = |round| move || (ROUND.load(Ordering::Acquire) >= round).then_some(());
    let thread = thread::spawn(move || CHANGED.wait_until(reached(1)).wait());
    let mut task = CHANGED.wait_until(reached(1));
    let count = Arc::new(CountingWaker::default());
    let waker = Waker::from(count.clone());
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    ROUND.store(1, Ordering::Release);
    CHANGED.notify_all();
    thread.join().unwrap();
    assert_eq!(count.count(), 1);
}

#[test]
fn a_cancelled_tree_is_dropped_without_recursion() {
    let root = CancelToken::new();
    let mut leaf = root.clone();
    for _ in 0..100_000 {
        leaf = leaf.child();
    }
    root.cancel();
    assert!(leaf.is_cancelled());
    drop((root, leaf));
}

#[test]
fn a_condition_is_checked_in_every_poll() {
    let clock = ManualClock::new();
    let changed = Event::new();
    let mut wait = changed.wait_until(|| (clock.now() > Timestamp::ORIGIN).then_some(()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
    // There is no notification: a waiter polled for another reason still finds the condition
    // changed.
    clock.advance(Duration::from_nanos(1));
    assert!(Pin::new(&mut wait).poll(&mut cx).is_ready());
}

#[test]
fn what_was_given_up_is_withdrawn_while_its_wrapper_lives_on() {
    let turnstile = Turnstile::new();
    let inside = turnstile.try_enter().unwrap();
    let (token, clock) = (CancelToken::new(), ManualClock::new());
    let mut cancelled = pin!(turnstile.enter().or_cancelled(&token));
    let mut timed_out = pin!(turnstile.enter().or_timeout(&clock, Duration::from_secs(1)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(
        cancelled.as_mut().poll(&mut cx).is_pending()
            && timed_out.as_mut().poll(&mut cx).is_pending()
    );
    token.cancel();
    clock.advance(Duration::from_secs(1));
    assert!(matches!(cancelled.as_mut().poll(&mut cx), Poll::Ready(Err(_))));
    assert!(matches!(timed_out.as_mut().poll(&mut cx), Poll::Ready(Err(TimedOut))));
    assert_eq!(turnstile.waiting(), 0);
    drop(inside);
    assert!(turnstile.try_enter().is_some());
}

#[test]
fn a_time_that_does_not_come_does_not_come_on_a_manual_clock_either() {
    let clock = ManualClock::new();
    let mut never = pin!(pending::<()>().or_timeout(&clock, Duration::MAX));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(never.as_mut().poll(&mut cx).is_pending());
    assert_eq!(clock.next_due(), None);
    clock.advance(Duration::MAX);
    assert!(never.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn turns_of_a_clock_by_several_threads_add_up() {
    let clock = ManualClock::new();
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..500).for_each(|_| clock.advance(Duration::from_nanos(1))));
        }
    });
    assert_eq!(clock.now().as_nanos(), 2000);
}
