//! What becomes of an item that a stage fails on.

use core::fmt;

use alloc::boxed::Box;

use crate::error::PipelineError;

/// What a stage does about an item it fails on, by an error or by a panic.
///
/// # Examples
///
/// ```
/// use tidegate_pipeline::{OnError, Pipeline, Wait};
///
/// let mut failed = Vec::new();
/// let numbers = Pipeline::from_iter(["1", "two", "3"])
///     .try_map("parse", str::parse::<u32>)
///     .on_error(OnError::divert(|error| failed.push(error.index())))
///     .collect();
/// assert_eq!(numbers.wait().unwrap(), [1, 3]);
/// assert_eq!(failed, [1]);
/// ```
#[derive(Default)]
#[non_exhaustive]
pub enum OnError<'h> {
    /// The item counts as failed, and the flow stops: nothing more is read, and the run ends with
    /// the first such error. This is the default.
    #[default]
    Stop,
    /// The item counts as skipped, and the flow goes on. The error is dropped.
    Skip,
    /// The closure gets the error, the item counts as failed, and the flow goes on. If the closure
    /// panics, the flow stops.
    Divert(Box<dyn FnMut(PipelineError) + Send + 'h>),
}

impl<'h> OnError<'h> {
    /// Creates an [`OnError::Divert`].
    pub fn divert(handler: impl FnMut(PipelineError) + Send + 'h) -> Self {
        Self::Divert(Box::new(handler))
    }
}

impl fmt::Debug for OnError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "Stop",
            Self::Skip => "Skip",
            Self::Divert(_) => "Divert(..)",
        })
    }
}
