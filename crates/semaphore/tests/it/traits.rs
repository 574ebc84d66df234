//! What users expect of every public type: the traits it has, and what `{:?}` shows of it.

use std::{
    error::Error,
    fmt::Debug,
    future::Ready,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
};

use tidegate_semaphore::{
    AcquireError, AdaptiveSemaphore, Builder, Fairness, Gate, ManualClock, OwnedPermit,
    OwnedPermitGate, Permit, PermitGate, Semaphore, Stats, TryAcquireError,
    adaptive::{self, Aimd, BuildError, Gradient2, Vegas},
    future::{Acquire, AcquireOwned, Enter, Idle, WithAsync},
};

/// A list for the compiler: values of these types may be used after a panic has passed by, since it
/// leaves none half done. For generic types this holds if it holds for their parameters.
#[test]
fn what_a_panic_passes_by_may_be_used_on() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<Semaphore>();
    safe::<Builder>();
    safe::<Fairness>();
    safe::<Stats>();
    safe::<Permit<'_>>();
    safe::<OwnedPermit>();
    safe::<Acquire<'_>>();
    safe::<AcquireOwned>();
    safe::<Enter<Acquire<'_>>>();
    safe::<Enter<AcquireOwned>>();
    safe::<PermitGate<'_>>();
    safe::<OwnedPermitGate>();
    safe::<Idle<'_>>();
    safe::<WithAsync<'_, Ready<()>>>();
    safe::<AdaptiveSemaphore<Aimd>>();
    safe::<AdaptiveSemaphore<Vegas, ManualClock>>();
    safe::<adaptive::Builder<Gradient2>>();
    safe::<adaptive::Permit<'_, Aimd>>();
    safe::<adaptive::OwnedPermit<Aimd>>();
    safe::<adaptive::future::Acquire<'_, Aimd>>();
    safe::<adaptive::future::AcquireOwned<Aimd>>();
    safe::<Enter<adaptive::future::Acquire<'_, Aimd>>>();
    safe::<Enter<adaptive::future::AcquireOwned<Aimd>>>();
    safe::<adaptive::Stats>();
}

#[test]
fn an_error_is_what_its_predicates_say_and_nothing_else() {
    let waits = [AcquireError::Closed, AcquireError::TooMany, AcquireError::QueueFull];
    let said = waits.map(|error| [error.is_closed(), error.is_too_many(), error.is_queue_full()]);
    assert_eq!(said, [[true, false, false], [false, true, false], [false, false, true]]);
    let tries = [TryAcquireError::Closed, TryAcquireError::TooMany, TryAcquireError::NoPermits];
    let said = tries.map(|error| [error.is_closed(), error.is_too_many(), error.is_no_permits()]);
    assert_eq!(said, [[true, false, false], [false, true, false], [false, false, true]]);
    let full = TryAcquireError::QueueFull;
    assert!(!full.is_closed() && !full.is_too_many() && !full.is_no_permits());
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
    error(&AcquireError::Closed, "semaphore closed");
    error(&TryAcquireError::NoPermits, "no permits available");
    let refused: BuildError =
        AdaptiveSemaphore::builder(Aimd::default()).min(0).build().unwrap_err();
    error(&refused, "min is 0, but must be in 1..=200");
}

#[track_caller]
fn shows(value: &dyn Debug, text: &str) {
    assert_eq!(format!("{value:?}"), text);
}

#[test]
fn debug_shows_names_and_figures() {
    let semaphore = Arc::new(Semaphore::new(3));
    let permit = semaphore.try_acquire(2).unwrap();
    shows(&semaphore, "Semaphore { capacity: 3, available_permits: 1, is_closed: false, .. }");
    shows(&permit, "Permit { count: 2, .. }");
    shows(&semaphore.acquire(2), "Acquire { request: Turn { waiting: false, .. } }");
    shows(
        &semaphore.gate(2),
        "PermitGate { pool: PermitPool { capacity: 3, free: 1, fairness: Fifo, .. }, count: 2 }",
    );
    shows(
        &semaphore.gate(2).enter(),
        "Enter { acquire: Acquire { request: Turn { waiting: false, .. } } }",
    );
    shows(
        &semaphore.clone().gate_owned(1),
        "OwnedPermitGate { semaphore: Semaphore { capacity: 3, available_permits: 1, is_closed: false, .. }, count: 1 }",
    );
    shows(&semaphore.clone().try_acquire_owned(1), "Ok(OwnedPermit { count: 1, .. })");
    shows(
        &semaphore.clone().acquire_owned(1),
        "AcquireOwned { request: Turn { waiting: false, .. } }",
    );
    shows(
        &semaphore.clone().enter(),
        "Enter { acquire: AcquireOwned { request: Turn { waiting: false, .. } } }",
    );
    shows(&semaphore.idle(), "Idle { .. }");
    shows(&semaphore.with_async(1, async {}), r#"WithAsync { stage: "waiting", .. }"#);
    shows(
        &semaphore.stats(),
        "Stats { capacity: 3, available: 1, in_use: 2, waiting: 0, acquired: 2, refused: 0, cancelled: 0, waited: 0, wait_time: 0ns, waits: {} }",
    );
    shows(
        &Semaphore::builder(1).fairness(Fairness::Lifo),
        "Builder { permits: 1, fairness: Lifo, max_waiters: 18446744073709551615, wait_for_capacity: false, .. }",
    );
    let clock = ManualClock::new();
    let builder = AdaptiveSemaphore::builder(Aimd::default()).clock(clock);
    shows(
        &builder,
        "Builder { algorithm: Aimd { increase: 1, backoff: 0.9, timeout: 5s }, clock: ManualClock { now: Timestamp(0ns) }, min: 1, max: 200, initial: None, min_samples: 10, fairness: Fifo, max_waiters: 18446744073709551615 }",
    );
    let adaptive = Arc::new(builder.build().unwrap());
    shows(
        &adaptive,
        "AdaptiveSemaphore { limit: 20, available_permits: 20, is_closed: false, .. }",
    );
    shows(&adaptive.try_acquire(), "Ok(Permit { started: Timestamp(0ns), .. })");
    shows(&adaptive.acquire(), "Acquire(Turn { waiting: false, .. })");
    shows(&(&*adaptive).enter(), "Enter { acquire: Acquire(Turn { waiting: false, .. }) }");
    shows(&adaptive.clone().try_acquire_owned(), "Ok(OwnedPermit { started: Timestamp(0ns), .. })");
    shows(&adaptive.clone().acquire_owned(), "AcquireOwned(Turn { waiting: false, .. })");
    shows(
        &adaptive.clone().enter(),
        "Enter { acquire: AcquireOwned(Turn { waiting: false, .. }) }",
    );
    shows(
        &adaptive.stats(),
        "Stats { limit: 20, in_flight: 0, waiting: 0, refused: 0, succeeded: 0, dropped: 0, min_rtt: None, max_rtt: None }",
    );
    shows(
        &(Vegas::default(), Gradient2::default()),
        "(Vegas { probe_every: 30, no_load: inf, rounds: 0, after_probe: None }, Gradient2 { tolerance: 1.5, smoothing: 0.2, queue: 4, long_window: 600, long_rtt: 0.0, rounds: 0 })",
    );
}
