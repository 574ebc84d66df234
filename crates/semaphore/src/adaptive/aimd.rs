//! Additive increase, multiplicative decrease.

use core::time::Duration;

use tidegate_core::BuildError;

use super::{
    algorithm::{Steer, check},
    round::Round,
};

/// Adds a little to the limit after each round that went well, and takes a share of the limit away
/// after a round that did not.
///
/// A round did not go well if a request was dropped or, without a drop, if the mean time of its
/// requests was above a [timeout](Self::timeout). Use it for a server that refuses requests when it
/// is full. A server that only becomes slow is loaded until the mean time reaches the timeout;
/// [`Vegas`](super::Vegas) loads it less.
///
/// After Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance"
/// (1989), and Netflix's `AIMDLimit`. Netflix's adds one for each request, and so doubles the limit
/// in a round trip. Here the increase is additive: it comes once in each round.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_semaphore::{ManualClock, adaptive::{AdaptiveSemaphore, Aimd}};
///
/// let clock = ManualClock::new();
/// let aimd = Aimd::new().backoff(0.5).timeout(Duration::from_millis(100));
/// let limit = AdaptiveSemaphore::builder(aimd).initial(10).clock(clock.clone()).build()?;
/// let permits: Vec<_> = (0..10).map(|_| limit.try_acquire()).collect::<Result<_, _>>()?;
/// clock.advance(Duration::from_millis(101));
/// permits.into_iter().for_each(|permit| permit.success());
/// assert_eq!(limit.limit(), 5);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an algorithm does nothing without a semaphore"]
pub struct Aimd {
    increase: usize,
    backoff: f64,
    timeout: Duration,
}

impl Aimd {
    /// Creates the algorithm with the default of each setting.
    pub const fn new() -> Self {
        Self { increase: 1, backoff: 0.9, timeout: Duration::from_secs(5) }
    }

    /// Sets how much is added to the limit, from 1 to 1000. Default: 1.
    pub const fn increase(mut self, n: usize) -> Self {
        self.increase = n;
        self
    }

    /// Sets what share of the limit is kept after a round that did not go well, from 0.1 to 0.99.
    /// Default: 0.9.
    pub const fn backoff(mut self, share: f64) -> Self {
        self.backoff = share;
        self
    }

    /// Sets the mean time above which a round did not go well, at least 1 ns. Default: 5 seconds.
    pub const fn timeout(mut self, duration: Duration) -> Self {
        self.timeout = duration;
        self
    }
}

impl Default for Aimd {
    fn default() -> Self {
        Self::new()
    }
}

impl Steer for Aimd {
    fn check(&self) -> Result<(), BuildError> {
        check("increase", &self.increase, &(1..=1000))?;
        check("backoff", &self.backoff, &(0.1..=0.99))?;
        check("timeout", &self.timeout, &(Duration::from_nanos(1)..=Duration::MAX))
    }

    fn steer(&mut self, limit: f64, round: &Round) -> f64 {
        let timeout = self.timeout.as_nanos() as f64;
        if round.rtt().is_none_or(|rtt| rtt > timeout) {
            limit * self.backoff
        } else if round.is_app_limited(limit) {
            limit
        } else {
            limit + self.increase as f64
        }
    }
}
