//! Panics of foreign code: of wakers, destructors, and whatever else a caller has brought along.
//!
//! The rule of this workspace: *the guard exists before foreign code runs*. What is left for this module are panics that would
//! meet another one, which aborts the process, and panics that nobody is to learn of.

/// Runs foreign code whose panic ends here. Its message has been printed by the panic hook.
///
/// Without std a panic cannot be caught: where it unwinds, it goes on.
///
/// # Examples
///
/// ```
/// tidegate_core::unwind::contain(|| std::panic::resume_unwind(Box::new("a waker panicked")));
/// ```
pub fn contain(foreign: impl FnOnce()) {
    imp::contain(foreign);
}

/// Runs foreign code within a destructor. Its panic goes on, unless the destructor itself runs because of a panic: then that
/// one goes on, and this one ends here. Two panics at once would abort the process.
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
    imp::in_drop(foreign);
}

/// A value whose destructor is foreign code, dropped by [`in_drop`].
#[derive(Debug)]
pub(crate) struct Foreign<T>(Option<T>);

impl<T> Foreign<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) const fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }
}

impl<T> Drop for Foreign<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        in_drop(|| drop(value));
    }
}

#[cfg(feature = "std")]
mod imp {
    use core::{any::Any, mem, panic::AssertUnwindSafe};
    use std::{
        panic::{catch_unwind, resume_unwind},
        thread::panicking,
    };

    use alloc::boxed::Box;

    pub(super) fn contain(foreign: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(foreign)) {
            discard(payload);
        }
    }

    #[inline]
    pub(super) fn in_drop(foreign: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(foreign)) {
            pass_on(payload);
        }
    }

    #[cold]
    fn pass_on(payload: Box<dyn Any + Send>) {
        if panicking() {
            discard(payload);
        } else {
            resume_unwind(payload);
        }
    }

    /// A payload may panic when it is dropped, and what that panics with, too. There it ends: with a leak.
    #[cold]
    fn discard(payload: Box<dyn Any + Send>) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(payload);
        }
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    pub(super) fn contain(foreign: impl FnOnce()) {
        foreign();
    }

    pub(super) fn in_drop(foreign: impl FnOnce()) {
        foreign();
    }
}
