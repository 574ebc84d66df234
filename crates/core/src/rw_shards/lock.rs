//! A value behind a read-write lock whose readers need not write to the lock.

use core::{
    fmt, mem,
    panic::{RefUnwindSafe, UnwindSafe},
};

use super::{
    inside::{self, Arrival, Stay},
    readers::Announcement,
    state::State,
};
use crate::primitive::UnsafeCell;

pub(super) use super::readers::Readers;

/// Must always be used with the same [`Readers`], or a writer would not find all readers: the owner
/// of both sees to that.
pub(super) struct RwLock<T, P> {
    pub(super) meta: P,
    state: State,
    // INVARIANT: written to by the thread that has taken the state, read by those that are counted
    // in or announced.
    value: UnsafeCell<T>,
}

// SAFETY: sections get `&T`, several threads at once (`T: Sync`), or `&mut T`, one thread at a time
// (`T: Send`).
unsafe impl<T: Send + Sync, P: Sync> Sync for RwLock<T, P> {}

/// Unwind safe, without poison: a panic in a section opens the lock, and leaves the value as valid
/// as the methods of its type leave it.
impl<T, P: UnwindSafe> UnwindSafe for RwLock<T, P> {}
impl<T, P: RefUnwindSafe> RefUnwindSafe for RwLock<T, P> {}

impl<T, P> RwLock<T, P> {
    pub(super) fn new(value: T, meta: P) -> Self {
        Self { meta, state: State::new(), value: UnsafeCell::new(value) }
    }

    /// Begins a section of `owner` during which no writer comes in; `None` if the lock is closed.
    #[inline]
    pub(super) fn read<'a>(
        &'a self,
        readers: &'a Readers,
        owner: usize,
    ) -> Option<Reading<'a, T, P>> {
        let (stay, arrival) = inside::read(owner);
        let announcement = match arrival {
            Arrival::First => self.state.announce(readers),
            Arrival::Nested => None,
        };
        if announcement.is_none() && !self.state.count_in(readers, arrival) {
            return None;
        }
        Some(Reading { known: Known { lock: self, readers, announcement }, _stay: stay })
    }

    /// Does what [`read`](Self::read) does, but always counts the reader in: a writer that waits
    /// for the section's end can sleep.
    pub(super) fn scan<'a>(
        &'a self,
        readers: &'a Readers,
        owner: usize,
    ) -> Option<Counted<'a, T, P>> {
        let (stay, arrival) = inside::read(owner);
        let is_in = self.state.count_in(readers, arrival);
        if is_in { Some(Counted { known: CountedIn { lock: self, readers }, stay }) } else { None }
    }

    /// Begins a section of `owner` during which no other thread is in; `None` if the lock is
    /// closed.
    #[inline]
    pub(super) fn write<'a>(
        &'a self,
        readers: &'a Readers,
        owner: usize,
    ) -> Option<Writing<'a, T, P>> {
        let stay = inside::write(owner);
        if self.state.take(readers) {
            Some(Writing { taken: Taken { lock: self, readers }, stay })
        } else {
            None
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.is_closed()
    }

    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T, P> fmt::Debug for RwLock<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_biased = self.state.is_biased();
        f.debug_struct("RwLock").field("is_biased", &is_biased).finish_non_exhaustive()
    }
}

/// A reader is in, and known to writers, until this is dropped.
pub(super) struct Reading<'a, T, P> {
    known: Known<'a, T, P>,
    // Dropped last.
    _stay: Stay,
}

impl<T, P> Reading<'_, T, P> {
    #[inline]
    pub(super) fn run<R>(self, section: impl FnOnce(&T) -> R) -> R {
        // SAFETY: `self` is dropped after `section` has returned or unwound. Until then no writer
        // takes the state, as the caller is announced or counted, so no mutable reference exists.
        // What the last writer did happens before this, by the word.
        self.known.lock.value.with(|value| section(unsafe { &*value }))
    }
}

impl<'a, T, P> From<Counted<'a, T, P>> for Reading<'a, T, P> {
    #[inline]
    fn from(Counted { known, stay }: Counted<'a, T, P>) -> Self {
        let CountedIn { lock, readers } = known;
        mem::forget(known);
        Self { known: Known { lock, readers, announcement: None }, _stay: stay }
    }
}

/// A reader is announced, or else counted in, until this is dropped.
struct Known<'a, T, P> {
    lock: &'a RwLock<T, P>,
    readers: &'a Readers,
    announcement: Option<Announcement<'a>>,
}

impl<T, P> Drop for Known<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        if self.announcement.is_none() {
            self.lock.state.count_out(self.readers);
        }
    }
}

/// A reader is counted in until this is dropped.
pub(super) struct Counted<'a, T, P> {
    known: CountedIn<'a, T, P>,
    // Dropped last.
    stay: Stay,
}

struct CountedIn<'a, T, P> {
    lock: &'a RwLock<T, P>,
    readers: &'a Readers,
}

impl<T, P> Drop for CountedIn<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        self.lock.state.count_out(self.readers);
    }
}

/// A writer is in until this is dropped.
pub(super) struct Writing<'a, T, P> {
    taken: Taken<'a, T, P>,
    // Dropped last.
    stay: Stay,
}

impl<T, P> Writing<'_, T, P> {
    #[inline]
    pub(super) fn run<R>(self, section: impl FnOnce(&mut T, &P) -> R) -> R {
        self.taken.work(|value| section(value, &self.taken.lock.meta))
    }

    /// Closes the lock when `section` has returned.
    pub(super) fn run_and_close<R>(self, section: impl FnOnce(&mut T) -> R) -> R {
        // If `section` panics, `taken` is dropped before `_stay`.
        let Self { stay: _stay, taken } = self;
        let result = taken.work(section);
        taken.close();
        result
    }
}

/// The state is taken until this is dropped.
struct Taken<'a, T, P> {
    lock: &'a RwLock<T, P>,
    readers: &'a Readers,
}

impl<T, P> Taken<'_, T, P> {
    /// Runs `section` on the value. Only one call may run at a time: the caller makes sure that
    /// `section` cannot get at `self`.
    #[inline]
    fn work<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: `self` lives until `section` has returned or unwound, and its two callers have it
        // to themselves. When the state was taken no reader was counted in or announced, and no
        // thread comes in while it is. So this is the only reference to the value. What others did
        // in their sections happens before this: by the word for writers and counted readers, by
        // the slots for announced ones.
        self.lock.value.with_mut(|value| section(unsafe { &mut *value }))
    }

    fn close(self) {
        let Self { lock, readers } = self;
        mem::forget(self);
        lock.state.close(readers);
    }
}

impl<T, P> Drop for Taken<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        self.lock.state.release(self.readers);
    }
}
