//! The latency against its long average.

use tidegate_core::BuildError;

use super::{
    algorithm::{Steer, check},
    round::Round,
};

/// The long average of up to this many rounds is their plain mean.
const WARM_UP: usize = 10;

/// Shrinks the limit in proportion to how far the latency is above its long average, beyond a
/// tolerance.
///
/// `gradient = tolerance × long average ÷ latency`, from 0.5 to 1; after a round the limit moves by
/// [`smoothing`](Self::smoothing) towards `limit × gradient + queue`. Use it for latencies that
/// have no fixed minimum: requests of different kinds, or a server whose speed varies. The price:
/// under a load that is steadily too high the average follows the latency, and after
/// [`long_window`](Self::long_window) rounds the limit has crept up. Where that can happen, set
/// [`max`](super::Builder::max) with care or use [`Vegas`](super::Vegas).
///
/// After Netflix's `Gradient2Limit`, which counts the latency of a drop like any other and does not
/// react to the drop itself. Here a drop counts as a gradient of 0.5 and adds no queue.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_semaphore::{ManualClock, adaptive::{AdaptiveSemaphore, Gradient2}};
///
/// let clock = ManualClock::new();
/// let gradient = Gradient2::new().smoothing(1.0).tolerance(2.0);
/// let limit = AdaptiveSemaphore::builder(gradient).initial(40).clock(clock.clone()).build()?;
/// let round = |latency: u64| {
///     let permits: Vec<_> = core::iter::from_fn(|| limit.try_acquire().ok()).collect();
///     clock.advance(Duration::from_millis(latency));
///     permits.into_iter().for_each(|permit| permit.success());
///     limit.limit()
/// };
/// assert_eq!((round(10), round(10)), (44, 48));
/// assert!(round(100) < 44, "far above the average of 40");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an algorithm does nothing without a semaphore"]
pub struct Gradient2 {
    tolerance: f64,
    smoothing: f64,
    queue: usize,
    long_window: usize,
    /// The long average in nanoseconds. `rounds` is the number of rounds in it, up to `WARM_UP`.
    long_rtt: f64,
    rounds: usize,
}

impl Gradient2 {
    /// Creates the algorithm with the default of each setting, which is Netflix's.
    pub const fn new() -> Self {
        Self {
            tolerance: 1.5,
            smoothing: 0.2,
            queue: 4,
            long_window: 600,
            long_rtt: 0.0,
            rounds: 0,
        }
    }

    /// Sets the highest multiple of its long average, from 1 to 10, that the latency may reach
    /// without shrinking the limit. Default: 1.5.
    pub const fn tolerance(mut self, times: f64) -> Self {
        self.tolerance = times;
        self
    }

    /// Sets how much of the way to its new value the limit goes in a round, from 0.01 to 1.
    /// Default: 0.2.
    pub const fn smoothing(mut self, share: f64) -> Self {
        self.smoothing = share;
        self
    }

    /// Sets how many requests may queue at the server (1 to 1000), and so how fast the limit grows.
    /// Default: 4.
    pub const fn queue(mut self, n: usize) -> Self {
        self.queue = n;
        self
    }

    /// Sets over how many rounds the long average is taken, from 10 to 1,000,000. Default: 600.
    pub const fn long_window(mut self, rounds: usize) -> Self {
        self.long_window = rounds;
        self
    }

    /// Adds a round to the long average and returns the average.
    fn average(&mut self, rtt: f64) -> f64 {
        let weight = if self.rounds < WARM_UP {
            self.rounds += 1;
            1.0 / self.rounds as f64
        } else {
            2.0 / (self.long_window as f64 + 1.0)
        };
        self.long_rtt += weight * (rtt - self.long_rtt);
        let long_rtt = self.long_rtt;
        // So the average forgets a load that has passed sooner than after a whole window.
        if long_rtt > 2.0 * rtt {
            self.long_rtt *= 0.95;
        }
        long_rtt
    }
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self::new()
    }
}

impl Steer for Gradient2 {
    fn check(&self) -> Result<(), BuildError> {
        check("tolerance", &self.tolerance, &(1.0..=10.0))?;
        check("smoothing", &self.smoothing, &(0.01..=1.0))?;
        check("queue", &self.queue, &(1..=1000))?;
        check("long_window", &self.long_window, &(WARM_UP..=1_000_000))
    }

    fn steer(&mut self, limit: f64, round: &Round) -> f64 {
        let Some(rtt) = round.rtt() else {
            return limit - self.smoothing * limit * 0.5;
        };
        let gradient = (self.tolerance * self.average(rtt) / rtt).clamp(0.5, 1.0);
        if round.is_app_limited(limit) {
            return limit;
        }
        let target = limit * gradient + self.queue as f64;
        limit + self.smoothing * (target - limit)
    }
}
