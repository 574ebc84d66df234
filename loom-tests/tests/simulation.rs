//! All seven patterns in one program, on an executor that behaves badly.
//! `TIDEGATE_SEED=7 cargo test -p loom-tests --test simulation` replays one run; with
//! `TIDEGATE_ROUNDS=100000` it makes so many runs, from that seed on.
//!
//! ```text
//! request ─▶ semaphore ─▶ limiter ─▶ map, absent? ─▶ breaker ─▶ worker pool ─▶ batcher ─▶ done
//! flow    ─▶ pipeline: the same calls, three at once
//! meddler: resizes, resets, removes, flushes, pauses · watcher: waits for idleness, and for closed
//! workers and driver: as tasks · reaper: shuts down when all are gone
//! ```
//!
//! Requests, flows and the meddler are dropped at any await, or panic; jobs, batches, stages and
//! wakers panic, too. Wake-ups come late or from another thread, polls come without cause, the
//! clock jumps. Whatever happens, in the end nothing is lost, nothing was done twice, and nobody
//! sleeps.
#![cfg(not(loom))]

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    env,
    future::{Future, poll_fn},
    num::{NonZeroU32, NonZeroUsize},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::Poll,
    thread,
    time::Duration,
};

use loom_tests::simulation::{Faults, Random, Report, Simulation, whim};
use tidegate_batch_processor::{Batcher, Builder, OnFull};
use tidegate_circuit_breaker::{Breaker, OpenFor, TripRule};
use tidegate_concurrent_map::ConcurrentMap;
use tidegate_core::{Event, ManualClock, Timer};
use tidegate_pipeline::Pipeline;
use tidegate_rate_limiter::{Inherit, KeyedLimiter, Quota, RateLimiter};
use tidegate_semaphore::{Fairness, Permit, Semaphore};
use tidegate_worker_pool::{KeyedPool, WorkerPool};

/// How many simulations a usual run makes.
const ROUNDS: u64 = 300;

const FAULTS: Faults =
    Faults { spurious: 10, late: 20, dropped: 2, jumps: 1, panicking: 2, elsewhere: 1 };

const REQUESTS: u32 = 16;
const KEYS: u32 = 8;
const PERMITS: usize = 6;

fn quiet_panic() -> ! {
    resume_unwind(Box::new("quiet"))
}

/// What all tasks share.
struct World {
    clock: ManualClock,
    random: RefCell<Random>,
    semaphore: Semaphore,
    limiter: RateLimiter<ManualClock>,
    limiter_of_keys: KeyedLimiter<u32, ManualClock>,
    breaker: Breaker<ManualClock>,
    map: ConcurrentMap<u32, u64>,
    pool: WorkerPool,
    keyed: KeyedPool<u32>,
    /// For pairs of key and item, with a batch for each key or one for all.
    batcher: Batcher<(u32, u32), u64, &'static str, ManualClock>,
    /// Items that the batch handler was given.
    handled: Arc<Mutex<Vec<u32>>>,
    /// Keys whose value is being computed.
    computing: RefCell<HashSet<u32>>,
    /// Items whose submitter got a result.
    answered: RefCell<Vec<u32>>,
    /// Mortal tasks that are alive.
    alive: Cell<usize>,
    changed: Event,
}

/// A mortal task that is alive.
struct Life(Rc<World>);

impl Life {
    fn of(world: &Rc<World>) -> Self {
        world.alive.set(world.alive.get() + 1);
        Self(world.clone())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
        self.0.changed.notify_all();
    }
}

/// A key whose value one caller, and no other, computes.
struct Computing<'a>(&'a World, u32);

impl<'a> Computing<'a> {
    fn of(world: &'a World, key: u32) -> Self {
        assert!(world.computing.borrow_mut().insert(key), "computed twice at once");
        Self(world, key)
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.computing.borrow_mut().remove(&self.1);
    }
}

fn value_of(key: u32) -> u64 {
    u64::from(key) * 1000
}

