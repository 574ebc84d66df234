//! A value that is made when it is first needed; without std it is made at once.
//!
//! With std it is std's `OnceLock`. Without std there is no cell that two threads may fill at once,
//! so the value is made together with its owner, which passes [`lazy`] a function that makes it.

#[cfg(not(feature = "std"))]
pub(crate) use self::at_once::{Lazy, lazy};
#[cfg(feature = "std")]
pub(crate) use self::when_needed::{Lazy, lazy};

#[cfg(feature = "std")]
mod when_needed {
    pub(crate) use tidegate_core::primitive::OnceLock as Lazy;

    /// Creates an empty cell.
    pub(crate) fn lazy<T>(_make: impl FnOnce() -> T) -> Lazy<T> {
        Lazy::new()
    }
}

#[cfg(not(feature = "std"))]
mod at_once {
    pub(crate) struct Lazy<T>(T);

    /// Creates a full cell.
    pub(crate) fn lazy<T>(make: impl FnOnce() -> T) -> Lazy<T> {
        Lazy(make())
    }

    impl<T> Lazy<T> {
        #[inline]
        pub(crate) fn get(&self) -> Option<&T> {
            Some(&self.0)
        }

        #[inline]
        pub(crate) fn get_or_init(&self, _make: impl FnOnce() -> T) -> &T {
            &self.0
        }
    }
}
