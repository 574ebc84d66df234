//! The breaker.

use core::fmt;

use tidegate_core::{BuildError, Clock, Gate, SystemClock, Timer, gate::TryEnter, primitive::Arc};

use crate::{
    breaker_settings::BreakerSettings,
    builder::Builder,
    changes::{StateChanges, UntilClosed},
    classifier::ByResult,
    enter::Enter,
    error::Refused,
    fail_fast::FailFast,
    machine::Machine,
    observer::Observer,
    pass::Pass,
    state::State,
    stats::Stats,
};

/// Lets calls through while they work, refuses them while they fail, and finds out with a few
/// probes when they work again.
///
/// `C` is the clock that it reads, `O` the observer that it notifies, and `J` classifies results as
/// successes, failures or neither. [`State`] shows how a breaker changes from state to state, and
/// [`Builder`] lists the settings.
///
/// # As a gate
///
/// The type of the [`Gate`] decides what it does while the breaker is open, and what its passes
/// hold:
///
/// | handle | type | while open | passes |
/// | --- | --- | --- | --- |
/// | `&breaker` | `&Breaker` | waits | borrow the breaker |
/// | `arc`, `&arc` | `Arc<Breaker>` | **waits** | own a share |
/// | `breaker.fail_fast()` | [`&FailFast`](FailFast) | refuses | borrow the breaker |
/// | `arc.fail_fast_owned()` | [`OwnedFailFast`](crate::OwnedFailFast) | refuses | own a share |
///
/// Code that must not wait takes one of the last two types: an `Arc<Breaker>` is never converted to
/// one implicitly. By whatever handle a call enters, alone or in a row, the breaker's
/// [`Classifier`] says how it went.
///
/// [`Classifier`]: crate::Classifier
///
/// # Fairness
///
/// None among the waiters in [`enter`](Self::enter): the first caller to poll when a probe slot is
/// free takes it.
///
/// # Memory ordering
///
/// None is promised between calls: a breaker counts, it does not guard data.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_circuit_breaker::{Breaker, ManualClock, OpenFor, State, TripRule};
///
/// let clock = ManualClock::new();
/// let breaker = Breaker::builder()
///     .trip_on(TripRule::consecutive(2))
///     .open_for(OpenFor::fixed(Duration::from_secs(30)).jitter(0.0))
///     .clock(clock.clone())
///     .build()?;
///
/// let fetch = |answer: Result<u32, &'static str>| breaker.call_or_else(|| answer, |_| Ok(0));
/// assert_eq!(fetch(Ok(7)), Ok(7));
/// assert_eq!(fetch(Err("timeout")), Err("timeout"));
/// assert_eq!(fetch(Err("timeout")), Err("timeout"));
/// // Two in a row: open. The fallback answers, nothing is called.
/// assert_eq!(fetch(Ok(7)), Ok(0));
///
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(fetch(Ok(8)), Ok(8));
/// assert_eq!(breaker.state(), State::Closed);
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
pub struct Breaker<C = SystemClock, O = (), J = ByResult> {
    fail_fast: FailFast<C, O, J>,
}

impl Breaker {
    /// Returns a builder with the default settings.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

#[cfg(feature = "std")]
impl Breaker {
    /// Creates a closed breaker with the defaults: trips after 5 failures in a row, opens for 60 s
    /// ±20 %, lets one probe through at a time and closes when one has succeeded.
    pub fn new() -> Self {
        Self::from_machine(Machine::new(Default::default(), 0, SystemClock, ()), ByResult)
    }
}

#[cfg(feature = "std")]
impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock, O: Observer, J> Breaker<C, O, J> {
    pub(crate) fn from_machine(machine: Machine<C, O>, classifier: J) -> Self {
        Self { fail_fast: FailFast { machine, classifier } }
    }

    #[inline]
    pub(crate) fn machine(&self) -> &Machine<C, O> {
        &self.fail_fast.machine
    }

    pub(crate) fn machine_mut(&mut self) -> &mut Machine<C, O> {
        &mut self.fail_fast.machine
    }

    /// Enters if the breaker lets the caller in.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the reason and, where it is known, the time to wait.
    #[inline]
    pub fn try_enter(&self) -> Result<Pass<'_, C, O, J>, Refused> {
        self.fail_fast.try_enter()
    }

    /// Waits until the breaker lets the caller in: its open time is over, a probe slot is free, or
    /// it has closed.
    ///
    /// With a [`probe_timeout`](Builder::probe_timeout) the waiter also writes off a probe that
    /// takes longer than that.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves leaves no trace.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the breaker is forced open, now or while the caller waits: a forced state
    /// has no end that the caller could wait for.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_circuit_breaker::{Breaker, ManualClock, Wait};
    ///
    /// let clock = ManualClock::new();
    /// let breaker = Breaker::builder().clock(clock.clone()).build()?;
    /// breaker.try_enter().unwrap().failure_open_for(Duration::from_secs(5));
    ///
    /// std::thread::scope(|s| {
    ///     let probe = s.spawn(|| breaker.enter().wait().unwrap().success());
    ///     clock.advance(Duration::from_secs(5));
    ///     probe.join().unwrap();
    /// });
    /// assert_eq!(breaker.stats().succeeded, 1);
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn enter(&self) -> Enter<'_, C, O, J>
    where
        C: Timer,
    {
        Enter::new(&self.fail_fast)
    }