impl World {
    fn chance(&self, percent: usize) -> bool {
        self.random.borrow_mut().chance(percent)
    }

    fn below(&self, bound: usize) -> usize {
        self.random.borrow_mut().below(bound)
    }

    /// Panics at times. Called only where a task may panic.
    fn stumble(&self) {
        if self.chance(2) {
            whim()
        }
    }

    async fn sleep(&self, most_ms: usize) {
        let pause = Duration::from_millis(self.below(most_ms) as u64);
        self.clock.sleep(pause).await;
    }

    /// The expensive computation: behind a breaker, on the pool.
    async fn compute(&self, key: u32) -> Result<u64, &'static str> {
        let _alone = Computing::of(self, key);
        let (panics, fails) = (self.chance(10), self.chance(20));
        let job = move || {
            if panics {
                quiet_panic()
            }
            if fails { Err("failed") } else { Ok(value_of(key)) }
        };
        let call = async {
            self.stumble();
            let in_lane = self.chance(50);
            let handle = if in_lane {
                self.keyed.submit(key, job).await
            } else {
                self.pool.submit(job).await
            };
            let result = handle.await.unwrap_or(Err("panicked or cancelled"));
            self.stumble();
            result
        };
        self.breaker.call_async(call).await.unwrap_or(Err("refused"))
    }

    async fn request(&self, item: u32, key: u32) {
        let Ok(permit) = self.semaphore.acquire(1).await else { return };
        if self.limiter.acquire(1).await.is_err() {
            return;
        }
        if self.limiter_of_keys.acquire(&key, 1).await.is_err() {
            return;
        }
        self.stumble();
        if self.chance(20) {
            self.give_back_elsewhere(permit);
        }
        let value = self.map.get_or_try_insert_async(key, self.compute(key)).await;
        assert!(value.is_err() || value == Ok(value_of(key)));
        // Once this returns, the item has a result; dropped before, it may be handled all the same.
        if let Ok(result) = self.batcher.submit((key, item)).await {
            assert_eq!(result, u64::from(item) * 2);
            self.answered.borrow_mut().push(item);
        }
    }

    /// Wakes the next waiter from another thread.
    fn give_back_elsewhere(&self, permit: Permit<'_>) {
        // A waker may panic there; its panic belongs to the task that gives the permit back.
        let given = thread::scope(|s| s.spawn(|| drop(permit)).join());
        given.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Waits for idleness and for a closed breaker, as long as there are other tasks.
    async fn watch(&self) {
        while self.alive.get() > 0 {
            self.semaphore.idle().await;
            self.breaker.closed().await;
            self.sleep(30).await;
        }
    }

    async fn meddle(&self, steps: usize) {
        for _ in 0..steps {
            let what = self.below(8);
            let pausing = (what == 0).then(|| self.pool.pause());
            match what {
                1 => self.semaphore.set_capacity(1 + self.below(4)),
                2 => self.breaker.reset(),
                3 => drop(self.map.remove(&1)),
                4 => _ = self.batcher.flush().await,
                5 => self.limiter.set_quota(quota(200), Inherit::AsIs),
                6 => {
                    drop(self.pool.submit_future(self.clock.sleep(Duration::from_millis(20))).await)
                }
                _ => {}
            }
            self.sleep(40).await;
            self.stumble();
            drop(pausing);
        }
    }

    /// Runs a pipeline over the same semaphore and clock.
    async fn flow(self: &Rc<Self>) {
        let stage = |item: u32| async move {
            let _permit = self.semaphore.acquire(1).await.map_err(|_| "closed")?;
            self.sleep(10).await;
            if self.chance(3) {
                quiet_panic()
            }
            if self.chance(10) { Err("failed") } else { Ok(item) }
        };
        let flow = Pipeline::from_iter(0..20_u32).try_map_async(
            "stage",
            NonZeroUsize::new(3).unwrap(),
            stage,
        );
        let summary = match flow.for_each(|_| self.stumble()).await {
            Ok(summary) => {
                assert_eq!((summary.read, summary.leftover()), (20, 0));
                return;
            }
            Err(stopped) => stopped.summary(),
        };
        assert_eq!(
            summary.read,
            summary.succeeded + summary.failed + summary.skipped + summary.leftover()
        );
        // The first error stops the flow; items that were under way still end.
        assert!(summary.failed > 0 && summary.leftover() == 0, "{summary:?}");
    }
}

