//! Why a call was not tried again.

use core::{error::Error, fmt};

/// A call that was [retried](crate::retry()) has failed for good.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Backoff, SystemClock, Wait, backoff::Retries, retry, retry::GaveUp};
///
/// let retries = Retries::new(Backoff::fixed(Duration::ZERO).max_attempts(2));
/// let error = retry(&retries, &SystemClock, || async { Err::<(), _>("down") }).wait().unwrap_err();
/// assert_eq!(error.to_string(), "gave up after 2 attempts: no attempt is left");
/// assert_eq!((error.why(), *error.last_error()), (GaveUp::Attempts, "down"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryError<E> {
    attempts: u32,
    why: GaveUp,
    last: E,
}

impl<E> RetryError<E> {
    pub(super) const fn new(attempts: u32, why: GaveUp, last: E) -> Self {
        Self { attempts, why, last }
    }

    /// Returns how many attempts there were: 1 or more.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns why there was no further attempt.
    pub const fn why(&self) -> GaveUp {
        self.why
    }

    /// Returns the error of the last attempt.
    pub const fn last_error(&self) -> &E {
        &self.last
    }

    /// Returns the error of the last attempt.
    pub fn into_inner(self) -> E {
        self.last
    }
}

impl<E> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.attempts == 1 { "" } else { "s" };
        write!(f, "gave up after {} attempt{s}: {}", self.attempts, self.why)
    }
}

impl<E: Error + 'static> Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.last)
    }
}

/// Why there was no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaveUp {
    /// The classifier has said that the error is not worth a retry.
    NotRetryable,
    /// The error asks for a longer pause than
    /// [`max_retry_after`](crate::retry::Retry::max_retry_after).
    TooLate,
    /// There were as many attempts as [`Backoff::max_attempts`](crate::Backoff::max_attempts)
    /// allows.
    Attempts,
    /// The [budget](crate::Backoff::budget) for retries is spent.
    Budget,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRetryable => "the error is not retryable",
            Self::TooLate => "the error asks for too long a pause",
            Self::Attempts => "no attempt is left",
            Self::Budget => "the budget for retries is spent",
        })
    }
}
