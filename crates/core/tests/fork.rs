//! A forked child process has its parent's memory, and only one of its threads. This file is a
//! process of its own.
#![cfg(all(unix, not(miri)))]

use std::{
    ffi::{c_int, c_uint},
    future::Future,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tidegate_core::{CancelToken, Clock, Reason, SystemClock, Timer, Wait};

unsafe extern "C" {
    safe fn fork() -> c_int;
    safe fn alarm(seconds: c_uint) -> c_uint;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    safe fn _exit(status: c_int) -> !;
}

/// Runs `child` in a child of this process; returns whether it returned true, within a minute.
fn holds_in_a_child(child: impl FnOnce() -> bool) -> bool {
    match fork() {
        0 => {
            alarm(60);
            let holds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            _exit(i32::from(!holds.unwrap_or(false)))
        }
        process => {
            assert!(process > 0, "a process can be forked");
            let mut status = -1;
            // SAFETY: `status` is a place for an int, for the time of the call.
            let ended = unsafe { waitpid(process, &raw mut status, 0) };
            assert_eq!(ended, process);
            status == 0
        }
    }
}

struct Tell(mpsc::Sender<()>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

/// Polls as an executor does: with a waker of its own, and only when woken.
fn execute<F: Future>(future: F) -> F::Output {
    let (sender, woken) = mpsc::channel();
    let waker = Waker::from(Arc::new(Tell(sender)));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        woken.recv().unwrap();
    }
}

// One test only: if another thread held a lock during the fork, no thread of the child would open
// it.
#[test]
fn sleeps_and_deadlines_come_in_a_forked_child() {
    const SOON: Duration = Duration::from_millis(20);
    let before_any_use = || {
        execute(SystemClock.sleep(SOON));
        true
    };
    assert!(holds_in_a_child(before_any_use));

    execute(SystemClock.sleep(Duration::from_millis(1)));
    let mut earlier_sleep = pin!(SystemClock.sleep(SOON));
    assert!(earlier_sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let earlier = CancelToken::new().child_with_timeout(&SystemClock, SOON);
    let mut everything = || {
        // First the token: its wait polls no sleep, and still has to find out that there was a
        // fork.
        let mut holds = earlier.cancelled().wait() == Reason::DeadlineExceeded;
        execute(earlier_sleep.as_mut());
        let start = SystemClock.now();
        execute(SystemClock.sleep(SOON));
        SystemClock.sleep(SOON).wait();
        holds &= SystemClock.now().since(start) >= 2 * SOON;
        let token = CancelToken::new().child_with_timeout(&SystemClock, SOON);
        holds &= execute(token.cancelled()) == Reason::DeadlineExceeded;
        holds & execute(std::future::pending::<()>().or_timeout(&SystemClock, SOON)).is_err()
    };
    // A grandchild has a timer thread of its own, too.
    assert!(holds_in_a_child(|| everything() && holds_in_a_child(before_any_use)));
    // And the parent keeps its own.
    assert_eq!(earlier.cancelled().wait(), Reason::DeadlineExceeded);
    execute(SystemClock.sleep(SOON));
}
