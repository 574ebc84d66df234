//! How a call's pass ends, and with which outcome.

use tidegate_circuit_breaker::{ByResult, Classifier};
use tidegate_core::{
    Outcome, Pass,
    gate::{Ending, Guarded, SettleBy},
};

/// What becomes of a pass when the service has returned: it is settled, or moves into the response.
pub trait Settle<P, Res, Err> {
    /// What the caller gets.
    type Response;

    /// Ends the call. If a classifier panics, the call counts as a failure.
    ///
    /// # Errors
    ///
    /// The service's own.
    fn settle(&self, pass: P, result: Result<Res, Err>) -> Result<Self::Response, Err>;
}

/// Says how a call went, by its pass and its result: what settles at the head of a response does.
pub trait ClassifyCall<P, R> {
    /// Returns how it went; in a row of gates, how it went for all of them.
    fn outcome(&self, pass: &P, result: &R) -> Outcome;

    /// Settles by `result`. If a classifier panics, the call counts as a failure.
    fn settle_by(&self, pass: P, result: &R)
    where
        P: Pass,
    {
        let pass = Guarded::new(pass, Ending::Settle(Outcome::Failure));
        let outcome = self.outcome(pass.pass(), result);
        pass.into_pass().settle(outcome);
    }
}

/// Settles by the rule of the gate that let the call in, each gate of a row by its own, as soon as
/// the service has returned its response: a breaker's classifier, for example. A gate that has no
/// rule of its own calls `Ok` a success and `Err` a failure.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByGate;

impl<R, P: SettleBy<R>> ClassifyCall<P, R> for ByGate {
    fn outcome(&self, pass: &P, result: &R) -> Outcome {
        pass.outcome(result)
    }

    fn settle_by(&self, pass: P, result: &R) {
        pass.settle_by(result);
    }
}

impl<P: SettleBy<Result<Res, Err>>, Res, Err> Settle<P, Res, Err> for ByGate {
    type Response = Res;

    #[inline]
    fn settle(&self, pass: P, result: Result<Res, Err>) -> Result<Res, Err> {
        pass.settle_by(&result);
        result
    }
}

/// Settles by one classifier, whatever the gate is, as soon as the service has returned its
/// response: before its body, if it has one.
#[derive(Debug, Clone, Copy, Default)]
pub struct AtHead<C = ByResult> {
    pub(crate) classifier: C,
}

impl<P, R, C: Classifier<R>> ClassifyCall<P, R> for AtHead<C> {
    fn outcome(&self, _: &P, result: &R) -> Outcome {
        self.classifier.outcome(result)
    }
}

impl<P: Pass, Res, Err, C: Classifier<Result<Res, Err>>> Settle<P, Res, Err> for AtHead<C> {
    type Response = Res;

    #[inline]
    fn settle(&self, pass: P, result: Result<Res, Err>) -> Result<Res, Err> {
        self.settle_by(pass, &result);
        result
    }
}
