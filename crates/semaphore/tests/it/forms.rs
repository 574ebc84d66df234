//! Permits and gates in all their forms, alone and in rows, can be moved into tasks of tokio and
//! smol, and into scoped threads. Most of the test is that this compiles.

use std::{
    future::Future,
    sync::{Arc, LazyLock},
    thread,
};

use smol::Executor;
use tidegate_core::gate::SettleBy;
use tidegate_semaphore::{
    Gate, OwnedPermit, OwnedPermitGate, Pass, Permit, PermitGate, Semaphore, SystemClock, Wait,
    adaptive::{self, AdaptiveSemaphore, Aimd, Vegas},
    future::{Acquire, AcquireOwned, Enter, Idle, WithAsync},
};

type Limit = AdaptiveSemaphore<Aimd>;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime")
});

fn limit() -> Limit {
    AdaptiveSemaphore::builder(Aimd::new()).build().expect("the defaults are in range")
}

/// Runs a future as a task of tokio.
fn on_tokio<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    RUNTIME.block_on(RUNTIME.spawn(future)).expect("it does not panic")
}

/// Runs a future as a task of an executor whose tasks may borrow.
fn on_smol<'a, T: Send + 'a>(future: impl Future<Output = T> + Send + 'a) -> T {
    let executor = Executor::new();
    let task = executor.spawn(future);
    smol::block_on(executor.run(task))
}

/// Enters a gate by all of its methods, with a yield where a task may move to another thread.
async fn go_through<G: Gate<Pass: SettleBy<Result<u32, ()>>> + Clone>(gate: G) {
    let pass = gate.clone().enter().await.expect("there are permits");
    smol::future::yield_now().await;
    pass.settle(tidegate_semaphore::Outcome::Success);
    gate.clone().try_enter().expect("there are permits").give_back();
    let result = gate.run_async(async {
        smol::future::yield_now().await;
        Ok::<_, ()>(7)
    });
    assert_eq!(result.await.expect("there are permits"), Ok(7));
}

/// Runs a gate whose parts are all `Send`, in tasks and threads that may borrow.
fn scoped<
    G: Gate<Pass: SettleBy<Result<u32, ()>> + Send, Enter: Send, Refused: Send> + Clone + Send,
>(
    gate: G,
) {
    on_smol(go_through(gate.clone()));
    thread::scope(|scope| {
        let pass = gate.clone().try_enter().expect("there are permits");
        scope.spawn(move || pass.give_back());
        let (entered, again) = (gate.clone(), gate.clone());
        scope.spawn(move || entered.run(|| Ok::<_, ()>(7)).expect("there are permits"));
        scope.spawn(move || go_through(again).wait());
    });
}

/// The same for a gate that borrows nothing but statics, also in tasks that may not borrow.
fn spawned<G>(gate: G)
where
    G: Gate<Pass: SettleBy<Result<u32, ()>> + Send, Enter: Send, Refused: Send>
        + Clone
        + Send
        + 'static,
{
    scoped(gate.clone());
    on_tokio(go_through(gate.clone()));
    let pass = gate.clone().try_enter().expect("there are permits");
    on_tokio(async move { drop(pass) });
    let (entering, again) = (gate.clone().enter(), gate.clone());
    on_tokio(async move { drop(entering.await) });
    thread::spawn(move || drop(again.enter().wait())).join().expect("it does not panic");
}

#[test]
fn every_form_can_be_spawned() {
    // No other test uses these statics.
    static PERMITS: Semaphore = Semaphore::new(8);
    static LIMIT: LazyLock<Limit> = LazyLock::new(limit);
    let permits = Arc::new(Semaphore::new(8));
    let adaptive = Arc::new(limit());
    let owned = || permits.clone().gate_owned(2);

    // Alone.
    spawned(&PERMITS);
    spawned(PERMITS.gate(2));
    spawned(&*LIMIT);
    spawned(permits.clone());
    spawned(owned());
    spawned(adaptive.clone());

    // In rows.
    spawned((&PERMITS, PERMITS.gate(3)));
    spawned((permits.clone(), owned()));
    spawned((&PERMITS, permits.clone()));
    spawned((owned(), &PERMITS));
    spawned((adaptive.clone(), (&*LIMIT, owned())));
    spawned(((permits.clone(), &PERMITS), (PERMITS.gate(1), adaptive.clone())));
    assert_eq!((PERMITS.available_permits(), permits.available_permits()), (8, 8));
    assert_eq!((LIMIT.stats().in_flight, adaptive.stats().in_flight), (0, 0));
}

