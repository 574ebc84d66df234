//! A pass that ends by itself.

use super::{Classify, Outcome, Pass};
use crate::unwind;

/// How a [`Guarded`] pass ends if nobody takes it out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// Nothing was done behind it.
    GiveBack,
    /// Something was.
    Settle(Outcome),
}

impl Ending {
    fn of<P: Pass>(self, pass: P) {
        match self {
            Self::GiveBack => pass.give_back(),
            Self::Settle(outcome) => pass.settle(outcome),
        }
    }
}

/// A pass that ends as it was told, whatever unwinds or is dropped, unless it is taken out.
pub(super) struct Guarded<P: Pass> {
    // `None` only once it was taken out.
    pass: Option<P>,
    ending: Ending,
}

impl<P: Pass> Guarded<P> {
    pub(super) fn new(pass: P, ending: Ending) -> Self {
        Self { pass: Some(pass), ending }
    }

    pub(super) fn into_pass(mut self) -> P {
        self.pass.take().expect("taken once")
    }

    /// Settles as `result` classifies itself; if that panics, as it was told.
    pub(super) fn settle_by<R: Classify>(self, result: &R) {
        let outcome = result.outcome();
        self.into_pass().settle(outcome);
    }

    /// Ends as it was told.
    pub(super) fn end(mut self) {
        if let Some(pass) = self.pass.take() {
            self.ending.of(pass);
        }
    }

    pub(super) fn pause(&mut self) {
        if let Some(pass) = &mut self.pass {
            pass.pause();
        }
    }

    pub(super) fn renew(&mut self) -> Result<(), P::Refused> {
        self.pass.as_mut().map_or(Ok(()), P::renew)
    }
}

impl<P: Pass> Drop for Guarded<P> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            // Where something unwinds, a gate whose clock or whose waiter's waker panics, too, must
            // not end the process.
            unwind::in_drop(|| self.ending.of(pass));
        }
    }
}
