//! A request for tokens and its answers: granted, denied, refused.

use core::{fmt, time::Duration};

use tidegate_core::Timestamp;

use crate::time_units::TimeUnits;

/// A request for a number of tokens, or for as many as are available within a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub(crate) least: u32,
    pub(crate) most: u32,
}

impl Request {
    #[inline]
    pub(crate) const fn exactly(n: u32) -> Self {
        Self { least: n, most: n }
    }

    #[inline]
    pub(crate) const fn up_to(n: u32) -> Self {
        Self { least: if n == 0 { 0 } else { 1 }, most: n }
    }
}

/// Tokens that were taken. Also says how many were left and when all are back, for a server that
/// tells its clients.
///
/// A plain value: dropping it refunds nothing. The numbers are those of the moment of the grant and
/// are computed when a getter is called.
///
/// # Examples
///
/// The response headers of an HTTP server. A [refusal](Refused) has the limit, the reset and the
/// number for `retry-after`:
///
/// ```
/// use tidegate_rate_limiter::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_minute(100));
/// let grant = limiter.try_acquire(1).unwrap();
/// let headers = [
///     ("ratelimit-limit", u64::from(grant.limit())),
///     ("ratelimit-remaining", u64::from(grant.remaining())),
///     // Rounded up: a client that comes earlier is refused.
///     ("ratelimit-reset", grant.reset_after_secs()),
/// ];
/// assert_eq!(headers.map(|(_, value)| value), [100, 99, 1]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub(crate) at: Timestamp,
    pub(crate) tokens: u32,
    pub(crate) limit: u32,
    /// Units that can still be spent.
    pub(crate) left: u64,
    /// Units until all tokens are back.
    pub(crate) until_full: u64,
    pub(crate) time_units: TimeUnits,
    /// The position at which the tokens end on the axis of all granted tokens; see
    /// [`Refunded`](crate::refunded::Refunded).
    pub(crate) position: u64,
    /// Which axis that is; zero for none.
    pub(crate) epoch: u32,
}

impl Grant {
    /// Returns the burst of the quota, or the limit of the window. Of several quotas, it is that of
    /// the one with the fewest tokens left.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns how many tokens were taken.
    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Returns how many tokens were left. Of several quotas, it is the fewest.
    pub fn remaining(&self) -> u32 {
        u32::try_from(self.left / self.time_units.cost).unwrap_or(u32::MAX)
    }

    /// Returns after how long all tokens are back if none are taken.
    pub fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.time_units.nanos(self.until_full))
    }

    /// Returns [`reset_after`](Self::reset_after) in seconds, rounded up.
    pub fn reset_after_secs(&self) -> u64 {
        secs_rounded_up(self.reset_after())
    }

    /// Returns when the tokens were taken, on the limiter's clock.
    pub const fn taken_at(&self) -> Timestamp {
        self.at
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("tokens", &self.tokens())
            .field("limit", &self.limit())
            .field("remaining", &self.remaining())
            .field("reset_after", &self.reset_after())
            .finish()
    }
}

/// Why no tokens were taken.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{ManualClock, Quota, RateLimiter, Refused};
///
/// let quota = Quota::per_second(4);
/// let limiter = RateLimiter::with_clock(quota, ManualClock::new());
/// assert!(limiter.try_acquire(3).is_ok());
/// let refused = limiter.try_acquire(2).unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_millis(250)));
/// let too_many = Refused::TooMany { asked: 5, limit: 4 };
/// assert_eq!(limiter.try_acquire(5), Err(too_many));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// The request cannot be granted now.
    NotNow {
        /// After how long the request can be granted at the earliest. [`Duration::MAX`] stands for
        /// never.
        retry_after: Duration,
        /// After how long `limit` tokens are available at once if no more are taken.
        /// [`Duration::MAX`] stands for never.
        reset_after: Duration,
        /// The most tokens that can be taken at once: the burst of a quota, the limit of a window,
        /// the least burst of several quotas.
        limit: u32,
    },
    /// The request can never be granted: it asks for more than the limiter grants at once.
    TooMany {
        /// The requested tokens.
        asked: u32,
        /// The most that can be granted at once.
        limit: u32,
    },
}

