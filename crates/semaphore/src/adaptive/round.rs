//! The samples between two changes of the limit.

use tidegate_core::Timestamp;

/// What is recorded of a request when it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) started: Timestamp,
    /// How many requests were in flight then, this one included.
    pub(super) in_flight: u32,
    /// The version of the limit under which it began.
    pub(super) version: Version,
}

/// The outcome of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) grant: Grant,
    pub(super) ended: Timestamp,
    pub(super) is_dropped: bool,
}

/// How often the limit has changed, plus the drops that found it at its minimum; wraps around.
///
/// It orders events where a clock cannot: the clock may stand still while much happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Version(pub(super) u32);

impl Version {
    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Returns whether it is one of the 2³¹ versions that come before `other`.
    pub(super) const fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }
}

impl Sample {
    /// Returns the round-trip time as [`Timestamp::since`] does, without the detour by a
    /// `Duration`.
    pub(super) fn rtt_nanos(&self) -> u64 {
        self.ended.as_nanos().saturating_sub(self.grant.started.as_nanos())
    }
}

/// The samples of one round: successes of requests that began under the present limit, and the drop
/// that ends the round, if one does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    pub(super) samples: usize,
    /// The sum of the round-trip times of all samples, in nanoseconds.
    rtt_sum: f64,
    most_in_flight: usize,
    pub(super) is_dropped: bool,
}

impl Round {
    pub(super) fn add(&mut self, sample: Sample) {
        self.samples += 1;
        self.rtt_sum += sample.rtt_nanos() as f64;
        self.most_in_flight = self.most_in_flight.max(sample.grant.in_flight as usize);
        self.is_dropped |= sample.is_dropped;
    }

    /// Returns the mean round-trip time in nanoseconds, at least 1; `None` if a request was
    /// dropped: a refusal may be fast and a timeout slow, and neither tells how long the work
    /// takes.
    pub(super) fn rtt(&self) -> Option<f64> {
        (!self.is_dropped).then(|| (self.rtt_sum / self.samples as f64).max(1.0))
    }

    /// Returns whether less than half of `limit` was in flight whenever a sampled request began.
    /// Then the round says nothing about a higher limit.
    pub(super) fn is_app_limited(&self, limit: f64) -> bool {
        self.most_in_flight < whole(limit).div_ceil(2)
    }
}

/// Returns a limit without its fraction.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for; it saturates")]
pub(super) fn whole(limit: f64) -> usize {
    limit as usize
}
