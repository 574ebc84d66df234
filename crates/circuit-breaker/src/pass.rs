//! The right to make one call.

use core::{fmt, mem::ManuallyDrop, time::Duration};

use tidegate_core::{
    Clock, Outcome, Timestamp,
    gate::{self, SettleBy},
};

use crate::{
    classifier::{ByResult, Classifier},
    error::Refused,
    fail_fast::FailFast,
    machine::Entered,
    observer::Observer,
    word::Word,
};

/// The right to make one call, to be settled by how the call went. If the pass is dropped
/// unsettled, the call counts as ignored.
///
/// The pass remembers the generation in which it was given. A success or failure that is settled
/// after the breaker has changed its state counts as late and changes nothing else.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::Breaker;
///
/// let breaker = Breaker::new();
/// let pass = breaker.try_enter().unwrap();
/// breaker.force_closed();
/// pass.failure();
/// assert_eq!((breaker.stats().late, breaker.stats().failed), (1, 0));
/// ```
#[must_use = "dropping it unsettled says nothing about the call"]
pub struct Pass<'a, C: Clock, O: Observer = (), J = ByResult> {
    gate: &'a FailFast<C, O, J>,
    stamp: Word,
    // When it was given or renewed, if calls are timed or the call is a probe with a timeout; else
    // it means nothing.
    started: Timestamp,
}

impl<'a, C: Clock, O: Observer, J> Pass<'a, C, O, J> {
    #[inline]
    pub(crate) fn new(gate: &'a FailFast<C, O, J>, entered: Entered<'a, C, O>) -> Self {
        let (stamp, started) = entered.into_parts();
        Self { gate, stamp, started }
    }

    /// Settles the call as a success: it worked.
    #[inline]
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// Settles the call as a failure, which says something about the server.
    #[inline]
    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    /// Settles the call as ignored: it says nothing about the server, because it was cancelled or
    /// failed by the caller's own fault.
    #[inline]
    pub fn ignore(self) {
        self.settle(Outcome::Ignored);
    }

    /// Settles the call as a failure for which the server said how long to stay away
    /// (`Retry-After`). The breaker trips at once, whatever the rule says, unless it is forced
    /// closed, and stays open for exactly `duration`.
    ///
    /// The next exponential open time is as if this trip had not happened. Cap a duration that
    /// comes from an untrusted server.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_circuit_breaker::{Breaker, ManualClock};
    ///
    /// let breaker = Breaker::builder().clock(ManualClock::new()).build()?;
    /// let retry_after = Duration::from_secs(7);
    /// breaker.try_enter().unwrap().failure_open_for(retry_after);
    /// assert_eq!(breaker.try_enter().unwrap_err().retry_after, Some(retry_after));
    /// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
    /// ```
    pub fn failure_open_for(self, duration: Duration) {
        let pass = ManuallyDrop::new(self);
        pass.gate.machine.fail_and_open(pass.stamp, pass.started, duration);
    }

    /// Settles the call by `outcome`.
    #[inline]
    pub fn settle(self, outcome: Outcome) {
        // It is not dropped, since the drop would settle it again.
        let pass = ManuallyDrop::new(self);
        pass.gate.machine.settle(pass.stamp, pass.started, outcome);
    }
}

impl<C: Clock, O: Observer, J> gate::Pass for Pass<'_, C, O, J> {
    type Refused = Refused;

    fn pause(&mut self) {
        self.gate.machine.pause(&mut self.stamp, self.started);
    }

    /// Checks the breaker again. If its state has changed, the caller enters anew, and an open
    /// breaker refuses it. If calls are timed, the time begins anew.
    fn renew(&mut self) -> Result<(), Refused> {
        self.gate.machine.renew(&mut self.stamp, &mut self.started)
    }

    #[inline]
    fn settle(self, outcome: Outcome) {
        Pass::settle(self, outcome);
    }
}

/// The breaker's [`Classifier`] says how the call went.
impl<R: ?Sized, C: Clock, O: Observer, J: Classifier<R>> SettleBy<R> for Pass<'_, C, O, J> {
    #[inline]
    fn outcome(&self, result: &R) -> Outcome {
        self.gate.classifier.outcome(result)
    }
}

impl<C: Clock, O: Observer, J> Drop for Pass<'_, C, O, J> {
    #[inline]
    fn drop(&mut self) {
        self.gate.machine.settle(self.stamp, self.started, Outcome::Ignored);
    }
}

impl<C: Clock, O: Observer, J> fmt::Debug for Pass<'_, C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("state", &self.stamp.state())
            .field("generation", &self.stamp.generation())
            .finish()
    }
}
