//! When a breaker trips.

use core::time::Duration;

use alloc::format;

use tidegate_core::BuildError;

use crate::{stats::Snapshot, window::Window, word::COUNT_MAX};

/// When a closed breaker trips: a number of failures in a row, a share of failed or of slow calls,
/// or any of these.
///
/// A rule is checked when a call has failed or was slow, so a quick success does not trip. A
/// predicate ([`Builder::trip_when`](crate::Builder::trip_when)) can express what no rule here
/// does; with one, both are checked after every success, too. With
/// [`count_inflight_slow`](Self::count_inflight_slow) the checks are also made when a call enters.
/// A breaker that has tripped starts with fresh counts once it closes again.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, State, TripRule, Window};
///
/// let rule = TripRule::failure_rate(0.5, Window::count(100)).minimum_calls(4);
/// let breaker = Breaker::builder().trip_on(rule).build()?;
/// for failed in [true, false, false, true] {
///     assert_eq!(breaker.state(), State::Closed);
///     let pass = breaker.try_enter().unwrap();
///     if failed { pass.failure() } else { pass.success() }
/// }
/// assert_eq!(breaker.state(), State::Open);
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripRule {
    consecutive: Option<u32>,
    failure: Option<Rate>,
    slow: Option<Rate>,
    slow_after: Option<Duration>,
    counts_in_flight: bool,
    window: Option<Window>,
    fault: Option<Fault>,
}

/// A share of the window's calls, and how many calls the window must hold before the share counts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    ratio: f64,
    minimum_calls: Option<u32>,
}

/// A mistake in the combination of rules; reported when the breaker is built.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    MinimumWithoutRate(u32),
    Twice(&'static str),
}

/// How many calls the window must hold before a rate counts, unless the caller sets another number
/// or the window is smaller.
const MINIMUM_CALLS: u32 = 10;

/// The window of a rate, unless the caller sets another.
const DEFAULT_WINDOW: Window = Window::count(100);

impl TripRule {
    /// Never trips by itself. It is the start of a rule that only collects statistics for a
    /// predicate.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_circuit_breaker::{Breaker, State, TripRule, Window};
    ///
    /// // Trips when failures and slow calls together are half of the calls.
    /// let snapshot = TripRule::never().over(Window::count(50)).slow_after(Duration::from_secs(1));
    /// let breaker = Breaker::builder()
    ///     .trip_on(snapshot)
    ///     .trip_when(|seen| seen.calls >= 4 && seen.failure_rate() + seen.slow_rate() >= 0.5)
    ///     .build()?;
    /// breaker.try_enter().unwrap().failure();
    /// breaker.try_enter().unwrap().success();
    /// breaker.try_enter().unwrap().failure();
    /// assert_eq!(breaker.state(), State::Closed);
    /// breaker.try_enter().unwrap().success();
    /// assert_eq!(breaker.state(), State::Open);
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub const fn never() -> Self {
        Self {
            consecutive: None,
            failure: None,
            slow: None,
            slow_after: None,
            counts_in_flight: false,
            window: None,
            fault: None,
        }
    }

    /// Trips at the `n`-th failure in a row; `n` is 1 to 8191.
    ///
    /// This is the cheapest rule: a success that follows a success writes nothing but the count of
    /// successes.
    pub const fn consecutive(n: u32) -> Self {
        Self { consecutive: Some(n), ..Self::never() }
    }

    /// Trips when at least `ratio` of the calls in the window failed; `ratio` must be above 0 and
    /// at most 1.
    ///
    /// While the window holds fewer calls than [`minimum_calls`](Self::minimum_calls), the rule
    /// does not trip.
    pub const fn failure_rate(ratio: f64, window: Window) -> Self {
        let rate = Rate { ratio, minimum_calls: None };
        Self { failure: Some(rate), window: Some(window), ..Self::never() }
    }

