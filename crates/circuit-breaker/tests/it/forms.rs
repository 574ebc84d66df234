//! Every form of every gate of this crate moves into a task and a thread, alone and in a row.

use core::{future::Future, num::NonZeroUsize, time::Duration};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tidegate_circuit_breaker::{
    Breaker, Gate, KeyedBreaker, Outcome, OwnedFailFast, Throttle, Wait,
    gate::{Pass, SettleBy},
};
use tidegate_semaphore::Semaphore;

/// A runtime that drives tasks.
trait Spawn {
    /// Spawns a task; its bounds are those of the runtime.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F);
}

struct Tokio(tokio::runtime::Runtime);

impl Spawn for Tokio {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.block_on(self.0.spawn(task)).unwrap();
    }
}

struct Smol(smol::Executor<'static>);

impl Spawn for Smol {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        smol::block_on(self.0.run(self.0.spawn(task)));
    }
}

struct Threads;

impl Spawn for Threads {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        thread::spawn(|| task.wait()).join().unwrap();
    }
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

async fn act() -> Result<(), ()> {
    CALLS.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Goes through a gate, and through rows with it.
fn go_through<G>(spawn: &impl Spawn, gate: G)
where
    G: Gate<Pass: SettleBy<Result<(), ()>> + Send, Enter: Send, Refused: Send>
        + Clone
        + Send
        + 'static,
{
    let places = Arc::new(Semaphore::new(4));
    let alone = gate.clone();
    spawn.spawn(async move { alone.run_async(act()).await.unwrap().unwrap() });
    // A pass that is held while its task waits.
    let held = gate.clone();
    spawn.spawn(async move {
        let pass = held.enter().await.unwrap();
        act().await.unwrap();
        pass.settle(Outcome::Success);
    });
    let row = (gate.clone(), places.clone());
    spawn.spawn(async move { row.run_async(act()).await.unwrap().unwrap() });
    let row = (places.clone(), gate.clone());
    spawn.spawn(async move { row.run_async(act()).await.unwrap().unwrap() });
    let row = (gate.clone(), (places.clone(), (places, gate)));
    spawn.spawn(row.run_async(act()).into_unit());
}

/// A named future, to be spawned as a task.
trait IntoUnit: Future + Sized {
    fn into_unit(self) -> impl Future<Output = ()>;
}

impl<F: Future> IntoUnit for F {
    async fn into_unit(self) {
        drop(self.await);
    }
}

/// Keeps a value for ever, where the leak checker still finds it.
fn keep<T: Send + Sync + 'static>(value: T) -> &'static T {
    static KEPT: std::sync::Mutex<Vec<&'static (dyn std::any::Any + Send + Sync)>> =
        std::sync::Mutex::new(Vec::new());
    let kept: &'static T = Box::leak(Box::new(value));
    KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(kept);
    kept
}

fn spawn_every_form(spawn: &impl Spawn) {
    let breaker: &'static Arc<Breaker> = keep(Arc::new(Breaker::new()));
    let throttle = keep(Arc::new(Throttle::new(2.0, Duration::from_secs(60)).unwrap()));
    let one = NonZeroUsize::MIN;
    let hosts = KeyedBreaker::<String>::new(one, Breaker::builder()).unwrap();
    let host = keep(hosts.gate("example.org").unwrap());
    // Gates that wait.
    go_through(spawn, &**breaker);
    go_through(spawn, breaker);
    go_through(spawn, breaker.clone());
    // Gates that refuse.
    go_through(spawn, breaker.fail_fast());
    go_through(spawn, breaker.clone().fail_fast_owned());
    go_through(spawn, keep(OwnedFailFast::from(breaker.clone())));
    // Gates of a key.
    go_through(spawn, host);
    go_through(spawn, host.clone());
    go_through(spawn, host.fail_fast());
    go_through(spawn, hosts.fail_fast("example.org").unwrap());
    // Throttles.
    go_through(spawn, &**throttle);
    go_through(spawn, throttle);
    go_through(spawn, throttle.clone());
    // A breaker's own calls.
    spawn.spawn(breaker.clone().call_async_owned(act()).into_unit());
    spawn.spawn(breaker.as_ref().call_async(act()).into_unit());
    spawn.spawn(breaker.as_ref().run_async(act()).into_unit());
    let owned = breaker.clone();
    spawn.spawn(async move {
        let breaker: &Breaker = &owned;
        breaker.call_async(act()).await.unwrap().unwrap();
        breaker.run_async(act()).await.unwrap().unwrap();
        let _row = (breaker.fail_fast(), &Semaphore::new(1)).run_async(act()).await.unwrap();
        breaker.closed().await;
    });
    assert_eq!(breaker.stats().failed + breaker.stats().ignored, 0);
}

#[test]
fn every_form_can_be_spawned() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    spawn_every_form(&Tokio(runtime));
    spawn_every_form(&Smol(smol::Executor::new()));
    spawn_every_form(&Threads);
    assert_eq!(CALLS.load(Ordering::Relaxed), 3 * (13 * 5 + 6));
}

#[test]
fn every_form_can_be_lent_to_a_scoped_thread() {
    let breaker = Arc::new(Breaker::new());
    let throttle = Arc::new(Throttle::new(2.0, Duration::from_secs(60)).unwrap());
    let places = Semaphore::new(4);
    let hosts = KeyedBreaker::<u32>::new(NonZeroUsize::MIN, Breaker::builder()).unwrap();
    let (host, fast) = (hosts.gate(&1).unwrap(), hosts.fail_fast(&1).unwrap());
    let act = || Ok::<(), ()>(());
    thread::scope(|s| {
        s.spawn(|| breaker.as_ref().run(act).unwrap());
        s.spawn(|| breaker.as_ref().call(act).unwrap());
        s.spawn(|| (&breaker, &places).run(act).unwrap());
        s.spawn(|| (breaker.fail_fast(), &places).run(act).unwrap());
        s.spawn(|| (&places, (&host, &fast)).run(act).unwrap());
        s.spawn(|| (&fast, &places).run(act).unwrap());
        s.spawn(|| (&throttle, (throttle.as_ref(), &places)).run(act).unwrap());
        let gates = (breaker.clone(), (fast.clone(), throttle.clone()));
        s.spawn(move || gates.run(act).unwrap());
    });
    assert_eq!((breaker.stats().succeeded, throttle.stats().succeeded), (5, 3));
    assert_eq!(host.stats().succeeded, 4);
}
