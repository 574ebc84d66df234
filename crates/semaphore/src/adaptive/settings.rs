//! An adaptive semaphore's settings as plain data.

use core::ops::RangeInclusive;

use super::{
    algorithm::LimitAlgorithm,
    builder::{Builder, DEFAULT_RANGE},
    semaphore::AdaptiveSemaphore,
};
use crate::fairness::Fairness;

/// The settings of an [`AdaptiveSemaphore`] as plain data, for example those of a file: with the
/// feature `serde` it is read and written, and an unknown field is refused.
///
/// The fields are called as the methods of the [`Builder`] are; `None` is the builder's default.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use tidegate_semaphore::adaptive::{AdaptiveSettings, Vegas};
///
/// let settings: AdaptiveSettings = toml::from_str("min = 4\nmax = 64")?;
/// assert_eq!(settings.builder(Vegas::new()).build()?.limit(), 20);
///
/// let settings: AdaptiveSettings = toml::from_str("min = 4\nmax = 3")?;
/// let error = settings.builder(Vegas::new()).build().unwrap_err().within("upstream");
/// assert_eq!(error.to_string(), "upstream.min is 4, but must be in 1..=3");
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct AdaptiveSettings {
    /// See [`Builder::min`].
    pub min: Option<usize>,
    /// See [`Builder::max`].
    pub max: Option<usize>,
    /// See [`Builder::initial`].
    pub initial: Option<usize>,
    /// See [`Builder::min_samples`].
    pub min_samples: Option<usize>,
    /// See [`Builder::fairness`].
    pub fairness: Option<Fairness>,
    /// See [`Builder::max_waiters`].
    pub max_waiters: Option<usize>,
}

impl AdaptiveSettings {
    /// Returns the range of the limit, unchecked: that of [`min`](Self::min) and
    /// [`max`](Self::max), for [`AdaptiveSemaphore::set_range`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_semaphore::adaptive::{AdaptiveSemaphore, AdaptiveSettings, Vegas};
    ///
    /// let mut settings = AdaptiveSettings::default();
    /// let limit = settings.builder(Vegas::new()).build()?;
    /// (settings.min, settings.max) = (Some(4), Some(10));
    /// limit.set_range(settings.range())?;
    /// assert_eq!(limit.limit(), 10);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn range(&self) -> RangeInclusive<usize> {
        let (min, max) = DEFAULT_RANGE.into_inner();
        self.min.unwrap_or(min)..=self.max.unwrap_or(max)
    }

    /// Returns a builder with these settings, which its [`build`](Builder::build) checks.
    pub fn builder<A: LimitAlgorithm>(&self, algorithm: A) -> Builder<A> {
        let Self { min, max, initial, min_samples, fairness, max_waiters } = *self;
        let mut builder = AdaptiveSemaphore::builder(algorithm);
        for (n, set) in [
            (min, Builder::min as fn(Builder<A>, usize) -> Builder<A>),
            (max, Builder::max),
            (initial, Builder::initial),
            (min_samples, Builder::min_samples),
            (max_waiters, Builder::max_waiters),
        ] {
            if let Some(n) = n {
                builder = set(builder, n);
            }
        }
        match fairness {
            Some(fairness) => builder.fairness(fairness),
            None => builder,
        }
    }
}
