//! Names, weak references, and reports that misbehave.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use test_kit::panics;
use tidegate_circuit_breaker::Breaker;
use tidegate_core::report::BUCKETS;
use tidegate_metrics::{Histogram, Metric, Registry, Report, Sample, Sink, Value};
use tidegate_semaphore::Semaphore;

use crate::lines;

#[test]
fn a_dropped_object_is_not_reported_and_its_name_is_free() {
    let registry = Registry::new();
    let first = Arc::new(Semaphore::new(1));
    registry.watch("payments", &first).unwrap();
    assert!(!registry.read().is_empty());
    drop(first);
    assert!(registry.read().is_empty());
    assert_eq!(registry.openmetrics(), "# EOF\n");
    assert_eq!(format!("{registry:?}"), "Registry { names: [], .. }");

    let second = Arc::new(Semaphore::new(2));
    registry.watch("payments", &second).unwrap();
    let third = Arc::new(Semaphore::new(3));
    drop(second);
    registry.watch("payments", &third).unwrap();
    let capacity = "tidegate_semaphore_permits{name=payments,state=capacity} Gauge(3.0)";
    assert_eq!(lines(&registry).iter().filter(|line| *line == capacity).count(), 1);
}

#[test]
fn dropped_objects_are_forgotten_also_by_a_registry_that_is_never_read() {
    let registry = Registry::new();
    for name in 0..100 {
        registry.watch(name.to_string(), &Arc::new(Semaphore::new(1))).unwrap();
    }
    let last = Arc::new(Semaphore::new(1));
    registry.watch("last", &last).unwrap();
    assert_eq!(format!("{registry:?}"), "Registry { names: [\"last\"], .. }");
}

#[test]
fn a_name_is_taken_once_by_each_pattern() {
    let registry = Registry::new();
    let (one, other) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(2)));
    let breaker = Arc::new(Breaker::new());
    registry.watch("payments", &one).unwrap();
    registry.watch("payments", &breaker).unwrap();
    let before = lines(&registry);
    let refused = registry.clone().watch("payments", &other).unwrap_err();
    let text = "another object with the same metrics has the name \"payments\"";
    assert_eq!(refused.to_string(), text);
    registry.watch("payments", &breaker).unwrap_err();
    assert_eq!(lines(&registry), before);
    registry.watch("refunds", &other).unwrap();
    assert!(lines(&registry).len() > before.len());
}

/// Returns `n` waits of about 0.5 s.
fn waits(n: u64) -> Histogram {
    let mut counts = [0; BUCKETS];
    counts[10] = n;
    Histogram::from_counts(counts)
}

/// Reports what it is told to.
struct Told(AtomicU64);

impl Report for Told {
    fn report(&self, to: &mut dyn Sink) {
        let n = self.0.load(Ordering::Relaxed);
        to.record(Sample::requests("told", "succeeded", n));
        to.record(Sample::histogram("told", Metric::Wait, waits(n), 0.5 * n as f64));
        to.record(Sample::count("told", Metric::InFlight, usize::try_from(n).unwrap()));
        // Again, with another number, which the registry ignores.
        to.record(Sample::count("told", Metric::InFlight, 1_000_000));
    }
}

#[test]
fn a_counter_never_goes_backwards() {
    let (registry, told) = (Registry::new(), Arc::new(Told(AtomicU64::new(5))));
    registry.watch("told", &told).unwrap();
    for (is, shown) in [(5, 5), (4, 5), (5, 5), (7, 7), (0, 7)] {
        told.0.store(is, Ordering::Relaxed);
        let values: Vec<Value> =
            registry.read().iter().map(|reading| reading.sample.value).collect();
        let waits = Value::Histogram { buckets: waits(shown), sum: 0.5 * shown as f64 };
        assert_eq!(values, [Value::Counter(shown), waits, Value::Gauge(is as f64)]);
    }
}

/// Uses the registry while it is read.
struct Curious(Registry);

impl Report for Curious {
    fn report(&self, to: &mut dyn Sink) {
        let late = Arc::new(Semaphore::new(1));
        self.0.watch("late", &late).unwrap();
        assert!(format!("{:?}", self.0).contains("late"));
        to.record(Sample::count("curious", Metric::Keys, 1));
    }
}

#[test]
fn a_report_may_use_the_registry() {
    let registry = Registry::new();
    let curious = Arc::new(Curious(registry.clone()));
    registry.watch("curious", &curious).unwrap();
    let line = "tidegate_keys{name=curious,pattern=curious} Gauge(1.0)";
    assert_eq!(lines(&registry), [line]);
}

/// Watches its semaphore by the name "one" the first time that it is read after it was told to.
struct Rival {
    registry: Registry,
    permits: Arc<Semaphore>,
    is_told: AtomicBool,
}

impl Report for Rival {
    fn report(&self, to: &mut dyn Sink) {
        if self.is_told.swap(false, Ordering::Relaxed) {
            self.registry.watch("one", &self.permits).unwrap();
        }
        to.record(Sample::count("rival", Metric::Keys, 1));
    }
}

#[test]
fn of_two_calls_at_once_one_gets_the_name() {
    let registry = Registry::new();
    let (permits, is_told) = (Arc::new(Semaphore::new(1)), AtomicBool::new(false));
    let rival = Arc::new(Rival { registry: registry.clone(), permits, is_told });
    registry.watch("one", &rival).unwrap();
    rival.is_told.store(true, Ordering::Relaxed);
    let other = Arc::new(Semaphore::new(2));
    registry.watch("one", &other).unwrap_err();
    let capacity = "tidegate_semaphore_permits{name=one,state=capacity} Gauge(1.0)";
    assert!(lines(&registry).iter().any(|line| line == capacity));
}

/// Panics while it is told to.
struct Touchy(AtomicBool);

impl Report for Touchy {
    fn report(&self, to: &mut dyn Sink) {
        to.record(Sample::count("touchy", Metric::Waiting, 1));
        if self.0.load(Ordering::Relaxed) {
            test_kit::quiet_panic("touchy");
        }
    }
}

#[test]
fn a_report_that_panics_leaves_the_registry_as_it_was() {
    let registry = Registry::new();
    let (permits, touchy) = (Arc::new(Semaphore::new(1)), Arc::new(Touchy(AtomicBool::new(false))));
    registry.watch("permits", &permits).unwrap();
    registry.watch("touchy", &touchy).unwrap();
    let before = lines(&registry);
    touchy.0.store(true, Ordering::Relaxed);
    assert!(panics(|| registry.openmetrics()));
    let other = Arc::new(Touchy(AtomicBool::new(true)));
    assert!(panics(|| registry.watch("other", &other)));
    touchy.0.store(false, Ordering::Relaxed);
    assert_eq!(lines(&registry), before);
}
