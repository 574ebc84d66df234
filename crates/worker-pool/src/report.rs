//! What a metrics system reads of a pool.

use tidegate_core::report::{Metric, Report, Sample, Sink};

use crate::pool::WorkerPool;

/// Jobs that panicked have failed. Waits are those of the jobs that have started, of a pool with a
/// [clock](crate::Builder::clock).
impl Report for WorkerPool {
    #[allow(clippy::cast_precision_loss, reason = "there are not 2⁵³ workers")]
    fn report(&self, to: &mut dyn Sink) {
        const NAME: &str = "worker_pool";
        let stats = self.stats();
        to.record(Sample::count(NAME, Metric::QueueDepth, stats.waiting));
        to.record(Sample::count(NAME, Metric::InFlight, stats.in_flight));
        to.record(Sample::requests(NAME, "succeeded", stats.succeeded));
        to.record(Sample::requests(NAME, "failed", stats.panicked));
        to.record(Sample::requests(NAME, "cancelled", stats.cancelled));
        to.record(Sample::requests(NAME, "refused", stats.refused));
        if let Some(sum) = stats.wait_time {
            let started = stats.succeeded + stats.panicked + stats.in_flight as u64;
            to.record(Sample::summary(NAME, Metric::Wait, started, sum.as_secs_f64()));
        }
    }
}
