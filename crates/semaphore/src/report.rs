//! What a metrics system reads of a semaphore, adaptive or not.

use tidegate_core::report::{Metric, Report, Sample, Sink};

use crate::{
    adaptive::{AdaptiveSemaphore, LimitAlgorithm},
    permit::HasPool,
    semaphore::Semaphore,
};

/// Waits are reported only if the semaphore has a [clock](crate::Builder::clock): those in the
/// queue that are over, whatever their outcome.
impl Report for Semaphore {
    fn report(&self, to: &mut dyn Sink) {
        const NAME: &str = "semaphore";
        let stats = self.stats();
        let states = [
            ("available", stats.available),
            ("in_use", stats.in_use),
            ("capacity", stats.capacity),
        ];
        for (state, n) in states {
            to.record(Sample::state(NAME, Metric::SemaphorePermits, state, n));
        }
        to.record(Sample::count(NAME, Metric::Waiting, stats.waiting));
        to.record(Sample::requests(NAME, "succeeded", stats.acquired));
        to.record(Sample::requests(NAME, "refused", stats.refused));
        to.record(Sample::requests(NAME, "cancelled", stats.cancelled));
        if self.pool().measures() {
            let sum = stats.wait_time.as_secs_f64();
            to.record(Sample::histogram(NAME, Metric::Wait, stats.waits, sum));
        }
    }
}

/// Permits that were settled as dropped are reported as failed.
impl<A: LimitAlgorithm, C> Report for AdaptiveSemaphore<A, C> {
    fn report(&self, to: &mut dyn Sink) {
        const NAME: &str = "adaptive_semaphore";
        let stats = self.stats();
        to.record(Sample::count(NAME, Metric::AdaptiveLimit, stats.limit));
        to.record(Sample::count(NAME, Metric::InFlight, stats.in_flight));
        to.record(Sample::count(NAME, Metric::Waiting, stats.waiting));
        to.record(Sample::requests(NAME, "succeeded", stats.succeeded));
        to.record(Sample::requests(NAME, "failed", stats.dropped));
        to.record(Sample::requests(NAME, "refused", stats.refused));
    }
}
