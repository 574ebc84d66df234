//! Tokens taken in advance.

use core::fmt;

use tidegate_core::{Clock, Timer, Timestamp};

use crate::{grant::Grant, limiter::RateLimiter, token_bucket::Promise};

/// Tokens of a [`RateLimiter`] that may be used from [`ready_at`](Self::ready_at) on.
///
/// A plain claim: dropping it keeps the tokens taken, as a drop cannot tell whether they were used.
/// [`cancel`](Self::cancel) gives them back.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
///
/// let limiter = RateLimiter::new(Quota::per_second(1000)?.burst(1)?);
/// let turns = [limiter.reserve(1).unwrap(), limiter.reserve(1).unwrap()];
/// for turn in &turns {
///     turn.ready().wait();
/// }
/// assert!(turns[1].ready_at() > turns[0].ready_at());
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[must_use = "dropping it leaves the tokens taken"]
pub struct Reservation<'a, C> {
    limiter: &'a RateLimiter<C>,
    promise: Promise,
}

impl<'a, C> Reservation<'a, C> {
    pub(crate) fn new(limiter: &'a RateLimiter<C>, promise: Promise) -> Self {
        Self { limiter, promise }
    }

    /// Returns when the tokens may be used, on the limiter's clock.
    pub const fn ready_at(&self) -> Timestamp {
        self.promise.ready_at
    }

    /// Returns what was taken, and what was left.
    pub const fn grant(&self) -> Grant {
        self.promise.grant
    }

    /// The same as [`cancel`](Self::cancel) at a given time.
    pub fn cancel_at(self, now: Timestamp) -> u32 {
        let refunded = self.limiter.cell.algorithm.cancel(&self.promise, now);
        self.limiter.cell.announce();
        refunded
    }
}

impl<C: Clock> Reservation<'_, C> {
    /// Gives the tokens back, and returns how many that was.
    ///
    /// All of them, as a rule; none once [`ready_at`](Self::ready_at) has passed. Where tokens were promised for later
    /// meanwhile, those promises keep their times: what is counted is what a next reservation gains behind them. The
    /// time before them becomes free all the same, for a request that comes in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(1)?);
    /// let (first, second) = (limiter.reserve(1).unwrap(), limiter.reserve(1).unwrap());
    /// let third = limiter.reserve(1).unwrap();
    /// // The third keeps its time, so a fourth would come as late as before.
    /// assert_eq!(second.cancel(), 0);
    /// assert_eq!(third.cancel(), 1);
    /// # drop(first);
    /// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
    /// ```
    pub fn cancel(self) -> u32 {
        let now = self.limiter.clock().now();
        self.cancel_at(now)
    }
}

impl<C: Timer> Reservation<'_, C> {
    /// Waits until the tokens may be used.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing: the tokens stay taken.
    pub fn ready(&self) -> C::Sleep {
        self.limiter.clock().sleep_until(self.ready_at())
    }
}

impl<C> fmt::Debug for Reservation<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("ready_at", &self.ready_at())
            .field("grant", &self.grant())
            .finish()
    }
}
