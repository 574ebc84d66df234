//! What counts as a failure; set once for a breaker.

use core::fmt;

use tidegate_core::Outcome;

pub use tidegate_core::gate::{ByResult, Classifier};

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
