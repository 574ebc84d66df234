//! One sample of one watched object.

use alloc::string::String;

use tidegate_core::{
    primitive::Arc,
    report::{Metric, Sample},
};

/// A sample, with the name of the object that it describes:
/// [`Registry::read`](crate::Registry::read) returns these.
#[derive(Debug, Clone)]
pub struct NamedSample {
    name: Arc<String>,
    /// The sample.
    pub sample: Sample,
}

impl NamedSample {
    pub(crate) fn new(name: Arc<String>, sample: Sample) -> Self {
        Self { name, sample }
    }

    /// Returns what tells this reading apart from all others.
    pub(crate) fn series(&self) -> (Arc<String>, (Metric, &'static str, &'static str)) {
        (Arc::clone(&self.name), series(&self.sample))
    }

    /// Returns the name by which the object is watched.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the labels and their values: `name` always, and `pattern` and the metric's own label
    /// if the metric has them. No label has the keys of a keyed object as its values.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> + Clone {
        let Sample { metric, pattern, part, .. } = self.sample;
        let pattern = metric.has_pattern().then_some(("pattern", pattern));
        let part = metric.label().map(|(label, _)| (label, part));
        core::iter::once(("name", self.name())).chain(pattern).chain(part)
    }
}

/// Returns what tells the samples of one object apart: the metric, and the values of its labels
/// other than `name`.
pub(crate) fn series(sample: &Sample) -> (Metric, &'static str, &'static str) {
    let pattern = if sample.metric.has_pattern() { sample.pattern } else { "" };
    (sample.metric, pattern, sample.part)
}
