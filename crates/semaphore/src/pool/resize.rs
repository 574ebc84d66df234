//! Adds and removes permits. The permits that exist, free or not, are capacity plus debt.

use tidegate_core::{primitive::atomic::Ordering, wait_list::Supply};

use super::PermitPool;
use crate::word::{ATTENDED, BARRED, MAX_PERMITS, permits};

impl PermitPool {
    /// Sets the capacity to what `target` returns for the present one. Returns false, and changes
    /// nothing, if that is `None` or above `MAX_PERMITS`.
    pub(crate) fn resize(&self, target: impl FnOnce(usize) -> Option<usize>) -> bool {
        self.attend(|line| {
            // Released permits belong to the waiters, not to the caller that removes some.
            self.serve(line);
            let Some(capacity) = target(self.capacity()).filter(|&n| n <= MAX_PERMITS) else {
                return false;
            };
            let existing = self.capacity() + self.debt();
            // ORDERING: Relaxed, both: under the queue's lock.
            self.capacity.store(capacity, Ordering::Relaxed);
            self.debt.store(existing.saturating_sub(capacity), Ordering::Relaxed);
            if capacity > existing {
                // ORDERING: Release: as in `release`. It comes after the capacity is stored, so
                // that the free permits never exceed the capacity.
                self.word.fetch_add(permits(capacity - existing), Ordering::Release);
            } else if capacity < existing {
                // ORDERING: Relaxed: the lock orders what is done about the flags. They are set
                // before the debt is paid: either a release comes before this, and its permits pay
                // the debt, or it comes after this, finds ATTENDED and pays under the lock.
                self.word.fetch_or(ATTENDED | BARRED, Ordering::Relaxed);
            }
            true
        })
    }

    /// Removes `n` permits that the caller holds: they pay what is owed, and the capacity shrinks
    /// by the rest.
    pub(crate) fn forget(&self, n: usize) {
        self.attend(|_| {
            let paid = n.min(self.debt());
            // ORDERING: Relaxed, both: under the queue's lock.
            self.debt.store(self.debt() - paid, Ordering::Relaxed);
            self.capacity.store(self.capacity() - (n - paid), Ordering::Relaxed);
        });
    }

    /// Removes up to `n` free permits that are due to no waiter; returns how many.
    pub(crate) fn forget_free(&self, n: usize) -> usize {
        self.attend(|line| {
            let removed = loop {
                // A releaser that waits for this lock may have added its permits: they go to the
                // head first.
                self.serve(line);
                // ORDERING: Relaxed: a guess, which the exchange confirms.
                let word = self.word.load(Ordering::Relaxed);
                let is_due = line.head().is_some_and(|head| head.of(self.spare(word)).is_some());
                if is_due && self.grants_head(word, line) {
                    continue;
                }
                let removed = n.min(self.spare(word));
                if self.withdraw(word, removed).is_ok() {
                    break removed;
                }
            };
            // ORDERING: Relaxed: under the queue's lock.
            self.capacity.store(self.capacity() - removed, Ordering::Relaxed);
            removed
        })
    }
}
