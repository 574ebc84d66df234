//! Flows on threads, which others feed, stop, watch and time out, from a seed: `TIDEGATE_SEED=7 cargo test --test stress`.

use std::{
    collections::HashSet,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::by_hand::{n, quiet_panic};
use tidegate_pipeline::{CancelToken, Monitor, OnError, Pipeline, Queue, Stopped, Summary, Wait};
use tidegate_semaphore::Semaphore;
use tidegate_worker_pool::WorkerPool;

/// For how long.
const LONG: Duration = Duration::from_millis(300);

const PERMITS: usize = 3;

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn seed() -> u64 {
    let from_clock =
        || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos()));
    let seed = env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(from_clock);
    println!("TIDEGATE_SEED={seed}");
    seed
}

/// What all flows of a test share.
struct House {
    pool: WorkerPool,
    semaphore: Semaphore,
}

/// What is done to one flow.
struct Plan {
    items: usize,
    fails: usize,
    skips: bool,
    unordered: bool,
    window: usize,
    /// After so many items fed the flow is stopped.
    stop_at: Option<usize>,
    /// It is dropped if it takes longer.
    patience: Option<Duration>,
}

impl Plan {
    fn draw(random: &mut Random) -> Self {
        Self {
            items: random.below(200),
            fails: [0, 1, 10][random.below(3)],
            skips: random.chance(50),
            unordered: random.chance(50),
            window: 1 + random.below(8),
            stop_at: random.chance(30).then(|| random.below(200)),
            patience: random.chance(30).then(|| Duration::from_micros(random.below(500) as u64)),
        }
    }
}

/// Whether an item fails at a stage, or panics.
fn hits(item: usize, stage: usize, percent: usize) -> bool {
    Random((item * 7 + stage) as u64).chance(percent)
}

/// Looks at the figures as long as the flow runs: what has left was in.
fn watch(monitor: &Monitor, is_over: &AtomicBool) {
    let mut last = Summary::default();
    while !is_over.load(Ordering::Acquire) {
        let now = monitor.stats().summary;
        assert!(now.read >= now.succeeded + now.failed + now.skipped, "{now:?}");
        assert!(now.read >= last.read && now.succeeded >= last.succeeded, "{now:?} after {last:?}");
        last = now;
        thread::yield_now();
    }
}

/// Runs a flow by its plan; `None` if it was dropped before its end.
fn flow(house: &House, plan: &Plan) -> Option<Result<Summary, Stopped>> {
    let (queue, token) = (Queue::unbounded(), CancelToken::new());
    let seen: Arc<[_]> = (0..plan.items).map(|_| AtomicUsize::new(0)).collect();
    let worked = seen.clone();
    let (fails, is_over) = (plan.fails, AtomicBool::new(false));
    let on_error = || if plan.skips { OnError::Skip } else { OnError::Stop };
    let flow = Pipeline::from_queue(&queue)
        .gated("call", n(3), &house.semaphore, |item| async move {
            if hits(item, 0, fails) { Err("it fails") } else { Ok(item) }
        })
        .window(n(plan.window))
        .on_error(on_error())
        .try_map_on(&house.pool, "work", n(2), move |item| {
            worked[item].fetch_add(1, Ordering::Relaxed);
            if hits(item, 1, fails) {
                quiet_panic("it panics")
            }
            if hits(item, 2, fails) { Err("it fails") } else { Ok(item) }
        })
        .window(n(plan.window));
    let flow = if plan.unordered { flow.unordered() } else { flow };
    let flow = flow.on_error(on_error()).stop_on(&token);
    let monitor = flow.monitor();
    let mut done = Vec::new();
    let ended = thread::scope(|s| {
        s.spawn(|| {
            for item in 0..plan.items {
                if plan.stop_at == Some(item) {
                    token.cancel();
                }
                queue.try_push(item).unwrap();
            }
            queue.close();
        });
        s.spawn(|| watch(&monitor, &is_over));
        let run = flow.for_each(|item| done.push(item));
        let ended = match plan.patience {
            None => Some(run.wait()),
            Some(patience) => run.wait_timeout(patience).ok(),
        };
        is_over.store(true, Ordering::Release);
        ended
    });
    let left = std::iter::from_fn(|| queue.try_pop().ok()).count();
    let summary = monitor.stats().summary;
    assert_eq!(summary.read + left as u64, plan.items as u64, "{summary:?}, {left} left");
    assert_eq!(summary.succeeded, done.len() as u64);
    assert!(plan.unordered || done.is_sorted(), "{done:?}");
    assert_eq!(done.iter().collect::<HashSet<_>>().len(), done.len(), "an item twice");
    assert!(done.iter().all(|item| seen[*item].load(Ordering::Relaxed) == 1));
    ended
}

fn run_flows(house: &House, random: &mut Random) {
    let until = Instant::now() + LONG;
    while Instant::now() < until {
        let plan = Plan::draw(random);
        match flow(house, &plan) {
            Some(Ok(summary)) => {
                assert_eq!((summary.read, summary.leftover()), (plan.items as u64, 0));
            }
            Some(Err(stopped)) => assert!(stopped.is_cancelled() || stopped.error().is_some()),
            None => assert!(plan.patience.is_some()),
        }
    }
}

#[test]
fn no_item_is_lost_or_done_twice_whoever_stops_drops_and_watches_flows() {
    let mut random = Random(seed());
    let house = House {
        pool: WorkerPool::builder().threads(2..=2).queue(4).build().unwrap(),
        semaphore: Semaphore::new(PERMITS),
    };
    thread::scope(|s| {
        for _ in 0..2 {
            let mut random = Random(random.below(usize::MAX) as u64);
            let house = &house;
            s.spawn(move || run_flows(house, &mut random));
        }
    });
    house.pool.shutdown().wait();
    let jobs = house.pool.stats();
    assert_eq!((jobs.waiting, jobs.in_flight), (0, 0));
    assert_eq!(house.semaphore.available_permits(), PERMITS);
}
