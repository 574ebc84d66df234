//! Flows that other threads feed, stop and watch, and that may time out, from a seed:
//! `TIDEGATE_SEED=7 cargo test --test it stress::`.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use test_kit::{Random, quiet_panic, seed};
use tidegate_pipeline::{CancelToken, Monitor, OnError, Pipeline, Queue, Stopped, Summary, Wait};
use tidegate_semaphore::Semaphore;
use tidegate_worker_pool::WorkerPool;

use crate::desk::n;

/// For how long the test runs.
const LONG: Duration = Duration::from_millis(300);

const PERMITS: usize = 3;

fn chance(random: &mut Random, percent: usize) -> bool {
    random.below(100) < percent
}

/// What all flows of a test share.
struct Shared {
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
    /// The flow is stopped after that many items were fed.
    stop_at: Option<usize>,
    /// The flow is dropped if it takes longer.
    patience: Option<Duration>,
}

impl Plan {
    fn draw(random: &mut Random) -> Self {
        Self {
            items: random.below(200),
            fails: [0, 1, 10][random.below(3)],
            skips: chance(random, 50),
            unordered: chance(random, 50),
            window: 1 + random.below(8),
            stop_at: chance(random, 30).then(|| random.below(200)),
            patience: chance(random, 30).then(|| Duration::from_micros(random.below(500) as u64)),
        }
    }
}

/// Returns whether an item fails or panics at a stage.
fn hits(item: usize, stage: usize, percent: usize) -> bool {
    chance(&mut Random::new((item * 7 + stage) as u64), percent)
}

/// Watches the statistics while the flow runs: no more items leave than have entered.
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
fn flow(shared: &Shared, plan: &Plan) -> Option<Result<Summary, Stopped>> {
    let (queue, token) = (Queue::unbounded(), CancelToken::new());
    let seen: Arc<[_]> = (0..plan.items).map(|_| AtomicUsize::new(0)).collect();
    let worked = seen.clone();
    let (fails, is_over) = (plan.fails, AtomicBool::new(false));
    let on_error = || if plan.skips { OnError::Skip } else { OnError::Stop };
    let flow = Pipeline::from_queue(&queue)
        .gated("call", n(3), &shared.semaphore, |item| async move {
            if hits(item, 0, fails) { Err("it fails") } else { Ok(item) }
        })
        .window(n(plan.window))
        .on_error(on_error())
        .try_map_on(&shared.pool, "work", n(2), move |item| {
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

fn run_flows(shared: &Shared, random: &mut Random) {
    let until = Instant::now() + LONG;
    while Instant::now() < until {
        let plan = Plan::draw(random);
        match flow(shared, &plan) {
            Some(Ok(summary)) => {
                assert_eq!((summary.read, summary.leftover()), (plan.items as u64, 0));
            }
            Some(Err(stopped)) => assert!(stopped.is_cancelled() || stopped.error().is_some()),
            None => assert!(plan.patience.is_some()),
        }
    }
}

#[test]
fn no_item_is_lost_or_done_twice_while_others_stop_drop_and_watch_flows() {
    let mut random = Random::new(seed());
    let shared = Shared {
        pool: WorkerPool::builder().threads(2..=2).queue(4).build().unwrap(),
        semaphore: Semaphore::new(PERMITS),
    };
    thread::scope(|s| {
        for _ in 0..2 {
            let mut random = Random::new(random.below(usize::MAX) as u64);
            let shared = &shared;
            s.spawn(move || run_flows(shared, &mut random));
        }
    });
    shared.pool.shutdown().wait();
    let jobs = shared.pool.stats();
    assert_eq!((jobs.waiting, jobs.in_flight), (0, 0));
    assert_eq!(shared.semaphore.available_permits(), PERMITS);
}
