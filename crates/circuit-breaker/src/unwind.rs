//! Steps that run even if foreign code (a clock, a waker, an observer, a predicate) panics.

use core::cell::Cell;

use tidegate_core::unwind::contain;

/// Returns whether the thread is unwinding already: a second panic would abort the process.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn is_unwinding() -> bool {
    std::thread::panicking()
}

/// Returns false: without std a panic can be neither detected nor caught.
#[cfg(not(feature = "std"))]
#[inline]
pub(crate) const fn is_unwinding() -> bool {
    false
}

/// Runs `code`. If the thread is unwinding already, a panic of `code` ends here, since a second one
/// would abort the process; the panic hook has printed its message.
#[inline]
pub(crate) fn contain_if_unwinding(code: impl FnOnce()) {
    // Core's `in_drop` catches in any case; this is cheaper, on the path of each recorded call.
    if is_unwinding() { contain(code) } else { code() }
}

/// Calls `foreign`, then `rest`, even if `foreign` panics.
pub(crate) fn finally(foreign: impl FnOnce(), rest: impl FnOnce()) {
    let _finally = Finally(Some(rest));
    foreign();
}

/// Calls `rest` with what `foreign` returns or, if it panics, with `fallback`.
pub(crate) fn finally_with<T: Copy>(
    foreign: impl FnOnce() -> T,
    fallback: T,
    rest: impl FnOnce(T),
) {
    let found = Cell::new(fallback);
    finally(|| found.set(foreign()), || rest(found.get()));
}

/// Calls what it holds when it is dropped.
struct Finally<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        if let Some(rest) = self.0.take() {
            contain_if_unwinding(rest);
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use core::panic::AssertUnwindSafe;
    use std::panic::{catch_unwind, panic_any, resume_unwind};

    use alloc::boxed::Box;

    use super::*;

    /// A payload whose drop panics with another such payload, `self.0` times in all.
    struct Chain(u32);

    impl Drop for Chain {
        fn drop(&mut self) {
            if self.0 > 0 {
                panic_any(Self(self.0 - 1));
            }
        }
    }

    fn panic_quietly() {
        resume_unwind(Box::new("foreign"));
    }

    #[test]
    fn what_is_done_in_any_case_is_done_once() {
        let calls = Cell::new(0);
        let count = || calls.set(calls.get() + 1);
        finally(|| (), count);
        assert_eq!(calls.get(), 1);
        catch_unwind(AssertUnwindSafe(|| finally(panic_quietly, count))).unwrap_err();
        assert_eq!(calls.get(), 2);
    }

    #[test]
    fn a_second_panic_and_its_payloads_end_while_the_first_goes_on() {
        let unwound = catch_unwind(|| finally(panic_quietly, || panic_any(Chain(3))));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"foreign"));
    }
}
