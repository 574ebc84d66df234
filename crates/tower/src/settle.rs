//! How a call's pass ends, and with which outcome.

use tidegate_circuit_breaker::{ByResult, Classifier};
use tidegate_core::{
    Outcome, Pass,
    gate::{Ending, Guarded},
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
    /// Returns how it went.
    fn outcome(&self, pass: &P, result: &R) -> Outcome;
}

/// Settles as soon as the service has returned its response: before its body, if it has one.
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

    fn settle(&self, pass: P, result: Result<Res, Err>) -> Result<Res, Err> {
        let pass = Guarded::new(pass, Ending::Settle(Outcome::Failure));
        let outcome = self.classifier.outcome(&result);
        pass.into_pass().settle(outcome);
        result
    }
}
