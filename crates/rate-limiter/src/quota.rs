//! A rate and a burst.

use core::{fmt, num::NonZeroU32, time::Duration};

use alloc::format;

use tidegate_core::BuildError;

use crate::{
    bucket_math::BucketMath,
    time_units::{self, TimeUnits},
};

/// A rate, in tokens per period, and a burst: how many tokens may be taken at once.
///
/// The rate is exact: 7 tokens a second stay 7 tokens a second for years, and do not become 7
/// tokens per 999 999 994 ns.
///
/// The burst is the depth of the token bucket. It is the number of tokens per period unless
/// [`burst`](Self::burst) changes it: `per_minute(60)` allows 60 tokens at once, and then one a
/// second. `every(d)` has a burst of 1.
///
/// Every constructor is `const`, and panics if a number is out of its range: in a constant that is
/// a compile error. For numbers that are known at run time, [`try_per`](Self::try_per),
/// [`try_every`](Self::try_every) and [`try_burst`](Self::try_burst) return an error instead.
///
/// Zero tokens, a period of zero, and more than 10⁹ tokens a second are out of range. Periods above
/// 2⁶⁰ ns (36 years) are shortened to that.
///
/// # As text
///
/// For a file of settings, a quota is read from and written as text: tokens per period, and the
/// burst unless it is the number of tokens.
///
/// | text | quota |
/// | --- | --- |
/// | `100/s burst 20` | `Quota::per_second(100).burst(20)` |
/// | `5/min` | `Quota::per_minute(5)` |
/// | `1/250ms` | `Quota::every(Duration::from_millis(250))` |
///
/// The period is `s`, `min`, `h`, `d` (24 hours) or a [`DurationText`]. One space stands before and
/// one behind `burst`, and none elsewhere. A text that is not of this form, or a number out of its
/// range, is a [`ParseError`](crate::ParseError), which names the text, the place and what is
/// allowed. A quota that is written as text and read back is equal to the first one.
///
/// [`DurationText`]: tidegate_core::DurationText
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::Quota;
///
/// const API: Quota = Quota::per_minute(600).burst(20);
/// assert_eq!((API.tokens(), API.period()), (600, Duration::from_secs(60)));
/// assert_eq!(API.to_string(), "600/min burst 20");
/// assert_eq!("600/min burst 20".parse(), Ok(API));
///
/// let gentle = Quota::every(Duration::from_millis(250)).burst(2);
/// assert_eq!(gentle, Quota::per(1, Duration::from_millis(250)).burst(2));
///
/// let error = Quota::try_per(0, Duration::from_secs(1)).unwrap_err();
/// let message = "tokens is 0, but must be in 1..=1000000000 per 1s";
/// assert_eq!(error.to_string(), message);
/// let error = "0/s".parse::<Quota>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"cannot read "0/s" at byte 0: expected tokens in 1..=1000000000 per 1s"#,
/// );
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    tokens: NonZeroU32,
    /// Nanoseconds, within `1..=TimeUnits::LONGEST`.
    period: u64,
    burst: NonZeroU32,
    /// The coarse units. `depth` is the cost of the burst in them.
    time_units: TimeUnits,
    depth: u64,
}

impl Quota {
    /// Allows `tokens` tokens per second, which must be within `1..=10⁹`.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` is out of that range.
    #[track_caller]
    pub const fn per_second(tokens: u32) -> Self {
        Self::per(tokens, Duration::from_secs(1))
    }

    /// Allows `tokens` tokens per minute, which must be at least 1.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` is zero.
    #[track_caller]
    pub const fn per_minute(tokens: u32) -> Self {
        Self::per(tokens, Duration::from_secs(60))
    }

    /// Allows `tokens` tokens per hour, which must be at least 1.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` is zero.
    #[track_caller]
    pub const fn per_hour(tokens: u32) -> Self {
        Self::per(tokens, Duration::from_secs(3600))
    }

    /// Allows one token per `interval`, which must be at least 1 ns, with a burst of 1.
    ///
    /// # Panics
    ///
    /// Panics if `interval` is zero.
    #[track_caller]
    pub const fn every(interval: Duration) -> Self {
        Self::expect(Self::try_every(interval))
    }

