//! A breaker's settings.

use core::{fmt, time::Duration};

use tidegate_core::{BuildError, Clock, Outcome, SystemClock, primitive::Arc};

use crate::{
    breaker::Breaker,
    classifier::{ByError, ByResult},
    hook::Hook,
    machine::Machine,
    observer::Observer,
    open_for::OpenFor,
    rule::TripRule,
    settings::Settings,
    stats::Snapshot,
};

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
///     "probes is 0, but must be in 1..=8191",
/// );
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<C = SystemClock, O = (), J = ByResult> {
    pub(crate) settings: Settings,
    seed: u64,
    clock: C,
    observer: O,
    classifier: J,
}

impl<C, O, J> Builder<C, O, J> {
    /// Sets when the breaker trips. Default: 5 failures in a row.
    pub fn trip_on(mut self, rule: TripRule) -> Self {
        self.settings.rule = rule;
        self
    }

    /// Trips also when `predicate` returns `true` for the window's statistics, whatever the rule of
    /// [`trip_on`](Self::trip_on) says; the rule may be [`TripRule::never`]. Default: no predicate.
    ///
    /// It is called after each success and failure while the breaker is closed or [observes
    /// only](crate::State::ObserveOnly), unless the breaker trips anyway. With
    /// [`count_inflight_slow`](TripRule::count_inflight_slow) the statistics include slow calls in
    /// flight, and the predicate is also called when a call enters, at most once in an eighth of
    /// the slow-call threshold. No lock is held, and several threads may call it at once. The
    /// predicate must not use the breaker. For each call of the predicate the breaker reads the
    /// window, and adds up the shards of all threads if it is a window by time.
    ///
    /// # Panics
    ///
    /// A panic of the predicate propagates to the caller in whose call it was evaluated. If that
    /// call is being settled, its outcome is counted all the same. If that thread is already
    /// unwinding while it settles a call, the panic ends there and counts as `false` (without `std`
    /// it aborts the process).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, State, TripRule, Window};
    ///
    /// let rule = TripRule::never().over(Window::count(1000));
    /// let breaker = Breaker::builder()
    ///     .trip_on(rule)
    ///     .trip_when(|seen| seen.failed >= 3 && seen.failure_rate() > 0.01)
    ///     .build()?;
    /// for _ in 0..3 {
    ///     assert_eq!(breaker.state(), State::Closed);
    ///     breaker.try_enter().unwrap().success();
    ///     breaker.try_enter().unwrap().failure();
    /// }
    /// assert_eq!(breaker.state(), State::Open);
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn trip_when(
        mut self,
        predicate: impl Fn(&Snapshot) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.predicate = Some(Arc::new(Hook::new(predicate)));
        self
    }

    /// Sets how long the breaker stays open after a trip. Default: 60 seconds ±20 %.
    pub fn open_for(mut self, open_for: OpenFor) -> Self {
        self.settings.open_for = open_for;
        self
    }

    /// Sets how many probes may be in flight at once while half-open, 1 to 8191. Default: 1.
    pub fn probes(mut self, n: u32) -> Self {
        self.settings.probes = n;
        self
    }

    /// Sets after how many successful probes the breaker closes again, if none fails before; 1 to
    /// 8191. Default: 1.
    pub fn close_after(mut self, n: u32) -> Self {
        self.settings.close_after = n;
        self
    }

