//! The errors that every waiting operation shares.

use core::fmt;

use crate::cancel::Reason;

/// The object was closed and will never again grant what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed")
    }
}

impl core::error::Error for Closed {}

/// The time allowed for an operation has passed. The operation was withdrawn and has left no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl core::error::Error for TimedOut {}

/// The operation was withdrawn because its [`CancelToken`](crate::CancelToken) was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cancelled {
    reason: Reason,
}

impl Cancelled {
    /// Creates the error for a token that was cancelled for `reason`.
    pub fn new(reason: Reason) -> Self {
        Self { reason }
    }

    /// Returns why the token was cancelled.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.reason)
    }
}

impl core::error::Error for Cancelled {}
