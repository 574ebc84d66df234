//! What a metrics system reads of a flow.

use tidegate_core::report::{Metric, Report, Sample, Sink};

use crate::flow::Monitor;

/// Counts items of the source, whatever the stages made of them. Skipped items have the outcome
/// `ignored`. The numbers are those of the end of the flow's latest poll.
impl Report for Monitor {
    fn report(&self, to: &mut dyn Sink) {
        const NAME: &str = "pipeline";
        let summary = self.stats().summary;
        let leftover = usize::try_from(summary.leftover()).unwrap_or(usize::MAX);
        to.record(Sample::count(NAME, Metric::InFlight, leftover));
        to.record(Sample::requests(NAME, "succeeded", summary.succeeded));
        to.record(Sample::requests(NAME, "failed", summary.failed));
        to.record(Sample::requests(NAME, "ignored", summary.skipped));
    }
}
