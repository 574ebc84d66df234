//! Panics of foreign code, kept away from the driver where that is possible.

pub(crate) use tidegate_core::unwind::{
    DropEach, Foreign, attempt, contain as shielded, drop_each,
};
use tidegate_core::{
    primitive::Arc,
    unwind::{bury, words},
};

/// Runs `code`; a panic becomes its message. Without std a panic cannot be caught; where it
/// unwinds, it drops the driver, whose waiters then learn of it.
///
/// What `code` leaves behind is foreign too, and as whole as its owner keeps it: a handler that
/// panics is called again.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    tidegate_core::unwind::catch(code).map_err(|payload| {
        let message = Arc::from(words(&*payload).unwrap_or("a value that is not text"));
        bury(payload);
        message
    })
}
