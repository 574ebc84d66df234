//! What a metrics system reads of maps: how many keys they have.

use tidegate_core::report::{Metric, Report, Sample, Sink};

use crate::{keyed::Keyed, map::ConcurrentMap, set::ConcurrentSet};

const NAME: &str = "concurrent_map";

impl<K, V, S> Report for ConcurrentMap<K, V, S> {
    fn report(&self, to: &mut dyn Sink) {
        to.record(Sample::count(NAME, Metric::Keys, self.len()));
    }
}

impl<T, S> Report for ConcurrentSet<T, S> {
    fn report(&self, to: &mut dyn Sink) {
        to.record(Sample::count(NAME, Metric::Keys, self.len()));
    }
}

impl<K, V, S> Report for Keyed<K, V, S> {
    fn report(&self, to: &mut dyn Sink) {
        to.record(Sample::count(NAME, Metric::Keys, self.len()));
    }
}
