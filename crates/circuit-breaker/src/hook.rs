//! A closure of the user, behind a pointer.

use core::panic::{RefUnwindSafe, UnwindSafe};

use alloc::boxed::Box;

/// A closure from `&T` to `R` that several threads call.
pub(crate) struct Hook<T: ?Sized, R>(Box<Closure<T, R>>);

type Closure<T, R> = dyn Fn(&T) -> R + Send + Sync;

impl<T: ?Sized, R> Hook<T, R> {
    pub(crate) fn new(closure: impl Fn(&T) -> R + Send + Sync + 'static) -> Self {
        Self(Box::new(closure))
    }

    pub(crate) fn call(&self, value: &T) -> R {
        (self.0)(value)
    }
}

/// The closure is `Sync`: it keeps what it changes behind atomics or locks, so a panic shows a
/// caller no more than another thread could see.
impl<T: ?Sized, R> UnwindSafe for Hook<T, R> {}
impl<T: ?Sized, R> RefUnwindSafe for Hook<T, R> {}
