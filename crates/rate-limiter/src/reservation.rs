//! Tokens taken in advance.

use core::fmt;

use tidegate_core::{Clock, Timer, Timestamp};

use crate::{
    grant::{Grant, Refused, Request},
    rate_limiter::RateLimiter,
    token_bucket::Reserved,
};

/// Tokens of a [`RateLimiter`] that may be used from [`ready_at`](Self::ready_at) on.
///
/// Dropping the reservation leaves the tokens taken, as a drop does not know whether they were
/// used. [`cancel`](Self::cancel) refunds them, if it comes no later than `ready_at`.
///
/// # Examples
///
/// ```
/// use tidegate_rate_limiter::{Quota, RateLimiter, Wait};
///
/// let limiter = RateLimiter::new(Quota::per_second(1000).burst(1));
/// let turns = [limiter.reserve(1).unwrap(), limiter.reserve(1).unwrap()];
/// for turn in &turns {
///     turn.ready().wait();
/// }
/// assert!(turns[1].ready_at() > turns[0].ready_at());
/// ```
#[must_use = "dropping it leaves the tokens taken"]
pub struct Reservation<'a, C> {
    limiter: &'a RateLimiter<C>,
    reserved: Reserved,
}

impl<C> Reservation<'_, C> {
    /// Returns when the tokens may be used, on the limiter's clock.
    pub const fn ready_at(&self) -> Timestamp {
        self.reserved.ready_at
    }

    /// Returns what was taken, and what was left.
    pub const fn grant(&self) -> Grant {
        self.reserved.grant
    }

    /// Does the same as [`cancel`](Self::cancel) at a given time.
    pub fn cancel_at(self, now: Timestamp) -> u32 {
        let refunded = self.limiter.state.algorithm.cancel(&self.reserved, now);
        self.limiter.state.notify_change();
        refunded
    }
}

impl<C: Clock> Reservation<'_, C> {
    /// Refunds the tokens, and returns how many tokens the next new reservation gains by that.
    ///
    /// Usually it gains all of them. After [`ready_at`](Self::ready_at) nothing is refunded, so a
    /// reservation that was ready at once can hardly be cancelled. Reservations made after this one
    /// keep their times, so a new one, which comes after them, may gain fewer tokens. A
    /// `try_acquire` before their times can take the refunded tokens all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_rate_limiter::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// let [first, second] = [(); 2].map(|()| limiter.reserve(1).unwrap());
    /// let third = limiter.reserve(1).unwrap();
    /// // The third keeps its time, so a fourth would come as late as before.
    /// assert_eq!(second.cancel(), 0);
    /// assert_eq!(third.cancel(), 1);
    /// # drop(first);
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

impl<C> RateLimiter<C> {
    /// Does the same as [`reserve`](Self::reserve) at a given time.
    ///
    /// # Errors
    ///
    /// As `reserve`.
    pub fn reserve_at(&self, n: u32, now: Timestamp) -> Result<Reservation<'_, C>, Refused> {
        let request = Request::exactly(n);
        let unqueued = self.state_ref().deny_if_queued(request, now);
        let reserved = unqueued.and_then(|()| self.state.algorithm.reserve(n, now));
        let reserved = self.shared.counted(request, reserved, now)?;
        Ok(Reservation { limiter: self, reserved })
    }
}

impl<C: Clock> RateLimiter<C> {
    /// Takes `n` tokens in advance, and returns when the caller may use them. Never waits.
    ///
    /// Reservations and waiters share one order. A reservation is refused while a caller waits, as
    /// it would take the tokens of the waiters. A request after a reservation is served after the
    /// reservation's time, unless a cancelled reservation or a faster quota leaves tokens for it.
    ///
    /// # Errors
    ///
    /// [`Refused::TooMany`] if `n` is above [`limit`](Self::limit). [`Refused::NotNow`] in two
    /// cases: while other callers wait, with the time after which the tokens would be available;
    /// and while the limiter is stopped for good, with
    /// [`Duration::MAX`](core::time::Duration::MAX).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter, Timestamp};
    ///
    /// let quota = Quota::per_second(1);
    /// let limiter = RateLimiter::with_clock(quota, ManualClock::new());
    /// let [first, second] = [(); 2].map(|()| limiter.reserve(1).unwrap());
    /// assert_eq!(first.ready_at(), Timestamp::ORIGIN);
    /// assert_eq!(second.ready_at(), Timestamp::ORIGIN + Duration::from_secs(1));
    /// assert_eq!(second.cancel(), 1);
    /// ```
    pub fn reserve(&self, n: u32) -> Result<Reservation<'_, C>, Refused> {
        self.reserve_at(n, self.shared.clock.now())
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
