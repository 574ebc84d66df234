//! What is there, without asking for it.

use core::{fmt, time::Duration};

use tidegate_core::{Clock, Timestamp};

use crate::{
    algorithm::{Algorithm, Ask, Denied},
    cell::{Cell, Shared},
    limiter::Limiter,
};

/// Returns the seconds of a duration, rounded up: for headers such as `Retry-After`, whose readers must not come too early.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::secs_rounded_up;
///
/// assert_eq!(secs_rounded_up(Duration::from_millis(1)), 1);
/// assert_eq!(secs_rounded_up(Duration::from_secs(2)), 2);
/// assert_eq!(secs_rounded_up(Duration::MAX), u64::MAX);
/// ```
pub const fn secs_rounded_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add((duration.subsec_nanos() > 0) as u64)
}

/// What a limiter would answer, looked at without a request: nothing is taken, and nothing is counted.
///
/// A plain value; the numbers are those of the moment of the look.
///
/// # Examples
///
/// The response headers of an HTTP server, also of a request that was refused:
///
/// ```
/// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter};
///
/// let limiter = RateLimiter::with_clock(Quota::per_minute(100)?.burst(2)?, ManualClock::new());
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
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Balance {
    limit: u32,
    remaining: u32,
    reset_after: Duration,
    retry_after: Duration,
}

impl Balance {
    /// Looks at a counter of which `ready_at` says when so many tokens can be taken at the earliest.
    pub(crate) fn look(
        limit: u32,
        wanted: u64,
        now: Timestamp,
        ready_at: impl Fn(u32) -> Timestamp,
    ) -> Self {
        let after = |n| match ready_at(n) {
            Timestamp::NEVER => Duration::MAX,
            time => time.since(now),
        };
        // The most that are ready: between none and all, halved until it is found. Nobody overtakes those who wait.
        let (mut remaining, mut too_many) =
            (0, if wanted > 0 { 1 } else { limit.saturating_add(1) });
        while too_many - remaining > 1 {
            let n = remaining + (too_many - remaining) / 2;
            if after(n).is_zero() { remaining = n } else { too_many = n }
        }
        Self { limit, remaining, reset_after: after(limit), retry_after: after(1) }
    }

    /// Looks at the cell of a limiter.
    pub(crate) fn of<A: Algorithm, C>(
        shared: &Shared<A, C>,
        cell: &Cell<A>,
        now: Timestamp,
    ) -> Self {
        let (rule, wanted) = (&shared.rule, cell.wanted());
        Self::look(cell.algorithm.limit(rule), wanted, now, |n| {
            match cell.algorithm.behind(rule, Ask::exactly(n), wanted, now) {
                Denied::Until(due) => due.ready_at,
                _ => Timestamp::NEVER,
            }
        })
    }

    /// Returns the most tokens that can be taken at once: the burst of a quota, the limit of a window, the least of several.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns how many tokens a request would get; none while others wait.
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns after how long [`limit`](Self::limit) tokens can be taken at once if nobody takes any. [`Duration::MAX`] stands for
    /// never.
    pub const fn reset_after(&self) -> Duration {
        self.reset_after
    }

    /// Returns [`reset_after`](Self::reset_after) in seconds, rounded up.
    pub const fn reset_after_secs(&self) -> u64 {
        secs_rounded_up(self.reset_after)
    }

    /// Returns after how long one token can be had at the earliest; zero if one is there. [`Duration::MAX`] stands for never.
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
    /// Looks at what is there, without a request: nothing is taken, and nothing is counted. Never waits.
    ///
    /// For a number of tokens it looks a few times, so beside other callers the numbers are not all of one instant.
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

    /// The same as [`balance`](Self::balance) at a given time.
    pub fn balance_at(&self, now: Timestamp) -> Balance {
        Balance::of(&self.shared, &self.cell, now)
    }
}