    /// Allows `tokens` tokens per `period`: at least 1, and no more than the period has
    /// nanoseconds.
    ///
    /// # Panics
    ///
    /// Panics if `tokens` is out of that range, or `period` is zero.
    #[track_caller]
    pub const fn per(tokens: u32, period: Duration) -> Self {
        Self::expect(Self::try_per(tokens, period))
    }

    /// Does what [`every`](Self::every) does, for an interval that is known at run time.
    ///
    /// # Errors
    ///
    /// [`QuotaError`] if `interval` is zero.
    pub const fn try_every(interval: Duration) -> Result<Self, QuotaError> {
        Self::named(["tokens", "interval"], 1, 0, interval)
    }

    /// Does what [`per`](Self::per) does, for numbers that are known at run time.
    ///
    /// # Errors
    ///
    /// [`QuotaError`] if `tokens` is out of its range, or `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::Quota;
    ///
    /// let per_second = |tokens| Quota::try_per(tokens, Duration::from_secs(1));
    /// assert_eq!(per_second(7), Ok(Quota::per_second(7)));
    /// assert!(per_second(0).is_err());
    /// ```
    pub const fn try_per(tokens: u32, period: Duration) -> Result<Self, QuotaError> {
        Self::named(["tokens", "period"], tokens, 0, period)
    }

    /// Does what [`try_per`](Self::try_per) does, for `value - spared` tokens. `names` are the
    /// caller's names of `value` and `period`, for the error.
    pub(crate) const fn named(
        names: [&'static str; 2],
        value: u32,
        spared: u32,
        period: Duration,
    ) -> Result<Self, QuotaError> {
        let (tokens, nanos) = (value.saturating_sub(spared), saturating_nanos(period));
        if nanos == 0 {
            return Err(QuotaError::Zero { setting: names[1] });
        }
        if spared == u32::MAX {
            return Err(QuotaError::Burst { burst: spared, max: u32::MAX - 1 });
        }
        match NonZeroU32::new(tokens) {
            Some(count) if tokens as u64 <= nanos => {
                let time_units = TimeUnits::new(tokens as u64, nanos, time_units::COARSE);
                let depth = time_units.cost * tokens as u64;
                Ok(Self { tokens: count, period: nanos, burst: count, time_units, depth })
            }
            _ => {
                let min = spared.saturating_add(1);
                Err(QuotaError::Rate { setting: names[0], value, min, period })
            }
        }
    }

    /// Changes the number of tokens that may be taken at once after an idle time.
    ///
    /// The burst also makes up for lateness. With a burst of 1, a caller that takes its token late,
    /// in a busy thread or with a coarse timer, stays below the rate; with 2 or more it catches up.
    ///
    /// # Panics
    ///
    /// Panics if `burst` is zero, or so large that an empty bucket would take more than 2⁶⁰ ns (36
    /// years) to fill.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::Quota;
    ///
    /// const QUOTA: Quota = Quota::per_second(10).burst(3);
    /// assert_eq!(QUOTA.max_burst(), 3);
    /// ```
    #[track_caller]
    pub const fn burst(self, burst: u32) -> Self {
        Self::expect(self.try_burst(burst))
    }

    /// Does what [`burst`](Self::burst) does, for a number that is known at run time.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Burst`] if `burst` is out of its range.
    pub const fn try_burst(self, burst: u32) -> Result<Self, QuotaError> {
        let max = TimeUnits::LONGEST as u128 * self.tokens.get() as u128 / self.period as u128;
        #[allow(clippy::cast_possible_truncation, reason = "compared before")]
        let max = if max > u32::MAX as u128 { u32::MAX } else { max as u32 };
        match NonZeroU32::new(burst) {
            Some(count) if burst <= max => {
                Ok(Self { burst: count, depth: self.time_units.cost * burst as u64, ..self })
            }
            _ => Err(QuotaError::Burst { burst, max }),
        }
    }

    /// Returns the quota of a result, for constants and statics.
    ///
    /// # Panics
    ///
    /// Panics on an error; in a constant that is a compile error.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{Quota, presets};
    ///
    /// const QUOTA: Quota =
    ///     Quota::expect(presets::within(60, Duration::from_secs(60), 10));
    /// assert_eq!((QUOTA.tokens(), QUOTA.max_burst()), (50, 10));
    /// ```
    #[track_caller]
    pub const fn expect(result: Result<Self, QuotaError>) -> Self {
        match result {
            Ok(quota) => quota,
            Err(QuotaError::Zero { .. }) => panic!("the period of a quota is zero"),
            Err(QuotaError::Rate { .. }) => panic!("the rate of a quota is zero or above 10^9/s"),
            Err(QuotaError::Burst { .. }) => panic!("the burst of a quota is zero or too large"),
        }
    }

    /// Returns the quota of these parts, which are those of another quota.
    pub(crate) const fn of_parts(
        tokens: NonZeroU32,
        period: u64,
        burst: NonZeroU32,
        time_units: TimeUnits,
        depth: u64,
    ) -> Self {
        Self { tokens, period, burst, time_units, depth }
    }

    pub(crate) const fn period_nanos(&self) -> u64 {
        self.period
    }

    /// Returns this quota in coarse units, for a bucket that stores no origin.
    #[inline]
    pub(crate) const fn math(&self) -> BucketMath {
        BucketMath::new(self.time_units, self.depth, self.burst.get(), u64::MAX)
    }

    /// Returns this quota in fine units.
    pub(crate) const fn fine_math(&self) -> BucketMath {
        let time_units = TimeUnits::new(self.tokens.get() as u64, self.period, time_units::FINE);
        // At most four times 36 years, as `burst` checks.
        let depth = time_units.cost * self.burst.get() as u64;
        BucketMath::new(time_units, depth, self.burst.get(), TimeUnits::END)
    }

    /// Returns the number of tokens per [`period`](Self::period).
    pub const fn tokens(&self) -> u32 {
        self.tokens.get()
    }

    /// Returns the period in which [`tokens`](Self::tokens) come.
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// Returns the number of tokens that may be taken at once.
    pub const fn max_burst(&self) -> u32 {
        self.burst.get()
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota")
            .field("tokens", &self.tokens)
            .field("period", &self.period())
            .field("burst", &self.burst)
            .finish()
    }
}

/// Returns the nanoseconds of a duration, at most [`TimeUnits::LONGEST`].
#[allow(clippy::cast_possible_truncation, reason = "compared before")]
pub(crate) const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > TimeUnits::LONGEST as u128 { TimeUnits::LONGEST } else { nanos as u64 }
}

