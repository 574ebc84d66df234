//! Wakers in the order of their time: the store behind every timer of ours.

use core::task::Waker;

use alloc::collections::BTreeMap;

use crate::{lock::Lock, primitive::Arc, time::Timestamp};

/// Wakers that wait for a point in time. Cheap to clone: all clones are one store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    store: Arc<Lock<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    // INVARIANT: one entry per live `Entry`, less those whose time has come.
    wakers: BTreeMap<Key, Waker>,
    next_number: u64,
}

/// Equal times are told apart, and kept in the order of their registration, by a number.
type Key = (Timestamp, u64);

impl Timers {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a waker; returns its entry and whether it is now the first of all.
    pub(crate) fn register(&self, time: Timestamp, waker: &Waker) -> (Entry, bool) {
        let waker = waker.clone();
        let (key, is_first) = self.store.with(|store| {
            let key = (time, store.next_number);
            store.next_number += 1;
            let is_first = store.wakers.first_key_value().is_none_or(|(first, _)| key < *first);
            store.wakers.insert(key, waker);
            (key, is_first)
        });
        (Entry { timers: self.clone(), key }, is_first)
    }

    /// Returns when the first waker is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.store.with(|store| store.wakers.first_key_value().map(|((time, _), _)| *time))
    }

    /// Takes the first waker that is due at `now`, with its time.
    pub(crate) fn pop_due(&self, now: Timestamp) -> Option<(Timestamp, Waker)> {
        self.store.with(|store| {
            let first = store.wakers.first_entry()?;
            let (time, _) = *first.key();
            (time <= now).then(|| (time, first.remove()))
        })
    }

    #[cfg(feature = "std")]
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }
}

/// One waker among [`Timers`]; dropping it withdraws the waker.
#[derive(Debug)]
pub(crate) struct Entry {
    timers: Timers,
    key: Key,
}

impl Entry {
    /// Makes `waker` the one that will be woken; returns false if the time has come already.
    pub(crate) fn refresh(&self, waker: &Waker) -> bool {
        let store = &self.timers.store;
        match store.with(|store| store.wakers.get(&self.key).map(|held| held.will_wake(waker))) {
            None => false,
            Some(true) => true,
            Some(false) => {
                // Foreign code (a waker's clone and destructor) runs with the lock open.
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

    #[cfg(feature = "std")]
    pub(crate) fn belongs_to(&self, timers: &Timers) -> bool {
        self.timers.is_same(timers)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let waker = self.timers.store.with(|store| store.wakers.remove(&self.key));
        // A waker's destructor is foreign code: it runs with the lock open.
        drop(waker);
    }
}
