//! The promises of `CachedClock`.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate_core::{CachedClock, Clock, ManualClock, Timer, Timestamp};

const SECOND: Duration = Duration::from_secs(1);

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn both() -> (ManualClock, Arc<CachedClock<ManualClock>>) {
    let hand = ManualClock::new();
    (hand.clone(), Arc::new(CachedClock::new(hand)))
}

#[test]
fn time_stands_still_while_nobody_refreshes() {
    let (hand, clock) = both();
    hand.advance(SECOND);
    assert_eq!(clock.now(), Timestamp::ORIGIN);
    assert_eq!(clock.refresh(), Timestamp::ORIGIN + SECOND);
    assert_eq!(clock.now(), Timestamp::ORIGIN + SECOND);
}

#[test]
fn it_does_not_go_backward_with_its_inner_clock() {
    struct Erratic(std::cell::Cell<u64>);
    impl Clock for Erratic {
        fn now(&self) -> Timestamp {
            Timestamp::from_nanos(self.0.get())
        }
    }
    let clock = CachedClock::new(Erratic(7.into()));
    clock.refresh();
    clock.inner().0.set(5);
    assert_eq!(clock.refresh(), Timestamp::from_nanos(7));
    assert_eq!(clock.now(), Timestamp::from_nanos(7));
}

#[test]
fn who_has_slept_until_a_time_finds_it_come() {
    let (hand, clock) = both();
    let time = Timestamp::ORIGIN + SECOND;
    let mut sleep = pin!(clock.sleep_until(time));
    assert!(poll(sleep.as_mut()).is_pending());
    hand.advance(SECOND);
    assert!(clock.now() < time);
    assert!(poll(sleep).is_ready());
    assert!(clock.now() >= time);
}

#[test]
fn a_sleep_lasts_its_duration_although_the_clock_lags() {
    let (hand, clock) = both();
    hand.advance(10 * SECOND);
    let mut sleep = pin!(clock.sleep(SECOND));
    assert!(poll(sleep.as_mut()).is_pending());
    hand.advance(SECOND);
    assert!(poll(sleep).is_ready());
}

#[test]
fn it_lags_by_less_than_its_resolution_while_kept_fresh() {
    let (hand, clock) = both();
    hand.advance(5 * SECOND);
    let mut fresh = Box::pin(clock.keep_fresh(10 * SECOND));
    for _ in 0..30 {
        assert!(poll(fresh.as_mut()).is_pending());
        assert!(hand.now().since(clock.now()) < 10 * SECOND);
        hand.advance(SECOND);
    }
    drop(fresh);
    assert_eq!(hand.next_due(), None, "a dropped refresher leaves no trace");
}

#[test]
#[should_panic(expected = "above zero")]
fn a_resolution_of_nothing_is_a_mistake() {
    let (_, clock) = both();
    drop(clock.keep_fresh(Duration::ZERO));
}
