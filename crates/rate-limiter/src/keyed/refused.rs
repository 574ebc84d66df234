//! Why a key was refused.

use core::{fmt, time::Duration};

use tidegate_concurrent_map::TooManyKeys;

use crate::grant::Refused;

/// No tokens of a key were taken, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyRefused {
    /// The key's own limit.
    Refused(Refused),
    /// The key is new, and every known key is in use.
    TooManyKeys(TooManyKeys),
}

impl KeyRefused {
    /// Returns after how long it makes sense to try again; `None` if nobody can say, or it never does.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after(),
            Self::TooManyKeys(_) => None,
        }
    }

    /// Returns [`retry_after`](Self::retry_after) in seconds, rounded up: for the header `Retry-After`.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::Refused(refused) => refused.retry_after_secs(),
            Self::TooManyKeys(_) => None,
        }
    }

    /// Returns the most tokens of the key that can be taken at once; `None` if there was no place for it.
    pub const fn limit(&self) -> Option<u32> {
        match self {
            Self::Refused(refused) => Some(refused.limit()),
            Self::TooManyKeys(_) => None,
        }
    }

    /// Returns after how long all tokens of the key are back if nobody takes more; `None` as for
    /// [`retry_after`](Self::retry_after).
    pub const fn reset_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.reset_after(),
            Self::TooManyKeys(_) => None,
        }
    }

    /// Returns [`reset_after`](Self::reset_after) in seconds, rounded up: for the header `RateLimit-Reset`.
    pub const fn reset_after_secs(&self) -> Option<u64> {
        match self {
            Self::Refused(refused) => refused.reset_after_secs(),
            Self::TooManyKeys(_) => None,
        }
    }

    /// Returns whether there was no place for another key.
    pub const fn is_too_many_keys(&self) -> bool {
        matches!(self, Self::TooManyKeys(_))
    }
}

impl From<TooManyKeys> for KeyRefused {
    fn from(error: TooManyKeys) -> Self {
        Self::TooManyKeys(error)
    }
}

impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::TooManyKeys(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for KeyRefused {}
