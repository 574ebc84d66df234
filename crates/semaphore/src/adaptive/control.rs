//! The limit, and the samples that it is computed from. All of it is under one lock.

use super::{
    algorithm::LimitAlgorithm,
    round::{Round, Sample, Version, whole},
    stats::{Counts, Stats},
};

#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) min_samples: usize,
}

#[derive(Debug)]
pub(crate) struct Control<A> {
    algorithm: A,
    bounds: Bounds,
    // INVARIANT: from `min` to `max`; its whole part is the limit.
    estimate: f64,
    round: Round,
    /// The present version.
    version: Version,
    /// The version that began with the last change of the limit: successes of requests from before
    /// it do not count for the round.
    changed_at: Version,
    /// The version that began with the last cut by a drop: drops of requests from before it do not
    /// count.
    cut_at: Version,
    counts: Counts,
}

impl<A: LimitAlgorithm> Control<A> {
    pub(super) fn new(algorithm: A, bounds: Bounds, initial: usize) -> Self {
        Self {
            algorithm,
            bounds,
            estimate: initial as f64,
            round: Round::default(),
            version: Version::default(),
            changed_at: Version::default(),
            cut_at: Version::default(),
            counts: Counts::new(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        whole(self.estimate)
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn learn(&mut self, sample: Sample) {
        self.counts.add(sample);
        let valid_since = if sample.is_dropped { self.cut_at } else { self.changed_at };
        if sample.grant.version.is_before(valid_since) {
            return;
        }
        self.round.add(sample);
        if sample.is_dropped || self.round.samples >= self.limit().max(self.bounds.min_samples) {
            self.end_round();
        }
    }

    /// Moves the limit into `min..=max`, where it stays from then on.
    pub(super) fn set_range(&mut self, min: usize, max: usize) {
        (self.bounds.min, self.bounds.max) = (min, max);
        let before = self.limit();
        self.estimate = self.clamp(self.estimate);
        if self.limit() != before {
            self.round = Round::default();
            self.version = self.version.next();
            self.changed_at = self.version;
            self.algorithm.limit_was_set();
        }
    }

    /// Returns the nearest estimate that the bounds allow.
    fn clamp(&self, estimate: f64) -> f64 {
        // `f64::max` comes first, since it turns NaN into the lower bound.
        estimate.max(self.bounds.min as f64).min(self.bounds.max as f64)
    }

    fn end_round(&mut self) {
        let before = self.limit();
        let round = core::mem::take(&mut self.round);
        let mut estimate = self.algorithm.steer(self.estimate, &round);
        if round.is_dropped {
            estimate = estimate.min(before as f64 - 1.0);
        }
        self.estimate = self.clamp(estimate);
        let has_changed = self.limit() != before;
        if has_changed || round.is_dropped {
            self.version = self.version.next();
        }
        if has_changed {
            self.changed_at = self.version;
        }
        if round.is_dropped {
            self.cut_at = self.version;
        }
    }

    pub(super) fn stats(&self, permits: crate::Stats) -> Stats {
        self.counts.stats(self.limit(), permits)
    }
}
