//! In a process of its own, as tests of tasks start the timer thread.

use std::{future::pending, time::Duration};

use tidegate_core::{Clock, SystemClock, TimedOut, Timer, Wait};

#[test]
fn a_sleeping_thread_needs_no_helper_thread() {
    let start = SystemClock.now();
    let sleeps = async {
        SystemClock.sleep(Duration::from_millis(1)).await;
        let slow = pending::<()>().or_timeout(&SystemClock, Duration::from_millis(1));
        assert_eq!(slow.await, Err(TimedOut));
    };
    sleeps.wait();
    assert!(SystemClock.now().since(start) >= Duration::from_millis(2));
    #[cfg(target_os = "linux")]
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let name = std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default();
        assert!(!name.starts_with("tidegate"), "the timer thread runs");
    }
}
