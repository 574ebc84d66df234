//! One table behind one lock.

use core::fmt;

use hashbrown::HashTable;
use tidegate_core::{
    Shards,
    lock::Lock,
    primitive::atomic::{AtomicUsize, Ordering},
};

use crate::reentry::{Occupant, Visitor};

/// A table of `E`s. The only way in is a section, in which foreign code may run; the section may panic.
pub(crate) struct Shard<E> {
    table: Lock<HashTable<E>>,
    // INVARIANT: the table's length while nobody writes to it.
    len: AtomicUsize,
    occupant: Occupant,
}

impl<E> Shard<E> {
    /// Creates an empty shard. Does not allocate.
    pub(crate) fn new() -> Self {
        Self {
            table: Lock::new(HashTable::new()),
            len: AtomicUsize::new(0),
            occupant: Occupant::none(),
        }
    }

    /// Looks into the table while nobody writes to it. `all` are the shards of the same map, this one included.
    ///
    /// # Panics
    ///
    /// Panics if the calling thread is inside one of them.
    #[inline]
    pub(crate) fn read<R>(
        &self,
        all: &Shards<Self>,
        section: impl FnOnce(&HashTable<E>) -> R,
    ) -> R {
        let visitor = Self::announce(all);
        self.table.with(|table| {
            let _stay = self.occupant.set(visitor);
            section(table)
        })
    }

    /// Works on the table while nobody else does. `all` are the shards of the same map, this one included.
    ///
    /// # Panics
    ///
    /// Panics if the calling thread is inside one of them.
    #[inline]
    pub(crate) fn write<R>(
        &self,
        all: &Shards<Self>,
        section: impl FnOnce(&mut HashTable<E>) -> R,
    ) -> R {
        self.edit(all, |table| {
            let counted = Counted { table, len: &self.len };
            section(&mut *counted.table)
        })
    }

    /// Works on entries of the table while nobody else does, and leaves their number as it is. `all` are the shards of the
    /// same map, this one included.
    ///
    /// # Panics
    ///
    /// Panics if the calling thread is inside one of them.
    #[inline]
    pub(crate) fn edit<R>(
        &self,
        all: &Shards<Self>,
        section: impl FnOnce(&mut HashTable<E>) -> R,
    ) -> R {
        let visitor = Self::announce(all);
        self.table.with(|table| {
            let _stay = self.occupant.set(visitor);
            section(table)
        })
    }

    /// Returns the number of entries without taking the lock.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        // ORDERING: Relaxed: a snapshot. A thread sees its own writes, and those that happened before.
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn announce(all: &Shards<Self>) -> Visitor {
        Visitor::announce(all.iter().map(|shard| &shard.occupant))
    }
}

impl<E> fmt::Debug for Shard<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A table that is being written to; its new length is published at the end, also when that end is a panic.
struct Counted<'a, E> {
    table: &'a mut HashTable<E>,
    len: &'a AtomicUsize,
}

impl<E> Drop for Counted<'_, E> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Relaxed: as in `Shard::len`; the lock is still held, so the stores are in the order of the writes.
        self.len.store(self.table.len(), Ordering::Relaxed);
    }
}
