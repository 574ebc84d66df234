//! What a metrics system reads of a pool.

use tidegate_core::report::{Metric, Report, Sample, Sink};

use crate::pool::WorkerPool;

/// Jobs that panicked have failed. Waits are those that are over, also of jobs that were cancelled
/// then, of a pool with a [clock](crate::Builder::clock).
impl Report for WorkerPool {
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
            to.record(Sample::summary(NAME, Metric::Wait, stats.waited, sum.as_secs_f64()));
        }
    }
}
