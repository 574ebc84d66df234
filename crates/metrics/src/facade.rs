//! The registry as a source of the crate `metrics`.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};

use metrics::{Key, Label, Level, Metadata, Recorder};
use tidegate_core::report::Value;

use crate::{bound::cumulative, named_sample::NamedSample, registry::Registry};

impl Registry {
    /// Hands what all objects report to the current recorder of the crate `metrics`, under the
    /// names for Prometheus. Call it before each scrape, or every few seconds.
    ///
    /// A recorder fills its own histograms, value by value, and cannot be given one that is counted
    /// already. So it gets the buckets of a histogram as counters whose name ends in `_bucket`,
    /// with the label `le`, as in Prometheus; its count as a counter whose name ends in `_count`,
    /// and its sum as a gauge whose name ends in `_sum`. A recorder keeps the last
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
    let key = |suffix, le: Option<String>| {
        let le = le.map(|bound| Label::new("le", bound));
        let labels: Vec<Label> = labels.clone().chain(le).collect();
        Key::from_parts(format!("{}{suffix}", reading.sample.metric.name()), labels)
    };
    let metadata = Metadata::new("tidegate", Level::INFO, Some(module_path!()));
    match reading.sample.value {
        Value::Counter(n) => recorder.register_counter(&key("", None), &metadata).absolute(n),
        Value::Gauge(value) => recorder.register_gauge(&key("", None), &metadata).set(value),
        Value::Histogram { buckets, sum } => {
            for (bound, count) in cumulative(reading.sample.metric, buckets) {
                let key = key("_bucket", Some(bound.to_string()));
                recorder.register_counter(&key, &metadata).absolute(count);
            }
            recorder.register_counter(&key("_count", None), &metadata).absolute(buckets.total());
            recorder.register_gauge(&key("_sum", None), &metadata).set(sum);
        }
        _ => {}
    }
}
