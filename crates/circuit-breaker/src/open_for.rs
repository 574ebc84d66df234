//! How long a breaker that has tripped stays open.

use core::time::Duration;

use alloc::format;

use tidegate_core::{BuildError, backoff::Backoff};

/// How long a breaker stays open after a trip.
///
/// Each open time is spread by ±20 %, unless [`jitter`](Self::jitter) sets another ratio, so that
/// the clients of one failed server do not come back all at once.
/// [`Pass::failure_open_for`](crate::Pass::failure_open_for) sets the open time of one trip
/// instead.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_circuit_breaker::{Breaker, ManualClock, OpenFor};
///
/// let open_for = OpenFor::exponential(Duration::from_secs(1), Duration::from_secs(60)).jitter(0.0);
/// let clock = ManualClock::new();
/// let breaker = Breaker::builder().open_for(open_for).clock(clock.clone()).build()?;
/// for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
///     // Five failures in a row at first, then a probe that fails each time.
///     while let Ok(pass) = breaker.try_enter() {
///         pass.failure();
///     }
///     let open_for = Duration::from_secs(seconds);
///     assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(open_for));
///     clock.advance(open_for);
/// }
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenFor {
    initial: Duration,
    max: Duration,
    jitter: f64,
}

impl OpenFor {
    /// Makes every open time `duration`, before [`jitter`](Self::jitter) spreads it. `build`
    /// refuses a `duration` of zero.
    pub const fn fixed(duration: Duration) -> Self {
        Self::exponential(duration, duration)
    }

    /// Makes the first open time `initial`. Each further trip doubles it, up to `max`; a breaker
    /// that closes or is forced into a state starts anew. Trips by
    /// [`failure_open_for`](crate::Pass::failure_open_for) do not count. The result is then spread
    /// by [`jitter`](Self::jitter), so it may exceed `max` by that ratio.
    ///
    /// `build` refuses an `initial` that is zero or above `max`. No open time is above 2⁶⁴
    /// nanoseconds, 584 years.
    pub const fn exponential(initial: Duration, max: Duration) -> Self {
        Self { initial, max, jitter: 0.2 }
    }

    /// Spreads each open time evenly over ± `ratio` of itself. `ratio` is 0 to 1; 0 turns this off.
    #[must_use]
    pub const fn jitter(self, ratio: f64) -> Self {
        Self { jitter: ratio, ..self }
    }

    pub(crate) const fn up_to(self, max: Duration) -> Self {
        Self { max, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.initial.is_zero() || self.initial > self.max {
            let range = format!("above zero and at most its maximum of {:?}", self.max);
            return Err(BuildError::new("open_for", self.initial, range));
        }
        self.backoff().check("open_for")
    }

    /// Returns the open time after `earlier` trips, spread by `noise`, which is any number.
    pub(crate) fn after(&self, earlier: u32, noise: u64) -> Duration {
        self.backoff().pause(earlier.saturating_add(1), noise)
    }

    const fn backoff(&self) -> Backoff {
        Backoff::exponential(self.initial, self.max).jitter(self.jitter)
    }
}

impl Default for OpenFor {
    /// Returns 60 seconds, spread by ±20 %.
    fn default() -> Self {
        Self::fixed(Duration::from_secs(60))
    }
}
