//! Why a key was refused.

use core::{fmt, time::Duration};

use tidegate_concurrent_map::TooManyKeys;

use crate::grant::Refused;

/// Why no tokens of a key were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyRefused {
    /// The limit of the key refuses the request.
    Refused(Refused),
    /// The key is new, and every known key is in use.
    TooManyKeys(TooManyKeys),
}

impl KeyRefused {
    const fn own(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::TooManyKeys(_) => None,
        }
    }

    /// Returns after how long the request can be granted at the earliest, where [`Duration::MAX`]
    /// stands for never: `None` if there is no slot, or if the request is too large at any time.
    pub const fn retry_after(&self) -> Option<Duration> {
        let Some(own) = self.own() else { return None };
        own.retry_after()
    }

    /// Returns [`retry_after`](Self::retry_after) in seconds, rounded up, for the header
    /// `Retry-After`.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        let Some(own) = self.own() else { return None };
        own.retry_after_secs()
    }

    /// Returns the most tokens of the key that can be taken at once: `None` if the key has no slot.
    pub const fn limit(&self) -> Option<u32> {
        let Some(own) = self.own() else { return None };
        Some(own.limit())
    }

    /// Returns after how long all tokens of the key are available if no more are taken: `None` as
    /// for [`retry_after`](Self::retry_after).
    pub const fn reset_after(&self) -> Option<Duration> {
        let Some(own) = self.own() else { return None };
        own.reset_after()
    }

    /// Returns [`reset_after`](Self::reset_after) in seconds, rounded up, for the header
    /// `RateLimit-Reset`.
    pub const fn reset_after_secs(&self) -> Option<u64> {
        let Some(own) = self.own() else { return None };
        own.reset_after_secs()
    }

    /// Returns whether there was no slot for another key.
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
