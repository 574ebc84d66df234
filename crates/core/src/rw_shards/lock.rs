//! A value behind a read-write lock whose readers need not write to it.

use core::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
};

use super::{
    inside::{self, Arrival},
    readers::Announcement,
    state::{Counted, State},
};
use crate::primitive::UnsafeCell;

pub(super) use super::readers::Readers;

/// Always to be used with the same [`Readers`], or a writer would not know who reads: the owner of both sees to it.
pub(super) struct RwLock<T> {
    state: State,
    // INVARIANT: written to by who has taken the state, read by who is counted in or announced.
    value: UnsafeCell<T>,
}

// SAFETY: sections get `&T`, several threads at once (`T: Sync`), or `&mut T`, one thread at a time (`T: Send`).
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

/// As std's mutex. Who panics in a section leaves the value as valid as its type's methods do, and the lock open.
impl<T> UnwindSafe for RwLock<T> {}
impl<T> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self { state: State::new(), value: UnsafeCell::new(value) }
    }

    /// Runs `section` while nobody writes.
    #[inline]
    pub(super) fn read<R>(&self, readers: &Readers, section: impl FnOnce(&T) -> R) -> R {
        let (_stay, arrival) = inside::read(readers.address());
        let announcement = match arrival {
            Arrival::First => self.state.announce(readers),
            Arrival::Nested => None,
        };
        let reading = match announcement {
            Some(announcement) => Reading::Announced(announcement),
            None => Reading::Counted(self.state.count_in(readers, arrival)),
        };
        self.look(&reading, section)
    }

    /// Runs `section` while nobody writes, always counted: who waits for its end can sleep.
    pub(super) fn scan<R>(&self, readers: &Readers, section: impl FnOnce(&T) -> R) -> R {
        let (_stay, arrival) = inside::read(readers.address());
        self.look(&Reading::Counted(self.state.count_in(readers, arrival)), section)
    }

    /// Runs `section` while nobody else is in.
    #[inline]
    pub(super) fn write<R>(&self, readers: &Readers, section: impl FnOnce(&mut T) -> R) -> R {
        let _stay = inside::write(readers.address());
        let _taken = self.state.take(readers);
        // SAFETY: the state is taken until `_taken` is dropped, after `section` has returned or unwound. When it was taken
        // nobody was counted in and nobody was announced, and nobody comes in while it is. So this is the only reference to
        // the value. What others did in their sections happens before: by the word for writers and the counted, by the slots
        // for the announced.
        self.value.with_mut(|value| section(unsafe { &mut *value }))
    }

    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[inline]
    fn look<R>(&self, _reading: &Reading<'_>, section: impl FnOnce(&T) -> R) -> R {
        // SAFETY: while `_reading` exists, which is borrowed for longer than `section` runs, nobody takes the state, so no
        // mutable reference exists. What the last writer did happens before: by the word.
        self.value.with(|value| section(unsafe { &*value }))
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_biased = self.state.is_biased();
        f.debug_struct("RwLock").field("is_biased", &is_biased).finish_non_exhaustive()
    }
}

/// How a reader is known to writers.
#[allow(dead_code, reason = "the guards are dropped, and that is all they are for")]
enum Reading<'a> {
    Announced(Announcement<'a>),
    Counted(Counted<'a>),
}