/// Makes a new future and polls that, whenever a waker that the old one has called panics.
async fn whatever_wakers_do<F: Future>(make: impl Fn() -> F) -> F::Output {
    loop {
        let mut future = pin!(make());
        let polled =
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(polled) => polled.map(Some),
                Err(_) => Poll::Ready(None),
            });
        if let Some(output) = polled.await {
            return output;
        }
    }
}

fn quota(per_second: u32) -> Quota {
    Quota::per_second(per_second).burst(2)
}

/// The batch handler: doubles the items, and notes them; fails and panics at times.
fn doubling(
    handled: Arc<Mutex<Vec<u32>>>,
    mut random: Random,
) -> impl FnMut(Vec<(u32, u32)>) -> Result<Vec<u64>, &'static str> + Send + 'static {
    move |items| {
        handled.lock().unwrap().extend(items.iter().map(|(_, item)| item));
        match random.below(10) {
            0 => Err("failed"),
            1 => quiet_panic(),
            2 => Ok(Vec::new()),
            _ => Ok(items.into_iter().map(|(_, item)| u64::from(item) * 2).collect()),
        }
    }
}

/// Builds the world; the seed also chooses the kinds of batcher and semaphore.
fn build(
    simulation: &mut Simulation,
    seed: u64,
) -> (Rc<World>, impl Future<Output = ()> + 'static) {
    let clock = simulation.clock().clone();
    let random = Random::new(simulation.random().draw());
    let handled = Arc::new(Mutex::new(Vec::new()));
    let builder: Builder<(u32, u32), ManualClock> = Batcher::builder().clock(clock.clone());
    let builder = if seed % 2 == 0 { builder.keyed() } else { builder };
    let on_full = if seed % 4 < 2 { OnFull::Wait } else { OnFull::DropOldest };
    let process = doubling(handled.clone(), Random::new(simulation.random().draw()));
    let (batcher, driver) = builder
        .max_items(3)
        .capacity(4)
        .max_delay(Duration::from_millis(20))
        .on_full(on_full)
        .build(process)
        .unwrap();
    let breaker = Breaker::builder()
        .clock(clock.clone())
        .trip_on(TripRule::consecutive(2))
        .open_for(OpenFor::fixed(Duration::from_millis(30)))
        .build()
        .unwrap();
    let overtakes = NonZeroU32::new(2).unwrap();
    let fairness = match seed / 4 % 4 {
        0 => Fairness::Fifo,
        1 => Fairness::Eventual { overtakes },
        2 => Fairness::Barging,
        _ => Fairness::Lifo,
    };
    let pool = WorkerPool::detached(1);
    let most = NonZeroUsize::new(4).unwrap();
    let world = World {
        semaphore: Semaphore::builder(PERMITS).fairness(fairness).build(),
        limiter: RateLimiter::with_clock(quota(500), clock.clone()),
        limiter_of_keys: KeyedLimiter::with_clock(quota(500), most, clock.clone()),
        breaker,
        map: ConcurrentMap::new(),
        keyed: pool.keyed(NonZeroUsize::new(2).unwrap()),
        pool,
        batcher,
        handled,
        computing: RefCell::default(),
        answered: RefCell::default(),
        alive: Cell::new(0),
        changed: Event::new(),
        random: RefCell::new(random),
        clock,
    };
    (Rc::new(world), driver)
}

