//! The errors that every waiting operation shares.

use core::fmt;

use alloc::{borrow::Cow, format, string::String};

/// The object was closed and will never again grant what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed")
    }
}

impl core::error::Error for Closed {}

/// The time allowed for an operation has passed. The operation was withdrawn: its future has been
/// dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl core::error::Error for TimedOut {}

/// A setting of a builder is out of its range. Every `build` of this workspace that refuses a
/// setting does so with this error, or with one that holds it.
///
/// # Examples
///
/// ```
/// use tidegate_core::BuildError;
///
/// let error = BuildError::new("max_items", 0, "at least 1");
/// assert_eq!((error.setting(), error.value(), error.range()), ("max_items", "0", "at least 1"));
/// assert_eq!(error.to_string(), "max_items is 0, but must be at least 1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuildError {
    /// The names of the tables around the setting, each with a dot behind it.
    tables: String,
    setting: &'static str,
    value: String,
    range: String,
}

impl BuildError {
    /// Creates the error: `setting` is `value`, but must be `range`.
    pub fn new(setting: &'static str, value: impl fmt::Debug, range: impl Into<String>) -> Self {
        let (value, range) = (format!("{value:?}"), range.into());
        Self { tables: String::new(), setting, value, range }
    }

    /// Returns the same error of a setting within `table`, which its text names, too: for a program
    /// whose settings have several tables.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_core::BuildError;
    ///
    /// let error = BuildError::new("jitter", 1.5, "in 0..=1").within("retry").within("orders");
    /// assert_eq!(error.setting(), "jitter");
    /// assert_eq!(error.to_string(), "orders.retry.jitter is 1.5, but must be in 0..=1");
    /// ```
    #[must_use]
    pub fn within(self, table: &str) -> Self {
        Self { tables: format!("{table}.{}", self.tables), ..self }
    }

    /// Returns the name of the setting.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// Returns the value that was set.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the range in which the value must be.
    pub fn range(&self) -> &str {
        &self.range
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tables, setting, value, range } = self;
        write!(f, "{tables}{setting} is {value}, but must be {range}")
    }
}

impl core::error::Error for BuildError {}

/// Why a token was cancelled. A token that is cancelled together with its parent has the parent's
/// reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// [`cancel`](crate::CancelToken::cancel) was called, or a
    /// [`DropGuard`](crate::cancel::DropGuard) was dropped.
    Requested,
    /// The token's deadline, or one of its ancestors', has come.
    DeadlineExceeded,
    /// [`cancel_because`](crate::CancelToken::cancel_because) was called with these words.
    Because(Cow<'static, str>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "requested",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::Because(words) => words,
        })
    }
}

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
