//! What each pattern reports.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tidegate_batch_processor::{Batcher, OnFull};
use tidegate_circuit_breaker::{Breaker, KeyedBreaker, Throttle, TripRule};
use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, Keyed};
use tidegate_core::{ManualClock, Outcome, Pass, Wait};
use tidegate_metrics::{Metric, Registry, Report, Value};
use tidegate_pipeline::Pipeline;
use tidegate_rate_limiter::{
    FixedKeyedLimiter, KeyedLimiter, ManualClock as Clock, Quota, RateLimiter,
};
use tidegate_semaphore::{
    Semaphore,
    adaptive::{AdaptiveSemaphore, Vegas},
};
use tidegate_worker_pool::WorkerPool;

use crate::lines;

/// Returns the lines of one object, without `tidegate_` and the name, and without the zeros.
fn report(object: Arc<impl Report + Send + Sync + 'static>) -> Vec<String> {
    let registry = Registry::new();
    registry.watch("it", &object).unwrap();
    let short =
        |line: &String| line["tidegate_".len()..].replace("name=it,", "").replace("{name=it}", "");
    let is_zero = |line: &String| line.ends_with("(0)") || line.ends_with("(0.0)");
    lines(&registry).iter().map(short).filter(|line| !is_zero(line)).collect()
}

#[test]
fn a_semaphore_reports_permits_waiters_and_waits() {
    let clock = ManualClock::new();
    let permits = Arc::new(Semaphore::builder(3).clock(clock.clone()).build());
    let held = permits.try_acquire(2).unwrap();
    permits.try_acquire(2).unwrap_err();
    let mut first = test_kit::Task::new(permits.acquire(2));
    assert!(first.is_pending());
    clock.advance(Duration::from_millis(1500));
    drop(held);
    let _held = first.output().unwrap();
    let mut second = test_kit::Task::new(permits.acquire(2));
    assert!(second.is_pending());
    assert_eq!(
        report(Arc::clone(&permits)),
        [
            "semaphore_permits{state=available} Gauge(1.0)",
            "semaphore_permits{state=in_use} Gauge(2.0)",
            "semaphore_permits{state=capacity} Gauge(3.0)",
            "waiting{pattern=semaphore} Gauge(1.0)",
            "requests_total{pattern=semaphore,outcome=succeeded} Counter(2)",
            "requests_total{pattern=semaphore,outcome=refused} Counter(1)",
            "wait_seconds{pattern=semaphore} Histogram {12: 1}, sum 1.5",
        ]
    );
}

#[test]
fn a_wait_that_lasts_still_is_no_part_of_the_mean() {
    let clock = ManualClock::new();
    let permits = Arc::new(Semaphore::builder(1).clock(clock.clone()).build());
    let held = permits.try_acquire(1).unwrap();
    let mut first = test_kit::Task::new(permits.acquire(1));
    let mut others = [(); 9].map(|()| test_kit::Task::new(permits.acquire(1)));
    assert!(first.is_pending() && others.iter_mut().all(|other| other.is_pending()));
    clock.advance(Duration::from_secs(2));
    drop(held);
    let _held = first.output().unwrap();
    let waits = "wait_seconds{pattern=semaphore} Histogram {12: 1}, sum 2";
    assert!(report(Arc::clone(&permits)).iter().any(|line| line == waits));
}

#[test]
fn an_adaptive_semaphore_reports_its_limit_and_outcomes() {
    let limit = AdaptiveSemaphore::builder(Vegas::new()).clock(ManualClock::new()).build().unwrap();
    limit.try_acquire().unwrap().success();
    limit.try_acquire().unwrap().dropped();
    let limit = Arc::new(limit);
    let _held = limit.try_acquire().unwrap();
    let lines = report(Arc::clone(&limit));
    assert_eq!(
        lines[1..],
        [
            "requests_total{pattern=adaptive_semaphore,outcome=failed} Counter(1)",
            "adaptive_limit Gauge(15.0)",
            "in_flight{pattern=adaptive_semaphore} Gauge(1.0)",
        ]
    );
}

#[test]
fn limiters_report_grants_refusals_and_keys() {
    let quota = Quota::per_second(1);
    let one = RateLimiter::with_clock(quota, Clock::new());
    let _ = (one.try_acquire(1), one.try_acquire(1));
    let granted = "requests_total{pattern=rate_limiter,outcome=succeeded} Counter(1)";
    let refused = "requests_total{pattern=rate_limiter,outcome=refused} Counter(1)";
    let waits = "wait_seconds{pattern=rate_limiter} Histogram {}, sum 0";
    assert_eq!(report(Arc::new(one)), [granted, refused, waits]);

    let cells = FixedKeyedLimiter::<8>::new(quota);
    let _ = (cells.try_acquire("a", 1), cells.try_acquire("a", 1));
    assert_eq!(report(Arc::new(cells)), [granted, refused, waits]);

    let keyed = KeyedLimiter::<String>::new(quota, NonZeroUsize::new(9).unwrap());
    let _ = (keyed.try_acquire("a", 1), keyed.try_acquire("a", 1));
    let keys = "keys{pattern=rate_limiter} Gauge(1.0)";
    assert_eq!(report(Arc::new(keyed)), [granted, refused, waits, keys]);
}