fn run(seed: u64) -> Result<Report, Vec<String>> {
    let mut simulation = Simulation::new(seed, FAULTS);
    let (world, driver) = build(&mut simulation, seed);
    simulation.spawn_immortal(String::from("driver"), driver);
    simulation.spawn_immortal(String::from("worker"), world.pool.worker());
    for n in 0..2 {
        simulation.spawn(format!("guest worker {n}"), world.pool.worker());
    }
    for item in 0..REQUESTS {
        let (life, key) = (Life::of(&world), item % KEYS);
        simulation.spawn(format!("request {item}"), async move { life.0.request(item, key).await });
    }
    for n in 0..2 {
        let life = Life::of(&world);
        simulation.spawn(format!("flow {n}"), async move { life.0.flow().await });
    }
    let life = Life::of(&world);
    simulation.spawn(String::from("meddler"), async move { life.0.meddle(20).await });
    let watched = world.clone();
    simulation.spawn_immortal(String::from("watcher"), async move { watched.watch().await });
    let reaped = world.clone();
    simulation.spawn_immortal(String::from("reaper"), async move {
        reaped.changed.wait_until(|| (reaped.alive.get() == 0).then_some(())).await;
        reaped.semaphore.set_capacity(PERMITS);
        reaped.breaker.reset();
        reaped.batcher.shutdown().await.unwrap();
        whatever_wakers_do(|| reaped.pool.shutdown()).await;
    });
    let report = simulation.run()?;
    check(&world);
    Ok(report)
}

/// Checks what must hold when all is over.
fn check(world: &World) {
    let permits = world.semaphore.stats();
    assert_eq!((permits.available, permits.in_use, permits.waiting), (PERMITS, 0, 0));
    assert_eq!(world.breaker.stats().probes, 0, "a probe that nobody makes");
    assert!(world.computing.borrow().is_empty());

    let jobs = world.pool.stats();
    assert_eq!((jobs.waiting, jobs.in_flight, jobs.workers), (0, 0, 0));
    assert_eq!(jobs.submitted, jobs.succeeded + jobs.panicked + jobs.cancelled);

    let items = world.batcher.stats();
    assert_eq!((items.waiting, items.in_flight), (0, 0));
    let handled = world.handled.lock().unwrap();
    let once: HashSet<_> = handled.iter().copied().collect();
    assert_eq!(once.len(), handled.len(), "an item twice");
    let done = handled.len() as u64;
    assert_eq!(items.pushed, done + items.dropped, "an item lost, or made up");
    assert!(world.answered.borrow().iter().all(|item| once.contains(item)));
}

#[test]
fn nothing_is_lost_nothing_twice_and_nobody_sleeps_whatever_the_executor_does() {
    let number = |name| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let first = number("TIDEGATE_SEED");
    let rounds = number("TIDEGATE_ROUNDS").unwrap_or(if first.is_some() { 1 } else { ROUNDS });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + rounds;
    let (mut ended, mut dropped, mut hit) = (0, 0, 0);
    for seed in seeds {
        // The harness shows this if the test fails.
        println!("TIDEGATE_SEED={seed}");
        let report = run(seed).unwrap_or_else(|asleep| panic!("asleep for ever: {asleep:?}"));
        ended += report.ended;
        dropped += report.dropped;
        hit += report.hit;
        assert!(report.panicked.is_empty(), "an assertion failed in {:?}", report.panicked);
    }
    assert!(ended > 0 && (rounds == 1 || dropped > 0 && hit > 0), "no faults were made");
}

#[test]
fn a_seed_is_a_run() {
    let trace = |seed| run(seed).unwrap().trace;
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn the_simulation_names_who_sleeps_for_ever() {
    let mut simulation = Simulation::new(1, FAULTS);
    let event = Rc::new(Event::new());
    let waits = event.clone();
    simulation.spawn_immortal(String::from("sleeper"), async move {
        waits.wait_until(|| None::<()>).await;
    });
    simulation.spawn_immortal(String::from("other"), async {});
    assert_eq!(simulation.run().unwrap_err(), ["sleeper"]);
}
