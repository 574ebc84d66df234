//! What a new quota takes over from the old one.

use tidegate_core::Timestamp;

use crate::{pace::Pace, terms::Terms};

/// What becomes of the tokens that are there, or owed, when a limiter's quota changes.
///
/// Whatever is chosen, no more than the new burst is there afterwards; a penalty that runs ends when it would have ended;
/// and what was reserved stays reserved for the same time.
///
/// Source: the strategies are those of bucket4j's `TokensInheritanceStrategy`.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Inherit, ManualClock, Quota, RateLimiter};
///
/// let (small, large) = (Quota::per_second(10)?, Quota::per_second(40)?);
/// for (inherit, left) in [
///     (Inherit::AsIs, 4),
///     (Inherit::Proportional, 16),
///     (Inherit::Additive, 34),
///     (Inherit::Reset, 40),
/// ] {
///     let limiter = RateLimiter::with_clock(small, ManualClock::new());
///     limiter.try_acquire(6).unwrap();
///     limiter.set_quota(large, inherit);
///     assert_eq!(limiter.try_acquire(0).unwrap().remaining(), left);
/// }
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Inherit {
    /// As many tokens are there, or owed, as before.
    AsIs,
    /// The bucket is as full as before: half full stays half full.
    Proportional,
    /// As many tokens are there as before, and those by which the burst has grown.
    Additive,
    /// The bucket is full, and no debt is left.
    Reset,
}

/// A bucket's life until now.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) terms: Terms,
    pub(crate) blocked_until: Timestamp,
}

impl Past {
    /// Returns, in the units of the `new` quota, when a bucket will be full that until `now` would have been at `full_at`.
    pub(crate) fn convert(
        &self,
        full_at: u64,
        new: &Terms,
        inherit: Inherit,
        now: Timestamp,
    ) -> u64 {
        if full_at == Pace::END {
            return full_at;
        }
        let old = &self.terms;
        // All numbers have at most 64 bits, so no product below overflows.
        let tokens =
            |units: i128| (units * i128::from(new.pace.cost)).div_euclid(old.pace.cost.into());
        let converted = if self.blocked_until > now {
            // What was spent beyond what the penalty took.
            let spent = full_at.saturating_sub(old.blocked_until(self.blocked_until));
            let spent = if inherit == Inherit::Reset { 0 } else { -tokens(-i128::from(spent)) };
            i128::from(new.blocked_until(self.blocked_until)) + spent
        } else {
            let present = old.present(now);
            let left = i128::from(old.depth) - i128::from(full_at.saturating_sub(present));
            let left = match inherit {
                Inherit::AsIs => tokens(left),
                Inherit::Proportional => {
                    (left * i128::from(new.depth)).div_euclid(old.depth.into())
                }
                Inherit::Additive => {
                    tokens(left) + i128::from(new.price(new.burst.saturating_sub(old.burst)))
                }
                Inherit::Reset => new.depth.into(),
            };
            i128::from(new.present(now)) + i128::from(new.depth) - left.min(new.depth.into())
        };
        u64::try_from(converted).unwrap_or(Pace::END).min(Pace::END)
    }
}
