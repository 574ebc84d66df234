//! The registry as observable instruments of the crate `opentelemetry`.

use alloc::{borrow::ToOwned, format, string::ToString, vec::Vec};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};
use tidegate_core::report::{Kind, Metric, Value};

use crate::{bound::cumulative, named_sample::NamedSample, registry::Registry};

impl Registry {
    /// Makes observable instruments of `meter` for every metric: one, by its [name for
    /// OpenTelemetry](Metric::otel_name), or three for a histogram.
    ///
    /// There are no observable histograms: a histogram is three counters, its `count`, its `sum`,
    /// and its `bucket`s, which have the attribute `le` and are cumulative, as in Prometheus. So
    /// exporters for Prometheus give a histogram other names than [the text](Self::openmetrics) and
    /// the dashboard do. Prometheus' function `histogram_quantile` takes the buckets all the same.
    ///
    /// Call this method once for each meter. The instruments keep the registry, but not its
    /// objects; each instrument reads every object when it is observed.
    pub fn observe_with(&self, meter: &Meter) {
        for metric in Metric::ALL {
            let (name, unit, help) = (metric.otel_name(), metric.unit(), metric.help());
            match metric.kind() {
                Kind::Gauge => {
                    let gauge = meter.f64_observable_gauge(name).with_description(help);
                    gauge.with_unit(unit).with_callback(self.observer(metric, as_gauge)).build();
                }
                Kind::Counter => {
                    let counter = meter.u64_observable_counter(name).with_description(help);
                    counter.with_unit(unit).with_callback(self.observer(metric, as_count)).build();
                }
                _ => {
                    let count = meter.u64_observable_counter(format!("{name}.count"));
                    let count = count.with_description(help);
                    count.with_callback(self.observer(metric, as_count)).build();
                    let buckets = meter.u64_observable_counter(format!("{name}.bucket"));
                    let buckets = buckets.with_description(help);
                    buckets.with_callback(self.bucket_observer(metric)).build();
                    let sum = meter.f64_observable_counter(format!("{name}.sum"));
                    let sum = sum.with_description(help).with_unit(unit);
                    sum.with_callback(self.observer(metric, as_sum)).build();
                }
            }
        }
    }

    /// Returns a callback that observes the samples of `metric`, each as the number that `number`
    /// makes of it, if any.
    fn observer<N: 'static>(
        &self,
        metric: Metric,
        number: fn(Value) -> Option<N>,
    ) -> impl Fn(&dyn AsyncInstrument<N>) + Send + Sync + 'static {
        let registry = self.clone();
        move |instrument| {
            let readings = registry.read();
            for reading in readings.iter().filter(|reading| reading.sample.metric == metric) {
                if let Some(number) = number(reading.sample.value) {
                    instrument.observe(number, &attributes(reading));
                }
            }
        }
    }

    /// Returns a callback that observes the buckets of `metric`, a histogram.
    fn bucket_observer(
        &self,
        metric: Metric,
    ) -> impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static {
        let registry = self.clone();
        move |instrument| {
            let readings = registry.read();
            for reading in readings.iter().filter(|reading| reading.sample.metric == metric) {
                let Value::Histogram { buckets, .. } = reading.sample.value else { continue };
                let mut attributes = attributes(reading);
                for (bound, count) in cumulative(metric, buckets) {
                    attributes.push(KeyValue::new("le", bound.to_string()));
                    instrument.observe(count, &attributes);
                    attributes.pop();
                }
            }
        }
    }
}

fn attributes(reading: &NamedSample) -> Vec<KeyValue> {
    let labels = reading.labels();
    labels.map(|(label, value)| KeyValue::new(label, value.to_owned())).collect()
}

fn as_gauge(value: Value) -> Option<f64> {
    match value {
        Value::Gauge(value) => Some(value),
        _ => None,
    }
}

fn as_count(value: Value) -> Option<u64> {
    match value {
        Value::Counter(count) => Some(count),
        Value::Histogram { buckets, .. } => Some(buckets.total()),
        _ => None,
    }
}

fn as_sum(value: Value) -> Option<f64> {
    match value {
        Value::Histogram { sum, .. } => Some(sum),
        _ => None,
    }
}
