//! The laws of the registry and of its exporters.

mod dashboard;
mod exporters;
mod patterns;
mod registry;
mod text;

use tidegate_metrics::{NamedSample, Registry, Value};

/// Returns each reading as `metric{label=value,…}`, with its value: of a histogram the buckets that
/// are not empty, and the sum.
fn lines(registry: &Registry) -> Vec<String> {
    registry.read().iter().map(line).collect()
}

fn line(reading: &NamedSample) -> String {
    let labels: Vec<String> =
        reading.labels().map(|(label, value)| format!("{label}={value}")).collect();
    let sample = reading.sample;
    let value = match sample.value {
        Value::Histogram { buckets, sum } => format!("Histogram {buckets:?}, sum {sum}"),
        value => format!("{value:?}"),
    };
    format!("{}{{{}}} {value}", sample.metric.name(), labels.join(","))
}
