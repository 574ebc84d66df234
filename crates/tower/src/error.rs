//! Why a call has no response of the service behind the gate.

use core::fmt;

/// Why a call was not made: the gate refused it, or the time for waiting has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal<R> {
    /// The gate refused.
    Refused(R),
    /// The gate let nobody in for as long as the layer waits at most.
    TimedOut,
}

impl<R> Refusal<R> {
    /// Translates the gate's answer.
    pub(crate) fn map<T>(self, translate: impl FnOnce(R) -> T) -> Refusal<T> {
        match self {
            Self::Refused(refused) => Refusal::Refused(translate(refused)),
            Self::TimedOut => Refusal::TimedOut,
        }
    }
}

impl<R: fmt::Display> fmt::Display for Refusal<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "refused: {refused}"),
            Self::TimedOut => f.write_str("refused: waited for too long"),
        }
    }
}

impl<R: core::error::Error + 'static> core::error::Error for Refusal<R> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::TimedOut => None,
        }
    }
}

/// The error of a service behind a gate: the gate's, or its own.
///
/// # Examples
///
/// ```
/// use tidegate_tower::{GateError, Refusal};
///
/// let error: GateError<&str, std::io::Error> = Refusal::Refused("closed").into();
/// assert!(matches!(error, GateError::Refused("closed")));
/// assert!(matches!(error.refusal(), Ok(Refusal::Refused("closed"))));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GateError<R, E> {
    /// The gate refused. The service was not called.
    Refused(R),
    /// The time for waiting has passed. The service was not called.
    TimedOut,
    /// The service was called and failed with its own error.
    Inner(E),
}

impl<R, E> GateError<R, E> {
    /// Returns why the call was not made, or the service's own error if it was.
    ///
    /// # Errors
    ///
    /// The service's own.
    pub fn refusal(self) -> Result<Refusal<R>, E> {
        match self {
            Self::Refused(refused) => Ok(Refusal::Refused(refused)),
            Self::TimedOut => Ok(Refusal::TimedOut),
            Self::Inner(error) => Err(error),
        }
    }
}

impl<R, E> From<Refusal<R>> for GateError<R, E> {
    fn from(refusal: Refusal<R>) -> Self {
        match refusal {
            Refusal::Refused(refused) => Self::Refused(refused),
            Refusal::TimedOut => Self::TimedOut,
        }
    }
}

impl<R: fmt::Display, E: fmt::Display> fmt::Display for GateError<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "refused: {refused}"),
            Self::TimedOut => f.write_str("refused: waited for too long"),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<R, E> core::error::Error for GateError<R, E>
where
    R: core::error::Error + 'static,
    E: core::error::Error + 'static,
{
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::TimedOut => None,
            // Its message is this one's.
            Self::Inner(error) => error.source(),
        }
    }
}