    /// Trips when at least `ratio` of the calls in the window took longer than `threshold`, failed
    /// or not; `ratio` must be above 0 and at most 1, `threshold` above zero.
    ///
    /// The window is the one that [`over`](Self::over) sets, or that of the rule that this one is
    /// combined with, or else the last 100 calls. With this rule calls are timed: each reads the
    /// clock to enter and to settle. A slow call counts when it ends, unless
    /// [`count_inflight_slow`](Self::count_inflight_slow) is on.
    ///
    /// With this rule a probe that succeeds slowly trips the breaker like one that fails: a server
    /// that was cut off for being slow has not recovered while it is slow.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_circuit_breaker::{Breaker, ManualClock, State, TripRule, Window};
    ///
    /// let clock = ManualClock::new();
    /// let slow = TripRule::slow_rate(0.5, Duration::from_secs(1)).minimum_calls(2);
    /// let rule = TripRule::failure_rate(0.2, Window::count(10)).or(slow);
    /// let breaker = Breaker::builder().trip_on(rule).clock(clock.clone()).build()?;
    /// for _ in 0..2 {
    ///     let pass = breaker.try_enter().unwrap();
    ///     clock.advance(Duration::from_millis(1001));
    ///     pass.success();
    /// }
    /// assert_eq!(breaker.state(), State::Open);
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub const fn slow_rate(ratio: f64, threshold: Duration) -> Self {
        let rate = Rate { ratio, minimum_calls: None };
        Self { slow: Some(rate), ..Self::never().slow_after(threshold) }
    }

    /// Sets how many calls the window must hold before a rate counts: at least 1, and no more than
    /// the window can hold.
    ///
    /// The default is 10, or the whole window if that is smaller. The number applies to the rates
    /// that the rule has so far; for a rule without a rate, the breaker cannot be built.
    #[must_use]
    pub const fn minimum_calls(self, n: u32) -> Self {
        let mut rule = self;
        if rule.failure.is_none() && rule.slow.is_none() {
            rule.fault = Some(Fault::MinimumWithoutRate(n));
        }
        if let Some(rate) = &mut rule.failure {
            rate.minimum_calls = Some(n);
        }
        if let Some(rate) = &mut rule.slow {
            rate.minimum_calls = Some(n);
        }
        rule
    }

    /// Sets the window of the rates and of a predicate: one for the whole rule.
    #[must_use]
    pub const fn over(self, window: Window) -> Self {
        Self { window: Some(window), ..self }
    }

    /// Sets when a call is slow: when it takes longer than `threshold`, which must be above zero.
    ///
    /// By itself this never trips: it only fills [`Snapshot::slow`] and
    /// [`Stats::slow`](crate::Stats::slow). With it calls are timed.
    #[must_use]
    pub const fn slow_after(self, threshold: Duration) -> Self {
        Self { slow_after: Some(threshold), ..self }
    }

    /// Counts a call as slow as soon as it is, even while it is in flight: so calls that hang trip
    /// the breaker.
    ///
    /// Callers that enter check for slow calls, at most once in an eighth of the threshold. A call
    /// counts at the latest an eighth of the threshold after it has become slow, and never before
    /// it is slow.
    ///
    /// Each call takes two locks, one after the other, of the shard of the thread on which it
    /// began; each check takes the lock of every shard. The rule must have a threshold.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_circuit_breaker::{Breaker, ManualClock, State, TripRule};
    ///
    /// let clock = ManualClock::new();
    /// let hangs = TripRule::slow_rate(1.0, Duration::from_secs(8)).minimum_calls(3);
    /// let breaker =
    ///     Breaker::builder().trip_on(hangs.count_inflight_slow()).clock(clock.clone()).build()?;
    /// let hanging: Vec<_> = (0..3).map(|_| breaker.try_enter().unwrap()).collect();
    /// clock.advance(Duration::from_secs(9));
    /// // None of them has ended, and the next caller is refused.
    /// assert!(breaker.try_enter().is_err());
    /// assert_eq!(breaker.state(), State::Open);
    /// # drop(hanging);
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    #[must_use]
    pub const fn count_inflight_slow(self) -> Self {
        Self { counts_in_flight: true, ..self }
    }

