//! What a limiter would grant, without a request.

use core::{fmt, time::Duration};

use tidegate_core::{Clock, Timestamp};

use crate::{
    algorithm::Algorithm,
    grant::{Denied, Request, secs_rounded_up},
    limiter::Limiter,
    state::{Shared, StateRef},
};

/// What a limiter would answer to a request. Computing it takes no tokens and counts nothing.
///
/// A plain value: the numbers are those of the moment of the call.
///
/// # Examples
///
/// The response headers of an HTTP server, for a granted or a refused request:
///
/// ```
/// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
///
/// let quota = Quota::per_minute(100).burst(2);
/// let limiter = RateLimiter::with_clock(quota, ManualClock::new());
/// assert!(limiter.try_acquire(2).is_ok());
/// assert!(limiter.try_acquire(1).is_err());
/// let balance = limiter.balance();
/// let headers = [
///     ("ratelimit-limit", balance.limit().into()),
///     ("ratelimit-remaining", balance.remaining().into()),
///     ("ratelimit-reset", balance.reset_after_secs()),
///     ("retry-after", balance.retry_after_secs()),
/// ];
/// assert_eq!(headers.map(|(_, value)| value), [2, 0, 2, 1]);
/// assert_eq!(limiter.stats().refused, 1);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Balance {
    limit: u32,
    remaining: u32,
    reset_after: Duration,
    retry_after: Duration,
}

impl Balance {
    /// Computes the balance of a counter. `deny` returns when a request could be granted.
    pub(crate) fn search(
        limit: u32,
        queued: u64,
        now: Timestamp,
        deny: impl Fn(Request) -> Denied,
    ) -> Self {
        let after = |n| match deny(Request::exactly(n)) {
            Denied::Until(due) if due.ready_at < Timestamp::NEVER => due.ready_at.since(now),
            _ => Duration::MAX,
        };
        // Searches for the most available tokens, bit by bit. While callers wait there are none: a
        // newcomer does not overtake waiters.
        let mut remaining = 0;
        for bit in (0..u32::BITS - limit.leading_zeros()).rev() {
            let n = remaining + (1 << bit);
            if queued == 0 && after(n).is_zero() {
                remaining = n;
            }
        }
        Self { limit, remaining, reset_after: after(limit), retry_after: after(1) }
    }

    pub(crate) fn of<A: Algorithm, C>(limiter: StateRef<'_, A, C>, now: Timestamp) -> Self {
        let StateRef { shared: Shared { rule, .. }, state } = limiter;
        let (algorithm, queued) = (&state.algorithm, state.queued());
        Self::search(algorithm.limit(rule), queued, now, |request| {
            algorithm.deny_behind(rule, request, queued, now)
        })
    }

    /// Returns the most tokens that can be taken at once: the burst of a quota, the limit of a
    /// window, the least burst of several quotas.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns how many tokens a request would get: none while a caller waits.
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns after how long [`limit`](Self::limit) tokens are available at once if none are
    /// taken. [`Duration::MAX`] stands for never.
    pub const fn reset_after(&self) -> Duration {
        self.reset_after
    }

    /// Returns [`reset_after`](Self::reset_after) in seconds, rounded up.
    pub const fn reset_after_secs(&self) -> u64 {
        secs_rounded_up(self.reset_after)
    }

    /// Returns after how long one token is available: zero if one is now. [`Duration::MAX`] stands
    /// for never.
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// Returns [`retry_after`](Self::retry_after) in seconds, rounded up.
    pub const fn retry_after_secs(&self) -> u64 {
        secs_rounded_up(self.retry_after)
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("limit", &self.limit)
            .field("remaining", &self.remaining)
            .field("reset_after", &self.reset_after)
            .field("retry_after", &self.retry_after)
            .finish()
    }
}

impl<A: Algorithm, C> Limiter<A, C> {
    /// Returns what a request would get, takes no tokens and counts nothing. Never waits.
    ///
    /// The state is read several times, so while other callers take tokens the numbers are not all
    /// of one instant.
    ///
    /// # Examples
    ///
    /// See [`Balance`].
    pub fn balance(&self) -> Balance
    where
        C: Clock,
    {
        self.balance_at(self.shared.clock.now())
    }

    /// Does the same as [`balance`](Self::balance) at a given time.
    pub fn balance_at(&self, now: Timestamp) -> Balance {
        Balance::of(self.state_ref(), now)
    }
}
