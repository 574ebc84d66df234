//! What the exporters say, compared with what the registry reads.

use std::{
    any::Any,
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics},
        exporter::PushMetricExporter,
    },
};
use tidegate_batch_processor::Batcher;
use tidegate_circuit_breaker::Breaker;
use tidegate_core::{ManualClock, Wait};
use tidegate_metrics::{Metric, NamedSample, Registry, Value};
use tidegate_rate_limiter::{KeyedLimiter, Quota};
use tidegate_semaphore::{
    Semaphore,
    adaptive::{AdaptiveSemaphore, Vegas},
};
use tidegate_worker_pool::WorkerPool;

use crate::text::parsed;

/// Returns a registry in which every metric has a sample, and the objects that it watches.
pub(crate) fn watched() -> (Registry, Vec<Arc<dyn Any>>) {
    let registry = Registry::new();
    let permits = Arc::new(Semaphore::new(3));
    permits.acquire(2).wait().unwrap().forget();
    let adaptive = AdaptiveSemaphore::builder(Vegas::new()).clock(ManualClock::new()).build();
    let adaptive = Arc::new(adaptive.unwrap());
    let keys = NonZeroUsize::new(9).unwrap();
    let limiter = Arc::new(KeyedLimiter::<u8>::new(Quota::per_second(1), keys));
    let _ = (limiter.try_acquire(&1, 1), limiter.try_acquire(&1, 1));
    let breaker = Arc::new(Breaker::new());
    let _ = breaker.call(|| Err::<(), _>(()));
    let pool = Arc::new(WorkerPool::detached(2));
    drop(pool.try_submit(|| ()).unwrap());
    let builder = Batcher::builder().max_items(2).clock(ManualClock::new());
    let (batcher, driver) = builder.build(|items: Vec<u8>| Ok::<_, ()>(items)).unwrap();
    let batcher = Arc::new(batcher);
    drop(batcher.try_submit(1).unwrap());
    batcher.close();
    driver.wait();
    registry.watch("a", &permits).unwrap();
    registry.watch("a", &adaptive).unwrap();
    registry.watch("a", &limiter).unwrap();
    registry.watch("a", &breaker).unwrap();
    registry.watch("b", &pool).unwrap();
    registry.watch("b", &batcher).unwrap();
    (registry, vec![permits, adaptive, limiter, breaker, pool, batcher])
}

/// Returns how the tests name a series. The bound of a bucket is spelled as Rust does, whatever the
/// exporter's way is.
fn series(name: &str, labels: impl Iterator<Item = (String, String)>) -> String {
    let spelled = |label: &str, value: String| match label {
        "le" => value.parse::<f64>().unwrap().to_string(),
        _ => value,
    };
    let labels = labels.map(|(label, value)| format!("{label}={}", spelled(&label, value)));
    let mut labels: Vec<String> = labels.collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// Returns the number of each series, as the registry reads it.
pub(crate) fn numbers(registry: &Registry) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::new();
    for reading in registry.read() {
        let name = reading.sample.metric.name();
        let labels = |reading: &NamedSample| -> Vec<(String, String)> {
            reading.labels().map(|(label, value)| (label.into(), value.into())).collect()
        };
        let mut put = |suffix: &str, bound: Option<f64>, number: f64| {
            let bound = bound.map(|bound| ("le".into(), bound.to_string()));
            let labels = labels(&reading).into_iter().chain(bound);
            assert_eq!(numbers.insert(series(&format!("{name}{suffix}"), labels), number), None);
        };
        match reading.sample.value {
            Value::Counter(n) => put("", None, n as f64),
            Value::Gauge(number) => put("", None, number),
            Value::Histogram { buckets, sum } => {
                let bounds = reading.sample.metric.bounds().iter().chain([&f64::INFINITY]);
                for (bound, count) in bounds.zip(buckets.cumulative()) {
                    put("_bucket", Some(*bound), count as f64);
                }
                put("_count", None, buckets.total() as f64);
                put("_sum", None, sum);
            }
            _ => unreachable!(),
        }
    }
    numbers
}

#[test]
fn prometheus_client_says_the_same() {
    let (registry, _objects) = watched();
    let mut theirs = prometheus_client::registry::Registry::default();
    theirs.register_collector(Box::new(registry.clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &theirs).unwrap();
    assert_eq!(parsed(&text), numbers(&registry));
}

#[test]
fn the_facade_says_the_same() {
    let (registry, _objects) = watched();
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || registry.publish());
    let mut seen = BTreeMap::new();
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        let labels = key.key().labels().map(|label| (label.key().into(), label.value().into()));
        let number = match value {
            DebugValue::Counter(n) => n as f64,
            DebugValue::Gauge(number) => number.into_inner(),
            DebugValue::Histogram(_) => unreachable!(),
        };
        seen.insert(series(key.key().name(), labels), number);
    }
    assert_eq!(seen, numbers(&registry));
}

/// Keeps what is exported last.
#[derive(Clone, Default)]
struct Exporter(Arc<Mutex<BTreeMap<String, f64>>>);

impl Exporter {
    fn put<T: Copy>(&self, name: &str, data: &MetricData<T>, as_f64: impl Fn(T) -> f64) {
        let mut seen = self.0.lock().unwrap();
        let labels = |attributes: Vec<&KeyValue>| {
            let pairs =
                attributes.into_iter().map(|pair| (pair.key.to_string(), pair.value.to_string()));
            pairs.collect::<Vec<_>>().into_iter()
        };
        match data {
            MetricData::Gauge(gauge) => {
                for point in gauge.data_points() {
                    let series = series(name, labels(point.attributes().collect()));
                    seen.insert(series, as_f64(point.value()));
                }
            }
            MetricData::Sum(sum) => {
                assert!(sum.is_monotonic());
                for point in sum.data_points() {
                    let series = series(name, labels(point.attributes().collect()));
                    seen.insert(series, as_f64(point.value()));
                }
            }
            _ => unreachable!(),
        }
    }
}

/// Returns the name in Prometheus of a name in OpenTelemetry.
fn prometheus_name(name: &str) -> String {
    let is = |metric: &Metric| name == metric.otel_name();
    if let Some(metric) = Metric::ALL.into_iter().find(is) {
        return metric.name().into();
    }
    let (name, suffix) = name.rsplit_once('.').unwrap();
    format!("{}_{suffix}", prometheus_name(name))
}

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            let name = prometheus_name(metric.name());
            assert!(!metric.description().is_empty());
            match metric.data() {
                AggregatedMetrics::F64(data) => self.put(&name, data, |number| number),
                AggregatedMetrics::U64(data) => self.put(&name, data, |n| n as f64),
                AggregatedMetrics::I64(_) => unreachable!(),
            }
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[test]
fn opentelemetry_says_the_same() {
    let (registry, _objects) = watched();
    let exporter = Exporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).with_interval(Duration::from_secs(9999));
    let provider = SdkMeterProvider::builder().with_reader(reader.build()).build();
    registry.observe_with(&provider.meter("tidegate"));
    provider.force_flush().unwrap();
    assert_eq!(*exporter.0.lock().unwrap(), numbers(&registry));
    provider.shutdown().unwrap();
}
