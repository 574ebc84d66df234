//! What users expect of every public type: the traits it has, and what `{:?}` shows of it.

use std::{
    error::Error,
    fmt::Debug,
    future::{Pending, Ready, pending},
    hash::Hash,
    num::NonZeroUsize,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::Duration,
};

use tidegate_core::{
    CachedClock, CancelToken, Cancelled, Clock, Closed, Event, Gate, ManualClock, Outcome, Queue,
    Reason, RwShards, Shards, SystemClock, Tally, TimedOut, Timer, Timestamp, Turnstile, Wait,
    WaitList,
    cancel::{DropGuard, UntilCancelled},
    event::{WaitUntil, Waiter},
    future_slots::{FutureSlots, WakerCell},
    gate::{ByResult, Classified, EnterPair, PairRefused, RunAsync, SettleBy, TryEnter},
    lock::Lock,
    queue::{Pop, Push, PushError, TryPopError, TryPushError},
    ring::{NotPopped, NotPushed, Ring},
    time::{DueWatch, ManualSleep, SystemSleep},
    turnstile::{Enter, Inside},
    wait::{OrCancelled, OrTimeout},
    wait_list::Turn,
    wake_list::WakeList,
};

type Cached = CachedClock<ManualClock>;

/// The compiler checks this list: after a panic has passed by, a value of these types may be used,
/// as none is left half done. A generic type is in it with parameters for which that holds.
#[test]
fn what_a_panic_passes_by_may_be_used_on() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<Event>();
    safe::<Waiter>();
    safe::<WaitUntil<'_, fn() -> Option<()>>>();
    safe::<CancelToken>();
    safe::<UntilCancelled<'_>>();
    safe::<DropGuard>();
    safe::<Reason>();
    safe::<Lock<Box<dyn Debug + Send>>>();
    safe::<WakeList>();
    safe::<WakerCell>();
    safe::<FutureSlots<u8, Ready<()>>>();
    safe::<Queue<u8>>();
    safe::<Queue<Box<dyn FnOnce() + Send>>>();
    safe::<Push<'_, u8>>();
    safe::<Pop<'_, u8>>();
    safe::<Ring<u8>>();
    safe::<Ring<Box<dyn FnOnce() + Send>>>();
    safe::<RwShards<u8>>();
    safe::<Shards<u8>>();
    safe::<Tally<3>>();
    safe::<Turnstile>();
    safe::<Enter<'_>>();
    safe::<Inside<'_>>();
    safe::<WaitList<u8>>();
    safe::<Turn<&Turnstile>>();
    safe::<ManualClock>();
    safe::<ManualSleep>();
    safe::<SystemClock>();
    safe::<SystemSleep>();
    safe::<Cached>();
    safe::<<Arc<Cached> as Timer>::Sleep>();
    safe::<DueWatch>();
    safe::<OrCancelled<'_, Ready<()>>>();
    safe::<OrTimeout<ManualClock, Ready<()>>>();
    safe::<OrTimeout<SystemClock, Pop<'_, u8>>>();
    safe::<Outcome>();
    safe::<(Classified<u8>, ByResult)>();
}

/// A gate for the signatures: it is not entered here.
struct Shut;

impl Gate for Shut {
    type Pass = Never;
    type Refused = Closed;
    type Enter = TryEnter<Self>;

    fn try_enter(self) -> Result<Never, Closed> {
        Err(Closed)
    }

    fn enter(self) -> Self::Enter {
        TryEnter::new(self)
    }
}

enum Never {}

impl tidegate_core::Pass for Never {
    type Refused = Closed;

    fn settle(self, _: Outcome) {}
}

impl<R> SettleBy<R> for Never {
    fn outcome(&self, _: &R) -> Outcome {
        match *self {}
    }
}

#[test]
fn a_row_of_gates_is_as_safe_as_they_are() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<TryEnter<Shut>>();
    safe::<EnterPair<Shut, Shut>>();
    safe::<RunAsync<Shut, Ready<()>>>();
    safe::<PairRefused<Closed, Closed>>();
}

#[test]
fn errors_go_wherever_errors_go() {
    fn error<E: Error + Clone + Eq + Send + Sync + UnwindSafe + RefUnwindSafe + 'static>(
        error: E,
        words: &str,
    ) {
        assert_eq!(error.to_string(), words);
        assert!(error.source().is_none());
        let boxed: Box<dyn Error + Send + Sync> = error.clone().into();
        assert!(boxed.downcast::<E>().is_ok_and(|same| *same == error));
    }
    fn hashed<E: Hash>() {}
    error(Closed, "closed");
    error(TimedOut, "timed out");
    error(Cancelled::new(Reason::Requested), "cancelled: requested");
    error(Cancelled::new(Reason::DeadlineExceeded), "cancelled: deadline exceeded");
    let queue = Queue::unbounded();
    queue.close();
    error::<PushError<u8>>(queue.push(7).wait().unwrap_err(), "queue closed");
    error(TryPushError::Full(7), "queue full");
    error(TryPushError::Closed(7), "queue closed");
    error(TryPopError::Empty, "queue empty");
    error(TryPopError::Closed, "queue closed");
    error(PairRefused::<_, TimedOut>::First(Closed), "closed");
    error(PairRefused::<Closed, _>::Second(TimedOut), "timed out");
    hashed::<(Closed, TimedOut, Cancelled)>();
}