/// A setting of a quota is out of its range.
///
/// The error names the setting as the constructor does. It is `Copy` and does not allocate, as
/// constructors of quotas are `const`. It converts into a [`BuildError`], for functions that build
/// several objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuotaError {
    /// The rate is zero or above 10⁹ tokens a second.
    Rate {
        /// The name of the number of tokens.
        setting: &'static str,
        /// The given number of tokens.
        value: u32,
        /// The smallest number of tokens that is allowed.
        min: u32,
        /// The given period.
        period: Duration,
    },
    /// A period, a window or its limit is zero.
    Zero {
        /// The name of the setting that is zero.
        setting: &'static str,
    },
    /// The burst is zero, or too large to be refilled in 36 years.
    Burst {
        /// The given burst.
        burst: u32,
        /// The largest burst at this rate.
        max: u32,
    },
}

impl From<QuotaError> for BuildError {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Rate { setting, value, min, period } => {
                let max = u64::from(min.saturating_sub(1)).saturating_add(saturating_nanos(period));
                let max = max.min(u32::MAX.into());
                Self::new(setting, value, format!("in {min}..={max} per {period:?}"))
            }
            QuotaError::Zero { setting } => Self::new(setting, 0, "above 0"),
            QuotaError::Burst { burst, max } => Self::new("burst", burst, format!("in 1..={max}")),
        }
    }
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BuildError::from(*self).fmt(f)
    }
}

impl core::error::Error for QuotaError {}
