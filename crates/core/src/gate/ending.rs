//! A guard that ends a pass when it is dropped.

use core::{fmt, mem};

use super::{Outcome, Pass};
use crate::unwind;

/// What the drop of a [`Guarded`] does with its pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
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

/// Holds a pass. Its drop settles the pass or gives it back, also while a panic unwinds, unless the
/// pass was taken out. For code that runs foreign code behind a gate without
/// [`Gate::run`](crate::Gate::run) or [`run_async`](crate::Gate::run_async).
///
/// # Examples
///
/// ```
/// use core::cell::Cell;
/// use tidegate_core::{Closed, Outcome, Pass, gate::{Ending, Guarded}};
///
/// struct Told<'a>(&'a Cell<Option<Outcome>>);
///
/// impl Pass for Told<'_> {
///     type Refused = Closed;
///     fn settle(self, outcome: Outcome) {
///         self.0.set(Some(outcome));
///     }
/// }
///
/// let told = Cell::new(None);
/// drop(Guarded::new(Told(&told), Ending::Settle(Outcome::Failure)));
/// assert_eq!(told.get(), Some(Outcome::Failure));
/// Guarded::new(Told(&told), Ending::GiveBack).into_pass().settle(Outcome::Success);
/// assert_eq!(told.get(), Some(Outcome::Success));
/// ```
pub struct Guarded<P: Pass> {
    // `None` only once the pass was taken out.
    pass: Option<P>,
    ending: Ending,
}

impl<P: Pass> Guarded<P> {
    /// Guards `pass`.
    pub const fn new(pass: P, ending: Ending) -> Self {
        Self { pass: Some(pass), ending }
    }

    /// Returns the pass without taking it out.
    pub const fn pass(&self) -> &P {
        self.pass.as_ref().expect("it is not taken out yet")
    }

    /// Takes the pass out.
    #[inline]
    pub fn into_pass(mut self) -> P {
        let pass = self.pass.take().expect("taken once");
        // Nothing is left that its drop would do.
        mem::forget(self);
        pass
    }

    /// Ends the pass as `ending` says.
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
            // While a panic unwinds, a second one, of the gate's clock or of a waiter's waker,
            // would abort the process.
            unwind::in_drop(|| self.ending.end(pass));
        }
    }
}

impl<P: Pass> fmt::Debug for Guarded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("ending", &self.ending).finish_non_exhaustive()
    }
}
