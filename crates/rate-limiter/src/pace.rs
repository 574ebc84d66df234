//! Tokens and time in integers, without drift.
//!
//! At 3 tokens a second one token comes every 333 333 333⅓ ns. Rounding that number would make the limiter wrong a little
//! with every token. So a pace counts time in *units* that are chosen for the quota: a token costs a whole number of
//! them, and the clock is converted instead, each reading anew, so that an error cannot add up.
//!
//! With one token every `d/n` ns in lowest terms:
//!
//! | `n` | a token costs | a nanosecond is | error |
//! | --- | --- | --- | --- |
//! | 1 to 4 | `d` units | `n` units | none |
//! | above | `⌊4·d/n⌋` units, at least 4 | more than 3, at most 4 units | time is rounded down by less than one unit |
//!
//! That is the fine pace, whose numbers have 63 bits: they reach 73 years at least, and then begin to count from a later origin.
//! (The top bit of a word is left to [`Gcra`](crate::gcra::Gcra).) A bucket without a place for an origin has a coarse pace,
//! by which a nanosecond is at most one unit, so that 64 bits reach as far as a [`Timestamp`](tidegate_core::Timestamp)
//! does.

/// Fractional bits of `speed`.
const FRACTION: u32 = 60;

/// Units per nanosecond, at most, of a fine pace.
pub(crate) const FINE: u64 = 4;

/// Units per nanosecond, at most, of a coarse pace.
pub(crate) const COARSE: u64 = 1;

/// How tokens and nanoseconds convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pace {
    /// Units a token costs.
    pub(crate) cost: u64,
    /// Units a nanosecond is worth, times 2^[`FRACTION`]. At most [`FINE`] units.
    pub(crate) speed: u64,
}

impl Pace {
    /// A unit is a nanosecond; for what does not count in tokens per time.
    pub(crate) const NANOS: Self = Self { cost: 1, speed: 1 << FRACTION };

    /// The end of time, in units of a fine pace.
    pub(crate) const END: u64 = u64::MAX >> 1;

    /// The longest period and the longest refill of a bucket: 2^60 ns, 36 years.
    pub(crate) const LONGEST: u64 = 1 << 60;

    /// Creates the pace of `tokens` tokens in `period` nanoseconds, of which one is at most `finest` units.
    ///
    /// Both are at least 1, `tokens` is not above `period`, and `period` is not above [`LONGEST`](Self::LONGEST).
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

    /// Returns the units that have passed at `nanos` nanoseconds after the origin; stands still where there are no more numbers.
    #[inline]
    pub(crate) fn units(self, nanos: u64) -> u64 {
        // One token in a whole number of nanoseconds, which most quotas are.
        if self.speed == Self::NANOS.speed {
            return nanos;
        }
        self.scaled_units(nanos)
    }

    /// Apart, so that `units` is a branch, foreseen as a rule, and no choice that the rest has to wait for.
    #[inline(never)]
    fn scaled_units(self, nanos: u64) -> u64 {
        let units = (u128::from(nanos) * u128::from(self.speed)) >> FRACTION;
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// Returns the first nanosecond at which `units` have passed; the last one if there is none.
    #[inline]
    pub(crate) fn nanos(self, units: u64) -> u64 {
        if self.speed == Self::NANOS.speed {
            return units;
        }
        self.scaled_nanos(units)
    }

    /// Inlined: whoever does not ask after how long to try again has nothing worked out.
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

    use super::{COARSE, FINE, Pace};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rate_with_few_thirds_is_exact() {
        for (tokens, cost) in [(1, SECOND), (3, SECOND), (1000, 1_000_000), (60, 50_000_000)] {
            let pace = Pace::new(tokens, SECOND, FINE);
            assert_eq!(pace.cost, cost);
            assert_eq!(pace.units(1000 * SECOND), 1000 * tokens * cost);
            assert_eq!(pace.nanos(1000 * tokens * cost), 1000 * SECOND);
        }
    }

    proptest! {
        #[test]
        fn a_nanosecond_is_one_to_four_units(period in 1..=Pace::LONGEST, tokens in 1..=SECOND) {
            let one = Pace::NANOS.speed;
            let fine = Pace::new(tokens.min(period), period, FINE);
            prop_assert!((one..=FINE * one).contains(&fine.speed));
            let coarse = Pace::new(tokens.min(period), period, COARSE);
            prop_assert!((one / 2..=one).contains(&coarse.speed));
            prop_assert!(fine.cost >= 1 && coarse.cost >= 1);
            prop_assert!(coarse.units(u64::MAX) >= u64::MAX / 2);
        }

        #[test]
        fn limiter_time_is_behind_by_less_than_a_unit_for_36_years(
            period in prop_oneof![1..=SECOND, 1..=Pace::LONGEST],
            tokens in 1..=SECOND,
            nanos in 0..=Pace::LONGEST,
        ) {
            let tokens = tokens.min(period);
            let pace = Pace::new(tokens, period, FINE);
            let units = u128::from(pace.units(nanos));
            // tokens earned = nanos·tokens/period = units/cost, with nothing rounded on the left.
            let exact = u128::from(nanos) * u128::from(tokens) * u128::from(pace.cost);
            prop_assert!(units * u128::from(period) <= exact);
            prop_assert!((units + 2) * u128::from(period) > exact);
        }

        #[test]
        fn nanos_is_the_first_moment_of_its_unit(
            period in 1..=Pace::LONGEST,
            tokens in 1..=SECOND,
            units in 1..=1u64 << 62,
        ) {
            let pace = Pace::new(tokens.min(period), period, FINE);
            let nanos = pace.nanos(units);
            prop_assert!(pace.units(nanos) >= units);
            prop_assert!(pace.units(nanos - 1) < units);
        }
    }
}
