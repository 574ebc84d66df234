//! A pass that is settled by a result.

use super::{Ending, Guarded, Outcome, Pass};

/// A pass that can be settled by a result of type `R`. [`Gate::run`](crate::Gate::run) and its
/// relatives ask this of a gate's passes.
///
/// The gate's own rule says which outcome the result is. A circuit breaker asks its
/// [`Classifier`](super::Classifier), by default [`ByResult`](super::ByResult); a gate that makes
/// no difference between outcomes takes results of every type. A row of gates takes the results
/// that each of them takes, and each of them goes by its own rule.
///
/// A function over any gate names the results: `G: Gate<Pass: SettleBy<Answer>>`.
///
/// # Examples
///
/// A gate that counts what it calls a failure:
///
/// ```
/// use core::{cell::Cell, future::{Ready, ready}};
/// use tidegate_core::{Closed, Gate, Outcome, Pass, gate::{Classify, SettleBy}};
///
/// #[derive(Default)]
/// struct Failures(Cell<u32>);
///
/// impl<'a> Gate for &'a Failures {
///     type Pass = &'a Failures;
///     type Refused = Closed;
///     type Enter = Ready<Result<Self, Closed>>;
///
///     fn try_enter(self) -> Result<Self, Closed> {
///         Ok(self)
///     }
///     fn enter(self) -> Self::Enter {
///         ready(Ok(self))
///     }
/// }
///
/// impl Pass for &Failures {
///     type Refused = Closed;
///
///     fn settle(self, outcome: Outcome) {
///         self.0.update(|n| n + u32::from(outcome == Outcome::Failure));
///     }
/// }
///
/// // The result classifies itself.
/// impl<R: Classify> SettleBy<R> for &Failures {
///     fn outcome(&self, result: &R) -> Outcome {
///         result.outcome()
///     }
/// }
///
/// let gate = Failures::default();
/// gate.run(|| "seven".parse::<u32>()).unwrap().unwrap_err();
/// gate.run(|| "7".parse::<u32>()).unwrap().unwrap();
/// assert_eq!(gate.0.get(), 1);
/// ```
pub trait SettleBy<R: ?Sized>: Pass {
    /// Returns how the action that returned `result` went, by the rule of this pass's gate.
    ///
    /// A gate that makes no difference between outcomes calls every result a success. The passes of
    /// a row return the worst that one of them finds: a failure, else ignored, else a success.
    fn outcome(&self, result: &R) -> Outcome;

    /// Settles by `result`. If the rule panics, the pass is settled as a failure, and the panic
    /// goes on.
    ///
    /// In a row each pass is settled by its own outcome, also if another one's rule panics.
    #[inline]
    fn settle_by(self, result: &R) {
        // If the rule panics, the drop of `guarded` settles the pass.
        let guarded = Guarded::new(self, Ending::Settle(Outcome::Failure));
        let outcome = guarded.pass().outcome(result);
        guarded.into_pass().settle(outcome);
    }
}
