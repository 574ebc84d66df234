//! The errors of a flow.

use core::fmt;

use alloc::{boxed::Box, string::String};

use tidegate_core::unwind::{bury, catch, words};

/// Any error that a stage may fail with. Every type that implements [`Error`](core::error::Error),
/// `Send` and `Sync`, and every string, converts into it.
pub type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// The error of a stage that failed on an item.
///
/// # Examples
///
/// ```
/// use tidegate_pipeline::{Pipeline, Wait};
///
/// let words = ["1", "2", "three"];
/// let numbers = Pipeline::from_iter(words).try_map("parse", str::parse::<u8>);
/// let stopped = numbers.collect().wait().unwrap_err();
/// let error = stopped.error().unwrap();
/// assert_eq!((error.stage(), error.index()), ("parse", 2));
/// assert!(error.cause().is::<core::num::ParseIntError>());
/// assert!(error.to_string().starts_with("stage parse failed on item 2: invalid"));
/// ```
#[derive(Debug)]
pub struct PipelineError {
    stage: &'static str,
    index: u64,
    cause: BoxError,
}

impl PipelineError {
    pub(crate) fn new(stage: &'static str, index: u64, cause: BoxError) -> Self {
        Self { stage, index, cause }
    }

    /// Returns the name of the stage; `flow` if something other than a stage's own code panicked,
    /// such as a clock.
    pub fn stage(&self) -> &'static str {
        self.stage
    }

    /// Returns the item's position in the source, from 0. For a batch this is the position of its
    /// first item. For an item that a [`flat_map`](crate::Pipeline::flat_map) made, it is that of
    /// the item it was made of. For the stage `flow`, it is the number of items read by then.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Returns the error of the stage; downcast it to learn more.
    pub fn cause(&self) -> &(dyn core::error::Error + Send + Sync + 'static) {
        &*self.cause
    }

    /// Returns the error of the stage, by value.
    pub fn into_cause(self) -> BoxError {
        self.cause
    }

    /// Returns whether the stage panicked. Without the feature `std` a panic is not caught.
    pub fn is_panic(&self) -> bool {
        self.cause.is::<Panicked>()
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {} failed on item {}: {}", self.stage, self.index, self.cause)
    }
}

// The message contains the cause, so `source` does not return it as well: a report would print it
// twice.
impl core::error::Error for PipelineError {}

/// The cause of a [`PipelineError`] whose stage panicked: the panic's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    message: String,
}

impl Panicked {
    /// Returns the panic's message, empty if its payload was no string.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl core::error::Error for Panicked {}

/// Runs foreign code, and turns a panic into an error. Without std no panic is caught.
#[inline]
pub(crate) fn catch_panic<R>(code: impl FnOnce() -> R) -> Result<R, BoxError> {
    // Code that panics may leave its own state half changed: the flow drops the item and, by
    // default, stops.
    catch(code).map_err(|payload| {
        let message = words(&*payload).unwrap_or_default().into();
        bury(payload);
        Panicked { message }.into()
    })
}
