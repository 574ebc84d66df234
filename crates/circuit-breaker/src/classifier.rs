//! What counts as a failure; set once for a breaker.

use core::fmt;

use tidegate_core::{Outcome, gate::Classify};

/// Says how a call went, by what it returned. Set once for a breaker, by `classify`,
/// `classify_errors` or `classifier` of its [`Builder`](crate::Builder).
///
/// Every `Fn(&R) -> Outcome` is a classifier. Implement it for a type where one breaker guards
/// calls of several result types, or where the type needs a name. If a classifier panics, the call
/// counts as a failure.
///
/// # Examples
///
/// ```
/// use tidegate_circuit_breaker::{Breaker, Classifier, Outcome};
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
/// let breaker = Breaker::builder().classifier(ByStatus).build()?;
/// for status in [200, 404, 503] {
///     assert_eq!(breaker.call(|| status), Ok(status));
/// }
/// let stats = breaker.stats();
/// assert_eq!((stats.succeeded, stats.ignored, stats.failed), (1, 1, 1));
/// # Ok::<(), tidegate_circuit_breaker::BuildError>(())
/// ```
pub trait Classifier<R: ?Sized> {
    /// Returns the outcome of the call that returned `result`.
    fn outcome(&self, result: &R) -> Outcome;
}

impl<R: ?Sized, F: Fn(&R) -> Outcome> Classifier<R> for F {
    #[inline]
    fn outcome(&self, result: &R) -> Outcome {
        self(result)
    }
}

/// The default [`Classifier`]: a result classifies itself, by [`Classify`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByResult;

impl<R: Classify> Classifier<R> for ByResult {
    #[inline]
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

/// A [`Classifier`] of errors only; `Ok` is a success. Made by
/// [`Builder::classify_errors`](crate::Builder::classify_errors).
#[derive(Clone, Copy)]
pub struct ByError<F> {
    pub(crate) classify: F,
}

impl<F> fmt::Debug for ByError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByError").finish_non_exhaustive()
    }
}

impl<T, E, F: Fn(&E) -> Outcome> Classifier<Result<T, E>> for ByError<F> {
    #[inline]
    fn outcome(&self, result: &Result<T, E>) -> Outcome {
        result.as_ref().err().map_or(Outcome::Success, &self.classify)
    }
}
