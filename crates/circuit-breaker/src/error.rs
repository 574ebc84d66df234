//! A refused call, and the reason.

use core::{fmt, time::Duration};

use tidegate_concurrent_map::TooManyKeys;

/// The breaker did not let the call through.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, RefusedReason};
///
/// let breaker = Breaker::new();
/// breaker.force_open();
/// let refused = breaker.try_enter().unwrap_err();
/// assert_eq!((refused.reason, refused.retry_after), (RefusedReason::ForcedOpen, None));
/// assert_eq!(refused.to_string(), "circuit forced open");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Refused {
    /// Why the breaker has refused the call.
    pub reason: RefusedReason,
    /// How long until another try makes sense; `None` if that is not known. For
    /// [`Probing`](RefusedReason::Probing): how long until the first probe is overdue, though one
    /// may end before; `None` without a [`probe_timeout`](crate::Builder::probe_timeout), or while
    /// all probes wait at later gates. The next caller writes an overdue probe off, which trips the
    /// breaker.
    pub retry_after: Option<Duration>,
}

/// Why a breaker refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusedReason {
    /// The breaker has tripped and its open time is not over.
    Open,
    /// The breaker is half-open and as many probes as it allows are in flight.
    Probing,
    /// The breaker was forced open. Waiting is of no use.
    ForcedOpen,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            RefusedReason::Open => "circuit open",
            RefusedReason::Probing => "circuit half-open and probed by others",
            RefusedReason::ForcedOpen => "circuit forced open",
        })?;
        match self.retry_after {
            Some(duration) => write!(f, ", retry after {duration:?}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Refused {}

/// Why a call for a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyRefused {
    /// The key's breaker has refused the call.
    Refused(Refused),
    /// The key is new, the registry is full, and it found no breaker that it can forget; see
    /// [`KeyedBreaker::gate`](crate::KeyedBreaker::gate).
    TooManyKeys(TooManyKeys),
}

impl KeyRefused {
    /// Returns how long until another try makes sense; `None` if that is not known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            Self::TooManyKeys(_) => None,
        }
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
