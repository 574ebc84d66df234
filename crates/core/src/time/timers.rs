//! Wakers in the order of their time: the store behind the sleeps of `SystemClock` and
//! `ManualClock`.

use core::task::Waker;

use alloc::collections::BTreeMap;

use crate::{lock::Lock, primitive::Arc, time::Timestamp, unwind::Foreign};

/// Wakers that wait for a point in time. Cheap to clone: all clones are one store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    store: Arc<Lock<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    // INVARIANT: one waker for each registered `Entry`, except those that were taken out because
    // their time had come.
    wakers: BTreeMap<Key, Waker>,
    next_number: u64,
}

/// Equal times are told apart, and kept in the order of their registration, by a number.
type Key = (Timestamp, u64);

impl Timers {
    /// Returns when the first waker is due; `None` if there is none.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.store.with(|store| store.wakers.first_key_value().map(|((time, _), _)| *time))
    }

    /// Takes out the first waker if it is due at `now`.
    pub(crate) fn pop_due(&self, now: Timestamp) -> Option<Waker> {
        self.store.with(|store| {
            let first = store.wakers.first_entry()?;
            let (time, _) = *first.key();
            (time <= now).then(|| first.remove())
        })
    }

    /// Returns the same store, unless a thread holds its lock at this moment: then a new one.
    #[cfg(feature = "std")]
    pub(crate) fn inherit(&self) -> Self {
        if self.store.is_open() { self.clone() } else { Self::default() }
    }

    #[cfg(feature = "std")]
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }
}

/// A point in time, and the waker for it among [`Timers`] once it is registered there. Dropping it
/// withdraws the waker.
#[derive(Debug)]
pub(crate) struct Entry {
    // `None` while it is registered nowhere.
    timers: Option<Timers>,
    // INVARIANT: the number is that of the registration.
    key: Key,
}

impl Entry {
    /// Creates an entry that is registered nowhere.
    pub(crate) const fn new(time: Timestamp) -> Self {
        Self { timers: None, key: (time, 0) }
    }

    pub(crate) const fn time(&self) -> Timestamp {
        self.key.0
    }

    pub(crate) const fn is_registered(&self) -> bool {
        self.timers.is_some()
    }

    #[cfg(feature = "std")]
    pub(crate) fn is_registered_with(&self, timers: &Timers) -> bool {
        self.timers.as_ref().is_some_and(|own| own.is_same(timers))
    }

    /// Registers `waker` with `timers`, and nowhere else.
    pub(crate) fn register(&mut self, timers: &Timers, waker: &Waker) -> Registered {
        let waker = waker.clone();
        let time = self.time();
        let (key, is_first) = timers.store.with(|store| {
            let key = (time, store.next_number);
            store.next_number += 1;
            let is_first = store.wakers.first_key_value().is_none_or(|(first, _)| key < *first);
            store.wakers.insert(key, waker);
            (key, is_first)
        });
        let before = core::mem::replace(self, Self { timers: Some(timers.clone()), key });
        Registered { is_first, _before: before }
    }

    /// Makes `waker` the one that will be called; returns false if the entry's waker was taken out
    /// already, or if the entry is registered nowhere.
    pub(crate) fn refresh(&self, waker: &Waker) -> bool {
        let Some(Timers { store }) = &self.timers else { return false };
        match store.with(|store| store.wakers.get(&self.key).map(|held| held.will_wake(waker))) {
            None => false,
            Some(true) => true,
            Some(false) => {
                // Foreign code (a waker's clone and destructor) runs with the lock released.
                let mut waker = waker.clone();
                store.with(|store| match store.wakers.get_mut(&self.key) {
                    None => false,
                    Some(held) => {
                        core::mem::swap(held, &mut waker);
                        true
                    }
                })
            }
        }
    }

    /// Takes the waker out, if it is still there.
    pub(crate) fn withdraw(&mut self) {
        if let Some(timers) = self.timers.take() {
            // A waker's destructor is foreign code: it runs with the lock released.
            let waker = timers.store.with(|store| store.wakers.remove(&self.key));
            drop(waker.map(Foreign::new));
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The result of a registration. Dropping this withdraws the entry's previous registration, whose
/// waker is foreign code.
#[must_use = "dropping it drops a waker"]
pub(crate) struct Registered {
    /// Whether the entry is now the first of all, which the thread that serves the timers has to
    /// know.
    #[cfg_attr(
        not(feature = "std"),
        allow(dead_code, reason = "no thread sleeps until the first is due")
    )]
    pub(crate) is_first: bool,
    _before: Entry,
}
