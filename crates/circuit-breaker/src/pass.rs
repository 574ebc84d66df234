//! The right to make one call.

use core::{fmt, mem::ManuallyDrop, time::Duration};

use tidegate_core::{Clock, Outcome, Timestamp, gate};

use crate::{error::Refused, machine::Machine, observer::Observer, word::Word};

/// The right to make one call, to be settled by how it went. Dropped unsettled, it counts as
/// ignored.
///
/// It remembers the generation it was given in: settled after the breaker has changed its state, it
/// changes nothing and is counted as late.
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
pub struct Pass<'a, C: Clock, O: Observer = ()> {
    machine: &'a Machine<C, O>,
    stamp: Word,
    // When it was given, where calls are timed or probes have a timeout.
    started: Timestamp,
}

impl<'a, C: Clock, O: Observer> Pass<'a, C, O> {
    #[inline]
    pub(crate) fn new(machine: &'a Machine<C, O>, stamp: Word, started: Timestamp) -> Self {
        Self { machine, stamp, started }
    }

    #[inline]
    pub(crate) const fn machine(&self) -> &'a Machine<C, O> {
        self.machine
    }

    /// Takes the pass apart without settling it.
    #[inline]
    pub(crate) fn into_parts(self) -> (Word, Timestamp) {
        let pass = ManuallyDrop::new(self);
        (pass.stamp, pass.started)
    }

    /// The call worked.
    #[inline]
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// The call failed, and that says something about what was called.
    #[inline]
    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    /// The call says nothing: it was cancelled, or failed by the caller's own fault.
    #[inline]
    pub fn ignore(self) {
        self.settle(Outcome::Ignored);
    }

    /// The call failed, and the server said for how long to stay away (`Retry-After`): trips at
    /// once, without looking at the rule, and stays open for exactly `duration`.
    ///
    /// The next exponential open time is as if this trip had not been. Cap a duration that comes
    /// from an untrusted server.
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
        pass.machine.fail_and_open(pass.stamp, pass.started, duration);
    }

    /// Settles by an outcome found elsewhere.
    #[inline]
    pub fn settle(self, outcome: Outcome) {
        // Not dropped, which would settle it again.
        let pass = ManuallyDrop::new(self);
        pass.machine.settle(pass.stamp, pass.started, outcome);
    }
}

impl<C: Clock, O: Observer> gate::Pass for Pass<'_, C, O> {
    type Refused = Refused;

    fn pause(&mut self) {
        self.machine.pause(&mut self.stamp, self.started);
    }

    /// Looks at the breaker again. If its state has changed, the caller enters anew: an open
    /// breaker refuses. The start of the call becomes that of this call.
    fn renew(&mut self) -> Result<(), Refused> {
        self.machine.renew(&mut self.stamp, &mut self.started)
    }

    #[inline]
    fn settle(self, outcome: Outcome) {
        Pass::settle(self, outcome);
    }
}

impl<C: Clock, O: Observer> Drop for Pass<'_, C, O> {
    #[inline]
    fn drop(&mut self) {
        self.machine.settle(self.stamp, self.started, Outcome::Ignored);
    }
}

impl<C: Clock, O: Observer> fmt::Debug for Pass<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("state", &self.stamp.state())
            .field("generation", &self.stamp.generation())
            .finish()
    }
}
