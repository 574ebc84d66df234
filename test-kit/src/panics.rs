//! Panics without the message that `panic!` prints.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Panics without a message on the screen. `payload` is what a catcher gets, as a `&'static str`.
pub fn quiet_panic(payload: &'static str) -> ! {
    resume_unwind(Box::new(payload))
}

/// Returns what `act` returns, or `None` if it panics.
pub fn quietly<R>(act: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}

/// Returns whether `act`, or the drop of its result, panics.
pub fn panics<R>(act: impl FnOnce() -> R) -> bool {
    quietly(|| drop(act())).is_none()
}

/// Calls a closure when it is dropped.
#[derive(Debug)]
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
