//! What users expect of every public type: the traits it has, and what `{:?}` shows of it.

use std::{
    error::Error,
    fmt::Debug,
    num::NonZeroUsize,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::Duration,
};

use tidegate_rate_limiter::{
    Admission, AllOf, Balance, FixedCells, FixedKeyedLimiter, Gate, Grant, Inherit, KeyGate,
    KeyRefused, KeyedLimiter, Limits, ManualClock, Overflow, OwnedAdmission, OwnedKeyAdmission,
    OwnedKeyGate, Quota, QuotaError, RateLimiter, Refused, Reservation, SlidingLog, SlidingWindow,
    Stats, SystemClock, Throttled, TokenBucket, TooManyKeys,
    future::{Acquire, AcquireKey, Enter, EnterKeyOwned, EnterOwned},
};

/// A list for the compiler: values of these types may be used after a panic has unwound past them,
/// as none is left half changed. A generic type is unwind safe if its parameters are.
#[test]
fn what_a_panic_passes_by_may_be_used_on() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<RateLimiter>();
    safe::<RateLimiter<ManualClock>>();
    safe::<Limits<2>>();
    safe::<SlidingLog>();
    safe::<SlidingWindow>();
    safe::<KeyedLimiter<String>>();
    safe::<FixedKeyedLimiter<16>>();
    safe::<FixedCells<16>>();
    safe::<Quota>();
    safe::<Balance>();
    safe::<Stats>();
    safe::<(Inherit, Overflow)>();
    safe::<Grant>();
    safe::<Reservation<'_, SystemClock>>();
    safe::<Admission<'_, TokenBucket, SystemClock>>();
    safe::<OwnedAdmission<TokenBucket, SystemClock>>();
    safe::<OwnedKeyAdmission<String, SystemClock>>();
    safe::<Acquire<'_, TokenBucket, SystemClock>>();
    safe::<Acquire<'_, AllOf<2>, ManualClock>>();
    safe::<AcquireKey<'_, SystemClock>>();
    safe::<Enter<'_, TokenBucket, SystemClock>>();
    safe::<EnterOwned<TokenBucket, SystemClock>>();
    safe::<EnterKeyOwned<String, SystemClock>>();
    safe::<KeyGate<'_, SystemClock>>();
    safe::<OwnedKeyGate<String>>();
    safe::<Throttled<'_, Vec<u8>, TokenBucket, SystemClock>>();
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
    let (clock, minute) = (ManualClock::new(), Quota::per_minute(1));
    let limiter = RateLimiter::with_clock(minute, clock.clone());
    limiter.try_acquire(1).unwrap();
    error::<Refused>(&limiter.try_acquire(1).unwrap_err(), "rate limited for 60s");
    error(
        &limiter.try_acquire(2).unwrap_err(),
        "2 tokens asked for, of which 1 can be granted at once",
    );
    let keyed = KeyedLimiter::with_clock(minute, NonZeroUsize::MIN, clock);
    keyed.try_acquire(&1, 1).unwrap();
    error::<KeyRefused>(&keyed.try_acquire(&1, 1).unwrap_err(), "rate limited for 60s");
    error(&keyed.try_acquire(&2, 1).unwrap_err(), "too many keys: 1 of 1 in use");
    error::<TooManyKeys>(&keyed.gate(&2).unwrap_err(), "too many keys: 1 of 1 in use");
    error::<QuotaError>(
        &Quota::try_per(0, Duration::from_secs(1)).unwrap_err(),
        "tokens is 0, but must be in 1..=1000000000 per 1s",
    );
}

#[track_caller]
fn shows(value: &dyn Debug, text: &str) {
    assert_eq!(format!("{value:?}"), text);
}

