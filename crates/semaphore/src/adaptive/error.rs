//! A setting that is out of range.

use core::{
    fmt::{self, Debug},
    ops::RangeInclusive,
};

use alloc::{format, string::String};

/// Checks a setting. NaN is in no range.
pub(super) fn check<T: PartialOrd + Debug>(
    setting: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), BuildError> {
    if range.contains(value) {
        return Ok(());
    }
    Err(BuildError { setting, value: format!("{value:?}"), range: format!("in {range:?}") })
}

/// A setting of a [`Builder`](super::Builder) or of its algorithm is out of range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuildError {
    setting: &'static str,
    value: String,
    range: String,
}

impl BuildError {
    /// Returns the name of the setting.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// Returns what it was set to.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what the setting must be.
    pub fn range(&self) -> &str {
        &self.range
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, but must be {}", self.setting, self.value, self.range)
    }
}

impl core::error::Error for BuildError {}
