//! What is known of the requests, and the limit that follows from it. All of it is under one lock.

use tidegate_core::Timestamp;

use super::{
    algorithm::{LimitAlgorithm, whole},
    stats::{Counts, Stats},
};

/// What is known of a request when it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) started: Timestamp,
    /// How many were in flight then, itself among them.
    pub(super) in_flight: u32,
    /// Under which version of the limit.
    pub(super) version: Version,
}

/// How one request went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) grant: Grant,
    pub(super) ended: Timestamp,
    pub(super) is_dropped: bool,
}

/// How often the limit was changed or cut; wraps around.
///
/// It says what came before what, which a clock does not: it may stand still while much happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Version(pub(super) u32);

impl Version {
    const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Returns whether it is of the half of all versions that came before `other`.
    const fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }
}

impl Sample {
    /// As [`Timestamp::since`], without the detour by a `Duration`.
    pub(super) fn rtt_nanos(&self) -> u64 {
        self.ended.as_nanos().saturating_sub(self.grant.started.as_nanos())
    }
}

/// Samples that were taken under one limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    samples: usize,
    /// Of all samples, in nanoseconds.
    rtt_sum: f64,
    most_in_flight: usize,
    is_dropped: bool,
}

impl Round {
    fn add(&mut self, sample: Sample) {
        self.samples += 1;
        self.rtt_sum += sample.rtt_nanos() as f64;
        self.most_in_flight = self.most_in_flight.max(sample.grant.in_flight as usize);
        self.is_dropped |= sample.is_dropped;
    }

    /// Returns the mean round-trip time in nanoseconds, at least 1; `None` if a request was dropped: a refusal may be fast
    /// and a timeout slow, and neither tells how long the work takes.
    pub(super) fn rtt(&self) -> Option<f64> {
        (!self.is_dropped).then(|| (self.rtt_sum / self.samples as f64).max(1.0))
    }

    /// Returns whether less than half of `limit` was ever in flight, so that nothing is known of more.
    pub(super) fn is_app_limited(&self, limit: f64) -> bool {
        self.most_in_flight < whole(limit).div_ceil(2)
    }
}

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
    // INVARIANT: from `min` to `max`, where its whole part is the limit.
    estimate: f64,
    round: Round,
    /// The present version.
    version: Version,
    /// The version that changed the limit last: requests from before do not count for the round.
    changed_at: Version,
    /// The version in which a drop cut the limit last: drops of requests from before are no news.
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

    fn end_round(&mut self) {
        let before = self.limit();
        let round = core::mem::take(&mut self.round);
        let (min, max) = (self.bounds.min as f64, self.bounds.max as f64);
        let mut estimate = self.algorithm.steer(self.estimate, &round);
        if round.is_dropped {
            estimate = estimate.min(before as f64 - 1.0);
        }
        // `max` before `min`: they make a number of what is none.
        self.estimate = estimate.max(min).min(max);
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