#[test]
fn debug_shows_names_and_figures() {
    let (clock, minute) = (ManualClock::new(), Quota::per_minute(3));
    let limiter = Arc::new(RateLimiter::with_clock(minute, clock.clone()));
    shows(&minute, "Quota { tokens: 3, period: 60s, burst: 3 }");
    shows(
        &limiter.try_acquire(1),
        "Ok(Grant { tokens: 1, limit: 3, remaining: 2, reset_after: 20s })",
    );
    shows(
        &limiter,
        "Limiter { algorithm: TokenBucket { burst: 3, .. }, stats: Stats { allowed: 1, refused: 0, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }, .. }",
    );
    shows(
        &limiter.acquire(1),
        r#"Acquire(Waiting { request: Request { least: 1, most: 1 }, stage: "fresh", .. })"#,
    );
    shows(
        &limiter.reserve(1),
        "Ok(Reservation { ready_at: Timestamp(0ns), grant: Grant { tokens: 1, limit: 3, remaining: 1, reset_after: 40s } })",
    );
    shows(
        &(&*limiter).try_enter(),
        "Ok(Admitted(Grant { tokens: 1, limit: 3, remaining: 0, reset_after: 60s }))",
    );
    shows(
        &(&*limiter).enter(),
        r#"Entering(Waiting { request: Request { least: 1, most: 1 }, stage: "fresh", .. })"#,
    );
    shows(
        &limiter.clone().enter(),
        r#"Entering(Waiting { request: Request { least: 1, most: 1 }, stage: "fresh", .. })"#,
    );
    shows(
        &limiter.clone().try_enter(),
        "Err(NotNow { retry_after: 20s, reset_after: 60s, limit: 3 })",
    );
    shows(&limiter.try_acquire(1), "Err(NotNow { retry_after: 20s, reset_after: 60s, limit: 3 })");
    shows(&limiter.try_acquire(1), "Err(NotNow { retry_after: 20s, reset_after: 60s, limit: 3 })");
    shows(
        &limiter.stats(),
        "Stats { allowed: 3, refused: 3, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }",
    );
    shows(
        &Throttled::new([0_u8; 1].as_slice(), &limiter),
        "Throttled { limiter: Limiter { algorithm: TokenBucket { burst: 3, .. }, stats: Stats { allowed: 3, refused: 3, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }, .. }, .. }",
    );
    shows(
        &Limits::with_clock([minute, minute], clock.clone()),
        "Limiter { algorithm: AllOf { quotas: [Quota { tokens: 3, period: 60s, burst: 3 }, Quota { tokens: 3, period: 60s, burst: 3 }], .. }, stats: Stats { allowed: 0, refused: 0, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }, .. }",
    );
    let second = Duration::from_secs(1);
    shows(
        &SlidingLog::with_clock(2, second, clock.clone()),
        "Ok(Limiter { algorithm: Sliding { .. }, stats: Stats { allowed: 0, refused: 0, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }, .. })",
    );
    shows(
        &SlidingWindow::with_clock(2, second, clock.clone()),
        "Ok(Limiter { algorithm: Sliding { .. }, stats: Stats { allowed: 0, refused: 0, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }, .. })",
    );
    let keyed = Arc::new(KeyedLimiter::with_clock(minute, NonZeroUsize::MIN, clock.clone()));
    shows(
        &keyed,
        "KeyedLimiter { quota: Quota { tokens: 3, period: 60s, burst: 3 }, len: 0, max_keys: 1, stats: Stats { allowed: 0, refused: 0, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }, .. }",
    );
    shows(
        &keyed.balance(&1),
        "Balance { limit: 3, remaining: 3, reset_after: 0ns, retry_after: 0ns }",
    );
    shows(
        &keyed.acquire(&1, 1),
        r#"AcquireKey(Waiting { waiting: Waiting { request: Request { least: 1, most: 1 }, stage: "fresh", .. } })"#,
    );
    let gate = keyed.gate(&1).unwrap();
    shows(&gate, "KeyGate { .. }");
    shows(
        &(&gate).enter(),
        r#"Entering(Waiting { request: Request { least: 1, most: 1 }, stage: "fresh", .. })"#,
    );
    drop(gate);
    let gate = keyed.clone().gate_owned(&1).unwrap();
    shows(&gate, "OwnedKeyGate { .. }");
    shows(
        &gate.clone().enter(),
        r#"Entering(Waiting { request: Request { least: 1, most: 1 }, stage: "fresh", .. })"#,
    );
    shows(
        &gate.try_enter(),
        "Ok(Admitted(Grant { tokens: 1, limit: 3, remaining: 2, reset_after: 20s }))",
    );
    let gate = keyed.lookup_gate(2);
    shows(&gate, "LookupGate { .. }");
    shows(&gate.clone().enter(), "EnterLookup { waits: false, .. }");
    keyed.forget(&1);
    shows(
        &gate.try_enter(),
        "Ok(LookupAdmission(Grant { tokens: 1, limit: 3, remaining: 2, reset_after: 20s }))",
    );
    shows(
        &FixedKeyedLimiter::<16, _>::with_clock(minute, clock),
        "FixedKeyedLimiter { cells: 16, quota: Quota { tokens: 3, period: 60s, burst: 3 }, stats: Stats { allowed: 0, refused: 0, waiting: 0, waited: 0, wait_time: 0ns, waits: {} }, .. }",
    );
    shows(&FixedCells::<16>::new(), "FixedCells { cells: 16, .. }");
}
