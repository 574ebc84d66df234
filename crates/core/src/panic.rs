//! Where the panic of foreign code stops.
//!
//! One catcher for all: what a panic carries is foreign, too, and may panic when it is dropped; so may each of several values
//! that are dropped together, which would abort the process.

use core::any::Any;

use alloc::boxed::Box;

/// What code has panicked with: the argument of `panic!`, usually a `&'static str` or a `String`.
pub type Payload = Box<dyn Any + Send + 'static>;

pub use self::imp::{catch, contain};

/// Drops a payload, whose destructor is foreign code.
pub fn bury(payload: Payload) {
    contain(|| drop(payload));
}

/// Runs foreign code whose panic means that it has no answer.
///
/// # Examples
///
/// ```
/// use tidegate_core::panic::attempt;
///
/// assert_eq!(attempt(|| 6 * 7), Some(42));
/// # #[cfg(feature = "std")]
/// assert_eq!(attempt(|| -> u32 { std::panic::resume_unwind(Box::new("quiet")) }), None);
/// ```
pub fn attempt<T>(foreign: impl FnOnce() -> T) -> Option<T> {
    let mut answer = None;
    contain(|| answer = Some(foreign()));
    answer
}

/// Drops foreign values, each on its own: the panic of one keeps no other from being dropped, and two abort nothing.
///
/// # Examples
///
/// ```
/// tidegate_core::panic::drop_each(vec![String::from("one"), String::from("two")]);
/// ```
pub fn drop_each<T>(values: impl IntoIterator<Item = T>) {
    let mut values = values.into_iter();
    // One run through all, or one more after each panic: catching is not free.
    while let Err(payload) = catch(|| values.by_ref().for_each(drop)) {
        bury(payload);
    }
}

/// Returns what a payload says, if it says it in words.
pub fn words(payload: &(dyn Any + Send)) -> Option<&str> {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<alloc::string::String>().map(|words| words.as_str()))
}

#[cfg(feature = "std")]
mod imp {
    use core::{mem, panic::AssertUnwindSafe};

    use super::Payload;

    /// Runs foreign code and turns its panic into a value.
    ///
    /// The code's captures are not looked at again after a panic, which is what unwind safety asks for.
    #[inline]
    pub fn catch<T>(foreign: impl FnOnce() -> T) -> Result<T, Payload> {
        std::panic::catch_unwind(AssertUnwindSafe(foreign))
    }

    /// Runs foreign code that nobody wants to hear of.
    pub fn contain(foreign: impl FnOnce()) {
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
    #[inline]
    pub fn catch<T>(foreign: impl FnOnce() -> T) -> Result<T, Payload> {
        Ok(foreign())
    }

    /// Runs foreign code.
    pub fn contain(foreign: impl FnOnce()) {
        foreign();
    }
}
