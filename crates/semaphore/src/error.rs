//! Why a request got no permits.

use core::fmt;

/// Why a request that may wait got no permits.
///
/// If several reasons apply, the error is the first of `Closed`, `TooMany`, `QueueFull`. A later
/// request may succeed after `QueueFull`, after `TooMany` only if the capacity has grown, and never
/// after `Closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcquireError {
    /// The semaphore is closed.
    Closed,
    /// More permits were asked for than the [capacity](crate::Semaphore::capacity).
    TooMany,
    /// The queue is full: as many requests wait as the builder's `max_waiters` allows.
    QueueFull,
}

impl AcquireError {
    /// Returns whether the semaphore is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Returns whether more permits were asked for than the semaphore has.
    pub const fn is_too_many(&self) -> bool {
        matches!(self, Self::TooMany)
    }

    /// Returns whether the wait queue was full.
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

/// Why permits could not be acquired without waiting, or why a gate refused a caller.
///
/// If several reasons apply, the error is the first of `Closed`, `TooMany`, and `NoPermits` or
/// `QueueFull`. A later request may succeed after the last two, after `TooMany` only if the
/// capacity has grown, and never after `Closed`.
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
    /// More permits were asked for than the [capacity](crate::Semaphore::capacity).
    TooMany,
    /// The queue is full: as many requests wait as the builder's `max_waiters` allows. Only the
    /// `enter` of a gate returns this: `try_acquire` does not join the queue.
    QueueFull,
}

impl TryAcquireError {
    /// Returns whether too few permits were free, or a request waited: a later request may succeed.
    pub const fn is_no_permits(&self) -> bool {
        matches!(self, Self::NoPermits)
    }

    /// Returns whether the semaphore is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Returns whether more permits were asked for than the semaphore has.
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
