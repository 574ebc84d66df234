//! A breaker in a row of gates: a call that waits at a later gate is refused if the breaker has
//! opened meanwhile, and its wait does not make it slow.

use core::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    sync::{Arc, Barrier},
    thread,
};

use tidegate_circuit_breaker::{
    Breaker, Builder, Gate, ManualClock, OpenFor, Outcome, Refused, RefusedReason, State, TripRule,
    Window,
    gate::{PairRefused, Pass, SettleBy},
};
use tidegate_semaphore::Semaphore;

const TRIP: u32 = 3;
const IN_FLIGHT: usize = 10;
const CALLERS: usize = 500;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

type Call<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn builder(clock: &ManualClock) -> Builder<ManualClock> {
    Breaker::builder().open_for(OpenFor::fixed(HOUR).jitter(0.0)).clock(clock.clone())
}

/// A call to a server that is down: it is pending once, and then fails.
async fn call_what_is_down(reached: &AtomicUsize) -> Result<(), ()> {
    reached.fetch_add(1, Ordering::Relaxed);
    let mut polled = false;
    poll_fn(
        |_| if core::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
    Err(())
}

/// A caller that goes through `row`, and returns whether it was let in.
fn caller<'a, G: Gate<Pass: SettleBy<Result<(), ()>>> + 'a>(
    row: G,
    reached: &'a AtomicUsize,
) -> Call<'a> {
    Box::pin(async move { row.run_async(call_what_is_down(reached)).await.is_ok() })
}

/// Polls all callers in turn until none of them gets any further.
fn drive(mut calls: Vec<Call<'_>>) {
    for _ in 0..2 * CALLERS {
        calls.retain_mut(|call| poll(call.as_mut()).is_pending());
    }
}

/// A row, by the place of the breaker in it.
#[derive(Debug, Clone, Copy)]
enum Row {
    FailFastFirst,
    FailFastLast,
    WaitingFirst,
    WaitingLast,
    Nested,
}

const ROWS: [Row; 5] =
    [Row::FailFastFirst, Row::FailFastLast, Row::WaitingFirst, Row::WaitingLast, Row::Nested];

fn callers<'a>(
    row: Row,
    n: usize,
    breaker: &'a Breaker<ManualClock>,
    semaphore: &'a Semaphore,
    free: &'a Semaphore,
    reached: &'a AtomicUsize,
) -> Vec<Call<'a>> {
    let call = |_| match row {
        Row::FailFastFirst => caller((breaker.fail_fast(), semaphore), reached),
        Row::FailFastLast => caller((semaphore, breaker.fail_fast()), reached),
        Row::WaitingFirst => caller((breaker, semaphore), reached),
        Row::WaitingLast => caller((semaphore, breaker), reached),
        Row::Nested => caller(((free, breaker.fail_fast()), (free, semaphore)), reached),
    };
    (0..n).map(call).collect()
}

#[test]
fn what_queued_behind_a_closed_breaker_does_not_reach_a_server_that_is_down() {
    for threads in [1, 2] {
        for row in ROWS {
            let breaker =
                builder(&ManualClock::new()).trip_on(TripRule::consecutive(TRIP)).build().unwrap();
            let (semaphore, free) = (Semaphore::new(IN_FLIGHT), Semaphore::new(2 * CALLERS));
            let (reached, start) = (AtomicUsize::new(0), Barrier::new(threads));
            thread::scope(|s| {
                for _ in 0..threads {
                    s.spawn(|| {
                        let n = CALLERS / threads;
                        let calls = callers(row, n, &breaker, &semaphore, &free, &reached);
                        start.wait();
                        drive(calls);
                    });
                }
            });
            let reached = reached.load(Ordering::Relaxed);
            assert_eq!((breaker.state(), breaker.stats().trips), (State::Open, 1), "{row:?}");
            assert!(
                (TRIP as usize..=TRIP as usize + IN_FLIGHT).contains(&reached),
                "{reached} calls of {row:?} on {threads} threads",
            );
            assert_eq!(semaphore.available_permits(), IN_FLIGHT, "everything is given back");
        }
    }
}

