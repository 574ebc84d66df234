//! The registry as observable instruments of the crate `opentelemetry`.

use alloc::{borrow::ToOwned, format, vec::Vec};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};
use tidegate_core::report::{Kind, Metric, Value};

use crate::registry::Registry;

impl Registry {
    /// Makes observable instruments of `meter` for every metric: one, by its [name for
    /// OpenTelemetry](Metric::otel_name), or two for a summary.
    ///
    /// There are no observable histograms: a summary is two counters, its `count` and its `sum`. So
    /// exporters for Prometheus give a summary other names than [the text](Self::openmetrics) and
    /// the dashboard do.
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
                let labels = reading.labels();
                let labels: Vec<KeyValue> =
                    labels.map(|(label, value)| KeyValue::new(label, value.to_owned())).collect();
                if let Some(number) = number(reading.sample.value) {
                    instrument.observe(number, &labels);
                }
            }
        }
    }
}

fn as_gauge(value: Value) -> Option<f64> {
    match value {
        Value::Gauge(value) => Some(value),
        _ => None,
    }
}

fn as_count(value: Value) -> Option<u64> {
    match value {
        Value::Counter(count) | Value::Summary { count, .. } => Some(count),
        _ => None,
    }
}

fn as_sum(value: Value) -> Option<f64> {
    match value {
        Value::Summary { sum, .. } => Some(sum),
        _ => None,
    }
}
