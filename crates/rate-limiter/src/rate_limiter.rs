//! The limiter with a token bucket: constructors, and changes of its quota.

use tidegate_core::{Clock, SystemClock, Timestamp, const_fn};

use crate::{
    inherit::Inherit,
    limiter::Limiter,
    quota::Quota,
    state::{LimiterState, Shared},
    token_bucket::TokenBucket,
};

/// A token bucket: a steady rate, and a burst after an idle time.
///
/// Every interval of length `t` sees at most `rate·t + burst` tokens. After an idle time of
/// `burst/rate` exactly one burst is available. The rate is exact: in the long run the limiter
/// grants not one token more or less.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let quota = Quota::per_second(3).burst(2);
/// let limiter = RateLimiter::with_clock(quota, clock.clone());
/// assert_eq!(limiter.try_acquire(1).unwrap().remaining(), 1);
/// assert_eq!(limiter.try_acquire(1).unwrap().remaining(), 0);
/// let refused = limiter.try_acquire(1).unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_nanos(333_333_334)));
/// clock.advance(Duration::from_secs(1));
/// assert!(limiter.try_acquire(2).is_ok());
/// ```
pub type RateLimiter<C = SystemClock> = Limiter<TokenBucket, C>;

impl RateLimiter {
    const_fn! {
        /// Creates a limiter with a full bucket that reads the system's clock. Does not allocate.
        pub fn new(quota: Quota) -> Self {
            Self::with_clock(quota, SystemClock)
        }
    }
}

impl<C> RateLimiter<C> {
    const_fn! {
        /// Creates a limiter with a full bucket that reads `clock`.
        pub fn with_clock(quota: Quota, clock: C) -> Self {
            let state = LimiterState::new(TokenBucket::new(quota));
            Self { shared: Shared::new((), clock), state }
        }
    }

    /// Returns the quota.
    pub fn quota(&self) -> Quota {
        self.state.algorithm.quota()
    }

    /// Does the same as [`set_quota`](Self::set_quota) at a given time.
    pub fn set_quota_at(&self, quota: Quota, inherit: Inherit, now: Timestamp) {
        self.state.algorithm.set_quota(quota, inherit, now);
        self.state.notify_change();
    }
}

impl<C: Clock> RateLimiter<C> {
    /// Changes the quota while the limiter is used. `inherit` says what becomes of available tokens
    /// and of debts.
    ///
    /// No request is counted half by the old quota and half by the new one. Waiters keep their
    /// order. The head of the queue checks again at once. A waiter that requests more than the new
    /// burst is refused with [`Refused::TooMany`](crate::Refused::TooMany) when its turn comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Inherit, Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// assert!(limiter.try_acquire(10).is_ok());
    /// limiter.set_quota(Quota::per_hour(15), Inherit::Additive);
    /// assert!(limiter.try_acquire(5).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// ```
    pub fn set_quota(&self, quota: Quota, inherit: Inherit) {
        self.set_quota_at(quota, inherit, self.shared.clock.now());
    }
}
