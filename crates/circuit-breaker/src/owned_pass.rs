//! The right to make one call, which keeps the breaker alive.

use core::{fmt, time::Duration};

use tidegate_core::{
    Clock, Outcome, Timestamp,
    gate::{self, SettleBy},
    primitive::Arc,
};

use crate::{
    breaker::Breaker,
    classifier::{ByResult, Classifier},
    error::Refused,
    observer::Observer,
    word::Word,
};

/// A [`Pass`](crate::Pass) that keeps its breaker alive and borrows nothing: the pass of an
/// `Arc<Breaker>` and of an [`OwnedFailFast`](crate::OwnedFailFast). If it is dropped unsettled,
/// the call counts as ignored.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, thread};
/// use tidegate_circuit_breaker::{Breaker, Gate};
///
/// let breaker = Arc::new(Breaker::new());
/// let pass = breaker.clone().fail_fast_owned().try_enter().unwrap();
/// thread::spawn(move || pass.failure()).join().unwrap();
/// assert_eq!(breaker.stats().failed, 1);
/// ```
#[must_use = "dropping it unsettled says nothing about the call"]
pub struct OwnedPass<C: Clock, O: Observer = (), J = ByResult> {
    // `None` once it is settled.
    breaker: Option<Arc<Breaker<C, O, J>>>,
    stamp: Word,
    started: Timestamp,
}

impl<C: Clock, O: Observer, J> OwnedPass<C, O, J> {
    pub(crate) fn new(breaker: Arc<Breaker<C, O, J>>, parts: (Word, Timestamp)) -> Self {
        let (stamp, started) = parts;
        Self { breaker: Some(breaker), stamp, started }
    }

    /// Settles the call as a success: it worked.
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// Settles the call as a failure, which says something about the server.
    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    /// Settles the call as ignored: it says nothing about the server, because it was cancelled or
    /// failed by the caller's own fault.
    pub fn ignore(self) {
        self.settle(Outcome::Ignored);
    }

    /// Settles the call as a failure for which the server said how long to stay away: see
    /// [`Pass::failure_open_for`](crate::Pass::failure_open_for).
    pub fn failure_open_for(mut self, duration: Duration) {
        if let Some(breaker) = self.breaker.take() {
            breaker.machine().fail_and_open(self.stamp, self.started, duration);
        }
    }

    /// Settles the call by `outcome`.
    pub fn settle(mut self, outcome: Outcome) {
        self.settle_once(outcome);
    }

    fn settle_once(&mut self, outcome: Outcome) {
        // The breaker may be taken out first: it settles the call whatever panics on the way.
        if let Some(breaker) = self.breaker.take() {
            breaker.machine().settle(self.stamp, self.started, outcome);
        }
    }
}

impl<C: Clock, O: Observer, J> gate::Pass for OwnedPass<C, O, J> {
    type Refused = Refused;

    fn pause(&mut self) {
        if let Some(breaker) = &self.breaker {
            breaker.machine().pause(&mut self.stamp, self.started);
        }
    }

    fn renew(&mut self) -> Result<(), Refused> {
        let Some(breaker) = &self.breaker else { return Ok(()) };
        breaker.machine().renew(&mut self.stamp, &mut self.started)
    }

    fn settle(self, outcome: Outcome) {
        OwnedPass::settle(self, outcome);
    }
}

/// The breaker's [`Classifier`] says how the call went.
impl<R: ?Sized, C: Clock, O: Observer, J: Classifier<R>> SettleBy<R> for OwnedPass<C, O, J> {
    fn outcome(&self, result: &R) -> Outcome {
        let breaker = self.breaker.as_ref().expect("it is not settled yet");
        breaker.fail_fast().classifier.outcome(result)
    }
}

impl<C: Clock, O: Observer, J> Drop for OwnedPass<C, O, J> {
    fn drop(&mut self) {
        self.settle_once(Outcome::Ignored);
    }
}

impl<C: Clock, O: Observer, J> fmt::Debug for OwnedPass<C, O, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPass")
            .field("state", &self.stamp.state())
            .field("generation", &self.stamp.generation())
            .finish()
    }
}
