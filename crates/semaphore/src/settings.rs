//! A semaphore's settings as plain data.

use alloc::format;

use tidegate_core::BuildError;

use crate::{
    builder::Builder,
    fairness::Fairness,
    semaphore::{MAX_PERMITS, Semaphore},
};

/// The settings of a [`Semaphore`] as plain data, for example those of a file: with the feature
/// `serde` it is read and written, and an unknown field is refused.
///
/// The fields are called as the methods of the [`Builder`] are; `None` is the builder's default.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use tidegate_semaphore::{Fairness, SemaphoreSettings};
///
/// let settings: SemaphoreSettings = toml::from_str(r#"
///     permits = 8
///     fairness = "barging"
/// "#)?;
/// assert_eq!((settings.fairness, settings.max_waiters), (Some(Fairness::Barging), None));
/// assert_eq!(settings.builder()?.build().available_permits(), 8);
///
/// let error = SemaphoreSettings::new(usize::MAX).builder().unwrap_err().within("database");
/// assert_eq!(
///     error.to_string(),
///     "database.permits is 18446744073709551615, but must be in 0..=4294967295",
/// );
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct SemaphoreSettings {
    /// The number of permits, at most [`MAX_PERMITS`]: the argument of [`Semaphore::builder`].
    pub permits: usize,
    /// See [`Builder::fairness`].
    pub fairness: Option<Fairness>,
    /// See [`Builder::max_waiters`].
    pub max_waiters: Option<usize>,
    /// See [`Builder::wait_for_capacity`].
    pub wait_for_capacity: Option<bool>,
}

impl SemaphoreSettings {
    /// Creates settings with `permits` permits, and the default of everything else.
    pub const fn new(permits: usize) -> Self {
        Self { permits, fairness: None, max_waiters: None, wait_for_capacity: None }
    }

    /// Returns a builder with these settings.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if there are too many permits.
    pub fn builder(&self) -> Result<Builder, BuildError> {
        let Self { permits, fairness, max_waiters, wait_for_capacity } = *self;
        if permits > MAX_PERMITS {
            return Err(BuildError::new("permits", permits, format!("in 0..={MAX_PERMITS}")));
        }
        let mut builder = Semaphore::builder(permits);
        if let Some(fairness) = fairness {
            builder = builder.fairness(fairness);
        }
        if let Some(n) = max_waiters {
            builder = builder.max_waiters(n);
        }
        if let Some(waits) = wait_for_capacity {
            builder = builder.wait_for_capacity(waits);
        }
        Ok(builder)
    }
}
