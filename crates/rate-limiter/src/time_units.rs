//! Tokens and time in integers, without drift.
//!
//! At 3 tokens a second one token comes every 333 333 333⅓ ns. If that number were rounded, the
//! error would grow with every token. So time is counted in *units* that are chosen for the quota.
//! A token costs a whole number of units. Each reading of the clock is converted in one step from
//! the origin, so that errors do not add up.
//!
//! With one token every `d/n` ns in lowest terms:
//!
//! | `n` | a token costs | a nanosecond is | error |
//! | --- | --- | --- | --- |
//! | 1 to 4 | `d` units | `n` units | none |
//! | above | `⌊4·d/n⌋` units, at least 4 | 3 to 4 units | time is late by less than one unit |
//!
//! These are fine units. Their numbers have 63 bits, as [`Gcra`](crate::gcra::Gcra) needs the top
//! bit of its word. The numbers last for at least 73 years; before they run out, the bucket moves
//! to a later origin. A bucket that stores no origin has coarse units: a nanosecond is at most one
//! unit, so 64 bits last as long as a [`Timestamp`](tidegate_core::Timestamp).

/// Fractional bits of `speed`.
const FRACTION: u32 = 60;

/// The most fine units in a nanosecond.
pub(crate) const FINE: u64 = 4;

/// The most coarse units in a nanosecond.
pub(crate) const COARSE: u64 = 1;

/// Converts tokens and nanoseconds to units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct TimeUnits {
    /// The units that a token costs.
    pub(crate) cost: u64,
    /// The units in a nanosecond, at most [`FINE`], times 2^[`FRACTION`].
    pub(crate) speed: u64,
}

impl TimeUnits {
    /// Units of one nanosecond, for limits that are not tokens per time.
    pub(crate) const NANOS: Self = Self { cost: 1, speed: 1 << FRACTION };

    /// The end of time, in fine units.
    pub(crate) const END: u64 = u64::MAX >> 1;

    /// The longest period and the longest refill of a bucket: 2^60 ns, 36 years.
    pub(crate) const LONGEST: u64 = 1 << 60;

    /// Creates the units for `tokens` tokens in `period` nanoseconds, with at most `finest` units
    /// in a nanosecond.
    ///
    /// Both `tokens` and `period` are at least 1, `tokens` is at most `period`, and `period` is at
    /// most [`LONGEST`](Self::LONGEST).
    #[allow(
        clippy::cast_possible_truncation,
        reason = "4·LONGEST is 2^62, and no product below exceeds it"
    )]
    pub(crate) const fn new(tokens: u64, period: u64, finest: u64) -> Self {
        let divisor = greatest_common_divisor(tokens, period);
        let (tokens, period) = (tokens / divisor, period / divisor);
        if tokens <= finest {
            return Self { cost: period, speed: tokens << FRACTION };
        }
        let cost = (finest as u128 * period as u128 / tokens as u128) as u64;
        // Rounded down: the limiter's time never runs faster than the clock's.
        let speed = ((cost as u128 * tokens as u128) << FRACTION) / period as u128;
        Self { cost, speed: speed as u64 }
    }

    /// Returns the units that have passed `nanos` nanoseconds after the origin, or the largest
    /// number.
    #[inline]
    pub(crate) fn units(self, nanos: u64) -> u64 {
        // Most quotas are one token in a whole number of nanoseconds.
        if self.speed == Self::NANOS.speed {
            return nanos;
        }
        self.scaled_units(nanos)
    }

    /// Not inlined, so that `units` has a predictable branch and no conditional move.
    #[inline(never)]
    fn scaled_units(self, nanos: u64) -> u64 {
        let units = (u128::from(nanos) * u128::from(self.speed)) >> FRACTION;
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// Returns the first nanosecond at which `units` have passed, or the last nanosecond.
    #[inline]
    pub(crate) fn nanos(self, units: u64) -> u64 {
        if self.speed == Self::NANOS.speed {
            return units;
        }
        self.scaled_nanos(units)
    }

    /// Inlined, so that a caller that ignores `retry_after` does not pay for computing it.
    #[inline]
    fn scaled_nanos(self, units: u64) -> u64 {
        let nanos = (u128::from(units) << FRACTION).div_ceil(u128::from(self.speed));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

const fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{COARSE, FINE, TimeUnits};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rate_with_few_thirds_is_exact() {
        for (tokens, cost) in [(1, SECOND), (3, SECOND), (1000, 1_000_000), (60, 50_000_000)] {
            let time_units = TimeUnits::new(tokens, SECOND, FINE);
            assert_eq!(time_units.cost, cost);
            assert_eq!(time_units.units(1000 * SECOND), 1000 * tokens * cost);
            assert_eq!(time_units.nanos(1000 * tokens * cost), 1000 * SECOND);
        }
    }

    proptest! {
        #[test]
        fn a_nanosecond_is_one_to_four_units(
            period in 1..=TimeUnits::LONGEST,
            tokens in 1..=SECOND,
        ) {
            let one = TimeUnits::NANOS.speed;
            let fine = TimeUnits::new(tokens.min(period), period, FINE);
            prop_assert!((one..=FINE * one).contains(&fine.speed));
            let coarse = TimeUnits::new(tokens.min(period), period, COARSE);
            prop_assert!((one / 2..=one).contains(&coarse.speed));
            prop_assert!(fine.cost >= 1 && coarse.cost >= 1);
            prop_assert!(coarse.units(u64::MAX) >= u64::MAX / 2);
        }

        #[test]
        fn limiter_time_is_behind_by_less_than_a_unit_for_36_years(
            period in prop_oneof![1..=SECOND, 1..=TimeUnits::LONGEST],
            tokens in 1..=SECOND,
            nanos in 0..=TimeUnits::LONGEST,
        ) {
            let tokens = tokens.min(period);
            let time_units = TimeUnits::new(tokens, period, FINE);
            let units = u128::from(time_units.units(nanos));
            // tokens earned = nanos·tokens/period = units/cost, with nothing rounded on the left.
            let exact = u128::from(nanos) * u128::from(tokens) * u128::from(time_units.cost);
            prop_assert!(units * u128::from(period) <= exact);
            prop_assert!((units + 2) * u128::from(period) > exact);
        }

        #[test]
        fn nanos_is_the_first_moment_of_its_unit(
            period in 1..=TimeUnits::LONGEST,
            tokens in 1..=SECOND,
            units in 1..=1u64 << 62,
        ) {
            let time_units = TimeUnits::new(tokens.min(period), period, FINE);
            let nanos = time_units.nanos(units);
            prop_assert!(time_units.units(nanos) >= units);
            prop_assert!(time_units.units(nanos - 1) < units);
        }
    }
}