impl Refused {
    /// Translates an internal denial of `asked` tokens at `now`.
    ///
    /// Inlined, so that a caller that ignores `retry_after` does not pay for computing it.
    #[inline(always)]
    pub(crate) fn denied(denied: Denied, asked: u32, now: Timestamp) -> Self {
        match denied {
            Denied::Until(Due { ready_at, reset_at, limit }) => Self::NotNow {
                retry_after: time_left(ready_at, now),
                reset_after: time_left(reset_at, now),
                limit,
            },
            Denied::Never(limit) => {
                Self::NotNow { retry_after: Duration::MAX, reset_after: Duration::MAX, limit }
            }
            Denied::TooMany(limit) => Self::TooMany { asked, limit },
        }
    }

    /// Returns after how long the request can be granted at the earliest, where [`Duration::MAX`]
    /// stands for never; `None` for a request that is too large at any time.
    pub const fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::NotNow { retry_after, .. } => Some(retry_after),
            Self::TooMany { .. } => None,
        }
    }

    /// Returns after how long [`limit`](Self::limit) tokens are available at once if no more are
    /// taken, where [`Duration::MAX`] stands for never; `None` for a request that is too large at
    /// any time.
    pub const fn reset_after(&self) -> Option<Duration> {
        match *self {
            Self::NotNow { reset_after, .. } => Some(reset_after),
            Self::TooMany { .. } => None,
        }
    }

    /// Returns [`reset_after`](Self::reset_after) in seconds, rounded up: for the header
    /// `RateLimit-Reset`.
    pub const fn reset_after_secs(&self) -> Option<u64> {
        match self.reset_after() {
            Some(duration) => Some(secs_rounded_up(duration)),
            None => None,
        }
    }

    /// Returns the most tokens that can be taken at once: for the header `RateLimit-Limit`.
    pub const fn limit(&self) -> u32 {
        match *self {
            Self::NotNow { limit, .. } | Self::TooMany { limit, .. } => limit,
        }
    }

    /// Returns [`retry_after`](Self::retry_after) in seconds, rounded up: for the header
    /// `Retry-After`.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self.retry_after() {
            Some(duration) => Some(secs_rounded_up(duration)),
            None => None,
        }
    }

    /// Returns whether the request can never be granted.
    pub const fn is_too_many(&self) -> bool {
        matches!(self, Self::TooMany { .. })
    }
}

/// Why a [`TokenCounter`](crate::algorithm::TokenCounter) took no tokens.
///
/// Exhaustive on purpose: the trait is sealed, so no code outside of this crate matches on this
/// enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The tokens are available later, or at [`NEVER`](Timestamp::NEVER).
    Until(Due),
    /// The bucket is blocked for ever; the number is its burst. If a token bucket's word alone was
    /// read, this may also mean that only the ledger has the answer. It is a variant of its own, so
    /// that a caller can recognize it without computing a time.
    Never(u32),
    /// The request asks for more than this number, the most that is ever granted at once.
    TooMany(u32),
}

/// When denied tokens are available, and what else a refusal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When the request can be granted at the earliest.
    pub(crate) ready_at: Timestamp,
    /// When `limit` tokens are available at once if no more are taken.
    pub(crate) reset_at: Timestamp,
    /// The most tokens that can be taken at once.
    pub(crate) limit: u32,
}

impl Denied {
    /// Denies a newcomer's `n` tokens while waiters need `queued` tokens. `ready_at(m)` returns the
    /// earliest time by which callers can take `m` tokens in all.
    pub(crate) fn behind(
        queued: u64,
        n: u32,
        limit: u32,
        ready_at: impl Fn(u64) -> Timestamp,
    ) -> Self {
        if n > limit {
            return Self::TooMany(limit);
        }
        let after = |n: u32| ready_at(queued.saturating_add(n.into()));
        Self::Until(Due { ready_at: after(n), reset_at: after(limit), limit })
    }
}

/// Returns the seconds of a duration, rounded up: for headers such as `Retry-After`, whose readers
/// must not try again too early.
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

/// Returns how long it is from `now` to `time`: [`Duration::MAX`] if that is never.
#[inline(always)]
fn time_left(time: Timestamp, now: Timestamp) -> Duration {
    if time == Timestamp::NEVER { Duration::MAX } else { time.since(now) }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotNow { retry_after: Duration::MAX, .. } => f.write_str("rate limited for ever"),
            Self::NotNow { retry_after, .. } => write!(f, "rate limited for {retry_after:?}"),
            Self::TooMany { asked, limit } => {
                write!(f, "{asked} tokens asked for, of which {limit} can be granted at once")
            }
        }
    }
}

impl core::error::Error for Refused {}
