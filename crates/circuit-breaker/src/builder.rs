//! A breaker's settings.

use core::fmt;

use tidegate_core::{Clock, SystemClock};

use crate::{Breaker, Observer, OpenFor, TripRule, machine::Machine, word::COUNT_MAX};

/// What the machine goes by; checked before it is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) rule: TripRule,
    pub(crate) open_for: OpenFor,
    pub(crate) probes: u32,
    pub(crate) close_after: u32,
    pub(crate) seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rule: TripRule::default(),
            open_for: OpenFor::default(),
            probes: 1,
            close_after: 1,
            seed: 0,
        }
    }
}

/// Sets a [`Breaker`] up. Made by [`Breaker::builder`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_circuit_breaker::{Breaker, OpenFor, TripRule, Window};
///
/// let breaker = Breaker::builder()
///     .trip_on(TripRule::failure_rate(0.5, Window::time(Duration::from_secs(10), 10)))
///     .open_for(OpenFor::exponential(Duration::from_secs(1), Duration::from_secs(60)))
///     .probes(2)
///     .close_after(3)
///     .build()?;
/// # assert!(breaker.try_enter().is_ok());
/// assert_eq!(
///     Breaker::builder().probes(0).build().unwrap_err().to_string(),
///     "probes must be in 1..=16383",
/// );
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<C = SystemClock, O = ()> {
    settings: Settings,
    clock: C,
    observer: O,
}

impl<C, O> Builder<C, O> {
    /// When to trip. Default: 5 failures in a row.
    pub fn trip_on(mut self, rule: TripRule) -> Self {
        self.settings.rule = rule;
        self
    }

    /// How long to stay open after a trip. Default: 60 seconds ±20 %.
    pub fn open_for(mut self, open_for: OpenFor) -> Self {
        self.settings.open_for = open_for;
        self
    }

    /// How many probes may be in flight at once while half-open, 1 to 16383. Default: 1.
    pub fn probes(mut self, n: u32) -> Self {
        self.settings.probes = n;
        self
    }

    /// How many probes must succeed, before one fails, to close again, 1 to 16383. Default: 1.
    pub fn close_after(mut self, n: u32) -> Self {
        self.settings.close_after = n;
        self
    }

    /// What the jitter is made from, besides the time of each trip. Default: 0.
    ///
    /// Equal seeds and equal times give equal jitter: with a clock turned by hand everything is repeatable, while on a
    /// real clock no two breakers trip at the same nanosecond.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The clock to read. Default: the system's.
    pub fn clock<D>(self, clock: D) -> Builder<D, O> {
        Builder { settings: self.settings, clock, observer: self.observer }
    }

    /// Who hears of trips and the like. Default: nobody.
    pub fn observer<P>(self, observer: P) -> Builder<C, P> {
        Builder { settings: self.settings, clock: self.clock, observer }
    }

    /// Builds the breaker, closed.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of range.
    pub fn build(self) -> Result<Breaker<C, O>, BuildError>
    where
        C: Clock,
        O: Observer,
    {
        self.check()?;
        Ok(self.assemble())
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let Settings { rule, open_for, probes, close_after, .. } = self.settings;
        rule.check()?;
        open_for.check()?;
        for (field, count) in [("probes", probes), ("close_after", close_after)] {
            if !(1..=COUNT_MAX).contains(&count) {
                return Err(BuildError::new(field, "in 1..=16383"));
            }
        }
        Ok(())
    }

    /// Builds the breaker from settings that have been checked.
    pub(crate) fn assemble(self) -> Breaker<C, O>
    where
        C: Clock,
        O: Observer,
    {
        Breaker::from_machine(Machine::new(self.settings, self.clock, self.observer))
    }

    /// Changes the seed by the number of a breaker among those that are built alike.
    pub(crate) fn numbered(mut self, number: u64) -> Self {
        self.settings.seed = self.settings.seed.wrapping_add(number);
        self
    }
}

/// A setting of a [`Builder`] is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BuildError {
    field: &'static str,
    range: &'static str,
}

impl BuildError {
    pub(crate) const fn new(field: &'static str, range: &'static str) -> Self {
        Self { field, range }
    }

    /// Returns the name of the setting.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Returns what the setting must be.
    pub const fn range(&self) -> &'static str {
        self.range
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.field, self.range)
    }
}

impl core::error::Error for BuildError {}
