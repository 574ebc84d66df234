//! What a metrics system reads of a pool.

use tidegate_core::report::{Metric, Report, Sample, Sink};

use crate::pool::WorkerPool;

/// Jobs that panicked are reported as failed. Waits are reported only if the pool has a
/// [clock](crate::Builder::clock): those of the jobs that [`waited`](crate::Stats::waited) counts.
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
            to.record(Sample::histogram(NAME, Metric::Wait, stats.waits, sum.as_secs_f64()));
        }
    }
}
