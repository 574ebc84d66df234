//! The laws of the registry and of its exporters.

mod dashboard;
mod exporters;
mod patterns;
mod registry;
mod text;

use tidegate_metrics::{NamedSample, Registry};

/// Returns each reading as `metric{label=value,…}`, with its value.
fn lines(registry: &Registry) -> Vec<String> {
    registry.read().iter().map(line).collect()
}

fn line(reading: &NamedSample) -> String {
    let labels: Vec<String> =
        reading.labels().map(|(label, value)| format!("{label}={value}")).collect();
    let sample = reading.sample;
    format!("{}{{{}}} {:?}", sample.metric.name(), labels.join(","), sample.value)
}
