//! Every form of every gate, alone, in rows and in a pipeline: in a task of tokio, in a task of
//! smol, and on a scoped thread. Most of the test is that this file compiles.

use std::{
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use tidegate::{
    Breaker, Gate, KeyedBreaker, KeyedLimiter, Pass, Pipeline, Quota, RateLimiter, Semaphore, Wait,
    circuit_breaker::Throttle,
    gate::SettleBy,
    rate_limiter::{Limits, SlidingLog, SlidingWindow},
    semaphore::adaptive::{AdaptiveSemaphore, Aimd},
};

const MINUTE: Duration = Duration::from_secs(60);
const MANY: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// One gate of each kind. None of them refuses or waits here.
struct Gates {
    semaphore: Semaphore,
    adaptive: AdaptiveSemaphore<Aimd>,
    limiter: RateLimiter,
    log: SlidingLog,
    window: SlidingWindow,
    breaker: Breaker,
    throttle: Throttle,
    clients: KeyedLimiter<u32>,
    servers: KeyedBreaker<u32>,
}

impl Gates {
    fn new() -> Self {
        Self {
            semaphore: Semaphore::new(1000),
            adaptive: AdaptiveSemaphore::builder(Aimd::new()).initial(20).build().unwrap(),
            limiter: RateLimiter::new(Quota::per_second(1000)),
            log: SlidingLog::new(1000, MINUTE).unwrap(),
            window: SlidingWindow::new(1000, MINUTE).unwrap(),
            breaker: Breaker::new(),
            throttle: Throttle::new(2.0, MINUTE).unwrap(),
            clients: KeyedLimiter::new(Quota::per_second(1000), MANY),
            servers: KeyedBreaker::new(MANY, Breaker::builder()).unwrap(),
        }
    }
}

static GATES: LazyLock<Gates> = LazyLock::new(Gates::new);

/// Runs the futures of `task`: one as a task of tokio, one as a task of smol, and one on a thread.
fn everywhere<F>(task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    static TOKIO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
    });
    TOKIO.block_on(TOKIO.spawn(task())).unwrap();
    smol::block_on(smol::spawn(task()));
    let task = task();
    thread::spawn(|| task.wait()).join().unwrap();
}

/// Uses a gate in every way.
async fn use_it<G: Gate<Pass: SettleBy<()> + SettleBy<Result<(), ()>>> + Clone>(gate: G) {
    gate.clone().try_enter().unwrap().give_back();
    gate.clone().enter().await.unwrap().give_back();
    let mut pass = gate.clone().enter().await.unwrap();
    assert!(pass.renew().is_ok());
    pass.give_back();
    gate.clone().run_or_else(|| (), |refused| panic!("{refused}"));
    for _ in 0..2 {
        gate.clone().run_async(async { Ok::<_, ()>(()) }).await.unwrap().unwrap();
    }
}

/// Uses a gate in tasks and on threads.
fn goes<G: Gate<Pass: SettleBy<()> + SettleBy<Result<(), ()>>> + Clone + Send + 'static>(gate: G)
where
    G::Pass: Send,
    G::Enter: Send,
    G::Refused: Send,
{
    everywhere(|| use_it(gate.clone()));
    let other = gate.clone();
    thread::scope(|scope| {
        let on_thread = scope.spawn(|| other.run(|| Ok::<_, ()>(())));
        assert_eq!(on_thread.join().unwrap().unwrap(), Ok(()));
    });
}

#[test]
fn every_gate_that_is_borrowed_can_be_spawned() {
    let gates = &*GATES;
    goes(&gates.semaphore);
    goes(gates.semaphore.gate(3));
    goes(&gates.adaptive);
    goes(&gates.limiter);
    goes(&gates.log);
    goes(&gates.window);
    goes(&gates.breaker);
    goes(gates.breaker.fail_fast());
    goes(&gates.throttle);
}

#[test]
fn every_gate_that_is_owned_can_be_spawned() {
    goes(Arc::new(Semaphore::new(1000)));
    goes(Arc::new(Semaphore::new(1000)).gate_owned(3));
    goes(Arc::new(AdaptiveSemaphore::builder(Aimd::new()).initial(20).build().unwrap()));
    goes(Arc::new(RateLimiter::new(Quota::per_second(1000))));
    goes(Arc::new(SlidingLog::new(1000, MINUTE).unwrap()));
    goes(Arc::new(SlidingWindow::new(1000, MINUTE).unwrap()));
    goes(Arc::new(Limits::new([Quota::per_second(1000); 2])));
    goes(Arc::new(Breaker::new()));
    goes(Arc::new(Breaker::new()).fail_fast_owned());
    goes(Arc::new(Throttle::new(2.0, MINUTE).unwrap()));
    let servers = KeyedBreaker::<u32>::new(MANY, Breaker::builder()).unwrap();
    goes(servers.gate(&7).unwrap());
    goes(servers.fail_fast(&7).unwrap());
    let clients = Arc::new(KeyedLimiter::<u32>::new(Quota::per_second(1000), MANY));
    goes(clients.gate_owned(&7).unwrap());
    // Rows of different kinds of handles, nested both ways.
    let (semaphore, breaker) = (Arc::new(Semaphore::new(1000)), Arc::new(Breaker::new()));
    goes((breaker.clone().fail_fast_owned(), (&GATES.limiter, semaphore.clone())));
    goes(((breaker.clone(), &GATES.window), (semaphore.gate_owned(2), &GATES.throttle)));
}

#[test]
fn rows_can_be_spawned_where_they_borrow_from_their_own_task() {
    let gates = Arc::new(Gates::new());
    everywhere(|| {
        let gates = gates.clone();
        async move {
            let Gates { semaphore, adaptive, limiter, breaker, throttle, clients, servers, .. } =
                &*gates;
            let row = (breaker.fail_fast(), (limiter, semaphore));
            for _ in 0..2 {
                row.run_async(async { Ok::<_, ()>(()) }).await.unwrap().unwrap();
            }
            use_it(row).await;
            use_it((breaker, (throttle, (adaptive, semaphore.gate(2))))).await;
            let (client, server) = (clients.gate(&7).unwrap(), servers.gate(&7).unwrap());
            use_it((server.fail_fast(), (&client, &GATES.semaphore))).await;
        }
    });
}

#[test]
fn pipelines_with_gates_can_be_spawned() {
    let gates = Arc::new(Gates::new());
    everywhere(|| {
        let gates = gates.clone();
        async move {
            let Gates { semaphore, limiter, log, breaker, .. } = &*gates;
            let run = Pipeline::from_iter(0..10)
                .gate("one by one", log)
                .gated("call", MANY, (breaker.fail_fast(), (limiter, semaphore)), |n| async move {
                    Ok::<_, String>(n)
                })
                .collect();
            assert_eq!(run.await.unwrap(), Vec::from_iter(0..10));
        }
    });
}

/// A pipeline that owns its gates, like that of a service.
#[test]
fn pipelines_that_own_their_gates_can_be_spawned() {
    let (semaphore, breaker) = (Arc::new(Semaphore::new(2)), Arc::new(Breaker::new()));
    everywhere(|| {
        let row = (breaker.clone().fail_fast_owned(), semaphore.clone());
        let run = Pipeline::from_iter(0..10)
            .gated("call", MANY, row, |n| async move { Ok::<_, String>(n) })
            .collect();
        async move { assert_eq!(run.await.unwrap(), Vec::from_iter(0..10)) }
    });
    assert_eq!((semaphore.available_permits(), breaker.stats().succeeded), (2, 30));
}