#[test]
fn a_wait_for_a_later_gate_makes_no_call_slow() {
    for in_flight in [false, true] {
        let clock = ManualClock::new();
        let slow = TripRule::slow_rate(0.5, SECOND).minimum_calls(5);
        let slow = if in_flight { slow.count_inflight_slow() } else { slow };
        let breaker = builder(&clock).trip_on(slow).build().unwrap();
        let semaphore = Semaphore::new(1);
        let held = semaphore.try_acquire(1).unwrap();
        let row = (breaker.fail_fast(), &semaphore);
        let call = |_| Box::pin(row.run_async(async { Ok::<(), ()>(()) }));
        let mut calls: Vec<_> = (0..20).map(call).collect();
        for call in &mut calls {
            assert!(poll(call.as_mut()).is_pending());
        }
        for _ in 0..20 {
            clock.advance(HOUR);
            // The caller that enters checks the calls in flight.
            breaker.try_enter().unwrap().success();
        }
        drop(held);
        for call in &mut calls {
            assert!(poll(call.as_mut()).is_ready());
            clock.advance(HOUR);
        }
        let stats = breaker.stats();
        assert_eq!((stats.succeeded, stats.slow, stats.trips), (40, 0, 0), "{stats:?}");
        assert_eq!(stats.window.slow_in_flight, 0);

        // A call that takes long after the wait is slow all the same.
        let mut pass = breaker.try_enter().unwrap();
        pass.pause();
        clock.advance(HOUR);
        pass.renew().unwrap();
        clock.advance(SECOND * 2);
        assert_eq!(breaker.stats().window.slow_in_flight, u64::from(in_flight));
        pass.success();
        assert_eq!((breaker.stats().slow, breaker.stats().window.slow_in_flight), (1, 0));
    }
}

/// A breaker whose open time is over.
fn expired(clock: &ManualClock, builder: Builder<ManualClock>) -> Breaker<ManualClock> {
    let breaker = builder.build().unwrap();
    breaker.try_enter().unwrap().failure_open_for(SECOND);
    clock.advance(SECOND);
    breaker
}

#[test]
fn a_probe_that_waits_for_a_later_gate_is_not_written_off() {
    let clock = ManualClock::new();
    let breaker = expired(&clock, builder(&clock).probe_timeout(SECOND * 10));
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    let row = (breaker.fail_fast(), &semaphore);
    let mut probe = Box::pin(row.enter());
    assert!(poll(probe.as_mut()).is_pending());
    clock.advance(HOUR);
    let refused = breaker.try_enter().unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (RefusedReason::Probing, None));
    drop(held);
    let Poll::Ready(Ok(pass)) = poll(probe.as_mut()) else { panic!("let in") };
    // The probe's time begins here.
    assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND * 10));
    clock.advance(SECOND * 10);
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open);
    pass.settle(Outcome::Success);
    let stats = breaker.stats();
    assert_eq!((stats.written_off, stats.late, stats.trips), (1, 1, 2));
}

#[test]
fn an_owned_pass_does_what_a_borrowed_one_does() {
    let clock = ManualClock::new();
    let owned = Arc::new(expired(&clock, builder(&clock).probe_timeout(SECOND * 10)));
    let enter = || Gate::try_enter(owned.clone()).unwrap();
    let breaker = &*owned;
    let mut probe = enter();
    probe.pause();
    clock.advance(HOUR);
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Probing);
    probe.renew().unwrap();
    assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND * 10));
    breaker.force_open();
    assert_eq!(probe.renew().unwrap_err().reason, RefusedReason::ForcedOpen);
    drop(probe);

    breaker.reset();
    let before = breaker.stats();
    enter().success();
    enter().failure();
    enter().ignore();
    let after = breaker.stats();
    let told = (after.succeeded - before.succeeded, after.failed - before.failed);
    assert_eq!((told, after.ignored - before.ignored), ((1, 1), 1));
    enter().failure_open_for(SECOND * 7);
    assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(SECOND * 7));
}

