//! Panics of foreign code, kept away from the driver where that is possible.

pub(crate) use tidegate_core::unwind::{
    DropEach, Foreign, attempt, contain as shielded, drop_each,
};
use tidegate_core::{
    primitive::Arc,
    unwind::{bury, words},
};

/// Runs `code`; if it panics, returns the panic's message as the error. Without std no panic can be
/// caught: one that unwinds goes on to the code that polls the driver. When that code drops the
/// driver, the callers that wait get `DriverDropped`.
///
/// A panic may leave the user's state half changed, and to repair it is the user's part: a handler
/// that has panicked is called again, for the next batch or for a part of this one.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    tidegate_core::unwind::catch(code).map_err(|payload| {
        let message = Arc::from(words(&*payload).unwrap_or("a value that is not text"));
        bury(payload);
        message
    })
}
