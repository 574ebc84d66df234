//! A run that an error or the token stopped.

use core::fmt;

use tidegate_core::{Cancelled, Reason};

use crate::error::PipelineError;

use super::stats::Summary;

/// What becomes of the items in the flow when an error or the token stops it.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_pipeline::{AfterStop, Pipeline, Wait};
///
/// let two = NonZeroUsize::new(2).unwrap();
/// let stopped_with = |after_stop| {
///     Pipeline::from_iter(0..10)
///         .map_async("all", two, |n| async move { n })
///         .try_map("one", |n| if n == 0 { Err("no") } else { Ok(n) })
///         .after_stop(after_stop)
///         .run()
///         .wait()
///         .unwrap_err()
///         .summary()
/// };
/// // When the second stage fails, the first has taken four, twice its concurrency.
/// assert_eq!(stopped_with(AfterStop::Drain).succeeded, 3);
/// assert!(stopped_with(AfterStop::Abandon).leftover() > 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AfterStop {
    /// They are brought to the end, with all that they become on the way. A
    /// [`flat_map`](crate::Pipeline::flat_map) whose iterator never ends keeps the run from ending.
    /// This is the default.
    #[default]
    Drain,
    /// They are dropped where they are, with the futures that work on them, and counted as left
    /// over; a chunk that another thread works on is finished, and its results are dropped. At most
    /// one more item reaches the end: the one that the last stage emits in the poll that stops the
    /// flow.
    Abandon,
}

/// The run was stopped: a stage failed, or the token was cancelled.
///
/// # Examples
///
/// ```
/// use tidegate_pipeline::{Pipeline, Wait};
///
/// let run = Pipeline::from_iter(0..)
///     .try_map("limit", |n| if n < 3 { Ok(n) } else { Err("large") })
///     .run();
/// let stopped = run.wait().unwrap_err();
/// let message = "pipeline stopped: stage limit failed on item 3: large";
/// assert_eq!(stopped.to_string(), message);
/// assert_eq!((stopped.summary().succeeded, stopped.summary().failed), (3, 1));
/// ```
#[derive(Debug)]
pub struct Stopped {
    cause: Cause,
    summary: Summary,
}

#[derive(Debug)]
pub(crate) enum Cause {
    Failed(PipelineError),
    Cancelled(Cancelled),
}

impl Stopped {
    pub(crate) fn new(cause: Cause, summary: Summary) -> Self {
        Self { cause, summary }
    }

    /// Returns what became of every item that was read.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Returns the error that stopped the flow; `None` if the flow was cancelled.
    pub fn error(&self) -> Option<&PipelineError> {
        if let Cause::Failed(error) = &self.cause { Some(error) } else { None }
    }

    /// Returns the error that stopped the flow, by value; `None` if the flow was cancelled.
    pub fn into_error(self) -> Option<PipelineError> {
        if let Cause::Failed(error) = self.cause { Some(error) } else { None }
    }

    /// Returns why the flow's token was cancelled; `None` if an error stopped the flow.
    pub fn reason(&self) -> Option<&Reason> {
        if let Cause::Cancelled(cancelled) = &self.cause { Some(cancelled.reason()) } else { None }
    }

    /// Returns whether the flow was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pipeline ")?;
        match &self.cause {
            Cause::Failed(error) => write!(f, "stopped: {error}"),
            Cause::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl core::error::Error for Stopped {}
