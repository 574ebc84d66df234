//! Where a job's panic stops.

use core::any::Any;

use alloc::boxed::Box;

/// What a job panicked with: the argument of `panic!`, usually a `&'static str` or a `String`.
pub type Payload = Box<dyn Any + Send + 'static>;

pub(crate) use self::imp::{catch, contain};

/// Runs foreign code whose panic means that it has no answer.
pub(crate) fn attempt<T>(foreign: impl FnOnce() -> T) -> Option<T> {
    let mut answer = None;
    contain(|| answer = Some(foreign()));
    answer
}

/// Drops a payload whose destructor is foreign code.
pub(crate) fn bury(payload: Payload) {
    contain(|| drop(payload));
}

#[cfg(feature = "std")]
mod imp {
    use core::{mem, panic::AssertUnwindSafe};

    use super::Payload;

    /// Runs foreign code and turns its panic into a value.
    ///
    /// The code's captures are not looked at again after a panic, which is what unwind safety asks for.
    pub(crate) fn catch<T>(foreign: impl FnOnce() -> T) -> Result<T, Payload> {
        std::panic::catch_unwind(AssertUnwindSafe(foreign))
    }

    /// Runs foreign code that nobody wants to hear of.
    pub(crate) fn contain(foreign: impl FnOnce()) {
        let Err(payload) = catch(foreign) else { return };
        // A payload may panic when it is dropped, and what that panics with, too. There it ends: with a leak.
        if let Err(payload) = catch(|| drop(payload)) {
            mem::forget(payload);
        }
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    use super::Payload;

    /// Runs foreign code. Without std nobody can catch a panic: it aborts, or unwinds through the caller.
    pub(crate) fn catch<T>(foreign: impl FnOnce() -> T) -> Result<T, Payload> {
        Ok(foreign())
    }

    /// Runs foreign code.
    pub(crate) fn contain(foreign: impl FnOnce()) {
        foreign();
    }
}
