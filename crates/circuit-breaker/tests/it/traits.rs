//! What users expect of every public type: the traits it has, and what `{:?}` shows of it.

use std::{
    error::Error,
    fmt::Debug,
    future::{Ready, ready},
    num::NonZeroUsize,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tidegate_circuit_breaker::{
    Breaker, BuildError, Builder, ByError, FailFast, Gate, KeyRefused, KeyedBreaker, ManualClock,
    Observer, OpenFor, Outcome, OwnedFailFast, OwnedPass, OwnedThrottlePass, Pass, Refused,
    Snapshot, State, StateChange, StateChanges, Stats, SystemClock, Throttle, ThrottlePass,
    ThrottleRefused, Transition, TripRule, TryEnter, Window,
    future::{CallAsync, CallAsyncOwned, Enter, EnterOwned, RunClassified, UntilClosed},
    gate,
};

/// A list for the compiler: values of these types may be used after a panic has passed by, since it
/// leaves none half done. For generic types this holds if it holds for their parameters.
#[test]
fn what_a_panic_passes_by_may_be_used_on() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<Breaker>();
    safe::<Breaker<ManualClock, Arc<Told>>>();
    safe::<Builder>();
    safe::<FailFast>();
    safe::<OwnedFailFast>();
    safe::<KeyedBreaker<String>>();
    safe::<Pass<'_, SystemClock>>();
    safe::<OwnedPass<SystemClock>>();
    safe::<Enter<'_, SystemClock>>();
    safe::<EnterOwned<SystemClock>>();
    safe::<TryEnter<&FailFast>>();
    safe::<TryEnter<OwnedFailFast>>();
    safe::<CallAsync<'_, Ready<()>, SystemClock>>();
    safe::<CallAsyncOwned<Ready<()>, SystemClock>>();
    safe::<RunClassified<'_, Ready<()>, SystemClock>>();
    safe::<UntilClosed<'_>>();
    safe::<StateChanges<'_>>();
    safe::<(State, StateChange, Transition, Snapshot, Stats)>();
    safe::<(TripRule, OpenFor, Window)>();
    safe::<Throttle>();
    safe::<ThrottlePass<'_, SystemClock>>();
    safe::<OwnedThrottlePass<SystemClock>>();
    safe::<ByError<fn(&()) -> tidegate_circuit_breaker::Outcome>>();
}

#[derive(Default)]
struct Told(AtomicU32);

impl Observer for Told {
    fn on_trip(&self, _: &Transition) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn on_half_open(&self, _: &Transition) {
        self.0.fetch_add(10, Ordering::Relaxed);
    }

    fn on_close(&self, _: &Transition) {
        self.0.fetch_add(100, Ordering::Relaxed);
    }

    fn on_reset(&self, _: &Transition) {
        self.0.fetch_add(1000, Ordering::Relaxed);
    }

    fn on_force(&self, _: &Transition) {
        self.0.fetch_add(10_000, Ordering::Relaxed);
    }

    fn on_refuse(&self, _: &Refused) {
        self.0.fetch_add(100_000, Ordering::Relaxed);
    }
}

#[test]
fn what_points_to_an_observer_is_one_and_is_told_everything() {
    fn all<O: Observer>(observer: O) {
        let clock = ManualClock::new();
        let breaker = Breaker::builder()
            .trip_on(TripRule::consecutive(1))
            .clock(clock.clone())
            .observer(observer)
            .build()
            .unwrap();
        breaker.try_enter().unwrap().failure();
        breaker.try_enter().unwrap_err();
        clock.advance(Duration::from_secs(100));
        breaker.try_enter().unwrap().success();
        breaker.reset();
        breaker.force_open();
    }
    let told = Told::default();
    all(&told);
    all(&told as &(dyn Observer + Sync));
    let shared = Arc::new(told);
    all(shared.clone());
    all(shared.clone() as Arc<dyn Observer + Send + Sync>);
    all(Box::new(shared.clone()));
    all(Box::new(shared.clone()) as Box<dyn Observer>);
    all(Box::new(&&*shared));
    assert_eq!(shared.0.load(Ordering::Relaxed), 7 * 111_111);
}

#[test]
fn errors_go_wherever_errors_go() {
    fn error<E: Error + Clone + PartialEq + Send + Sync + UnwindSafe + RefUnwindSafe + 'static>(
        error: &E,
        words: &str,
    ) {
        assert_eq!(error.to_string(), words);
        assert!(error.source().is_none());
        let boxed: Box<dyn Error + Send + Sync> = error.clone().into();
        assert!(boxed.downcast::<E>().is_ok_and(|same| *same == *error));
    }
    let breaker = Breaker::builder().trip_on(TripRule::consecutive(1)).clock(ManualClock::new());
    let breaker =
        breaker.open_for(OpenFor::fixed(Duration::from_secs(3)).jitter(0.0)).build().unwrap();
    breaker.try_enter().unwrap().failure();
    error::<Refused>(&breaker.try_enter().unwrap_err(), "circuit open, retry after 3s");
    breaker.force_open();
    error(&breaker.try_enter().unwrap_err(), "circuit forced open");
    error::<BuildError>(
        &Breaker::builder().probes(0).build().unwrap_err(),
        "probes is 0, but must be in 1..=8191",
    );
    let clock = ManualClock::new();
    let throttle = Throttle::with_clock(1.0, Duration::from_secs(1), clock.clone()).unwrap();
    let refused: ThrottleRefused = loop {
        match throttle.try_enter() {
            Ok(pass) => gate::Pass::settle(pass, Outcome::Failure),
            Err(refused) => break refused,
        }
        clock.advance(Duration::from_millis(10));
    };
    let percent = (refused.probability * 100.0).round();
    error(&refused, &format!("throttled, as {percent} of 100 calls are"));
    fn is_error<
        E: Error + Clone + PartialEq + Send + Sync + UnwindSafe + RefUnwindSafe + 'static,
    >() {
    }
    is_error::<KeyRefused>();
}

