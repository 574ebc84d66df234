//! Panics of foreign code: of wakers, destructors, and other code that users bring.
//!
//! The rule of this workspace: *the guard exists before foreign code runs*. This module, the only
//! one of all crates that catches panics, is for what a guard cannot do. It catches panics that
//! come while another one unwinds, and would abort the process, and panics that no caller is to
//! see. The payload of a panic is foreign, too: its drop may panic.

mod contained;
mod foreign;

use core::any::Any;

use alloc::boxed::Box;

pub use self::{
    contained::Contained,
    foreign::{DropEach, Foreign},
};

/// What code has panicked with: the argument of `panic!`, usually a `&'static str` or a `String`.
pub type Payload = Box<dyn Any + Send + 'static>;

pub use self::imp::{catch, contain, in_drop};

/// Drops a payload, whose destructor is foreign code. A panic of the destructor ends here.
pub fn bury(payload: Payload) {
    contain(|| drop(payload));
}

/// Runs foreign code; returns `None` if it panics. Without std the panic goes on.
///
/// # Examples
///
/// ```
/// use tidegate_core::unwind::attempt;
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

/// Drops foreign values, each on its own. With std the panics of their destructors end here: they
/// keep no other value from being dropped, and two of them do not abort the process.
///
/// # Examples
///
/// ```
/// tidegate_core::unwind::drop_each(vec![String::from("one"), String::from("two")]);
/// ```
pub fn drop_each<T>(values: impl IntoIterator<Item = T>) {
    let mut values = values.into_iter();
    // Runs through all values at once, and once more after each panic: to catch at each value would
    // cost more.
    while let Err(payload) = catch(|| values.by_ref().for_each(drop)) {
        bury(payload);
    }
}

/// Returns the message of a payload, if it is a string.
pub fn words(payload: &(dyn Any + Send)) -> Option<&str> {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<alloc::string::String>().map(|words| words.as_str()))
}

#[cfg(feature = "std")]
mod imp {
    use core::{mem, panic::AssertUnwindSafe};
    use std::{panic::resume_unwind, thread::panicking};

    use super::Payload;

    /// Runs foreign code and turns its panic into a value.
    ///
    /// Asserts unwind safety: what the code has captured must still be valid after a panic, if the
    /// caller uses it again.
    #[inline]
    pub fn catch<T>(foreign: impl FnOnce() -> T) -> Result<T, Payload> {
        std::panic::catch_unwind(AssertUnwindSafe(foreign))
    }

    /// Runs foreign code, whose panic ends here. The panic hook has printed its message by then.
    ///
    /// Without std a panic cannot be caught: where it unwinds, it goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// tidegate_core::unwind::contain(|| std::panic::resume_unwind(Box::new("a waker panicked")));
    /// ```
    pub fn contain(foreign: impl FnOnce()) {
        if let Err(payload) = catch(foreign) {
            discard(payload);
        }
    }

    /// Runs foreign code within a destructor. A panic of this code goes on, unless the destructor
    /// itself runs because of a panic: then that first panic goes on, and the one of the foreign
    /// code ends here. Two panics at once would abort the process.
    ///
    /// Without std the second panic aborts.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::{catch_unwind, resume_unwind};
    /// use tidegate_core::unwind;
    ///
    /// struct Careless;
    /// impl Drop for Careless {
    ///     fn drop(&mut self) {
    ///         unwind::in_drop(|| resume_unwind(Box::new("second")));
    ///     }
    /// }
    /// let first = catch_unwind(|| {
    ///     let _careless = Careless;
    ///     resume_unwind(Box::new("first"));
    /// });
    /// assert_eq!(*first.unwrap_err().downcast::<&str>().unwrap(), "first");
    /// assert_eq!(*catch_unwind(|| drop(Careless)).unwrap_err().downcast::<&str>().unwrap(), "second");
    /// ```
    #[inline]
    pub fn in_drop(foreign: impl FnOnce()) {
        if let Err(payload) = catch(foreign) {
            pass_on(payload);
        }
    }

    #[cold]
    fn pass_on(payload: Payload) {
        if panicking() {
            discard(payload);
        } else {
            resume_unwind(payload);
        }
    }

    /// Drops a payload. The drop may panic, and so may the drop of that panic's payload: so this
    /// second payload is leaked.
    #[cold]
    fn discard(payload: Payload) {
        if let Err(payload) = catch(|| drop(payload)) {
            mem::forget(payload);
        }
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    use super::Payload;

    /// Runs foreign code. Without std a panic cannot be caught: it aborts, or unwinds through the
    /// caller.
    #[inline]
    pub fn catch<T>(foreign: impl FnOnce() -> T) -> Result<T, Payload> {
        Ok(foreign())
    }

    /// Runs foreign code.
    pub fn contain(foreign: impl FnOnce()) {
        foreign();
    }

    /// Runs foreign code within a destructor. Without std a second panic aborts the process.
    #[inline]
    pub fn in_drop(foreign: impl FnOnce()) {
        foreign();
    }
}