#[test]
fn breakers_report_states_trips_and_ratios() {
    let settings = Breaker::builder().trip_on(TripRule::consecutive(1));
    let breaker = settings.clone().build().unwrap();
    let _ = breaker.call(|| Ok::<_, ()>(()));
    let _ = breaker.call(|| Err::<(), _>(()));
    let _ = breaker.call(|| Ok::<_, ()>(()));
    assert_eq!(
        report(Arc::new(breaker)),
        [
            "requests_total{pattern=circuit_breaker,outcome=succeeded} Counter(1)",
            "requests_total{pattern=circuit_breaker,outcome=failed} Counter(1)",
            "requests_total{pattern=circuit_breaker,outcome=refused} Counter(1)",
            "breaker_state{state=open} Gauge(1.0)",
            "breaker_trips_total Counter(1)",
        ]
    );

    let hosts = KeyedBreaker::<String>::new(NonZeroUsize::new(9).unwrap(), settings).unwrap();
    for (host, outcome) in [("a", Ok(())), ("b", Err(())), ("c", Err(()))] {
        let _ = hosts.gate(host).unwrap().call(|| outcome);
    }
    let (closed, open) =
        ("breaker_state{state=closed} Gauge(1.0)", "breaker_state{state=open} Gauge(2.0)");
    assert_eq!(report(Arc::new(hosts)), [closed, open, "keys{pattern=circuit_breaker} Gauge(3.0)"]);

    let throttle = Throttle::new(2.0, Duration::from_secs(9)).unwrap();
    throttle.try_enter().unwrap().settle(Outcome::Success);
    let succeeded = "requests_total{pattern=throttle,outcome=succeeded} Counter(1)";
    assert_eq!(report(Arc::new(throttle)), [succeeded]);
}

#[test]
fn every_state_of_a_breaker_has_its_name() {
    let breaker = Arc::new(Breaker::new());
    let state = |breaker: &Arc<Breaker>| {
        let mut lines = report(Arc::clone(breaker));
        lines.retain(|line| line.starts_with("breaker_state"));
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    };
    assert!(state(&breaker).contains("=closed}"));
    breaker.force_open();
    assert!(state(&breaker).contains("=forced_open}"));
    breaker.force_closed();
    assert!(state(&breaker).contains("=forced_closed}"));
    breaker.observe_only();
    assert!(state(&breaker).contains("=observe_only}"));
}

#[test]
fn a_pool_reports_jobs() {
    let pool = WorkerPool::detached(2);
    let _handles = (pool.try_submit(|| ()).unwrap(), pool.try_submit(|| ()).unwrap());
    assert!(pool.try_submit(|| ()).is_err());
    let queued = "queue_depth{pattern=worker_pool} Gauge(2.0)";
    let refused = "requests_total{pattern=worker_pool,outcome=refused} Counter(1)";
    assert_eq!(report(Arc::new(pool.clone())), [refused, queued]);
    pool.close();
    pool.worker().wait();
    let done = "requests_total{pattern=worker_pool,outcome=succeeded} Counter(2)";
    assert_eq!(report(Arc::new(pool)), [done, refused]);
}

#[test]
fn a_pool_reports_the_waits_of_jobs_that_were_cancelled_later() {
    let clock = ManualClock::new();
    let pool = WorkerPool::builder().clock(clock.clone()).detached();
    let handle = pool.submit_future(std::future::pending::<()>()).wait();
    clock.advance(Duration::from_secs(2));
    let mut worker = pool.worker();
    assert!(test_kit::poll(&mut worker).is_pending());
    assert!(handle.cancel());
    assert!(test_kit::poll(&mut worker).is_pending());
    let cancelled = "requests_total{pattern=worker_pool,outcome=cancelled} Counter(1)";
    let waits = "wait_seconds{pattern=worker_pool} Histogram {12: 1}, sum 2";
    assert_eq!(report(Arc::new(pool.clone())), [cancelled, waits]);
}

#[test]
fn a_batcher_reports_items_by_what_became_of_them() {
    let builder = Batcher::builder().max_items(2).capacity(4).clock(ManualClock::new());
    let handler = |items: Vec<u8>| if items == [0, 1] { Err(()) } else { Ok(items) };
    let (batcher, driver) = builder.build(handler).unwrap();
    for n in 0..4 {
        batcher.try_push(n).unwrap();
    }
    batcher.try_push(4).unwrap_err();
    batcher.close();
    batcher.try_submit(5).unwrap_err();
    batcher.push(6).wait().unwrap_err();
    driver.wait();
    let lines = report(Arc::new(batcher));
    assert_eq!(
        lines[..3],
        [
            "requests_total{pattern=batch_processor,outcome=succeeded} Counter(2)",
            "requests_total{pattern=batch_processor,outcome=failed} Counter(2)",
            "requests_total{pattern=batch_processor,outcome=refused} Counter(3)",
        ]
    );
}

