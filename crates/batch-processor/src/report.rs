//! What a metrics system reads of a batcher.

use tidegate_core::{
    Timer,
    report::{Metric, Report, Sample, Sink},
};

use crate::{batcher::Batcher, handler::Handler, leader::LeaderBatcher, stats::Stats};

/// Requests are items. Those that were not accepted, and those that were dropped because there was
/// no room, are reported as refused; those for which the handler failed, as failed. Waits are those
/// of batches: from the first item until the batch is handed over.
impl<T, R, E, C> Report for Batcher<T, R, E, C> {
    fn report(&self, to: &mut dyn Sink) {
        report(self.stats(), to);
    }
}

/// As for a [`Batcher`].
impl<T, H: Handler<T>, C: Timer> Report for LeaderBatcher<T, H, C> {
    fn report(&self, to: &mut dyn Sink) {
        report(self.stats(), to);
    }
}

#[allow(clippy::cast_precision_loss, reason = "sums of Prometheus are not exact")]
fn report(stats: Stats, to: &mut dyn Sink) {
    const NAME: &str = "batch_processor";
    to.record(Sample::count(NAME, Metric::QueueDepth, stats.waiting));
    to.record(Sample::count(NAME, Metric::InFlight, stats.in_flight));
    to.record(Sample::requests(NAME, "succeeded", stats.done - stats.failed_items));
    to.record(Sample::requests(NAME, "failed", stats.failed_items));
    to.record(Sample::requests(NAME, "refused", stats.refused + stats.dropped));
    let items = stats.done + stats.in_flight as u64;
    to.record(Sample::summary(NAME, Metric::BatchItems, stats.batches, items as f64));
    let sum = stats.wait_time.as_secs_f64();
    to.record(Sample::summary(NAME, Metric::Wait, stats.batches, sum));
}