#[track_caller]
fn shows(value: &dyn Debug, text: &str) {
    assert_eq!(format!("{value:?}"), text);
}

#[test]
fn debug_shows_names_and_figures() {
    let event = Event::new();
    shows(&event, "Event { .. }");
    shows(
        &event.wait_until(|| None::<()>),
        "WaitUntil { waiter: Waiter { registered: false }, .. }",
    );
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(3));
    shows(&clock, "ManualClock { now: Timestamp(3s) }");
    shows(&clock.sleep(Duration::from_secs(1)), "ManualSleep { until: Timestamp(4s), .. }");
    shows(&clock.now(), "Timestamp(3s)");
    shows(&SystemClock, "SystemClock");
    shows(
        &SystemClock.sleep_until(Timestamp::NEVER),
        "SystemSleep { until: Timestamp(never), .. }",
    );
    let cached = Arc::new(CachedClock::new(clock.clone()));
    shows(&cached, "CachedClock { shown: Timestamp(0ns), .. }");
    shows(&cached.sleep(Duration::from_secs(1)), "CachedSleep { .. }");
    shows(&cached.keep_fresh(Duration::from_secs(1)), "KeepFresh { resolution: 1s, .. }");
    let token = CancelToken::new();
    shows(&token, "CancelToken { is_cancelled: false, deadline: None, .. }");
    shows(
        &token.child_with_timeout(&clock, Duration::from_secs(1)),
        "CancelToken { is_cancelled: false, deadline: Some(Timestamp(4s)), .. }",
    );
    shows(
        &token.cancelled(),
        "UntilCancelled { token: CancelToken { is_cancelled: false, deadline: None, .. }, waiter: Waiter { registered: false } }",
    );
    shows(
        &token.drop_guard(),
        "DropGuard { token: Some(CancelToken { is_cancelled: false, deadline: None, .. }) }",
    );
    shows(&token, "CancelToken { is_cancelled: true, deadline: None, .. }");
    shows(
        &pending::<()>().or_cancelled(&token),
        "OrCancelled { cancelled: UntilCancelled { token: CancelToken { is_cancelled: true, deadline: None, .. }, waiter: Waiter { registered: false } }, .. }",
    );
    shows(&pending::<()>().or_timeout(&clock, Duration::from_secs(1)), "OrTimeout { .. }");
    let queue = Queue::bounded(NonZeroUsize::new(3).unwrap());
    queue.try_push(vec![1]).unwrap();
    shows(&queue, "Queue { len: 1, capacity: Some(3), is_closed: false, .. }");
    shows(&queue.push(vec![2]), "Push { .. }");
    shows(&queue.pop(), "Pop { .. }");
    let ring = Ring::new(NonZeroUsize::MIN);
    shows(&ring.push("in"), "Ok(Pushed { is_awaited: false })");
    shows(&ring, "Ring { len: 1, capacity: 1, is_closed: false, .. }");
    shows(&ring.push("out"), r#"Err(Full("out"))"#);
    shows(&NotPopped::Empty, "Empty");
    shows(&NotPushed::Closed(1), "Closed(1)");
    let shards = RwShards::new(NonZeroUsize::MIN, |n| (n, ()));
    shows(&shards, "RwShards { len: 1, .. }");
    shows(&shards.by_hash(1), "Shard { lock: RwLock { is_biased: false, .. }, meta: (), .. }");
    shows(&Shards::new(NonZeroUsize::MIN, |n| n), "[0]");
    let tally = Tally::<2>::new();
    tally.add(0, 7);
    shows(&tally, "Tally([7, 0])");
    let turnstile = Turnstile::new();
    shows(&turnstile, "Turnstile { is_taken: false, is_waited_for: false, is_closed: false }");
    let inside = turnstile.try_enter();
    shows(&inside, "Some(Inside { .. })");
    shows(&turnstile.enter(), "Enter { turn: Some(Turn { waiting: false, .. }) }");
    shows(&turnstile, "Turnstile { is_taken: true, is_waited_for: false, is_closed: false }");
    shows(&WaitList::<u8>::new(), "WaitList { .. }");
    shows(&Turn::new(&turnstile, ()), "Turn { waiting: false, .. }");
    shows(&Lock::new("secret"), "Lock { .. }");
    let cell = Arc::new(WakerCell::new());
    cell.set(std::task::Waker::noop());
    shows(&cell, "WakerCell { .. }");
    shows(&FutureSlots::<u8, Pending<()>>::new(cell), "FutureSlots { in_flight: 0, .. }");
    let mut list = WakeList::new();
    list.push(std::task::Waker::noop().clone());
    shows(&list, "WakeList { len: 1, .. }");
    shows(
        &DueWatch::new(Timestamp::ORIGIN, Duration::ZERO),
        "DueWatch { deadline: Timestamp(0ns), .. }",
    );
    shows(&TryEnter::new(Shut), "TryEnter { is_ready: false }");
    shows(&(Shut, Shut).enter(), r#"EnterPair { stage: "at the first", .. }"#);
    shows(&Shut.run_async(async {}), r#"RunAsync { stage: "entering", .. }"#);
    shows(&Classified::new(1, Outcome::Ignored), "Classified { value: 1, outcome: Ignored }");
}
