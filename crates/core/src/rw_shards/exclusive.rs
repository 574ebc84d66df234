//! Without std nobody can be told to sleep, and a reader is as good as a writer: one lock, one at a time.

use core::{fmt, marker::PhantomData};

use crate::lock::Lock;

/// Nobody is announced here.
#[derive(Debug)]
pub(super) struct Readers;

impl Readers {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn assert_outside(&self) {}
}

pub(super) struct RwLock<T> {
    value: Lock<T>,
    // As with std, it is `Sync` only if `T` is: a feature must not take away what another build promises.
    looked_at: PhantomData<T>,
}

impl<T> RwLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Lock::new(value), looked_at: PhantomData }
    }

    pub(super) fn read<R>(&self, _readers: &Readers, section: impl FnOnce(&T) -> R) -> R {
        self.value.with(|value| section(value))
    }

    pub(super) fn scan<R>(&self, readers: &Readers, section: impl FnOnce(&T) -> R) -> R {
        self.read(readers, section)
    }

    pub(super) fn write<R>(&self, _readers: &Readers, section: impl FnOnce(&mut T) -> R) -> R {
        self.value.with(section)
    }

    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}
