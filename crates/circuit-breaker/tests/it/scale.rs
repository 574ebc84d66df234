//! How many wake-ups one step costs while many callers wait.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};
use std::sync::Arc;

use test_kit::CountingWaker;
use tidegate_circuit_breaker::{Breaker, ManualClock, OpenFor, State, TripRule};

const OPEN_FOR: Duration = Duration::from_secs(1);

/// Returns how many of `n` waiters are woken by the first probe, by one that is dropped unsettled,
/// and by one that closes the breaker.
fn wakes(n: usize, probes: u32) -> [usize; 3] {
    let clock = ManualClock::new();
    let breaker = Breaker::builder()
        .trip_on(TripRule::consecutive(1))
        .open_for(OpenFor::fixed(OPEN_FOR).jitter(0.0))
        .probes(probes)
        .clock(clock.clone())
        .build()
        .unwrap();
    breaker.try_enter().unwrap().failure();
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut waiters: Vec<_> = (0..n).map(|_| Box::pin(breaker.enter())).collect();
    for waiter in &mut waiters {
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    let count = |step: &mut dyn FnMut()| {
        let before = woken.count();
        step();
        woken.count() - before
    };
    assert_eq!(count(&mut || clock.advance(OPEN_FOR)), n, "each by its own sleep");
    let mut first = None;
    let by_first = count(&mut || first = breaker.try_enter().ok());
    let mut others: Vec<_> = (1..probes).map(|_| breaker.try_enter().unwrap()).collect();
    for waiter in &mut waiters {
        assert!(Pin::new(waiter).poll(&mut cx).is_pending());
    }
    let by_dropped = count(&mut || drop(first.take()));
    let last = others.pop().unwrap_or_else(|| breaker.try_enter().unwrap());
    let mut last = Some(last);
    let by_closing = count(&mut || last.take().unwrap().success());
    assert_eq!(breaker.state(), State::Closed);
    [by_first, by_dropped, by_closing]
}

#[test]
fn a_probe_wakes_as_many_as_there_are_slots_however_many_wait() {
    for n in [50, 16 * 50] {
        // The waiter that was woken for the freed slot has not polled yet.
        assert_eq!(wakes(n, 1), [0, 1, n - 1]);
        assert_eq!(wakes(n, 4), [3, 1, n - 1]);
    }
}
