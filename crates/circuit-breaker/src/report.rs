//! What a metrics system reads of a breaker, a registry of breakers, and a throttle.

use core::hash::Hash;

use tidegate_core::{
    Clock,
    report::{Metric, Report, Sample, Sink},
};

use crate::{
    breaker::Breaker, keyed::KeyedBreaker, observer::Observer, state::State, throttle::Throttle,
};

const NAME: &str = "circuit_breaker";

/// The values of the label `state`, each at its [`index`].
const STATES: [&str; 6] =
    ["closed", "open", "half_open", "forced_open", "forced_closed", "observe_only"];

fn index(state: State) -> usize {
    match state {
        State::Closed => 0,
        State::Open => 1,
        State::HalfOpen => 2,
        State::ForcedOpen => 3,
        State::ForcedClosed => 4,
        State::ObserveOnly => 5,
    }
}

fn report_states(counts: [usize; 6], to: &mut dyn Sink) {
    for (state, n) in STATES.into_iter().zip(counts) {
        to.record(Sample::state(NAME, Metric::BreakerState, state, n));
    }
}

impl<C: Clock, O: Observer, J> Report for Breaker<C, O, J> {
    fn report(&self, to: &mut dyn Sink) {
        let stats = self.stats();
        let mut counts = [0; 6];
        counts[index(stats.state)] = 1;
        report_states(counts, to);
        to.record(Sample::counter(NAME, Metric::BreakerTrips, stats.trips));
        let window = stats.window;
        to.record(Sample::gauge(NAME, Metric::BreakerFailureRatio, window.failure_rate()));
        to.record(Sample::gauge(NAME, Metric::BreakerSlowRatio, window.slow_rate()));
        to.record(Sample::requests(NAME, "succeeded", stats.succeeded));
        to.record(Sample::requests(NAME, "failed", stats.failed));
        to.record(Sample::requests(NAME, "ignored", stats.ignored));
        to.record(Sample::requests(NAME, "late", stats.late));
        to.record(Sample::requests(NAME, "refused", stats.refused));
    }
}

/// How many breakers there are, and how many in each state: visits all of them, as
/// [`for_each`](Self::for_each) does.
impl<K: Hash + Eq, C: Clock, O: Observer, J> Report for KeyedBreaker<K, C, O, J> {
    fn report(&self, to: &mut dyn Sink) {
        let mut counts = [0; 6];
        self.for_each(|_, breaker| counts[index(breaker.state())] += 1);
        report_states(counts, to);
        to.record(Sample::count(NAME, Metric::Keys, self.len()));
    }
}

impl<C: Clock> Report for Throttle<C> {
    fn report(&self, to: &mut dyn Sink) {
        const NAME: &str = "throttle";
        let stats = self.stats();
        to.record(Sample::requests(NAME, "succeeded", stats.succeeded));
        to.record(Sample::requests(NAME, "failed", stats.failed));
        to.record(Sample::requests(NAME, "ignored", stats.ignored));
        to.record(Sample::requests(NAME, "refused", stats.refused));
    }
}
