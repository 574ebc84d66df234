//! How much may pass.

use core::{fmt, num::NonZeroU32, time::Duration};

use crate::{
    pace::{self, Pace},
    terms::Terms,
};

/// Tokens per second, at most.
const MAX_RATE: u64 = 1_000_000_000;

/// A rate and a burst: so many tokens per period, of which so many may be taken at once.
///
/// A value: two equal quotas behave alike. The rate is exact: 7 tokens a second stay 7 tokens a second for years, not 7
/// tokens per 999 999 994 ns or so.
///
/// The burst is the depth of the token bucket. Unless [`burst`](Self::burst) changes it, it is the number of tokens in
/// the period: `per_minute(60)` allows a minute's worth of tokens at once, then one a second. `every(d)` has a burst of 1.
///
/// Every constructor is `const`. [`Quota::expect`] turns its result into a constant.
///
/// # Errors
///
/// What every constructor refuses, see [`QuotaError`]: zero tokens, a period of zero, more than 10⁹ tokens a second.
/// Periods above 2⁶⁰ ns (36 years) are shortened to that.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::Quota;
///
/// const API: Quota = Quota::expect(Quota::per_minute(600));
/// assert_eq!((API.tokens(), API.period(), API.max_burst()), (600, Duration::from_secs(60), 600));
///
/// let gentle = Quota::every(Duration::from_millis(250))?.burst(2)?;
/// assert_eq!(gentle, Quota::per(1, Duration::from_millis(250))?.burst(2)?);
/// assert_eq!(Quota::per_second(0).unwrap_err().to_string(), "0 tokens are not within 1..=1000000000 a second");
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    tokens: NonZeroU32,
    /// Nanoseconds, within `1..=Pace::LONGEST`.
    period: u64,
    burst: NonZeroU32,
    /// What a token costs a bucket that is a mere number, and what all of the burst do.
    pace: Pace,
    depth: u64,
}

impl Quota {
    /// Allows `tokens` per second, within `1..=10⁹`.
    ///
    /// # Errors
    ///
    /// [`QuotaError`].
    pub const fn per_second(tokens: u32) -> Result<Self, QuotaError> {
        Self::per(tokens, Duration::from_secs(1))
    }

    /// Allows `tokens` per minute, at least 1.
    ///
    /// # Errors
    ///
    /// [`QuotaError`].
    pub const fn per_minute(tokens: u32) -> Result<Self, QuotaError> {
        Self::per(tokens, Duration::from_secs(60))
    }

    /// Allows `tokens` per hour, at least 1.
    ///
    /// # Errors
    ///
    /// [`QuotaError`].
    pub const fn per_hour(tokens: u32) -> Result<Self, QuotaError> {
        Self::per(tokens, Duration::from_secs(3600))
    }

    /// Allows one token per `interval`, at least 1 ns, and no burst.
    ///
    /// # Errors
    ///
    /// [`QuotaError`].
    pub const fn every(interval: Duration) -> Result<Self, QuotaError> {
        Self::per(1, interval)
    }

    /// Allows `tokens` per `period`: at least 1, and no more than the period has nanoseconds.
    ///
    /// # Errors
    ///
    /// [`QuotaError`].
    pub const fn per(tokens: u32, period: Duration) -> Result<Self, QuotaError> {
        let nanos = saturating_nanos(period);
        if nanos == 0 {
            return Err(QuotaError::ZeroPeriod);
        }
        let Some(count) = NonZeroU32::new(tokens) else {
            return Err(QuotaError::Rate { tokens, period });
        };
        if tokens as u64 > nanos {
            return Err(QuotaError::Rate { tokens, period });
        }
        let pace = Pace::new(tokens as u64, nanos, pace::COARSE);
        let depth = pace.cost * tokens as u64;
        Ok(Self { tokens: count, period: nanos, burst: count, pace, depth })
    }

