//! The registry as a collector of the crate `prometheus-client`.

use core::fmt;

use alloc::vec::Vec;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
};
use tidegate_core::report::{Kind, Value};

use crate::registry::Registry;

/// For `prometheus_client::registry::Registry::register_collector(Box::new(registry.clone()))`.
///
/// That crate has no summaries: a summary is a histogram with a single bucket, which takes every
/// observation. Its count and its sum have the same names as those of a summary.
impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let readings = self.read();
        for family in readings.chunk_by(|a, b| a.sample.metric == b.sample.metric) {
            let metric = family[0].sample.metric;
            // The encoder adds `_total` to a counter's name.
            let name = metric.name().trim_end_matches("_total");
            let kind = match metric.kind() {
                Kind::Counter => MetricType::Counter,
                Kind::Summary => MetricType::Histogram,
                _ => MetricType::Gauge,
            };
            let mut family_encoder = encoder.encode_descriptor(name, metric.help(), None, kind)?;
            for reading in family {
                let labels: Vec<(&str, &str)> = reading.labels().collect();
                let mut encoder = family_encoder.encode_family(&labels)?;
                match reading.sample.value {
                    Value::Counter(n) => {
                        encoder.encode_counter(&n, None::<&Exemplar<NoLabelSet, u64>>)?;
                    }
                    Value::Gauge(value) => encoder.encode_gauge(&value)?,
                    Value::Summary { count, sum } => {
                        let all = [(f64::INFINITY, count)];
                        encoder.encode_histogram::<NoLabelSet>(sum, count, &all, None)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
