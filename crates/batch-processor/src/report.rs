//! What a metrics system reads of a batcher.

use tidegate_core::{
    Timer,
    report::{Metric, Report, Sample, Sink},
};

use crate::{batcher::Batcher, handler::Handler, leader::LeaderBatcher, stats::Stats};

/// Requests are items. Those for which the handler failed are reported as failed. Those that were
/// not accepted are reported as refused, and so are those that were dropped because there was no
/// room, whether they had been accepted (`OnFull::DropOldest`) or not (`OnFull::DropNewest`): the
/// handler never sees them. Until the driver is dropped, those that succeeded, failed or were
/// refused, those in flight and those in the queue are all that were ever offered, each once. Items
/// that waited when the driver was dropped leave the queue without an outcome.
///
/// Waits are those of batches: from the first item until the batch is handed over.
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
    to.record(Sample::histogram(NAME, Metric::BatchItems, stats.sizes, items as f64));
    let sum = stats.wait_time.as_secs_f64();
    to.record(Sample::histogram(NAME, Metric::Wait, stats.waits, sum));
}
