//! A batcher's settings as plain data.

use core::time::Duration;

use tidegate_core::{Backoff, BuildError};

use crate::{
    batcher::Batcher,
    builder::Builder,
    policy::{OnFull, Policy},
    recovery::OnError,
};

/// The settings of a [`Batcher`] as plain data, for example those of a file: with the feature
/// `serde` it is read and written, and an unknown field is refused. Durations are text there:
/// `1m30s`.
///
/// The fields are called as the methods of the [`Builder`] are; `None` is the builder's default. A
/// batcher in use takes others of the first three: see [`Batcher::set_max_items`] and its like. The
/// rest is fixed when it is built.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use tidegate_batch_processor::{BatcherSettings, Policy};
///
/// let settings: BatcherSettings = toml::from_str(r#"
///     max_items = 500
///     max_delay = "50ms"
///     policy = { balanced = { min = 10 } }
///     retry = { initial = "10ms", max = "1s", max_attempts = 5 }
/// "#)?;
/// assert_eq!(settings.policy, Some(Policy::Balanced { min: 10 }));
/// let handler = |rows: Vec<String>| Ok::<_, ()>(rows);
/// let (batcher, _driver) = settings.builder().build(handler)?;
/// # assert!(!batcher.is_closed());
///
/// let settings: BatcherSettings = toml::from_str("capacity = 10")?;
/// let error = settings.builder().build(handler).unwrap_err().within("log");
/// assert_eq!(error.to_string(), "log.capacity is 10, but must be at least max_items, 100");
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct BatcherSettings {
    /// See [`Builder::max_items`].
    pub max_items: Option<usize>,
    /// See [`Builder::max_delay`].
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub max_delay: Option<Duration>,
    /// See [`Builder::capacity`].
    pub capacity: Option<usize>,
    /// See [`Builder::max_in_flight`].
    pub max_in_flight: Option<usize>,
    /// See [`Builder::policy`].
    pub policy: Option<Policy>,
    /// See [`Builder::on_full`].
    pub on_full: Option<OnFull>,
    /// See [`Builder::retry`].
    pub retry: Option<Backoff>,
    /// See [`Builder::on_error`].
    pub on_error: Option<OnError>,
}

impl BatcherSettings {
    /// Returns a builder with these settings, which its `build` checks.
    pub fn builder<T: Clone>(&self) -> Builder<T> {
        let mut builder = self.unrecovered();
        if let Some(backoff) = self.retry {
            builder = builder.retry(backoff);
        }
        if let Some(on_error) = self.on_error {
            builder = builder.on_error(on_error);
        }
        builder
    }

    /// Does what [`builder`](Self::builder) does, for items that are not `Clone`.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if [`retry`](Self::retry) or [`on_error`](Self::on_error) is set: these need
    /// clones of the items.
    pub fn builder_without_recovery<T>(&self) -> Result<Builder<T>, BuildError> {
        let range = "left out for items that are not Clone";
        if let Some(backoff) = self.retry {
            return Err(BuildError::new("retry", backoff, range));
        }
        match self.on_error {
            Some(on_error) => Err(BuildError::new("on_error", on_error, range)),
            None => Ok(self.unrecovered()),
        }
    }

    fn unrecovered<T>(&self) -> Builder<T> {
        let mut builder = Batcher::<T, (), ()>::builder();
        if let Some(items) = self.max_items {
            builder = builder.max_items(items);
        }
        if let Some(delay) = self.max_delay {
            builder = builder.max_delay(delay);
        }
        if let Some(items) = self.capacity {
            builder = builder.capacity(items);
        }
        if let Some(batches) = self.max_in_flight {
            builder = builder.max_in_flight(batches);
        }
        if let Some(policy) = self.policy {
            builder = builder.policy(policy);
        }
        match self.on_full {
            Some(on_full) => builder.on_full(on_full),
            None => builder,
        }
    }
}