#[test]
fn every_item_that_is_offered_to_a_batcher_is_reported_once() {
    for (on_full, dropped) in
        [(OnFull::Reject, 0), (OnFull::DropOldest, 4), (OnFull::DropNewest, 4)]
    {
        let builder = Batcher::builder().max_items(2).capacity(4).on_full(on_full);
        let handler = |items: Vec<u8>| async move {
            match items[..] {
                [0, 1] => Err(()),
                [2, 3] => Ok(items),
                _ => std::future::pending().await,
            }
        };
        let (batcher, driver) = builder.clock(ManualClock::new()).build_async(handler).unwrap();
        let mut driver = test_kit::Task::new(driver);
        let offered = |items: std::ops::Range<u8>| {
            items.clone().for_each(|n| {
                let _ = batcher.try_push(n);
            });
            f64::from(items.end)
        };
        offered(0..4);
        assert!(driver.run().is_pending());
        offered(4..6);
        assert!(driver.run().is_pending());
        let all = offered(6..14);
        assert_eq!(batcher.stats().dropped, dropped, "{on_full:?}");
        let registry = Registry::new();
        let batcher = Arc::new(batcher);
        registry.watch("it", &batcher).unwrap();
        let number = |metric: Metric, part: &str| {
            let readings = registry.read();
            let mut found = readings.iter().map(|reading| reading.sample);
            match found.find(|it| it.metric == metric && it.part == part).unwrap().value {
                Value::Counter(n) => n as f64,
                Value::Gauge(n) => n,
                _ => unreachable!(),
            }
        };
        let outcomes = ["succeeded", "failed", "refused"].map(|it| number(Metric::Requests, it));
        assert_eq!(outcomes, [2.0, 2.0, 4.0], "{on_full:?}");
        let (running, queued) = (number(Metric::InFlight, ""), number(Metric::QueueDepth, ""));
        assert_eq!((running, queued), (2.0, 4.0), "{on_full:?}");
        assert_eq!(outcomes.iter().sum::<f64>() + running + queued, all);
    }
}

#[test]
fn a_batcher_reports_batches() {
    let builder = Batcher::builder().max_items(2).clock(ManualClock::new());
    let (batcher, mut driver) = builder.build(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    for n in 0..4 {
        drop(batcher.try_submit(n).unwrap());
    }
    let queued = "queue_depth{pattern=batch_processor} Gauge(4.0)";
    assert!(report(Arc::new(batcher.clone())).iter().any(|line| line == queued));
    batcher.close();
    (&mut driver).wait();
    let lines = report(Arc::new(batcher));
    assert_eq!(
        lines,
        [
            "requests_total{pattern=batch_processor,outcome=succeeded} Counter(4)",
            "wait_seconds{pattern=batch_processor} Histogram {0: 2}, sum 0",
            "batch_items Histogram {1: 2}, sum 4",
        ]
    );
}

#[test]
fn maps_report_how_many_keys_they_have() {
    let keys = "keys{pattern=concurrent_map} Gauge(2.0)";
    assert_eq!(report(Arc::new(ConcurrentMap::from([(1, ()), (2, ())]))), [keys]);
    assert_eq!(report(Arc::new(ConcurrentSet::from([1, 2]))), [keys]);
    let keyed = Keyed::<u8, ()>::new(NonZeroUsize::new(9).unwrap());
    for key in 0..2 {
        keyed.with(&key, || (), |_| false, |_| ()).unwrap();
    }
    assert_eq!(report(Arc::new(keyed)), [keys]);
}

#[test]
fn a_monitor_reports_the_items_of_its_flow() {
    let flow = Pipeline::from_iter(0..10).filter("even", |n| n % 2 == 0);
    let monitor = flow.monitor();
    flow.run().wait().unwrap();
    assert_eq!(
        report(Arc::new(monitor)),
        [
            "requests_total{pattern=pipeline,outcome=succeeded} Counter(5)",
            "requests_total{pattern=pipeline,outcome=ignored} Counter(5)",
        ]
    );
}

#[test]
fn a_thousand_keys_are_no_more_series_than_one() {
    let many = NonZeroUsize::new(2000).unwrap();
    let registry = Registry::new();
    let limiter = Arc::new(KeyedLimiter::<u32>::new(Quota::per_second(1), many));
    let breakers = Arc::new(KeyedBreaker::<u32>::new(many, Breaker::builder()).unwrap());
    registry.watch("limiter", &limiter).unwrap();
    registry.watch("breakers", &breakers).unwrap();
    let before = registry.read().len();
    for key in 0..1000 {
        let _ = (limiter.try_acquire(&key, 1), breakers.gate(&key).unwrap().try_enter());
    }
    assert_eq!(registry.read().len(), before);
}
