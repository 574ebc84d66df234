//! The tables of a registry, each behind a lock of its own, and the search for an idle entry.

use core::{num::NonZeroUsize, ops::ControlFlow};

use tidegate_core::primitive::atomic::{AtomicUsize, Ordering};

use super::{
    key_table::{KeyTable, KeyTableMeta, SearchBudget},
    occupancy::Occupancy,
};
use crate::{
    growing::GrowingShards,
    sharded_table::{default_shards, power_of_two},
};

/// Tables of `E`s.
pub(super) struct KeyTables<E> {
    pub(super) shards: GrowingShards<KeyTable<E>>,
    /// The table at which the next search goes on, by its index among all tables that there may be.
    hand: AtomicUsize,
}

impl<E> KeyTables<E> {
    /// Creates as many tables as suit `max_keys` keys; they are made when they are needed.
    pub(super) fn new(max_keys: NonZeroUsize) -> Self {
        let count = power_of_two(default_shards().min(max_keys));
        Self { shards: GrowingShards::growing(count, 0), hand: AtomicUsize::new(0) }
    }

    /// Removes an idle entry: one whose time has come at `now`, or else the next one from where the
    /// last search has ended. Returns what `removed` makes of it under the lock of its table;
    /// `None` if none was found among the bounded number of entries that a search checks.
    pub(super) fn take_idle<R>(
        &self,
        now: Option<u64>,
        look: impl Fn(&mut E) -> Occupancy,
        removed: impl Fn(E) -> R,
    ) -> Option<R> {
        if let Some(now) = now {
            let mut budget = SearchBudget::new();
            let search = |table: &mut KeyTable<E>| {
                let taken = table.take_due(now, &mut budget, &look).map(&removed);
                if taken.is_some() || budget.is_spent() {
                    ControlFlow::Break(taken)
                } else {
                    ControlFlow::Continue(())
                }
            };
            let has_come = |known: &_| KeyTableMeta::has_come(known, now);
            if let ControlFlow::Break(Some(taken)) = self.shards.write_if(has_come, search) {
                return Some(taken);
            }
        }
        let mut budget = SearchBudget::new();
        // ORDERING: Relaxed, here and below: where the search goes on need not be exact.
        let first = self.hand.load(Ordering::Relaxed);
        // Once around, and the first table again, of which the last search had passed a part.
        let mut offset = 0;
        while offset <= self.shards.count() {
            let index = first.wrapping_add(offset) & (self.shards.count() - 1);
            let (span, (taken, is_passed)) = self.shards.edit_at(index, |table| {
                let taken = table.take_next(offset == 0, &mut budget, &look).map(&removed);
                (taken, table.pass())
            })?;
            offset += span;
            if is_passed {
                self.hand.store(first.wrapping_add(offset), Ordering::Relaxed);
            }
            if taken.is_some() || budget.is_spent() {
                return taken;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reserve::with_capacity;

    #[test]
    fn a_search_that_ends_with_a_table_leaves_none_out_in_the_next_round() {
        let tables = KeyTables::<u64>::new(NonZeroUsize::new(2).unwrap());
        for index in 0..2 {
            // As many as one search checks, the last of them in the last bucket.
            let hash = (0..10_000).find(|hash| tables.shards.index_of(*hash) == index).unwrap();
            let fill = |table: &mut KeyTable<u64>| {
                table.table = with_capacity(112);
                for hash in 64..128 {
                    let entry = hash + 128 * index as u64;
                    table.table.insert_unique(hash, entry, |_| unreachable!("there is room"));
                }
            };
            tables.shards.write(hash, |entry| *entry, fill);
        }
        let take = |idle: u64| {
            let look = |entry: &mut u64| match *entry == idle {
                true => Occupancy::Idle,
                false => Occupancy::Busy,
            };
            tables.take_idle(None, look, |entry| entry)
        };
        // One search for each table, and then one more for each.
        assert_eq!((take(0), take(0)), (None, None));
        assert_eq!((take(100), take(200)), (Some(100), Some(200)));
    }

    /// Tables as on a machine with many processors.
    fn many() -> KeyTables<u64> {
        let count = NonZeroUsize::new(1024).unwrap();
        KeyTables { shards: GrowingShards::growing(count, 0), hand: AtomicUsize::new(0) }
    }

    fn insert(tables: &KeyTables<u64>, entry: u64, occupancy: Occupancy) {
        tables.shards.write(
            entry,
            |entry| *entry,
            |table| {
                let entry = table.table.insert_unique(entry, entry, |entry| *entry);
                let bucket = entry.bucket_index();
                table.note(bucket, occupancy);
            },
        );
    }

    #[test]
    fn one_whose_time_has_come_is_found_by_it_before_there_are_all_tables() {
        let tables = many();
        (0..200).for_each(|entry| insert(&tables, entry, Occupancy::Busy));
        // A search without times would reach the table of this entry last, and checks fewer entries
        // than are in the tables before it.
        let last = (200..100_000).find(|hash| tables.shards.index_of(*hash) == 1023).unwrap();
        insert(&tables, last, Occupancy::BusyUntil(5));
        assert_eq!(tables.shards.ranges().len(), 8, "they have not grown");
        let take = |now| {
            let look = |entry: &mut u64| match *entry == last && now >= 5 {
                true => Occupancy::Idle,
                false => Occupancy::BusyUntil(1000),
            };
            tables.take_idle(Some(now), look, |entry| entry)
        };
        assert_eq!((take(4), take(5), take(5)), (None, Some(last), None));
    }

    #[test]
    fn a_registry_grows_with_its_keys() {
        let tables = many();
        (0..4096).for_each(|entry| insert(&tables, entry, Occupancy::Busy));
        assert_eq!(tables.shards.ranges().len(), 1024);
    }
}
