//! What a stage's function returns: a value, or a `Result`.

use crate::error::BoxError;

/// Turns what a stage's function returns into a result. Implemented by this crate.
pub trait Returns<R> {
    /// The value.
    type Out;

    #[doc(hidden)]
    fn result(returned: R) -> Result<Self::Out, BoxError>;
}

/// The function returns the value and cannot fail.
#[derive(Debug)]
pub struct Plain;

impl<R> Returns<R> for Plain {
    type Out = R;

    #[inline]
    fn result(returned: R) -> Result<R, BoxError> {
        Ok(returned)
    }
}

/// The function returns a `Result`.
#[derive(Debug)]
pub struct Try;

impl<Out, E: Into<BoxError>> Returns<Result<Out, E>> for Try {
    type Out = Out;

    #[inline]
    fn result(returned: Result<Out, E>) -> Result<Out, BoxError> {
        returned.map_err(Into::into)
    }
}
