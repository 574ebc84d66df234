//! How large futures, passes and breakers are: not larger than what they hold.

use core::{future::Future, mem::size_of_val};
use std::sync::Arc;

use tidegate_circuit_breaker::{
    Breaker, FailFast, Gate, ManualClock, OwnedFailFast, OwnedPass, OwnedThrottlePass, Pass,
    Refused, Snapshot, State, StateChanges, SystemClock, Throttle, ThrottlePass, Timer, Transition,
    TryEnter,
    future::{Enter, EnterOwned, NextChange, UntilClosed},
};

#[cfg(target_pointer_width = "64")]
#[test]
fn no_type_is_larger_than_the_table_says() {
    let sleep = size_of::<Option<<SystemClock as Timer>::Sleep>>();
    let table = [
        ("Pass", size_of::<Pass<'static, SystemClock>>(), 24),
        ("Option<Pass>", size_of::<Option<Pass<'static, SystemClock>>>(), 24),
        ("OwnedPass", size_of::<OwnedPass<SystemClock>>(), 24),
        ("ThrottlePass", size_of::<ThrottlePass<'static, SystemClock>>(), 8),
        ("OwnedThrottlePass", size_of::<OwnedThrottlePass<SystemClock>>(), 8),
        ("State", size_of::<State>(), 1),
        ("Refused", size_of::<Refused>(), 24),
        ("Result<Pass, Refused>", size_of::<Result<Pass<'static, SystemClock>, Refused>>(), 32),
        ("Snapshot", size_of::<Snapshot>(), 40),
        ("Transition", size_of::<Transition>(), 64),
        ("TryEnter", size_of::<TryEnter<&'static FailFast>>(), 8),
        ("TryEnterOwned", size_of::<TryEnter<OwnedFailFast>>(), 8),
        ("Enter", size_of::<Enter<'static, SystemClock>>(), 32 + sleep),
        ("EnterOwned", size_of::<EnterOwned<SystemClock>>(), 32 + sleep),
        ("UntilClosed", size_of::<UntilClosed<'static>>(), 24),
        ("NextChange", size_of::<NextChange<'static, 'static>>(), 24),
        ("StateChanges", size_of::<StateChanges<'static>>(), 16),
        ("Breaker", size_of::<Breaker>(), 496),
        ("Breaker<ManualClock>", size_of::<Breaker<ManualClock>>(), 504),
        ("Throttle", size_of::<Throttle>(), 400),
    ];
    for (name, size, most) in table {
        println!("{name}: {size}");
        assert!(most == 0 || size <= most, "{name} takes {size} bytes, and at most {most}");
    }
}

#[test]
fn a_call_stores_its_future_once() {
    let large = [0_u8; 10_000];
    let act = || async move {
        core::future::ready(()).await;
        core::hint::black_box(&large);
        Ok::<(), ()>(())
    };
    let alone = size_of_val(&act());
    let breaker = Arc::new(Breaker::new());
    let most = |future: &dyn Future<Output = Result<Result<(), ()>, Refused>>, beside: usize| {
        let size = size_of_val(future);
        assert!(size <= alone + beside, "{} bytes beside the future", size - alone);
    };
    most(&breaker.as_ref().call_async(act()), 40);
    most(&breaker.clone().call_async_owned(act()), 40);
    most(&breaker.fail_fast().run_async(act()), 40);
    let enter = size_of::<Enter<'static, SystemClock>>();
    most(&breaker.as_ref().run_async(act()), enter + 16);
    most(&Gate::run_async(breaker.clone(), act()), enter + 16);
}
