//! Calls that are tried again: how often, when, and what is left when they end.

use std::{
    cell::{Cell, RefCell},
    error::Error,
    fmt::Debug,
    future::{Future, Ready, pending, ready},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use test_kit::{Bomb, BrokenClock, Fuse, OnDrop, Task, quiet_panic, quietly};
use tidegate_core::{
    Backoff, CancelToken, Clock, ManualClock, SystemClock, TimedOut, Timer, Timestamp, Wait,
    backoff::Retries,
    retry,
    retry::{GaveUp, Retry, RetryError, Retryable},
};

const SECOND: Duration = Duration::from_secs(1);

/// Pauses of 1, 2, 4 and 8 seconds.
fn doubling(attempts: u32) -> Retries {
    Retries::new(Backoff::exponential(SECOND, 8 * SECOND).jitter(0.0).max_attempts(attempts))
}

/// A budget of ten retries, with pauses of a second.
fn ten() -> Retries {
    let backoff = Backoff::fixed(SECOND).jitter(0.0).max_attempts(u32::MAX).budget(0);
    Retries::new(backoff)
}

/// Returns how many retries are left of such a budget, and spends them.
fn left(retries: &Retries) -> usize {
    std::iter::from_fn(|| retries.pause(1)).count()
}

/// Returns how a failed call has ended: its attempts, why it gave up, and its last error.
fn end<V: Debug, E>(result: Result<V, RetryError<E>>) -> (u32, GaveUp, E) {
    let error = result.unwrap_err();
    (error.attempts(), error.why(), error.into_inner())
}

#[test]
fn a_call_that_works_is_made_once_and_asks_no_clock() {
    let calls = Cell::new(0);
    let attempt = || ready(Ok::<_, ()>(calls.replace(calls.get() + 1)));
    assert_eq!(retry(&doubling(5), BrokenClock, attempt).wait(), Ok(0));
    assert_eq!(calls.get(), 1);
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let (retries, calls) = (ten(), Cell::new(0));
    drop(retry(&retries, SystemClock, || {
        calls.set(1);
        ready(Ok::<_, ()>(()))
    }));
    assert_eq!((calls.get(), left(&retries)), (0, 10));
}

#[test]
fn attempts_come_after_the_pauses_of_the_backoff_and_the_error_tells_how_many_and_the_last() {
    let (clock, times) = (ManualClock::new(), RefCell::new(Vec::new()));
    let retries = doubling(4);
    let mut call = Task::new(retry(&retries, &clock, || {
        times.borrow_mut().push(clock.now().since(Timestamp::ORIGIN).as_secs());
        ready(Err::<(), _>(times.borrow().len()))
    }));
    let result = loop {
        if let std::task::Poll::Ready(result) = call.run() {
            break result;
        }
        clock.advance_to(clock.next_due().unwrap());
    };
    assert_eq!(*times.borrow(), [0, 1, 3, 7]);
    assert_eq!(end(result), (4, GaveUp::Attempts, 4));
}

#[test]
fn a_success_after_failures_is_the_result() {
    let (clock, retries, calls) = (ManualClock::new(), doubling(3), Cell::new(0));
    let mut call = Task::waiting(retry(&retries, &clock, || {
        calls.set(calls.get() + 1);
        ready(if calls.get() < 2 { Err("busy") } else { Ok("page") })
    }));
    clock.advance(SECOND - Duration::from_nanos(1));
    assert_eq!((call.woken(), call.is_pending()), (0, true));
    clock.advance(Duration::from_nanos(1));
    assert_eq!((call.woken(), call.output()), (1, Ok("page")));
}

#[test]
fn an_error_that_is_not_retryable_ends_the_call() {
    let (clock, calls) = (ManualClock::new(), Cell::new(0));
    let retries = doubling(5);
    let mut call = Task::waiting(
        retry(&retries, &clock, || ready(Err::<(), _>(calls.replace(calls.get() + 1))))
            .classify(|error| if *error == 1 { Retryable::No } else { Retryable::Yes }),
    );
    clock.advance(SECOND);
    assert_eq!(end(call.output()), (2, GaveUp::NotRetryable, 1));
}

#[test]
fn the_later_of_the_backoffs_pause_and_the_one_asked_for_counts() {
    for (asked, pause) in [(0, 1), (1, 1), (5, 5), (60, 60)] {
        let (clock, retries) = (ManualClock::new(), doubling(5));
        let asked = Duration::from_secs(asked);
        let call = retry(&retries, &clock, || ready(Err::<(), _>("busy")))
            .classify(move |_| Retryable::After(asked));
        let call = Task::waiting(call);
        assert_eq!(clock.next_due(), Some(Timestamp::ORIGIN + Duration::from_secs(pause)));
        drop(call);
    }
}

#[test]
fn a_longer_pause_than_allowed_ends_the_call_at_once_and_costs_no_budget() {
    let (clock, retries) = (ManualClock::new(), ten());
    let call = |asked: Duration, most: Option<Duration>| {
        let call = retry(&retries, &clock, || ready(Err::<(), _>("busy")))
            .classify(move |_| Retryable::After(asked));
        Task::new(match most {
            Some(most) => call.max_retry_after(most),
            None => call,
        })
    };
    let minute = 60 * SECOND;
    let longer = minute + Duration::from_nanos(1);
    assert_eq!(end(call(longer, None).output()), (1, GaveUp::TooLate, "busy"));
    assert_eq!(end(call(longer, Some(minute)).output()), (1, GaveUp::TooLate, "busy"));
    assert_eq!(left(&retries), 10);
    let retries = ten();
    for (asked, most) in
        [(minute, None), (longer, Some(longer)), (Duration::MAX, Some(Duration::MAX))]
    {
        let waiting = retry(&retries, &clock, || ready(Err::<(), _>("busy")))
            .classify(move |_| Retryable::After(asked));
        let waiting = match most {
            Some(most) => waiting.max_retry_after(most),
            None => waiting,
        };
        drop(Task::waiting(waiting));
    }
}

#[test]
fn an_attempt_that_takes_too_long_is_dropped_and_its_error_classified() {
    let (clock, retries, running) = (ManualClock::new(), doubling(2), Rc::new(Cell::new(0)));
    let seen = Cell::new(0);
    let attempt = || {
        let running = running.clone();
        running.set(running.get() + 1);
        let done = OnDrop(move || running.set(running.get() - 1));
        async move {
            let _done = done;
            pending::<Result<(), TimedOut>>().await
        }
    };
    let mut call = Task::waiting(
        retry(&retries, &clock, attempt)
            .classify(|TimedOut| {
                assert_eq!(running.get(), 0, "the attempt is gone");
                seen.set(seen.get() + 1);
                Retryable::Yes
            })
            .attempt_timeout(10 * SECOND, |late| late),
    );
    // An attempt of ten seconds, a pause of one, and an attempt of ten.
    for (advance, in_flight) in [(9, 1), (1, 0), (1, 1), (9, 1)] {
        clock.advance(advance * SECOND);
        assert!(call.run().is_pending());
        assert_eq!(running.get(), in_flight);
    }
    clock.advance(SECOND);
    assert_eq!(end(call.output()), (2, GaveUp::Attempts, TimedOut));
    assert_eq!((running.get(), seen.get(), clock.next_due()), (0, 2, None));
}

#[test]
fn an_attempt_that_is_ready_in_time_counts_however_late_it_is_polled() {
    let (clock, retries) = (ManualClock::new(), doubling(2));
    let attempt = || {
        let sleep = clock.sleep(SECOND);
        async move {
            sleep.await;
            Ok::<_, TimedOut>("page")
        }
    };
    let mut call =
        Task::waiting(retry(&retries, &clock, attempt).attempt_timeout(2 * SECOND, |late| late));
    clock.advance(10 * SECOND);
    assert_eq!(call.output(), Ok("page"));
}

#[test]
fn calls_that_share_their_retries_share_the_budget() {
    let (clock, retries) = (ManualClock::new(), Arc::new(ten()));
    let mut calls: Vec<_> = (0..12)
        .map(|_| Task::new(retry(retries.clone(), clock.clone(), || ready(Err::<(), _>("down")))))
        .collect();
    let ended = calls.iter_mut().filter_map(|call| match call.poll() {
        std::task::Poll::Ready(result) => Some(end(result)),
        std::task::Poll::Pending => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), [(1, GaveUp::Budget, "down"); 2]);
    clock.advance(SECOND);
    for call in &mut calls[..10] {
        assert_eq!(end(call.output()), (2, GaveUp::Budget, "down"));
    }
}

#[test]
fn each_call_earns_its_part_of_a_retry_once() {
    let backoff = Backoff::fixed(Duration::ZERO).max_attempts(u32::MAX).budget(50);
    let retries = Retries::new(backoff);
    assert_eq!(left(&retries), 10);
    for _ in 0..4 {
        assert_eq!(retry(&retries, SystemClock, || ready(Ok::<_, ()>(()))).wait(), Ok(()));
    }
    let failing = retry(&retries, SystemClock, || ready(Err::<(), _>("down")));
    // Four times half a retry, and half a retry of its own: enough for two, not for a third.
    assert_eq!(end(failing.wait()), (3, GaveUp::Budget, "down"));
}

#[test]
fn a_call_that_is_dropped_in_its_pause_leaves_no_trace() {
    let (clock, retries) = (ManualClock::new(), ten());
    for _ in 0..100 {
        let call = Task::waiting(retry(&retries, &clock, || ready(Err::<(), _>("down"))));
        assert!(clock.next_due().is_some());
        drop(call);
        assert_eq!(clock.next_due(), None);
    }
    assert_eq!(left(&retries), 10);
}

#[test]
fn a_call_that_is_dropped_in_an_attempt_drops_it_and_has_paid_for_it() {
    let (clock, retries, dropped) = (ManualClock::new(), ten(), Cell::new(0));
    let calls = Cell::new(0);
    let mut call = Task::waiting(retry(&retries, &clock, || {
        let is_first = calls.replace(calls.get() + 1) == 0;
        let done = OnDrop(|| dropped.set(dropped.get() + 1));
        async move {
            let _done = done;
            if is_first { Err::<(), _>("busy") } else { pending().await }
        }
    }));
    clock.advance(SECOND);
    assert!(call.is_pending());
    assert_eq!((calls.get(), dropped.get()), (2, 1));
    drop(call);
    assert_eq!((dropped.get(), left(&retries)), (2, 9));
}

#[test]
fn tokens_timeouts_and_threads_end_a_call_as_they_end_every_wait() {
    let (clock, retries) = (ManualClock::new(), doubling(u32::MAX));
    let down = || ready(Err::<(), _>("down"));
    let token = CancelToken::new();
    let mut call = Task::waiting(retry(&retries, &clock, down).or_cancelled(&token));
    token.cancel();
    assert!(call.output().is_err());
    let mut call = Task::waiting(retry(&retries, &clock, down).or_timeout(&clock, 5 * SECOND));
    clock.advance(5 * SECOND);
    assert_eq!(call.run(), std::task::Poll::Ready(Err(TimedOut)));
    assert_eq!(clock.next_due(), None);
    let call = retry(&retries, &clock, down);
    assert_eq!(call.wait_timeout(Duration::from_millis(1)), Err(TimedOut));
}

#[test]
fn a_thread_waits_for_a_call_and_its_pauses() {
    let backoff = Backoff::fixed(Duration::from_micros(100)).max_attempts(3);
    let (retries, calls) = (Retries::new(backoff), Cell::new(0));
    let call = retry(&retries, &SystemClock, || async {
        calls.set(calls.get() + 1);
        if calls.get() < 3 { Err("busy") } else { Ok(calls.get()) }
    });
    assert_eq!(call.wait(), Ok(3));
}

#[test]
fn attempts_that_fail_at_once_without_a_pause_let_other_tasks_run() {
    let backoff = Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(100);
    let (retries, calls) = (Retries::new(backoff), Cell::new(0));
    let mut call = Task::new(retry(&retries, ManualClock::new(), || {
        calls.set(calls.get() + 1);
        ready(Err::<(), _>("down"))
    }));
    assert!(call.is_pending());
    assert!((1..20).contains(&calls.get()) && call.woken() == 1);
    assert!(matches!(call.run(), std::task::Poll::Ready(Err(error)) if error.attempts() == 100));
    assert_eq!(calls.get(), 100);
}

#[test]
fn an_attempt_is_gone_before_the_next_begins() {
    let (clock, retries, alive) = (ManualClock::new(), doubling(3), Rc::new(Cell::new(0)));
    let attempt = || {
        assert_eq!(alive.replace(1), 0);
        let alive = alive.clone();
        let done = OnDrop(move || alive.set(0));
        async move {
            let _done = done;
            Err::<(), _>("busy")
        }
    };
    let mut call = Task::new(retry(&retries, &clock, attempt));
    for _ in 0..2 {
        assert!(call.is_pending());
        clock.advance(8 * SECOND);
    }
    assert_eq!(end(call.output()), (3, GaveUp::Attempts, "busy"));
}

#[test]
fn a_panic_at_any_foreign_call_ends_the_call_and_leaves_the_budget_what_it_did_not_use() {
    struct Fragile(ManualClock, Arc<Fuse>);
    impl Clock for Fragile {
        fn now(&self) -> Timestamp {
            self.1.call();
            self.0.now()
        }
    }
    impl Timer for Fragile {
        type Sleep = <ManualClock as Timer>::Sleep;
        fn sleep_until(&self, time: Timestamp) -> Self::Sleep {
            self.1.call();
            self.0.sleep_until(time)
        }
    }
    let mut panics = 0_u64;
    // Three attempts, each with a limit, and two pauses.
    let all = (0..).find(|at| {
        let fuse = Fuse::new(*at, 1);
        let (clock, retries, polled) = (ManualClock::new(), ten(), Cell::new(0_usize));
        let attempt = || {
            fuse.call();
            async {
                polled.set(polled.get() + 1);
                fuse.call();
                if polled.get() < 3 { Err(TimedOut) } else { Ok(()) }
            }
        };
        let call = retry(&retries, Fragile(clock.clone(), fuse.clone()), attempt)
            .classify(|_| {
                fuse.call();
                Retryable::Yes
            })
            .attempt_timeout(SECOND, |late| late);
        let mut call = Task::new(call);
        let result = loop {
            match quietly(|| call.poll()) {
                Some(std::task::Poll::Pending) => clock.advance(SECOND),
                result => break result,
            }
        };
        panics += u64::from(result.is_none());
        drop(call);
        // Each attempt that was polled, but for the first, was paid for.
        assert_eq!(left(&retries), 10 - polled.get().saturating_sub(1), "at {at}");
        assert_eq!(clock.next_due(), None);
        fuse.is_whole()
    });
    assert!(all.is_some_and(|all| all == panics && all > 10));
}

#[test]
fn a_call_that_has_panicked_or_ended_runs_nothing_when_it_is_polled_again() {
    let (retries, calls) = (ten(), Cell::new(0));
    let mut call = Task::new(retry(&retries, SystemClock, || -> Ready<Result<(), ()>> {
        calls.set(calls.get() + 1);
        quiet_panic("an attempt")
    }));
    let mut classified = Task::new(
        retry(&retries, SystemClock, || {
            calls.set(calls.get() + 1);
            ready(Err::<(), _>("busy"))
        })
        .classify(|_| quiet_panic("a classifier")),
    );
    for _ in 0..2 {
        assert!(quietly(|| call.poll().is_ready()).is_none());
        assert!(quietly(|| classified.poll().is_ready()).is_none());
    }
    assert_eq!((calls.get(), left(&retries)), (2, 10));
}

#[test]
fn futures_errors_and_closures_that_panic_when_they_are_dropped_take_nothing_along() {
    let count = Arc::new(Default::default());
    let bomb = || Bomb(0, Arc::clone(&count));
    let (clock, retries) = (ManualClock::new(), ten());
    let calls = Cell::new(0);
    // A future with a bomb in it, and an error that is one.
    let mut call = Task::waiting(retry(&retries, &clock, || {
        let is_first = calls.replace(calls.get() + 1) == 0;
        BombIn(bomb(), is_first.then(bomb))
    }));
    clock.advance(SECOND);
    assert!(matches!(call.poll(), std::task::Poll::Ready(Ok(()))));
    drop(call);
    // A panic of the classifier while the error, the classifier and the closure are bombs.
    let (of_attempt, of_classifier) = (bomb(), bomb());
    let call = retry(&retries, &clock, move || {
        let _held = &of_attempt;
        ready(Err::<(), _>(bomb()))
    })
    .classify(move |_| {
        let _held = &of_classifier;
        quiet_panic("a classifier")
    });
    assert!(quietly(move || Box::pin(call).as_mut().wait()).is_none());
    assert_eq!(left(&retries), 9);
}

/// A future that holds a bomb, and is ready with an error that is one, or with a success.
struct BombIn(#[allow(dead_code, reason = "it is dropped")] Bomb, Option<Bomb>);

impl Future for BombIn {
    type Output = Result<(), Bomb>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::task::Poll::Ready(self.1.take().map_or(Ok(()), Err))
    }
}

#[test]
fn a_call_can_be_named_sent_and_told_apart_from_its_error() {
    type Call = Retry<
        Arc<Retries>,
        SystemClock,
        fn() -> Ready<Result<u8, TimedOut>>,
        Ready<Result<u8, TimedOut>>,
        TimedOut,
    >;
    let sent = |call: Call| std::thread::spawn(|| call.wait()).join().unwrap();
    let retries = Arc::new(Retries::new(Backoff::fixed(Duration::ZERO).max_attempts(1)));
    assert_eq!(sent(retry(retries.clone(), SystemClock, || ready(Ok(7)))), Ok(7));
    let error = sent(retry(retries, SystemClock, || ready(Err(TimedOut)))).unwrap_err();
    assert_eq!(error.to_string(), "gave up after 1 attempt: no attempt is left");
    assert_eq!(error.source().map(ToString::to_string), Some("timed out".into()));
    let call = retry(doubling_static(), SystemClock, || ready(Ok::<_, ()>(())));
    assert_eq!(format!("{call:?}"), r#"Retry { failures: 0, stage: "fresh", .. }"#);
}

fn doubling_static() -> Arc<Retries> {
    Arc::new(doubling(2))
}

#[test]
#[should_panic(expected = "max_attempts is 0, but must be at least 1")]
fn a_backoff_out_of_its_range_is_a_mistake() {
    drop(retry(&doubling(0), SystemClock, || ready(Ok::<_, ()>(()))));
}