    /// Changes the number of tokens that may be taken at once after a time of rest.
    ///
    /// The burst is also what makes up for lateness. With a burst of 1 the time by which a token is taken late, by a busy
    /// thread or a coarse timer, is lost, and the caller stays below the rate; with 2 or more it catches up.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Burst`] if `burst` is zero, or so large that an empty bucket would take more than 2⁶⁰ ns (36 years)
    /// to fill.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::Quota;
    ///
    /// let quota = Quota::per_second(10)?.burst(3)?;
    /// assert_eq!(quota.max_burst(), 3);
    /// assert!(quota.burst(0).is_err());
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub const fn burst(self, burst: u32) -> Result<Self, QuotaError> {
        let max = Pace::LONGEST as u128 * self.tokens.get() as u128 / self.period as u128;
        #[allow(clippy::cast_possible_truncation, reason = "compared before")]
        let max = if max > u32::MAX as u128 { u32::MAX } else { max as u32 };
        match NonZeroU32::new(burst) {
            Some(count) if burst <= max => {
                Ok(Self { burst: count, depth: self.pace.cost * burst as u64, ..self })
            }
            _ => Err(QuotaError::Burst { burst, max }),
        }
    }

    /// Returns the quota of a constructor's result, for constants and statics.
    ///
    /// # Panics
    ///
    /// Panics on an error; in a constant that is a compile error.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::Quota;
    ///
    /// const QUOTA: Quota = Quota::expect(Quota::per_second(5));
    /// assert_eq!(QUOTA.tokens(), 5);
    /// ```
    #[track_caller]
    pub const fn expect(result: Result<Self, QuotaError>) -> Self {
        match result {
            Ok(quota) => quota,
            Err(QuotaError::ZeroPeriod) => panic!("the period of a quota is zero"),
            Err(QuotaError::Rate { .. }) => panic!("the rate of a quota is zero or above 10^9/s"),
            Err(QuotaError::Burst { .. }) => panic!("the burst of a quota is zero or too large"),
        }
    }

    /// Returns the terms of a bucket that is a mere number.
    #[inline]
    pub(crate) const fn terms(&self) -> Terms {
        Terms::new(self.pace, self.depth, self.burst.get(), u64::MAX)
    }

    /// Returns the terms of a bucket that keeps an origin, too.
    pub(crate) const fn fine_terms(&self) -> Terms {
        let pace = Pace::new(self.tokens.get() as u64, self.period, pace::FINE);
        // At most four times 36 years: `burst` has seen to it.
        let depth = pace.cost * self.burst.get() as u64;
        Terms::new(pace, depth, self.burst.get(), Pace::END)
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

/// Returns the nanoseconds of a duration, at most [`Pace::LONGEST`].
#[allow(clippy::cast_possible_truncation, reason = "compared before")]
pub(crate) const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > Pace::LONGEST as u128 { Pace::LONGEST } else { nanos as u64 }
}

/// A quota that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuotaError {
    /// The rate is zero or above 10⁹ tokens a second.
    Rate {
        /// The tokens asked for.
        tokens: u32,
        /// The period asked for.
        period: Duration,
    },
    /// The period is zero.
    ZeroPeriod,
    /// The burst is zero, or too large to be refilled in 36 years.
    Burst {
        /// The burst asked for.
        burst: u32,
        /// The largest burst at this rate.
        max: u32,
    },
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Rate { tokens, period } if period == Duration::from_secs(1) => {
                write!(f, "{tokens} tokens are not within 1..={MAX_RATE} a second")
            }
            Self::Rate { tokens, period } => {
                let max = u64::from(u32::MAX).min(saturating_nanos(period));
                write!(f, "{tokens} tokens are not within 1..={max} per {period:?}")
            }
            Self::ZeroPeriod => f.write_str("a period of 0ns is not within 1ns..=36 years"),
            Self::Burst { burst, max } => {
                write!(f, "a burst of {burst} tokens is not within 1..={max}")
            }
        }
    }
}

impl core::error::Error for QuotaError {}
