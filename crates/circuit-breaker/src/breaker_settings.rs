//! A breaker's settings as plain data.

use core::time::Duration;

use crate::{
    builder::Builder, open_for::OpenFor, rule::TripRule, settings::Settings, window::Window,
};

/// The settings of a [`Breaker`](crate::Breaker) as plain data, for example those of a file: with
/// the feature `serde` it is read and written, and an unknown field is refused. Durations are text
/// there: `1m30s`.
///
/// A field has the name of the method that sets it, of [`Builder`], [`TripRule`] or [`OpenFor`],
/// except `window` and `max_open_for`. `None` is the builder's default.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use core::time::Duration;
/// use tidegate_circuit_breaker::{BreakerSettings, Window};
///
/// let settings: BreakerSettings = toml::from_str(r#"
///     failure_rate = 0.5
///     window = { span = "10s", slices = 10 }
///     open_for = "1s"
///     max_open_for = "1m"
///     probes = 2
/// "#)?;
/// assert_eq!(settings.window, Some(Window::time(Duration::from_secs(10), 10)));
/// let breaker = settings.builder().build()?;
/// # assert!(breaker.try_enter().is_ok());
///
/// let settings: BreakerSettings = toml::from_str("failure_rate = 1.5")?;
/// let error = settings.builder().build().unwrap_err().within("breaker");
/// assert_eq!(
///     error.to_string(),
///     "breaker.failure_rate is 1.5, but must be above 0 and at most 1",
/// );
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct BreakerSettings {
    /// See [`TripRule::consecutive`]. The default is 5, if neither rate is set.
    pub consecutive: Option<u32>,
    /// The ratio of [`TripRule::failure_rate`].
    pub failure_rate: Option<f64>,
    /// The ratio of [`TripRule::slow_rate`], whose threshold is `slow_after`.
    pub slow_rate: Option<f64>,
    /// See [`TripRule::slow_after`].
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub slow_after: Option<Duration>,
    /// See [`TripRule::minimum_calls`]; for both rates.
    pub minimum_calls: Option<u32>,
    /// See [`TripRule::count_inflight_slow`].
    pub count_inflight_slow: Option<bool>,
    /// See [`TripRule::over`].
    pub window: Option<Window>,
    /// How long the breaker stays open after the first trip: see [`OpenFor`].
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub open_for: Option<Duration>,
    /// The maximum of [`OpenFor::exponential`]. The default is the first open time: then, apart
    /// from the jitter, every open time is the same.
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub max_open_for: Option<Duration>,
    /// See [`OpenFor::jitter`].
    pub jitter: Option<f64>,
    /// See [`Builder::probes`].
    pub probes: Option<u32>,
    /// See [`Builder::close_after`].
    pub close_after: Option<u32>,
    /// See [`Builder::probe_timeout`].
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub probe_timeout: Option<Duration>,
    /// See [`Builder::seed`].
    pub seed: Option<u64>,
}

impl BreakerSettings {
    /// Returns a builder with these settings, which its [`build`](Builder::build) checks.
    pub fn builder(&self) -> Builder {
        let mut builder = Builder::default();
        builder.settings = self.settings();
        match self.seed {
            Some(seed) => builder.seed(seed),
            None => builder,
        }
    }

    /// Returns the settings of a state machine, unchecked and without a predicate.
    pub(crate) fn settings(&self) -> Settings {
        let default = Settings::default();
        Settings {
            rule: self.rule(),
            predicate: None,
            open_for: self.open_time(),
            probes: self.probes.unwrap_or(default.probes),
            close_after: self.close_after.unwrap_or(default.close_after),
            probe_timeout: self.probe_timeout,
        }
    }

    fn rule(&self) -> TripRule {
        let mut rule = match (self.consecutive, self.failure_rate, self.slow_rate) {
            (None, None, None) => TripRule::default(),
            (consecutive, failure, slow) => TripRule::of(consecutive, failure, slow),
        };
        if let Some(threshold) = self.slow_after {
            rule = rule.slow_after(threshold);
        }
        if let Some(n) = self.minimum_calls {
            rule = rule.minimum_calls(n);
        }
        if self.count_inflight_slow == Some(true) {
            rule = rule.count_inflight_slow();
        }
        match self.window {
            Some(window) => rule.over(window),
            None => rule,
        }
    }

    fn open_time(&self) -> OpenFor {
        let mut open_for = self.open_for.map_or_else(OpenFor::default, OpenFor::fixed);
        if let Some(max) = self.max_open_for {
            open_for = open_for.up_to(max);
        }
        match self.jitter {
            Some(ratio) => open_for.jitter(ratio),
            None => open_for,
        }
    }
}