    /// Sets after how long a probe that is still in flight counts as failed, above zero. Default:
    /// never.
    ///
    /// A probe that hangs, or whose pass was leaked, would keep its slot for ever. With this it is
    /// written off: the breaker trips as for any failed probe, which frees the slots of all its
    /// probes. A result that comes after that counts as late. The next caller that enters, or one
    /// that waits in [`enter`](Breaker::enter), writes the probe off; no background thread does.
    /// Choose a time above the call's own timeout.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_circuit_breaker::{Breaker, ManualClock, RefusedReason, State};
    ///
    /// let (clock, minute) = (ManualClock::new(), Duration::from_secs(60));
    /// let breaker = Breaker::builder().probe_timeout(minute).clock(clock.clone()).build()?;
    /// breaker.try_enter().unwrap().failure_open_for(minute);
    /// clock.advance(minute);
    /// let hanging = breaker.try_enter().unwrap();
    /// let refused = breaker.try_enter().unwrap_err();
    /// assert_eq!((refused.reason, refused.retry_after), (RefusedReason::Probing, Some(minute)));
    /// clock.advance(minute);
    /// assert_eq!(breaker.try_enter().unwrap_err().reason, RefusedReason::Open);
    /// hanging.success();
    /// assert_eq!((breaker.state(), breaker.stats().late), (State::Open, 1));
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.settings.probe_timeout = Some(timeout);
        self
    }

    /// Seeds the jitter, together with the time of each trip. Default: 0.
    ///
    /// Equal seeds, times and numbers of earlier draws give equal jitter: with a clock turned by
    /// hand everything is repeatable. On a real clock the jitter of two breakers differs even with
    /// equal seeds, since they hardly ever trip at the same nanosecond.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the clock. Default: the system's.
    pub fn clock<D>(self, clock: D) -> Builder<D, O, J> {
        let Self { settings, seed, observer, classifier, .. } = self;
        Builder { settings, seed, clock, observer, classifier }
    }

    /// Sets the observer that is notified of trips and other changes. Default: none.
    pub fn observer<P>(self, observer: P) -> Builder<C, P, J> {
        let Self { settings, seed, clock, classifier, .. } = self;
        Builder { settings, seed, clock, observer, classifier }
    }

    /// Classifies the result of every call as a success, a failure or neither. Default: the
    /// result's own [`Classify`](crate::gate::Classify) decides.
    ///
    /// The classifier decides in every way to make a call: in [`call`](Breaker::call) and its
    /// relatives, in `run` and its relatives by any handle of the breaker, and in a row of
    /// [gates](crate::Gate), in which each gate goes by its own rule. A pass that the caller
    /// settles by hand is not classified.
    ///
    /// The closure classifies one type: that of its argument. For results of several types, set a
    /// [`classifier`](Self::classifier) of a type of your own, or classify the errors only
    /// ([`classify_errors`](Self::classify_errors)).
    ///
    /// # Panics
    ///
    /// A panic of the classifier propagates to the caller, and the call counts as a failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Outcome};
    ///
    /// let breaker = Breaker::builder()
    ///     .classify(|status: &u16| match status {
    ///         500.. => Outcome::Failure,
    ///         400.. => Outcome::Ignored,
    ///         _ => Outcome::Success,
    ///     })
    ///     .build()?;
    /// assert_eq!(breaker.call(|| 404), Ok(404));
    /// assert_eq!((breaker.stats().ignored, breaker.stats().failed), (1, 0));
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn classify<R: ?Sized, F: Fn(&R) -> Outcome>(self, classifier: F) -> Builder<C, O, F> {
        self.classifier(classifier)
    }

    /// Classifies calls by their errors; `Ok` of any type is a success. Otherwise as
    /// [`classify`](Self::classify).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Outcome};
    ///
    /// enum Error {
    ///     TimedOut,
    ///     NotFound,
    ///     NotModified,
    /// }
    ///
    /// let breaker = Breaker::builder()
    ///     .classify_errors(|error: &Error| match error {
    ///         Error::TimedOut => Outcome::Failure,
    ///         Error::NotFound => Outcome::Ignored,
    ///         Error::NotModified => Outcome::Success,
    ///     })
    ///     .build()?;
    /// let _ = breaker.call(|| Err::<u32, _>(Error::TimedOut));
    /// let _ = breaker.call(|| Err::<String, _>(Error::NotFound));
    /// let _ = breaker.call(|| Err::<(), _>(Error::NotModified));
    /// let stats = breaker.stats();
    /// assert_eq!((stats.failed, stats.ignored, stats.succeeded), (1, 1, 1));
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn classify_errors<E: ?Sized, F>(self, classify: F) -> Builder<C, O, ByError<F>>
    where
        F: Fn(&E) -> Outcome,
    {
        self.classifier(ByError { classify })
    }

    /// Classifies results by a type of yours, for example for several types of results: see
    /// [`Classifier`](crate::Classifier). Otherwise as [`classify`](Self::classify).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Classifier, Outcome};
    ///
    /// /// Statuses of 500 and above are the server's fault, those of 400 and above the caller's.
    /// struct ByStatus;
    ///
    /// impl Classifier<u16> for ByStatus {
    ///     fn outcome(&self, status: &u16) -> Outcome {
    ///         match status {
    ///             500.. => Outcome::Failure,
    ///             400.. => Outcome::Ignored,
    ///             _ => Outcome::Success,
    ///         }
    ///     }
    /// }
    ///
    /// let breaker = Breaker::builder().classifier(ByStatus).build()?;
    /// for status in [200, 404, 503] {
    ///     assert_eq!(breaker.call(|| status), Ok(status));
    /// }
    /// let stats = breaker.stats();
    /// assert_eq!((stats.succeeded, stats.ignored, stats.failed), (1, 1, 1));
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn classifier<L>(self, classifier: L) -> Builder<C, O, L> {
        let Self { settings, seed, clock, observer, .. } = self;
        Builder { settings, seed, clock, observer, classifier }
    }

    /// Builds the breaker, closed.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of range.
    pub fn build(self) -> Result<Breaker<C, O, J>, BuildError>
    where
        C: Clock,
        O: Observer,
    {
        self.settings.check()?;
        let settings = Arc::new(self.settings);
        let machine = Machine::new(settings, self.seed, self.clock, self.observer);
        Ok(Breaker::from_machine(machine, self.classifier))
    }

    /// Returns a factory of breakers that share these settings. The number that the factory is
    /// called with is added to the seed.
    pub(crate) fn into_factory(self) -> impl Fn(u64) -> Breaker<C, O, J>
    where
        C: Clock + Clone,
        O: Observer + Clone,
        J: Clone,
    {
        let settings = Arc::new(self.settings);
        let Self { seed, clock, observer, classifier, .. } = self;
        move |number| {
            let seed = seed.wrapping_add(number);
            let machine = Machine::new(settings.clone(), seed, clock.clone(), observer.clone());
            Breaker::from_machine(machine, classifier.clone())
        }
    }
}

impl<C, O, J> fmt::Debug for Builder<C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { rule, predicate, open_for, probes, close_after, probe_timeout } =
            &self.settings;
        f.debug_struct("Builder")
            .field("trip_on", rule)
            .field("has_trip_when", &predicate.is_some())
            .field("open_for", open_for)
            .field("probes", probes)
            .field("close_after", close_after)
            .field("probe_timeout", probe_timeout)
            .finish_non_exhaustive()
    }
}
