//! A lock for critical sections of a few lines.
//!
//! Its only way in is a closure, which keeps sections short, visible and free of `await`. By
//! convention the closure *returns* the wakers to call; the caller calls them once the lock is open
//! again.
//!
//! | build | what it is |
//! | --- | --- |
//! | `std` | `std::sync::Mutex`; a poisoned lock is entered all the same |
//! | `critical-section` without `std` | a critical section of the binary's choice (interrupts off, on one core) |
//! | neither | a spin lock: right if no interrupt handler and no thread of another priority enters it |
//! | `--cfg loom` | loom's mutex |
//!
//! Poison is ignored because every section leaves its data valid before it calls foreign code.

use core::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};

use crate::primitive::by_machine;

/// A value that is reached through a short critical section.
///
/// The lock is not re-entrant: a section must not enter its own lock. No user code runs in a
/// section of this workspace, except where the docs of a method say so.
///
/// # Examples
///
/// ```
/// use tidegate_core::lock::Lock;
///
/// let total = Lock::new(0);
/// let before = total.with(|total| core::mem::replace(total, 7));
/// assert_eq!((before, total.into_inner()), (0, 7));
/// ```
pub struct Lock<T> {
    inner: imp::Mutex<T>,
}

impl<T> Lock<T> {
    crate::const_fn! {
        /// Creates an open lock around `value`.
        pub fn new(value: T) -> Self {
            Self { inner: imp::Mutex::new(value) }
        }
    }

    /// Runs `section` on the value with the lock held.
    #[inline]
    pub fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        self.inner.with(section)
    }

    /// Returns whether no thread is inside at this moment. Does not wait.
    #[cfg(feature = "std")]
    pub(crate) fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    /// Takes the value out of the lock.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

/// Every build of the lock is unwind safe: each section leaves its data valid before it calls
/// foreign code.
impl<T> UnwindSafe for Lock<T> {}
impl<T> RefUnwindSafe for Lock<T> {}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value is not shown: printing must neither wait nor run foreign code in a section.
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

by_machine! {
    real {
        #[cfg(feature = "std")]
        use hosted as imp;
        #[cfg(all(not(feature = "std"), feature = "critical-section"))]
        use interrupts as imp;
        #[cfg(all(not(feature = "std"), not(feature = "critical-section")))]
        use spin as imp;
    }
    model {
        use hosted as imp;
    }
}

#[cfg(feature = "std")]
mod hosted {
    use crate::primitive::{PoisonError, TryLockError};

    pub(super) struct Mutex<T>(crate::primitive::Mutex<T>);

    impl<T> Mutex<T> {
        crate::const_fn! {
            pub(super) fn new(value: T) -> Self {
                Self(crate::primitive::Mutex::new(value))
            }
        }

        #[inline]
        pub(super) fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
            section(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        pub(super) fn is_open(&self) -> bool {
            // A poisoned lock is open, too.
            match self.0.try_lock() {
                Ok(_) | Err(TryLockError::Poisoned(_)) => true,
                Err(TryLockError::WouldBlock) => false,
            }
        }

        pub(super) fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(all(not(feature = "std"), feature = "critical-section"))]
mod interrupts {
    use core::cell::RefCell;

    pub(super) struct Mutex<T>(critical_section::Mutex<RefCell<T>>);

    impl<T> Mutex<T> {
        pub(super) const fn new(value: T) -> Self {
            Self(critical_section::Mutex::new(RefCell::new(value)))
        }

        pub(super) fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
            critical_section::with(|token| section(&mut self.0.borrow(token).borrow_mut()))
        }

        pub(super) fn into_inner(self) -> T {
            self.0.into_inner().into_inner()
        }
    }
}

#[cfg(all(not(feature = "std"), not(feature = "critical-section")))]
#[allow(
    unsafe_code,
    reason = "a spin lock is an UnsafeCell and a flag; argument in docs/unsafe.md"
)]
mod spin {
    use core::cell::UnsafeCell;

    use crossbeam_utils::Backoff;

    use crate::primitive::atomic::{AtomicBool, Ordering};

    pub(super) struct Mutex<T> {
        taken: AtomicBool,
        // INVARIANT: reached only by the holder of `taken`, or through `self` by value.
        value: UnsafeCell<T>,
    }

    // SAFETY: `with` hands out `&mut T` to one thread at a time (see there). So threads that share
    // the mutex only send each other the `T`, for which `T: Send` is enough.
    unsafe impl<T: Send> Sync for Mutex<T> {}

    /// Opens the lock also when the section panics.
    struct Open<'a>(&'a AtomicBool);

    impl Drop for Open<'_> {
        fn drop(&mut self) {
            // ORDERING: Release: what the section wrote is seen by the Acquire of the next holder.
            self.0.store(false, Ordering::Release);
        }
    }

    impl<T> Mutex<T> {
        pub(super) const fn new(value: T) -> Self {
            Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }

        pub(super) fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
            let backoff = Backoff::new();
            // ORDERING: Acquire: pairs with the Release in `Open::drop`.
            while self.taken.swap(true, Ordering::Acquire) {
                backoff.spin();
            }
            let _open = Open(&self.taken);
            // SAFETY: only the thread whose `swap` returned false gets here, and `_open`, dropped
            // after `section` has returned, is the only one that stores false. So no second
            // reference exists while this one lives.
            section(unsafe { &mut *self.value.get() })
        }

        pub(super) fn into_inner(self) -> T {
            self.value.into_inner()
        }
    }
}
