//! The tables of a registry, each behind a lock of its own, and the search for an idle entry.

use core::num::NonZeroUsize;

use tidegate_core::{
    RwShards,
    primitive::atomic::{AtomicU64, AtomicUsize, Ordering},
    rw_shards,
};

use super::{
    dues::Dues,
    occupancy::Occupancy,
    shelf::{Looks, Shelf},
};
use crate::{
    lazy::Lazy,
    striped::{default_shards, power_of_two, spread},
};

/// Tables of `E`s, made when the first of them is written to.
pub(super) struct Shelves<E> {
    shards: Lazy<RwShards<Shelf<E>, Soonest>>,
    // INVARIANT: a power of two.
    count: NonZeroUsize,
    /// The table at which the search goes on.
    hand: AtomicUsize,
}

type Shard<'a, E> = rw_shards::Shard<'a, Shelf<E>, Soonest>;

impl<E> Shelves<E> {
    /// Creates as many tables as suit so many keys.
    pub(super) fn new(max_keys: NonZeroUsize) -> Self {
        let count = power_of_two(default_shards().min(max_keys));
        Self { shards: Lazy::new(|| empty(count)), count, hand: AtomicUsize::new(0) }
    }

    /// Looks into the table that `hash` belongs to; `None` if nothing was ever written to any.
    #[inline]
    pub(super) fn read<R>(&self, hash: u64, section: impl FnOnce(&Shelf<E>) -> R) -> Option<R> {
        Some(self.existing(hash)?.read(section))
    }

    /// Works on the table that `hash` belongs to.
    #[inline]
    pub(super) fn write<R>(&self, hash: u64, section: impl FnOnce(&mut Shelf<E>) -> R) -> R {
        let shards = self.shards.get_or_make(|| empty(self.count));
        write(shards.by_hash(spread(hash)), section)
    }

    /// Works on an entry of the table that `hash` belongs to; `None` if nothing was ever written to any. For sections that
    /// change no time.
    #[inline]
    pub(super) fn edit<R>(&self, hash: u64, section: impl FnOnce(&mut Shelf<E>) -> R) -> Option<R> {
        Some(self.existing(hash)?.write(section))
    }

    /// As [`edit`](Self::edit), for sections that change times.
    pub(super) fn write_existing<R>(
        &self,
        hash: u64,
        section: impl FnOnce(&mut Shelf<E>) -> R,
    ) -> Option<R> {
        Some(write(self.existing(hash)?, section))
    }

    /// Looks at every entry, one lock at a time.
    pub(super) fn read_all(&self, mut look: impl FnMut(&E)) {
        for shard in self.shards.get().into_iter().flat_map(RwShards::iter) {
            shard.scan(|shelf| shelf.table.iter().for_each(&mut look));
        }
    }

    /// Works on every table, one lock at a time. For sections that change no time.
    pub(super) fn edit_all(&self, mut section: impl FnMut(&mut Shelf<E>)) {
        for shard in self.shards.get().into_iter().flat_map(RwShards::iter) {
            shard.write(&mut section);
        }
    }

    /// Removes an idle entry: one whose time has come, or else the next one of a bounded number. `removed` makes of it, under
    /// the lock of its table, what is returned.
    pub(super) fn take_idle<R>(
        &self,
        now: Option<u64>,
        look: impl Fn(&mut E) -> Occupancy,
        removed: impl Fn(E) -> R,
    ) -> Option<R> {
        let shards = self.shards.get()?;
        if let Some(now) = now {
            let mut looks = Looks::new();
            for shard in shards.iter().filter(|shard| shard.beside().has_come(now)) {
                let take =
                    |shelf: &mut Shelf<E>| shelf.take_due(now, &mut looks, &look).map(&removed);
                if let Some(taken) = write(shard, take) {
                    return Some(taken);
                }
                if looks.are_spent() {
                    break;
                }
            }
        }
        let mut looks = Looks::new();
        // ORDERING: Relaxed, here and below: where the search goes on need not be exact.
        let first = self.hand.load(Ordering::Relaxed);
        // Once around, and the first table again, of which the last search had passed a part.
        for offset in 0..=shards.len() {
            let index = first.wrapping_add(offset);
            let shard = shards.get(index & (shards.len() - 1)).expect("the index is wrapped");
            let (taken, is_passed) = shard.write(|shelf| {
                let taken = shelf.take_next(offset == 0, &mut looks, &look).map(&removed);
                (taken, shelf.is_passed())
            });
            if is_passed {
                self.hand.store(index.wrapping_add(1), Ordering::Relaxed);
            }
            if taken.is_some() || looks.are_spent() {
                return taken;
            }
        }
        None
    }

    #[inline]
    fn existing(&self, hash: u64) -> Option<Shard<'_, E>> {
        Some(self.shards.get()?.by_hash(spread(hash)))
    }
}

fn empty<E>(count: NonZeroUsize) -> RwShards<Shelf<E>, Soonest> {
    RwShards::new(count, |_| (Shelf::new(), Soonest(AtomicU64::new(Dues::NEVER))))
}

/// Works on a table and publishes its earliest time, also when the section panics.
fn write<E, R>(shard: Shard<'_, E>, section: impl FnOnce(&mut Shelf<E>) -> R) -> R {
    shard.write(|shelf| {
        let timed = Timed { shelf, soonest: shard.beside() };
        section(&mut *timed.shelf)
    })
}

/// The earliest time of a table, to be had without its lock.
struct Soonest(AtomicU64);

impl Soonest {
    fn has_come(&self, now: u64) -> bool {
        // ORDERING: Relaxed: a snapshot. A thread sees its own writes, and those that happened before.
        let soonest = self.0.load(Ordering::Relaxed);
        soonest <= now && soonest != Dues::NEVER
    }
}

/// A table whose times may change.
struct Timed<'a, E> {
    shelf: &'a mut Shelf<E>,
    soonest: &'a Soonest,
}

impl<E> Drop for Timed<'_, E> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: as in `Soonest::has_come`; the lock is still held, so the stores are in the order of the
        // changes.
        self.soonest.0.store(self.shelf.soonest(), Ordering::Relaxed);
    }
}
