//! The registry as a source of the crate `metrics`.

use alloc::{borrow::ToOwned, format, vec::Vec};

use metrics::{Key, Label, Level, Metadata, Recorder};
use tidegate_core::report::Value;

use crate::{named_sample::NamedSample, registry::Registry};

impl Registry {
    /// Hands what all objects report to the current recorder of the crate `metrics`, under the
    /// names for Prometheus. Call it before each scrape, or every few seconds.
    ///
    /// A recorder knows no summaries: it gets a summary's count as a counter whose name ends in
    /// `_count`, and its sum as a gauge whose name ends in `_sum`. A recorder keeps the last
    /// numbers of an object that was dropped, unless it forgets idle metrics. If a new object is
    /// then watched by the same name, its counters seem to stand still until they exceed those of
    /// the old object: the usual recorders lower no counter.
    pub fn publish(&self) {
        metrics::with_recorder(|recorder| {
            for reading in self.read() {
                publish(&reading, recorder);
            }
        });
    }
}

fn publish(reading: &NamedSample, recorder: &dyn Recorder) {
    let labels = reading.labels().map(|(label, value)| Label::new(label, value.to_owned()));
    let key = |suffix| {
        let labels: Vec<Label> = labels.clone().collect();
        Key::from_parts(format!("{}{suffix}", reading.sample.metric.name()), labels)
    };
    let metadata = Metadata::new("tidegate", Level::INFO, Some(module_path!()));
    match reading.sample.value {
        Value::Counter(n) => recorder.register_counter(&key(""), &metadata).absolute(n),
        Value::Gauge(value) => recorder.register_gauge(&key(""), &metadata).set(value),
        Value::Summary { count, sum } => {
            recorder.register_counter(&key("_count"), &metadata).absolute(count);
            recorder.register_gauge(&key("_sum"), &metadata).set(sum);
        }
        _ => {}
    }
}
