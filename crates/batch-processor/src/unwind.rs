//! Panics of foreign code, kept away from the driver where that is possible.

use tidegate_core::primitive::Arc;

/// Runs `code`; a panic becomes its message.
///
/// What `code` leaves behind is foreign too, and as whole as its owner keeps it: a handler that panics is called again.
#[cfg(feature = "std")]
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    use core::panic::AssertUnwindSafe;
    std::panic::catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<alloc::string::String>().map(|text| text.as_str()));
        Arc::from(message.unwrap_or("a value that is not text"))
    })
}

/// Without std a panic cannot be caught; where it unwinds, it drops the driver, whose waiters then learn of it.
#[cfg(not(feature = "std"))]
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    Ok(code())
}

/// Runs foreign code (wakers, the destructors of results) whose panic must not end the driver. The panic's message has
/// been printed by the hook.
pub(crate) fn shielded(code: impl FnOnce()) {
    let _ = catch(code);
}
