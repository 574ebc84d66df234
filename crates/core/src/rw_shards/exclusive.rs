//! Without std no thread can be put to sleep, and a reader is treated as a writer: one lock lets in
//! one section at a time.

use core::{fmt, marker::PhantomData};

use crate::lock::Lock;

/// No reader is announced here.
#[derive(Debug)]
pub(super) struct Readers;

impl Readers {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn counted() -> Self {
        Self
    }

    pub(super) fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    pub(super) fn take_contention(&self) -> bool {
        false
    }
}

/// Does nothing: threads cannot be told apart.
pub(super) fn assert_outside(_owner: usize) {}

pub(super) fn depth() -> usize {
    0
}

pub(super) struct RwLock<T, P> {
    pub(super) meta: P,
    value: Lock<T>,
    // As with std, the lock is `Sync` only if `T` is: the feature `std` must not take away what a
    // build without it promises.
    looked_at: PhantomData<T>,
}

impl<T, P> RwLock<T, P> {
    pub(super) fn new(value: T, meta: P) -> Self {
        Self { meta, value: Lock::new(value), looked_at: PhantomData }
    }

    pub(super) fn read<'a>(
        &'a self,
        readers: &'a Readers,
        owner: usize,
    ) -> Option<Reading<'a, T, P>> {
        self.scan(readers, owner).map(Reading::from)
    }

    pub(super) fn scan<'a>(&'a self, _: &'a Readers, _owner: usize) -> Option<Counted<'a, T, P>> {
        Some(Counted { lock: self, stay: PhantomData })
    }

    pub(super) fn write<'a>(&'a self, _: &'a Readers, _owner: usize) -> Option<Writing<'a, T, P>> {
        Some(Writing { lock: self, _stay: PhantomData })
    }

    pub(super) fn is_closed(&self) -> bool {
        false
    }

    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// As with std, a section that has begun stays with its thread.
type Stay = PhantomData<*const ()>;

/// A reader that comes in when its section runs.
pub(super) struct Reading<'a, T, P> {
    lock: &'a RwLock<T, P>,
    _stay: Stay,
}

impl<T, P> Reading<'_, T, P> {
    pub(super) fn run<R>(self, section: impl FnOnce(&T) -> R) -> R {
        self.lock.value.with(|value| section(value))
    }
}

impl<'a, T, P> From<Counted<'a, T, P>> for Reading<'a, T, P> {
    fn from(counted: Counted<'a, T, P>) -> Self {
        Self { lock: counted.lock, _stay: counted.stay }
    }
}

/// As [`Reading`].
pub(super) struct Counted<'a, T, P> {
    lock: &'a RwLock<T, P>,
    stay: Stay,
}

/// A writer that comes in when its section runs.
pub(super) struct Writing<'a, T, P> {
    lock: &'a RwLock<T, P>,
    _stay: Stay,
}

impl<T, P> Writing<'_, T, P> {
    pub(super) fn run<R>(self, section: impl FnOnce(&mut T, &P) -> R) -> R {
        self.lock.value.with(|value| section(value, &self.lock.meta))
    }

    /// Runs `section`; nothing closes here.
    pub(super) fn run_and_close<R>(self, section: impl FnOnce(&mut T) -> R) -> R {
        self.run(|value, _| section(value))
    }
}

impl<T, P> fmt::Debug for RwLock<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}