#[test]
fn every_form_that_borrows_can_be_scoped() {
    // No other test uses this static.
    static PERMITS: Semaphore = Semaphore::new(8);
    let permits = Semaphore::new(8);
    let shared = Arc::new(Semaphore::new(8));
    let adaptive = limit();
    let vegas = Arc::new(AdaptiveSemaphore::builder(Vegas::new()).build().unwrap());

    scoped(&permits);
    scoped(permits.gate(2));
    scoped(&shared);
    scoped(shared.gate(2));
    scoped(&adaptive);
    scoped(&vegas);

    scoped((&permits, &shared));
    scoped((&permits, shared.clone()));
    scoped((&PERMITS, (&permits, shared.clone().gate_owned(2))));
    scoped(((vegas.clone(), &adaptive), (permits.gate(2), &PERMITS)));
    assert_eq!((permits.available_permits(), shared.available_permits()), (8, 8));
    assert_eq!((adaptive.stats().in_flight, vegas.stats().in_flight), (0, 0));
}

#[test]
fn every_way_to_wait_can_be_spawned() {
    // No other test uses these statics.
    static PERMITS: Semaphore = Semaphore::new(8);
    static LIMIT: LazyLock<Limit> = LazyLock::new(limit);
    let permits = Arc::new(Semaphore::new(8));
    let adaptive = Arc::new(limit());
    assert_eq!(on_tokio(async { PERMITS.acquire(2).await.map(|permit| permit.count()) }), Ok(2));
    assert_eq!(on_tokio(async { PERMITS.with_async(2, async { 7 }).await }), Ok(7));
    on_tokio(PERMITS.idle());
    let up_to = PERMITS.acquire_up_to(1..=3);
    on_tokio(async move { up_to.await.unwrap().forget() });
    PERMITS.add_permits(3);
    let acquire = permits.clone().acquire_owned(2);
    on_tokio(async move {
        let mut permit = acquire.await.unwrap();
        smol::future::yield_now().await;
        drop(permit.split(1));
    });
    let up_to = permits.clone().acquire_up_to_owned(1..=3);
    assert_eq!(on_tokio(async move { up_to.await.unwrap().count() }), 3);
    on_tokio(async { LIMIT.acquire().await.unwrap().ignore() });
    on_tokio(LIMIT.idle());
    let acquire = adaptive.clone().acquire_owned();
    on_tokio(async move { acquire.await.unwrap().success() });
    let permit = adaptive.clone().try_acquire_owned().unwrap();
    on_tokio(async move { permit.ignore() });
    assert_eq!((adaptive.stats().succeeded, adaptive.stats().in_flight), (1, 0));
}

/// Fails to compile where a type is not what its users need it to be.
#[test]
fn what_is_owned_is_send_and_static() {
    fn owned<T: Send + Sync + Unpin + 'static>() {}
    fn movable<T: Send + Unpin>() {}
    owned::<OwnedPermit>();
    owned::<AcquireOwned>();
    owned::<OwnedPermitGate>();
    owned::<<Arc<Semaphore> as Gate>::Enter>();
    owned::<adaptive::OwnedPermit<Vegas, SystemClock>>();
    owned::<adaptive::future::AcquireOwned<Vegas>>();
    owned::<Enter<adaptive::future::AcquireOwned<Vegas>>>();
    owned::<Permit<'static>>();
    owned::<adaptive::Permit<'static, Vegas>>();
    movable::<Permit<'_>>();
    movable::<Acquire<'_>>();
    movable::<PermitGate<'_>>();
    movable::<Idle<'_>>();
    movable::<adaptive::Permit<'_, Aimd>>();
    movable::<adaptive::future::Acquire<'_, Aimd>>();
    movable::<WithAsync<'_, std::future::Ready<()>>>();
}
