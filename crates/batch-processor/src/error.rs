//! What can go wrong: with an item that was not accepted, and with a batch.

use core::fmt;

use alloc::vec::Vec;

use tidegate_core::{primitive::Arc, unwind::DropEach};

/// An item was not accepted. The error gives it back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There is no room now. Only the methods that never wait return this, and with
    /// [`OnFull::Reject`](crate::OnFull::Reject) also the others.
    Full(T),
    /// The item alone is heavier than a batch may be.
    TooHeavy(T),
    /// The batcher was closed.
    Closed(T),
    /// The driver was dropped, so nothing would ever process the item.
    DriverDropped(T),
}

impl<T> PushError<T> {
    /// Returns the item that was not accepted.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item)
            | Self::TooHeavy(item)
            | Self::Closed(item)
            | Self::DriverDropped(item) => item,
        }
    }

    /// Returns whether there was no room: then trying again later may help.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Returns whether no item will be accepted any more: the batcher was closed, or its driver was
    /// dropped.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::DriverDropped(_))
    }

    fn message(&self) -> &'static str {
        match self {
            Self::Full(_) => "batcher full",
            Self::TooHeavy(_) => "item heavier than a batch may be",
            Self::Closed(_) => "batcher closed",
            Self::DriverDropped(_) => "batch driver dropped",
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::TooHeavy(_) => "TooHeavy(..)",
            Self::Closed(_) => "Closed(..)",
            Self::DriverDropped(_) => "DriverDropped(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl<T> core::error::Error for PushError<T> {}

/// There is no result for an item. If a batch failed as a whole, all its callers get the same
/// error.
///
/// An error of a single item need not fail its batch: let the handler return a `Result` for each
/// item.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchError<E> {
    /// The handler returned this error. The items of that call share it: those of the batch or,
    /// with [`OnError::Bisect`](crate::OnError::Bisect), one item.
    Handler(Arc<E>),
    /// The handler returned `got` results for `sent` items, so it is unknown which result belongs
    /// to which item.
    WrongLength {
        /// Items in this call of the handler: those of the batch, or of the part that it was split
        /// into.
        sent: usize,
        /// Results that the handler returned.
        got: usize,
    },
    /// The handler panicked with this message, or an item did when it was cloned for a
    /// [retry](crate::Builder::retry) or a split. The driver goes on with the next batch.
    ///
    /// Only with the feature `std`; without it a panic cannot be caught.
    Panicked(Arc<str>),
    /// The item was dropped because there was no room, as [`OnFull`](crate::OnFull) says. It was
    /// not processed.
    Dropped,
    /// The driver was dropped before the batch was done.
    DriverDropped,
}

// Not derived: that would ask for `E: Clone`.
impl<E> Clone for BatchError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Handler(error) => Self::Handler(error.clone()),
            Self::WrongLength { sent, got } => Self::WrongLength { sent: *sent, got: *got },
            Self::Panicked(message) => Self::Panicked(message.clone()),
            Self::Dropped => Self::Dropped,
            Self::DriverDropped => Self::DriverDropped,
        }
    }
}

impl<E> BatchError<E> {
    /// Returns the error that the handler returned; `None` if something else went wrong.
    pub fn handler_error(&self) -> Option<&E> {
        match self {
            Self::Handler(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> fmt::Display for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(_) => f.write_str("batch handler failed"),
            Self::WrongLength { sent, got } => {
                write!(f, "batch handler returned {got} results for {sent} items")
            }
            Self::Panicked(message) => write!(f, "batch handler panicked: {message}"),
            Self::Dropped => f.write_str("item dropped to make room"),
            Self::DriverDropped => f.write_str("batch driver dropped"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for BatchError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.handler_error().map(|error| error as _)
    }
}

/// A submitted item has no result.
#[non_exhaustive]
pub enum SubmitError<T, E> {
    /// The item was not accepted. It comes back in the error.
    Refused(PushError<T>),
    /// The batch of the item failed, the item was dropped because there was no room, or the driver
    /// was dropped before the batch was done.
    Failed(BatchError<E>),
}

impl<T, E> SubmitError<T, E> {
    /// Returns the item if it was refused; `None` if it was accepted.
    pub fn into_inner(self) -> Option<T> {
        match self {
            Self::Refused(error) => Some(error.into_inner()),
            Self::Failed(_) => None,
        }
    }

    /// Returns why an item that was not refused has no result; `None` if the item was refused.
    pub fn batch_error(&self) -> Option<&BatchError<E>> {
        match self {
            Self::Refused(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}

impl<T, E> From<PushError<T>> for SubmitError<T, E> {
    fn from(error: PushError<T>) -> Self {
        Self::Refused(error)
    }
}

impl<T, E> From<BatchError<E>> for SubmitError<T, E> {
    fn from(error: BatchError<E>) -> Self {
        Self::Failed(error)
    }
}

impl<T, E: fmt::Debug> fmt::Debug for SubmitError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<T, E> fmt::Display for SubmitError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<T, E: core::error::Error + 'static> core::error::Error for SubmitError<T, E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.batch_error()?.handler_error().map(|error| error as _)
    }
}

/// The driver was dropped before all items that a flush waited for were done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverDropped;

impl fmt::Display for DriverDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("batch driver dropped")
    }
}

impl core::error::Error for DriverDropped {}

/// The driver was dropped before every item was done. The error gives back the items that were
/// never handed to the handler.
pub struct Unprocessed<T> {
    items: DropEach<Vec<T>>,
    interrupted: usize,
}

impl<T> Unprocessed<T> {
    pub(crate) fn new(items: Vec<T>, interrupted: usize) -> Self {
        Self { items: DropEach::new(items), interrupted }
    }

    /// Returns the items in the order in which they were accepted; with keys, in that order within
    /// each key. Only the first shutdown gets them: for later ones there are none.
    pub fn into_items(self) -> Vec<T> {
        self.items.into_inner()
    }

    /// Returns how many items were in flight when the driver was dropped. Only the handler knows
    /// what became of them.
    pub fn interrupted(&self) -> usize {
        self.interrupted
    }
}

impl<T> fmt::Debug for Unprocessed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unprocessed")
            .field("items", &self.items.len())
            .field("interrupted", &self.interrupted)
            .finish()
    }
}

impl<T> fmt::Display for Unprocessed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "batch driver dropped with {} items waiting and {} in the handler",
            self.items.len(),
            self.interrupted
        )
    }
}

impl<T> core::error::Error for Unprocessed<T> {}
