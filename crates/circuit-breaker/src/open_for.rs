//! How long a breaker that has tripped stays open.

use core::time::Duration;

use alloc::format;

use tidegate_core::BuildError;

/// How long a breaker stays open after a trip.
///
/// Spread by ±20 % unless [`jitter`](Self::jitter) says otherwise, so that the clients of one
/// failed server do not come back all at once.
/// [`Pass::failure_open_for`](crate::Pass::failure_open_for) overrides it for one trip.
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
    /// Always `duration`, which is above zero.
    pub const fn fixed(duration: Duration) -> Self {
        Self::exponential(duration, duration)
    }

    /// `initial` at first, twice as long for each trip since the breaker was closed last, at most
    /// `max`; then spread by [`jitter`](Self::jitter), so `max` may be exceeded by as much as that.
    ///
    /// `initial` is above zero and at most `max`. No open time is above 2⁶⁴ nanoseconds, 584 years.
    pub const fn exponential(initial: Duration, max: Duration) -> Self {
        Self { initial, max, jitter: 0.2 }
    }

    /// Spreads each open time evenly over ± `ratio` of itself; 0 to 1, where 0 turns it off.
    #[must_use]
    pub const fn jitter(self, ratio: f64) -> Self {
        Self { jitter: ratio, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.initial.is_zero() || self.initial > self.max {
            let range = format!("above zero and at most its maximum of {:?}", self.max);
            return Err(BuildError::new("open_for", self.initial, range));
        }
        // NaN is in no range.
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(BuildError::new("jitter", self.jitter, "in 0..=1"));
        }
        Ok(())
    }

    /// Returns the open time after `earlier` trips, spread by `noise`.
    pub(crate) fn after(&self, earlier: u32, noise: u64) -> Duration {
        let doubled = self.initial.as_nanos().saturating_mul(2_u128.saturating_pow(earlier));
        let nanos = doubled.min(self.max.as_nanos());
        if self.jitter == 0.0 {
            return Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        // The upper 53 bits are what an f64 holds: a number from 0 to 1, without the 1.
        let unit = (noise >> 11) as f64 / (1_u64 << 53) as f64;
        let spread = 1.0 + self.jitter * (2.0 * unit - 1.0);
        Duration::from_nanos(saturating_nanos(nanos as f64 * spread))
    }
}

impl Default for OpenFor {
    /// 60 seconds, ±20 %.
    fn default() -> Self {
        Self::fixed(Duration::from_secs(60))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the cast saturates, which is what is wanted")]
fn saturating_nanos(nanos: f64) -> u64 {
    nanos as u64
}

/// Scatters `seed` over all 64 bits: the output function of `SplitMix64` (Steele, Lea, Flood: "Fast
/// splittable pseudorandom number generators", OOPSLA 2014).
pub(crate) const fn scatter(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_ratio_and_fills_it() {
        let open_for = OpenFor::fixed(Duration::from_secs(100)).jitter(0.3);
        let times = (0..1000).map(|seed| open_for.after(0, scatter(seed)).as_secs());
        let (mut low, mut high) = (u64::MAX, 0);
        for seconds in times {
            (low, high) = (low.min(seconds), high.max(seconds));
        }
        assert!((70..=72).contains(&low) && (127..=130).contains(&high), "{low} to {high}");
    }

    #[test]
    fn the_maximum_is_one_before_the_spread() {
        let open_for = OpenFor::exponential(Duration::from_secs(1), Duration::from_secs(100));
        let longest = open_for.jitter(0.3).after(u32::MAX, u64::MAX);
        assert!((129..=130).contains(&longest.as_secs()), "{longest:?}");
    }

    #[test]
    fn the_time_doubles_until_it_is_the_maximum() {
        let (initial, max) = (Duration::from_nanos(1), Duration::from_secs(1_u64 << 33));
        let open_for = OpenFor::exponential(initial, max).jitter(0.0);
        for trips in 0..63 {
            assert_eq!(open_for.after(trips, 0), Duration::from_nanos(1 << trips));
        }
        assert_eq!([63, 64, 128].map(|trips| open_for.after(trips, 0)), [max; 3]);
    }

    #[test]
    fn the_longest_times_saturate() {
        let open_for = OpenFor::exponential(Duration::from_secs(1), Duration::MAX);
        assert_eq!(open_for.jitter(0.0).after(31, 0), Duration::from_secs(1 << 31));
        for jitter in [0.0, 1.0] {
            let longest = open_for.jitter(jitter).after(u32::MAX, u64::MAX);
            assert_eq!(longest, Duration::from_nanos(u64::MAX));
        }
    }
}
