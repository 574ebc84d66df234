//! The queue that the latency shows.

use tidegate_core::BuildError;

use super::{
    algorithm::{Steer, check, step_of},
    round::Round,
};

/// Keeps the queue at the server short: estimates from the latency how many of the requests in
/// flight wait there, and moves the limit so that only a few do.
///
/// Of `limit` requests in flight, `limit × (1 − no-load latency ÷ latency)` wait in a queue. If
/// fewer than 3·log₁₀(limit) wait, the limit grows; if more than 6·log₁₀(limit) wait, it shrinks.
/// (The logarithm is rounded down, and at least 1.) A drop takes a quarter of the limit away.
///
/// The no-load latency is the lowest mean of a round. Since a server may become slower for good, it
/// is measured anew in each round in which less than half of the limit was in flight. Under a
/// steady load it is measured every [`probe_every`](Self::probe_every) rounds: the limit is then
/// halved for one round, and longer while less than half of the lowered limit is in flight.
///
/// After Brakmo and Peterson, "TCP Vegas" (1995), and Netflix's `VegasLimit`, with these
/// differences. When a probe is due, Netflix's takes any sample as the new no-load latency; under a
/// steady load that includes the queue, and the limit creeps up ([its issue
/// 165](https://github.com/Netflix/concurrency-limits/issues/165)). Otherwise Netflix's takes the
/// fastest single request, which may be a lucky one ([issue
/// 37](https://github.com/Netflix/concurrency-limits/issues/37)). Netflix's shrinks the limit by a
/// constant step; here it shrinks by half of what waits above 6·log₁₀(limit), if that is more. A
/// drop takes as much away as in TCP Vegas.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_semaphore::{ManualClock, adaptive::{AdaptiveSemaphore, Vegas}};
///
/// let clock = ManualClock::new();
/// let limit = AdaptiveSemaphore::builder(Vegas::new()).initial(20).clock(clock.clone()).build()?;
/// let round = |latency: u64| {
///     let permits: Vec<_> = core::iter::from_fn(|| limit.try_acquire().ok()).collect();
///     clock.advance(Duration::from_millis(latency));
///     permits.into_iter().for_each(|permit| permit.success());
///     limit.limit()
/// };
/// assert_eq!(round(10), 26, "no queue");
/// assert_eq!(round(15), 24, "a third of them waited");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an algorithm does nothing without a semaphore"]
pub struct Vegas {
    probe_every: usize,
    /// The no-load latency in nanoseconds: the mean of the fastest round since it was measured
    /// anew.
    no_load: f64,
    /// Rounds since `no_load` was measured anew.
    rounds: usize,
    /// The limit to return to after a probe; `None` if no probe runs.
    after_probe: Option<f64>,
}

impl Vegas {
    /// Creates the algorithm with the default of each setting.
    pub const fn new() -> Self {
        Self { probe_every: 30, no_load: f64::INFINITY, rounds: 0, after_probe: None }
    }

    /// Sets after how many rounds under load the limit is halved for one round, to measure the
    /// latency without a queue; from 2 to 1,000,000. Default: 30, as in Netflix's.
    pub const fn probe_every(mut self, rounds: usize) -> Self {
        self.probe_every = rounds;
        self
    }

    /// Returns the limit after a round without a drop and under load.
    fn adjust(&self, limit: f64, rtt: f64) -> f64 {
        let step = step_of(limit);
        let (alpha, beta) = (3.0 * step, 6.0 * step);
        let queue = limit * (1.0 - self.no_load / rtt);
        if queue <= step {
            limit + beta
        } else if queue < alpha {
            limit + step
        } else if queue > beta {
            limit - step.max((queue - beta) / 2.0)
        } else {
            limit
        }
    }
}

impl Default for Vegas {
    fn default() -> Self {
        Self::new()
    }
}

impl Steer for Vegas {
    fn check(&self) -> Result<(), BuildError> {
        check("probe_every", &self.probe_every, &(2..=1_000_000))
    }

    fn steer(&mut self, limit: f64, round: &Round) -> f64 {
        let Some(rtt) = round.rtt() else {
            self.after_probe = None;
            return limit * 0.75;
        };
        // This round was measured without a queue: few requests came, or a probe let few in. A
        // probe lasts until a round in which half of its limit was in flight.
        let is_app_limited = round.is_app_limited(limit);
        if is_app_limited || self.after_probe.is_some() {
            (self.no_load, self.rounds) = (rtt, 0);
            return if is_app_limited { limit } else { self.after_probe.take().unwrap_or(limit) };
        }
        self.no_load = self.no_load.min(rtt);
        self.rounds += 1;
        let next = self.adjust(limit, rtt);
        if self.rounds < self.probe_every {
            return next;
        }
        self.after_probe = Some(next);
        limit / 2.0
    }

    /// A probe that runs is left out: the limit is no longer the half that it needs.
    fn limit_was_set(&mut self) {
        if self.after_probe.take().is_some() {
            self.rounds = 0;
        }
    }
}
