//! What a metrics system reads of a limiter: never a number per key.

use tidegate_core::report::{Metric, Report, Sample, Sink};

use crate::{
    algorithm::Algorithm, fixed_keyed::FixedKeyedLimiter, keyed::KeyedLimiter, limiter::Limiter,
    stats::Stats,
};

const NAME: &str = "rate_limiter";

impl<A: Algorithm, C> Report for Limiter<A, C> {
    fn report(&self, to: &mut dyn Sink) {
        report(self.stats(), to);
    }
}

/// All keys together, and how many there are.
impl<K, C> Report for KeyedLimiter<K, C> {
    fn report(&self, to: &mut dyn Sink) {
        report(self.stats(), to);
        to.record(Sample::count(NAME, Metric::Keys, self.len()));
    }
}

/// All keys together.
impl<const N: usize, C, S> Report for FixedKeyedLimiter<N, C, S> {
    fn report(&self, to: &mut dyn Sink) {
        report(self.stats(), to);
    }
}

fn report(stats: Stats, to: &mut dyn Sink) {
    to.record(Sample::requests(NAME, "succeeded", stats.allowed));
    to.record(Sample::requests(NAME, "refused", stats.refused));
    to.record(Sample::count(NAME, Metric::Waiting, stats.waiting));
    let sum = stats.wait_time.as_secs_f64();
    to.record(Sample::histogram(NAME, Metric::Wait, stats.waits, sum));
}
