//! What a new quota inherits from the old one.

use tidegate_core::Timestamp;

use crate::bucket_math::BucketMath;

/// What becomes of available tokens, or of a debt, when a limiter's quota changes.
///
/// With every strategy, at most the new burst is available afterwards, a running penalty ends when
/// it would have ended, and reservations keep their times.
///
/// The keys of a [`KeyedLimiter`](crate::KeyedLimiter) follow other rules: see its
/// [`set_quota`](crate::KeyedLimiter::set_quota).
///
/// Source: the strategies are those of bucket4j's `TokensInheritanceStrategy`.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Inherit, ManualClock, Quota, RateLimiter};
///
/// let (small, large) = (Quota::per_second(10), Quota::per_second(40));
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
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Inherit {
    /// Keeps the number of available tokens, or the debt.
    AsIs,
    /// Keeps the part of the bucket that is full: half full stays half full.
    Proportional,
    /// Keeps the available tokens and adds those by which the burst has grown.
    Additive,
    /// Fills the bucket, and cancels a debt.
    Reset,
}

/// The quota before a change, and the end of the latest penalty.
#[derive(Debug)]
pub(crate) struct OldQuota {
    pub(crate) math: BucketMath,
    pub(crate) blocked_until: Timestamp,
}

impl OldQuota {
    /// Converts the number of a bucket at `now` to the `new` quota.
    pub(crate) fn convert(
        &self,
        full_at: u64,
        new: &BucketMath,
        inherit: Inherit,
        now: Timestamp,
    ) -> u64 {
        let old = &self.math;
        if full_at == old.end {
            return new.end;
        }
        // All numbers have at most 64 bits, so no product below overflows.
        let tokens = |units: i128| {
            (units * i128::from(new.time_units.cost)).div_euclid(old.time_units.cost.into())
        };
        let converted = if self.blocked_until > now {
            // The units of the tokens taken in addition to the penalty.
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
        u64::try_from(converted).unwrap_or(new.end).min(new.end)
    }
}
