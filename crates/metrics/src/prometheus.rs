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
/// That crate spells some bounds of buckets another way than [the text](Registry::openmetrics):
/// `1e-6` where that has `1e-06`. So scrape one object by one of the two.
impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let readings = self.read();
        for family in readings.chunk_by(|a, b| a.sample.metric == b.sample.metric) {
            let metric = family[0].sample.metric;
            // The encoder adds `_total` to a counter's name.
            let name = metric.name().trim_end_matches("_total");
            let kind = match metric.kind() {
                Kind::Counter => MetricType::Counter,
                Kind::Histogram => MetricType::Histogram,
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
                    Value::Histogram { buckets, sum } => {
                        // The encoder adds the counts up.
                        let bounds = metric.bounds().iter().copied().chain([f64::INFINITY]);
                        let counts: Vec<(f64, u64)> = bounds.zip(buckets.counts()).collect();
                        let total = buckets.total();
                        encoder.encode_histogram::<NoLabelSet>(sum, total, &counts, None)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
