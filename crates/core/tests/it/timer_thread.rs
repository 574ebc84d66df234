//! Sleeps that no thread waits for: the process's timer thread.

use std::{
    future::{self, Future},
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Wake, Waker},
    time::Duration,
};

use tidegate_core::{CancelToken, Clock, Reason, SystemClock, Timer, Timestamp, Wait};

struct Send(mpsc::Sender<Timestamp>);

impl Wake for Send {
    fn wake(self: Arc<Self>) {
        self.0.send(SystemClock.now()).unwrap();
    }
}

struct Panic;

impl Wake for Panic {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("a waker panicked"));
    }
}

#[test]
fn a_sleep_polled_by_a_stranger_is_woken_in_time_also_behind_a_later_one() {
    let (sender, receiver) = mpsc::channel();
    let waker = Waker::from(Arc::new(Send(sender)));
    let mut cx = Context::from_waker(&waker);
    let mut long = SystemClock.sleep(Duration::from_secs(3600));
    assert!(Pin::new(&mut long).poll(&mut cx).is_pending());
    let due = SystemClock.now() + Duration::from_millis(2);
    let mut short = SystemClock.sleep_until(due);
    assert!(Pin::new(&mut short).poll(&mut cx).is_pending());
    assert!(receiver.recv().unwrap() >= due);
    assert!(Pin::new(&mut short).poll(&mut cx).is_ready());
}

/// A task that is not woken for so long is not woken at all.
const NEVER: Duration = Duration::from_secs(20);

#[test]
fn a_sleep_that_moves_from_a_thread_to_a_task_is_registered_there() {
    for millis in [20, 200, 2000] {
        let mut sleep = SystemClock.sleep(Duration::from_millis(millis));
        // A thread that waits times the sleep itself.
        let polled = future::poll_fn(|cx| Pin::new(&mut sleep).poll(cx));
        if polled.wait_timeout(Duration::ZERO).is_ok() {
            // The machine was slow.
            continue;
        }
        let (sender, receiver) = mpsc::channel();
        let waker = Waker::from(Arc::new(Send(sender)));
        let mut cx = Context::from_waker(&waker);
        if Pin::new(&mut sleep).poll(&mut cx).is_pending() {
            assert!(receiver.recv_timeout(NEVER).is_ok(), "the task is not woken");
            assert!(Pin::new(&mut sleep).poll(&mut cx).is_ready());
            return;
        }
    }
    panic!("the machine is too slow for this test");
}

#[test]
fn a_sleep_wakes_the_waker_of_its_latest_poll() {
    let mut sleep = SystemClock.sleep(Duration::from_millis(20));
    let [(old, unused), (new, receiver)] = [mpsc::channel(), mpsc::channel()];
    let wakers = [old, new].map(|sender| Waker::from(Arc::new(Send(sender))));
    let polled = wakers
        .each_ref()
        .map(|waker| Pin::new(&mut sleep).poll(&mut Context::from_waker(waker)).is_pending());
    if polled == [true, true] {
        assert!(receiver.recv_timeout(NEVER).is_ok(), "the task is not woken");
        assert!(unused.try_recv().is_err(), "the task that polled it before is woken");
    }
}

#[test]
fn the_timer_thread_survives_a_panicking_waker() {
    let waker = Waker::from(Arc::new(Panic));
    let mut doomed = SystemClock.sleep(Duration::from_millis(1));
    assert!(Pin::new(&mut doomed).poll(&mut Context::from_waker(&waker)).is_pending());
    let (sender, receiver) = mpsc::channel();
    let waker = Waker::from(Arc::new(Send(sender)));
    let mut sleep = SystemClock.sleep(Duration::from_millis(2));
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    receiver.recv().unwrap();
}

#[test]
fn the_timer_thread_survives_what_a_waker_panics_with() {
    /// Panics when it is dropped, and so does the payload of that panic.
    struct Payload(u32);
    impl Drop for Payload {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Self(self.0 - 1));
            }
        }
    }
    struct Malicious;
    impl Wake for Malicious {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new(Payload(3)));
        }
    }
    let waker = Waker::from(Arc::new(Malicious));
    let mut doomed = SystemClock.sleep(Duration::from_millis(1));
    assert!(Pin::new(&mut doomed).poll(&mut Context::from_waker(&waker)).is_pending());
    let (sender, receiver) = mpsc::channel();
    let waker = Waker::from(Arc::new(Send(sender)));
    let mut sleep = SystemClock.sleep(Duration::from_millis(2));
    assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_deadline_cancels_a_token_that_nobody_polls() {
    let token = CancelToken::new().child_with_timeout(&SystemClock, Duration::from_millis(1));
    assert!(token.deadline().is_some());
    assert_eq!(token.cancelled().wait(), Reason::DeadlineExceeded);
}
