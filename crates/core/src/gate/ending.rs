//! A guard that ends a pass when it is dropped.

use super::{Classify, Outcome, Pass};
use crate::unwind;

/// What the drop of a [`Guarded`] does with its pass.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// The call was not made.
    GiveBack,
    /// The call may have been made.
    Settle(Outcome),
}

impl Ending {
    fn end<P: Pass>(self, pass: P) {
        match self {
            Self::GiveBack => pass.give_back(),
            Self::Settle(outcome) => pass.settle(outcome),
        }
    }
}

/// A pass that its drop settles or gives back, also while a panic unwinds, unless it was taken
/// out.
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

    /// Settles with the outcome of `result`. If `outcome()` panics, the drop ends the pass as
    /// [`Ending`] says.
    pub(super) fn settle_by<R: Classify>(self, result: &R) {
        let outcome = result.outcome();
        self.into_pass().settle(outcome);
    }

    /// Ends as it was told.
    pub(super) fn end(mut self) {
        if let Some(pass) = self.pass.take() {
            self.ending.end(pass);
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
            unwind::in_drop(|| self.ending.end(pass));
        }
    }
}