    /// Trips when this rule or `other` says so.
    ///
    /// Each kind of rule may occur once, and there is one window, and one threshold for slow calls,
    /// for all of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, State, TripRule, Window};
    ///
    /// let rule = TripRule::consecutive(3).or(TripRule::failure_rate(0.2, Window::count(100)));
    /// let breaker = Breaker::builder().trip_on(rule).build()?;
    /// for _ in 0..3 {
    ///     breaker.try_enter().unwrap().failure();
    /// }
    /// assert_eq!(breaker.state(), State::Open);
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let twice = [
            ("consecutive", self.consecutive.is_some() && other.consecutive.is_some()),
            ("failure_rate", self.failure.is_some() && other.failure.is_some()),
            ("slow_rate", self.slow.is_some() && other.slow.is_some()),
            ("slow_after", differ(self.slow_after, other.slow_after)),
            ("window", differ(self.window, other.window)),
        ];
        let twice = twice.into_iter().find(|(_, twice)| *twice);
        Self {
            consecutive: self.consecutive.or(other.consecutive),
            failure: self.failure.or(other.failure),
            slow: self.slow.or(other.slow),
            slow_after: self.slow_after.or(other.slow_after),
            counts_in_flight: self.counts_in_flight || other.counts_in_flight,
            window: self.window.or(other.window),
            fault: self.fault.or(other.fault).or(twice.map(|(field, _)| Fault::Twice(field))),
        }
    }

    /// Returns a rule of those of these parts that are set. It may lack a threshold for slow calls,
    /// which the check of the rule then tells.
    pub(crate) fn of(consecutive: Option<u32>, failure: Option<f64>, slow: Option<f64>) -> Self {
        let rate = |ratio| Rate { ratio, minimum_calls: None };
        let (failure, slow) = (failure.map(rate), slow.map(rate));
        Self { consecutive, failure, slow, ..Self::never() }
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if let Some(Fault::MinimumWithoutRate(n)) = self.fault {
            let range = "left out of a rule without a rate";
            return Err(BuildError::new("minimum_calls", n, range));
        }
        if let Some(Fault::Twice(field)) = self.fault {
            let range = "the same for the whole rule";
            return Err(BuildError::new(field, format_args!("given twice"), range));
        }
        if let Some(n) = self.consecutive {
            if !(1..=COUNT_MAX).contains(&n) {
                return Err(BuildError::new("consecutive", n, "in 1..=8191"));
            }
        }
        if let Some(window) = self.window() {
            window.check()?;
            for (field, rate) in [("failure_rate", self.failure), ("slow_rate", self.slow)] {
                rate.map_or(Ok(()), |rate| rate.check(field, window))?;
            }
        }
        match self.slow_after {
            Some(Duration::ZERO) => {
                Err(BuildError::new("slow_after", Duration::ZERO, "above zero"))
            }
            None if self.slow.is_some() => {
                Err(BuildError::new("slow_after", format_args!("not set"), "set with a slow_rate"))
            }
            None if self.counts_in_flight => {
                Err(BuildError::new("count_inflight_slow", true, "set with a threshold only"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the window that the rule is checked on; `None` if the rule has no rate and no window
    /// was set.
    pub(crate) fn window(&self) -> Option<Window> {
        let default = self.failure.or(self.slow).map(|_| DEFAULT_WINDOW);
        self.window.or(default)
    }

    pub(crate) const fn threshold(&self) -> Option<Duration> {
        self.slow_after
    }

    /// Returns the threshold if slow calls in flight count, else `None`.
    pub(crate) fn in_flight_threshold(&self) -> Option<Duration> {
        self.slow_after.filter(|_| self.counts_in_flight)
    }

    /// Returns whether a probe that succeeds slowly trips the breaker.
    pub(crate) const fn fails_slow_probes(&self) -> bool {
        self.slow.is_some()
    }

    /// Returns whether a breaker with these statistics trips.
    pub(crate) fn trips(&self, snapshot: &Snapshot) -> bool {
        let most_calls = self.window().map_or(0, Window::most_calls);
        let has = |rate: Option<Rate>, share| {
            rate.is_some_and(|rate| {
                snapshot.calls >= u64::from(rate.minimum(most_calls)) && share >= rate.ratio
            })
        };
        self.consecutive.is_some_and(|n| snapshot.consecutive_failures >= n)
            || has(self.failure, snapshot.failure_rate())
            || has(self.slow, snapshot.slow_rate())
    }
}

impl Default for TripRule {
    /// Returns the rule that trips at five failures in a row.
    fn default() -> Self {
        Self::consecutive(5)
    }
}

impl Rate {
    fn check(self, field: &'static str, window: Window) -> Result<(), BuildError> {
        // NaN is in no range.
        if !(self.ratio > 0.0 && self.ratio <= 1.0) {
            return Err(BuildError::new(field, self.ratio, "above 0 and at most 1"));
        }
        let most_calls = window.most_calls();
        match self.minimum_calls {
            Some(n) if n == 0 || n > most_calls => {
                Err(BuildError::new("minimum_calls", n, format!("in 1..={most_calls}")))
            }
            _ => Ok(()),
        }
    }

    fn minimum(self, most_calls: u32) -> u32 {
        self.minimum_calls.unwrap_or(MINIMUM_CALLS.min(most_calls))
    }
}

/// Returns whether both are set, and to different values.
fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}
