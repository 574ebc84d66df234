//! Clocks that were not refreshed for a while.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use tidegate_core::{CachedClock, ManualClock};
use tidegate_semaphore::{
    Semaphore,
    adaptive::{AdaptiveSemaphore, Vegas},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn late() -> (Arc<CachedClock<ManualClock>>, ManualClock) {
    let hand = ManualClock::new();
    let clock = Arc::new(CachedClock::new(hand.clone()));
    hand.advance(HOUR);
    (clock, hand)
}

#[test]
fn what_passed_before_a_late_clock_was_read_is_no_latency() {
    let (clock, hand) = late();
    let limit =
        Arc::new(AdaptiveSemaphore::builder(Vegas::new()).initial(4).clock(clock).build().unwrap());
    for owned in [false, true] {
        hand.advance(HOUR);
        // Nothing else refreshes the clock: its lag counts neither at the start nor at the end.
        if owned {
            let permit = limit.clone().try_acquire_owned().unwrap();
            hand.advance(SECOND);
            permit.success();
        } else {
            let permit = limit.try_acquire().unwrap();
            hand.advance(SECOND);
            permit.success();
        }
        let stats = limit.stats();
        assert_eq!((stats.min_rtt, stats.max_rtt), (Some(SECOND), Some(SECOND)));
    }
}

#[test]
fn what_passed_before_a_late_clock_was_read_is_no_wait() {
    let (clock, hand) = late();
    let semaphore = Semaphore::builder(1).clock(clock).build();
    let held = semaphore.try_acquire(1).unwrap();
    let mut wait = pin!(semaphore.acquire(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    hand.advance(SECOND);
    drop(held);
    assert!(wait.as_mut().poll(&mut cx).is_ready());
    assert_eq!(semaphore.stats().wait_time, SECOND);
}