#[test]
fn a_state_is_shown_by_its_name() {
    for (state, name) in [
        (State::Closed, "closed"),
        (State::Open, "open"),
        (State::HalfOpen, "half-open"),
        (State::ForcedOpen, "forced open"),
        (State::ForcedClosed, "forced closed"),
        (State::ObserveOnly, "observe-only"),
    ] {
        assert_eq!(state.to_string(), name);
    }
}

#[track_caller]
fn shows(value: &dyn Debug, text: &str) {
    assert_eq!(format!("{value:?}"), text);
}

#[test]
fn debug_shows_names_and_figures() {
    let clock = ManualClock::new();
    let builder = Breaker::builder().observer(Told::default()).clock(clock.clone());
    shows(
        &builder,
        "Builder { trip_on: TripRule { consecutive: Some(5), failure: None, slow: None, slow_after: None, counts_in_flight: false, window: None, fault: None }, has_trip_when: false, open_for: OpenFor { initial: 60s, max: 60s, jitter: 0.2 }, probes: 1, close_after: 1, probe_timeout: None, .. }",
    );
    let shared = Arc::new(builder.trip_when(|_| false).build().unwrap());
    let breaker = &*shared;
    breaker.try_enter().unwrap().success();
    shows(
        breaker,
        "Breaker { state: Closed, succeeded: 1, failed: 0, slow: 0, ignored: 0, refused: 0, trips: 0, .. }",
    );
    shows(
        breaker.fail_fast(),
        "FailFast { state: Closed, succeeded: 1, failed: 0, slow: 0, ignored: 0, refused: 0, trips: 0, .. }",
    );
    shows(
        &shared.clone().fail_fast_owned(),
        "OwnedFailFast(Breaker { state: Closed, succeeded: 1, failed: 0, slow: 0, ignored: 0, refused: 0, trips: 0, .. })",
    );
    shows(&breaker.try_enter(), "Ok(Pass { state: Closed, generation: 0 })");
    shows(
        &breaker.enter(),
        "Enter { state: EnterState { waiter: Waiter { registered: false }, until: Timestamp(never), .. }, .. }",
    );
    shows(
        &shared.clone().enter(),
        "EnterOwned { state: EnterState { waiter: Waiter { registered: false }, until: Timestamp(never), .. }, .. }",
    );
    shows(&Gate::try_enter(shared.clone()), "Ok(OwnedPass { state: Closed, generation: 0 })");
    shows(&breaker.fail_fast().enter(), "TryEnter { is_ready: false }");
    shows(&breaker.call_async(ready(())), r#"RunAsync { stage: "entering", .. }"#);
    shows(&breaker.run_async(ready(())), r#"RunAsync { stage: "entering", .. }"#);
    shows(&shared.clone().call_async_owned(ready(())), r#"RunAsync { stage: "entering", .. }"#);
    shows(&breaker.closed(), "UntilClosed { waiter: Waiter { registered: false }, .. }");
    let mut changes = breaker.state_changes();
    shows(&changes, "StateChanges { seen: Closed, .. }");
    shows(&changes.next(), "NextChange { seen: Closed, .. }");
    breaker.force_open();
    shows(&breaker.try_enter(), "Err(Refused { reason: ForcedOpen, retry_after: None })");
    shows(
        &breaker.stats(),
        "Stats { state: ForcedOpen, generation: 1, succeeded: 1, failed: 0, slow: 0, ignored: 2, late: 0, written_off: 0, refused: 1, trips: 0, probes: 0, window: Snapshot { calls: 0, failed: 0, slow: 0, slow_in_flight: 0, consecutive_failures: 0, probe_successes: 0 } }",
    );
    let keyed = KeyedBreaker::<u8>::new(NonZeroUsize::MIN, Breaker::builder()).unwrap();
    shows(&keyed, "KeyedBreaker { len: 0, max_keys: 1, .. }");
    let throttle = Arc::new(Throttle::with_clock(2.0, Duration::from_secs(1), clock).unwrap());
    shows(&Throttle::try_enter(&throttle), "Ok(ThrottlePass { .. })");
    shows(
        &throttle,
        "Throttle { factor: 2.0, succeeded: 0, failed: 0, ignored: 1, refused: 0, .. }",
    );
    shows(&Gate::try_enter(throttle.clone()), "Ok(OwnedThrottlePass { .. })");
    shows(&(&*throttle).enter(), "TryEnter { is_ready: false }");
    shows(
        &throttle.stats(),
        "ThrottleStats { succeeded: 0, failed: 0, ignored: 2, refused: 0, probability: 0.0 }",
    );
    shows(
        &TripRule::failure_rate(0.5, Window::count(10)),
        "TripRule { consecutive: None, failure: Some(Rate { ratio: 0.5, minimum_calls: None }), slow: None, slow_after: None, counts_in_flight: false, window: Some(Window { kind: Count(10) }), fault: None }",
    );
    shows(&OpenFor::default(), "OpenFor { initial: 60s, max: 60s, jitter: 0.2 }");
}
