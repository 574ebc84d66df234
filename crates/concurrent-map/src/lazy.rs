//! A value that is made when it is needed first.

#[cfg(not(feature = "std"))]
pub(crate) use self::at_once::Lazy;
#[cfg(feature = "std")]
pub(crate) use self::when_needed::Lazy;

#[cfg(feature = "std")]
mod when_needed {
    use tidegate_core::primitive::OnceLock;

    pub(crate) struct Lazy<T> {
        cell: OnceLock<T>,
    }

    impl<T> Lazy<T> {
        pub(crate) fn new(_make: impl FnOnce() -> T) -> Self {
            Self { cell: OnceLock::new() }
        }

        /// Returns the value if it was made already.
        #[inline]
        pub(crate) fn get(&self) -> Option<&T> {
            self.cell.get()
        }

        /// Returns the value, made by `make` if it was not yet. `make` does not run foreign code.
        #[inline]
        pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
            self.cell.get_or_init(make)
        }
    }
}

/// Without std there is no cell that two threads can fill at once, so the value is made at the
/// start.
#[cfg(not(feature = "std"))]
mod at_once {
    pub(crate) struct Lazy<T> {
        value: T,
    }

    impl<T> Lazy<T> {
        pub(crate) fn new(make: impl FnOnce() -> T) -> Self {
            Self { value: make() }
        }

        #[inline]
        pub(crate) fn get(&self) -> Option<&T> {
            Some(&self.value)
        }

        #[inline]
        pub(crate) fn get_or_make(&self, _make: impl FnOnce() -> T) -> &T {
            &self.value
        }
    }
}