#[test]
fn what_is_settled_while_it_is_paused_is_not_slow() {
    let clock = ManualClock::new();
    let breaker = builder(&clock).trip_on(TripRule::slow_rate(0.5, SECOND)).build().unwrap();
    let mut pass = breaker.try_enter().unwrap();
    pass.pause();
    clock.advance(HOUR);
    pass.success();
    assert_eq!((breaker.stats().succeeded, breaker.stats().slow), (1, 0));
}

#[test]
fn a_renewed_probe_is_none_of_the_slow_calls_in_flight() {
    let clock = ManualClock::new();
    let slow = TripRule::slow_rate(0.5, SECOND).count_inflight_slow();
    let breaker = expired(&clock, builder(&clock).trip_on(slow));
    let mut probe = breaker.try_enter().unwrap();
    probe.pause();
    probe.renew().unwrap();
    clock.advance(HOUR);
    assert_eq!((breaker.state(), breaker.stats().window.slow_in_flight), (State::HalfOpen, 0));
    probe.success();
}

#[test]
fn a_paused_probe_that_is_dropped_frees_its_own_slot_only() {
    let clock = ManualClock::new();
    let breaker = expired(&clock, builder(&clock).probes(2).probe_timeout(SECOND * 10));
    let (mut paused, other) = (breaker.try_enter().unwrap(), breaker.try_enter().unwrap());
    paused.pause();
    paused.pause();
    drop(paused);
    // The other probe began at the same instant: it still counts, and becomes overdue.
    assert_eq!(breaker.stats().probes, 1);
    clock.advance(SECOND * 10);
    assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open);
    assert_eq!(breaker.stats().written_off, 1);
    drop(other);
}

#[test]
fn a_renewed_pass_is_that_of_the_state_that_is() {
    let clock = ManualClock::new();
    let timed = TripRule::consecutive(1).or(TripRule::slow_rate(1.0, SECOND).count_inflight_slow());
    for rule in [TripRule::consecutive(1), timed.over(Window::count(10))] {
        let breaker = builder(&clock).trip_on(rule).build().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| breaker.try_enter().unwrap()).collect();
        waiting.iter_mut().for_each(Pass::pause);
        breaker.try_enter().unwrap().failure();
        // Open: the pass is refused, counted and reported to the observer like any other caller.
        let mut pass = waiting.pop().unwrap();
        let refused = pass.renew().unwrap_err();
        assert_eq!((refused.reason, breaker.stats().refused), (RefusedReason::Open, 1));
        pass.give_back();
        // The open time is over: the pass becomes a probe, and the next one is refused.
        clock.advance(HOUR);
        let mut probe = waiting.pop().unwrap();
        assert_eq!(probe.renew(), Ok(()));
        assert_eq!((breaker.state(), breaker.stats().probes), (State::HalfOpen, 1));
        let mut pass = waiting.pop().unwrap();
        assert_eq!(pass.renew().unwrap_err().reason, RefusedReason::Probing);
        drop(pass);
        assert_eq!(breaker.stats().probes, 1);
        probe.success();
        // Closed again: the pass is renewed, and its result is not late.
        let mut pass = waiting.pop().unwrap();
        pass.renew().unwrap();
        pass.success();
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.late, stats.succeeded), (State::Closed, 0, 2));
        assert_eq!((stats.ignored, stats.calls()), (2, 5));
    }
}

#[test]
fn a_row_says_that_the_breaker_opened_while_it_queued() {
    let breaker = builder(&ManualClock::new()).build().unwrap();
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    let row = (&breaker, &semaphore);
    let mut enter = Box::pin(row.enter());
    assert!(poll(enter.as_mut()).is_pending());
    breaker.force_open();
    drop(held);
    let Poll::Ready(Err(PairRefused::First(Refused { reason, .. }))) = poll(enter.as_mut()) else {
        panic!("refused by the breaker");
    };
    assert_eq!((reason, semaphore.available_permits()), (RefusedReason::ForcedOpen, 1));
}