    /// Returns the breaker as a gate that refuses at once where the breaker itself would wait.
    ///
    /// Use it in a row where callers may wait at other gates: `(breaker.fail_fast(), &limiter)`.
    /// For a row that moves into a task or a thread there is
    /// [`fail_fast_owned`](Self::fail_fast_owned).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, Gate, RefusedReason, Wait};
    ///
    /// let breaker = Breaker::new();
    /// breaker.force_open();
    /// let refused = breaker.fail_fast().enter().wait().unwrap_err();
    /// assert_eq!(refused.reason, RefusedReason::ForcedOpen);
    /// ```
    pub fn fail_fast(&self) -> &FailFast<C, O, J> {
        &self.fail_fast
    }

    /// Refuses every call until [`reset`](Self::reset), [`force_closed`](Self::force_closed) or
    /// [`observe_only`](Self::observe_only), and rejects all waiters in [`enter`](Self::enter).
    pub fn force_open(&self) {
        self.machine().force(State::ForcedOpen, O::on_force);
    }

    /// Lets every call through and never trips, until another state is forced.
    pub fn force_closed(&self) {
        self.machine().force(State::ForcedClosed, O::on_force);
    }

    /// Lets every call through and reports when the breaker would have tripped, until another state
    /// is forced.
    ///
    /// Such a trip is counted, and [`Observer::on_trip`] is called; then the counts start afresh.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, State};
    ///
    /// let breaker = Breaker::new();
    /// breaker.observe_only();
    /// for _ in 0..10 {
    ///     breaker.try_enter().unwrap().failure();
    /// }
    /// assert_eq!((breaker.state(), breaker.stats().trips), (State::ObserveOnly, 2));
    /// ```
    pub fn observe_only(&self) {
        self.machine().force(State::ObserveOnly, O::on_force);
    }

    /// Closes the breaker with fresh counts, whatever its state is. The totals of
    /// [`stats`](Self::stats) go on.
    pub fn reset(&self) {
        self.machine().force(State::Closed, O::on_reset);
    }

    /// Changes the settings while the breaker is used: `None` in `settings` is the builder's
    /// default, as for a new breaker.
    ///
    /// The state stays, and begins anew: with an empty window, no failure in a row and, while
    /// half-open, no probe. A breaker that is open stays so until its time is over; the next trip
    /// has the new open time. The outcomes of calls that began before count as late, and slow ones
    /// among them are no longer looked for. The clock, the observer, the classifier, the predicate
    /// and the seed stay; the totals of [`stats`](Self::stats) go on.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of range, as from the builder; then nothing changes.
    ///
    /// # Costs
    ///
    /// A breaker that was reconfigured takes one short lock more for each call that its settings
    /// do more with than count a success.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, BreakerSettings, State};
    ///
    /// let breaker = Breaker::new();
    /// let mut settings = BreakerSettings::default();
    /// settings.consecutive = Some(2);
    /// breaker.reconfigure(&settings)?;
    /// for _ in 0..2 {
    ///     breaker.try_enter().unwrap().failure();
    /// }
    /// assert_eq!(breaker.state(), State::Open);
    ///
    /// settings.probes = Some(0);
    /// let error = breaker.reconfigure(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), "probes is 0, but must be in 1..=8191");
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn reconfigure(&self, settings: &BreakerSettings) -> Result<(), BuildError> {
        let settings = settings.settings();
        settings.check()?;
        self.machine().reconfigure(|| Arc::new(settings));
        Ok(())
    }

    /// Waits until the breaker lets every call through: it is closed, forced closed or observes
    /// only.
    ///
    /// The wait makes no call, and so is no probe: an open breaker closes only if other callers go
    /// on calling.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no trace.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_circuit_breaker::{Breaker, State, Wait};
    ///
    /// let breaker = Breaker::new();
    /// breaker.closed().wait();
    /// breaker.force_open();
    /// std::thread::scope(|s| {
    ///     s.spawn(|| breaker.reset());
    ///     breaker.closed().wait();
    /// });
    /// assert_eq!(breaker.state(), State::Closed);
    /// ```
    pub fn closed(&self) -> UntilClosed<'_, C, O> {
        UntilClosed::new(self.machine())
    }

    /// Returns a watcher of the changes of state from this call on.
    pub fn state_changes(&self) -> StateChanges<'_, C, O> {
        StateChanges::new(self.machine())
    }

    /// Returns the state. A snapshot.
    pub fn state(&self) -> State {
        self.machine().state()
    }

    /// Returns the statistics.
    pub fn stats(&self) -> Stats {
        self.machine().stats()
    }
}

/// Waits where [`Breaker::fail_fast`] refuses.
impl<'a, C: Timer, O: Observer, J> Gate for &'a Breaker<C, O, J> {
    type Pass = Pass<'a, C, O, J>;
    type Refused = Refused;
    type Enter = Enter<'a, C, O, J>;

    #[inline]
    fn try_enter(self) -> Result<Pass<'a, C, O, J>, Refused> {
        Breaker::try_enter(self)
    }

    fn enter(self) -> Enter<'a, C, O, J> {
        Breaker::enter(self)
    }
}

/// Refuses where `&Breaker` waits.
impl<'a, C: Clock, O: Observer, J> Gate for &'a FailFast<C, O, J> {
    type Pass = Pass<'a, C, O, J>;
    type Refused = Refused;
    type Enter = TryEnter<Self>;

    #[inline]
    fn try_enter(self) -> Result<Pass<'a, C, O, J>, Refused> {
        self.machine.enter().map(|entered| Pass::new(self, entered))
    }

    fn enter(self) -> TryEnter<Self> {
        TryEnter::new(self)
    }
}

impl<C, O, J> fmt::Debug for Breaker<C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fail_fast.machine.show("Breaker", f)
    }
}
