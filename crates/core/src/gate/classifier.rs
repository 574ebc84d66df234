//! The rule by which a gate calls a result a success, a failure or neither.

use super::{Classify, Outcome};

/// Says how an action went, by what it returned: the rule of one gate, set once for all actions
/// behind it.
///
/// Every `Fn(&R) -> Outcome` is a classifier. Implement it for a type where one gate guards actions
/// of several result types, or where the type needs a name. If a classifier panics, the action
/// counts as a failure.
///
/// # Examples
///
/// ```
/// use tidegate_core::{Outcome, gate::Classifier};
///
/// /// Statuses of 500 and above are the server's fault, those of 400 and above the caller's.
/// struct ByStatus;
///
/// impl Classifier<u16> for ByStatus {
///     fn outcome(&self, status: &u16) -> Outcome {
///         match status {
///             500.. => Outcome::Failure,
///             400.. => Outcome::Ignored,
///             _ => Outcome::Success,
///         }
///     }
/// }
///
/// assert_eq!(ByStatus.outcome(&503), Outcome::Failure);
/// let by_sign = |n: &i32| if *n < 0 { Outcome::Failure } else { Outcome::Success };
/// assert_eq!(by_sign.outcome(&7), Outcome::Success);
/// ```
pub trait Classifier<R: ?Sized> {
    /// Returns the outcome of the action that returned `result`.
    fn outcome(&self, result: &R) -> Outcome;
}

impl<R: ?Sized, F: Fn(&R) -> Outcome> Classifier<R> for F {
    #[inline]
    fn outcome(&self, result: &R) -> Outcome {
        self(result)
    }
}

/// The [`Classifier`] of a gate that was given none: a result classifies itself, by [`Classify`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByResult;

impl<R: Classify + ?Sized> Classifier<R> for ByResult {
    #[inline]
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}
