//! Why a request got no permits.

use core::fmt;

/// Why waiting for permits is of no use.
///
/// Of several reasons it is the first: `Closed`, `TooMany`, `QueueFull`. Only the last may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcquireError {
    /// The semaphore is closed.
    Closed,
    /// More permits were asked for than the semaphore has, in use or not.
    TooMany,
    /// As many wait as the semaphore lets wait.
    QueueFull,
}

impl AcquireError {
    /// Returns whether the semaphore is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Returns whether more was asked for than there is.
    pub const fn is_too_many(&self) -> bool {
        matches!(self, Self::TooMany)
    }

    /// Returns whether too many wait already.
    pub const fn is_queue_full(&self) -> bool {
        matches!(self, Self::QueueFull)
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TryAcquireError::from(*self).fmt(f)
    }
}

impl core::error::Error for AcquireError {}

/// Why permits could not be acquired without waiting.
///
/// Of several reasons it is the first: `Closed`, `TooMany`, `NoPermits` or `QueueFull`. Only the
/// last two may pass.
///
/// # Examples
///
/// ```
/// use tidegate_semaphore::{Semaphore, TryAcquireError};
///
/// let semaphore = Semaphore::new(2);
/// let _held = semaphore.try_acquire(1)?;
/// assert_eq!(semaphore.try_acquire(2).unwrap_err(), TryAcquireError::NoPermits);
/// assert_eq!(semaphore.try_acquire(3).unwrap_err(), TryAcquireError::TooMany);
/// semaphore.close();
/// assert_eq!(semaphore.try_acquire(3).unwrap_err(), TryAcquireError::Closed);
/// # Ok::<(), TryAcquireError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Too few permits are free now, or a request waits and must not be overtaken.
    NoPermits,
    /// The semaphore is closed.
    Closed,
    /// More permits were asked for than the semaphore has, in use or not.
    TooMany,
    /// As many wait as the semaphore lets wait. Only of a gate that is waited for: `try_acquire`
    /// does not join the queue.
    QueueFull,
}

impl TryAcquireError {
    /// Returns whether it may work later.
    pub const fn is_no_permits(&self) -> bool {
        matches!(self, Self::NoPermits)
    }

    /// Returns whether the semaphore is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Returns whether more was asked for than there is.
    pub const fn is_too_many(&self) -> bool {
        matches!(self, Self::TooMany)
    }
}

impl From<AcquireError> for TryAcquireError {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Closed => Self::Closed,
            AcquireError::TooMany => Self::TooMany,
            AcquireError::QueueFull => Self::QueueFull,
        }
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPermits => "no permits available",
            Self::Closed => "semaphore closed",
            Self::TooMany => "more permits requested than the semaphore has",
            Self::QueueFull => "too many wait for permits already",
        })
    }
}

impl core::error::Error for TryAcquireError {}
