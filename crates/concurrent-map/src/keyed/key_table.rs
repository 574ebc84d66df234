//! A table whose idle entries are found by few checks.

use alloc::{vec, vec::Vec};

use hashbrown::HashTable;
use tidegate_core::primitive::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{idle_times::IdleTimes, occupancy::Occupancy};
use crate::{
    growing::Table,
    reserve::{reserve, with_capacity},
};

/// How many entries one search may still check.
#[derive(Debug)]
pub(super) struct SearchBudget {
    entries: usize,
    // A table that was once much fuller has many empty buckets, and passing them costs a little,
    // too.
    buckets: usize,
}

impl SearchBudget {
    /// The most entries that a search checks one after the other. A search by times checks as many,
    /// and then goes on to the end of the group that it is in.
    pub(super) const MOST: usize = 64;

    pub(super) const fn new() -> Self {
        Self { entries: Self::MOST, buckets: 32 * Self::MOST }
    }

    pub(super) const fn is_spent(&self) -> bool {
        self.entries == 0 || self.buckets == 0
    }

    fn spend(&mut self, entries: usize) {
        self.entries = self.entries.saturating_sub(entries);
        self.buckets = self.buckets.saturating_sub(1);
    }
}

/// The table of one shard.
pub(super) struct KeyTable<E> {
    pub(super) table: HashTable<E>,
    idle_times: IdleTimes,
    /// The bucket from which the search goes on.
    hand: usize,
}

impl<E> KeyTable<E> {
    const fn new(table: HashTable<E>) -> Self {
        Self { table, idle_times: IdleTimes::new(), hand: 0 }
    }

    /// Reserves room for one more entry. If the entries move, `look` runs on all of them; it is
    /// `None` if no times are kept.
    ///
    /// If `hash` panics, the table is as it was. If `look` panics, some idle entries are found
    /// later than they might be.
    pub(super) fn reserve(
        &mut self,
        hash: impl Fn(&E) -> u64,
        look: Option<impl Fn(&mut E) -> Occupancy>,
    ) {
        if self.table.len() < self.table.capacity() {
            return;
        }
        reserve(&mut self.table, 1, hash);
        self.idle_times.clear();
        let Some(look) = look else { return };
        for bucket in 0..self.table.num_buckets() {
            let Ok(mut entry) = self.table.get_bucket_entry(bucket) else { continue };
            let occupancy = look(entry.get_mut());
            self.note(bucket, occupancy);
        }
    }

    /// Notes when the entry in `bucket` may be idle.
    pub(super) fn note(&mut self, bucket: usize, occupancy: Occupancy) {
        let due = match occupancy {
            Occupancy::Idle => 0,
            Occupancy::Busy => IdleTimes::NEVER,
            Occupancy::BusyUntil(due) => due,
        };
        self.idle_times.lower(self.table.num_buckets(), bucket, due);
    }

    /// Removes an idle entry of a group whose bound has come at `now`; `None` if no such group has
    /// one, or once the budget is spent.
    ///
    /// A check of a group finds an idle entry, or one that was used since it reported its time. So
    /// all searches together check at most one group for each use and each idle entry.
    pub(super) fn take_due(
        &mut self,
        now: u64,
        budget: &mut SearchBudget,
        look: impl Fn(&mut E) -> Occupancy,
    ) -> Option<E> {
        while !budget.is_spent() {
            let group = self.idle_times.first_due(now)?;
            let start = group * IdleTimes::GROUP;
            let end = self.table.num_buckets().min(start + IdleTimes::GROUP);
            let (mut due, mut idle) = (IdleTimes::NEVER, None);
            for bucket in start..end {
                let Ok(mut entry) = self.table.get_bucket_entry(bucket) else { continue };
                budget.spend(1);
                match look(entry.get_mut()) {
                    Occupancy::Idle if idle.is_none() => idle = Some(bucket),
                    Occupancy::Idle => {
                        due = now.min(IdleTimes::NEVER - 1);
                        break;
                    }
                    Occupancy::Busy => {}
                    // An entry that says it was busy until now is checked again, but not in this
                    // search.
                    Occupancy::BusyUntil(time) => due = due.min(time.max(now.saturating_add(1))),
                }
            }
            // The bound is also set if the group's only idle entry leaves: bounds that stayed
            // behind would use up the budget of a later search.
            self.idle_times.set(group, due);
            if let Some(entry) = idle.and_then(|bucket| self.table.get_bucket_entry(bucket).ok()) {
                return Some(entry.remove().0);
            }
        }
        None
    }

    /// Removes the next idle entry of this table, from where the last search has ended if
    /// `goes_on`, else from the first bucket; `None` if none is found up to the last bucket, or
    /// until the budget is spent.
    pub(super) fn take_next(
        &mut self,
        goes_on: bool,
        budget: &mut SearchBudget,
        look: impl Fn(&mut E) -> Occupancy,
    ) -> Option<E> {
        let buckets = self.table.num_buckets();
        if !goes_on {
            self.hand = 0;
        }
        while self.hand < buckets && !budget.is_spent() {
            let bucket = self.hand;
            // Advanced before the check, so that the next search passes an entry whose check
            // panics.
            self.hand += 1;
            let Ok(mut entry) = self.table.get_bucket_entry(bucket) else {
                budget.spend(0);
                continue;
            };
            budget.spend(1);
            if look(entry.get_mut()) == Occupancy::Idle {
                return Some(entry.remove().0);
            }
        }
        None
    }

    /// Returns whether the search has come to the end of this table. If so, the next search begins
    /// at the first bucket again.
    pub(super) fn pass(&mut self) -> bool {
        let is_passed = self.hand >= self.table.num_buckets();
        if is_passed {
            self.hand = 0;
        }
        is_passed
    }
}

/// What can be read of a table without its lock. The length may be out of date: `Keyed::remove`
/// does not publish it, nor does the eviction of an entry that was not found by its time.
pub(crate) struct KeyTableMeta {
    soonest: AtomicU64,
    len: AtomicUsize,
}

impl KeyTableMeta {
    /// Returns whether the least bound of the table's [`IdleTimes`] has come.
    pub(super) fn has_come(&self, now: u64) -> bool {
        // ORDERING: Relaxed: a snapshot. A thread sees its own writes, and those that happened
        // before.
        let soonest = self.soonest.load(Ordering::Relaxed);
        soonest <= now && soonest != IdleTimes::NEVER
    }
}

impl<E> Table for KeyTable<E> {
    type Entry = E;
    type Meta = KeyTableMeta;

    fn empty() -> (Self, KeyTableMeta) {
        let (soonest, len) = (AtomicU64::new(IdleTimes::NEVER), AtomicUsize::new(0));
        (Self::new(HashTable::new()), KeyTableMeta { soonest, len })
    }

    fn publish(&self, meta: &KeyTableMeta) {
        // ORDERING: Relaxed: as in `KeyTableMeta::has_come`; the lock is still held, so the stores
        // are in the order of the changes.
        meta.soonest.store(self.idle_times.least(), Ordering::Relaxed);
        meta.len.store(self.table.len(), Ordering::Relaxed);
    }

    fn entries(meta: &KeyTableMeta) -> usize {
        meta.len.load(Ordering::Relaxed)
    }

    /// Times move along: each entry takes the bound of its group, which is not later than its own
    /// time.
    fn split(
        &mut self,
        parts: usize,
        hash_of: impl Fn(&E) -> u64,
        part_of: impl Fn(u64) -> usize,
    ) -> Vec<Self> {
        let hash = |bucket| Some((bucket, hash_of(self.table.get_bucket(bucket)?)));
        let hashes: Vec<(usize, u64)> = (0..self.table.num_buckets()).filter_map(hash).collect();
        let mut lens = vec![0; parts];
        hashes.iter().for_each(|(_, hash)| lens[part_of(*hash)] += 1);
        let mut tables: Vec<Self> =
            lens.into_iter().map(|len| Self::new(with_capacity(len))).collect();
        for (bucket, hash) in hashes {
            let Ok(entry) = self.table.get_bucket_entry(bucket) else { continue };
            let table = &mut tables[part_of(hash)];
            let moved = table
                .table
                .insert_unique(hash, entry.remove().0, |_| unreachable!("there is room"));
            let to = moved.bucket_index();
            table.idle_times.lower(table.table.num_buckets(), to, self.idle_times.bound(bucket));
        }
        *self = Self::new(HashTable::new());
        tables
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{IdleTimes, KeyTable, Occupancy, SearchBudget};
    use crate::{growing::Table, reserve::with_capacity};

    #[test]
    fn an_entry_whose_time_has_come_is_found_behind_all_groups_that_lost_theirs() {
        let mut table = KeyTable::new(with_capacity(112));
        let groups = table.table.num_buckets() / IdleTimes::GROUP;
        let mut counts = [0_u64; 64];
        for number in 0..112 {
            // Spread so that each group gets some entries.
            let hash = number * 8 / 7;
            let mut entry = table.table.insert_unique(hash, 0, |_| unreachable!("there is room"));
            let (bucket, group) = (entry.bucket_index(), entry.bucket_index() / IdleTimes::GROUP);
            counts[group] += 1;
            // One entry of each group has a time that comes soon: the later the group, the sooner
            // its time; only the last group's time comes last.
            let time = if group == groups - 1 { groups } else { groups - 1 - group };
            let due = if counts[group] == 1 { time as u64 } else { 1000 };
            *entry.get_mut() = due;
            table.note(bucket, Occupancy::BusyUntil(due));
        }
        let passed: u64 = counts[..groups - 1].iter().sum();
        assert!(passed > SearchBudget::MOST as u64, "more than one search may check");
        for now in 1..=groups as u64 {
            let look = |due: &mut u64| match *due {
                due if due <= now => Occupancy::Idle,
                due => Occupancy::BusyUntil(due),
            };
            assert_eq!(table.take_due(now, &mut SearchBudget::new(), look), Some(now));
        }
    }

    #[test]
    fn two_of_a_group_whose_time_has_come_are_both_found_also_at_the_end_of_time() {
        for now in [5, u64::MAX] {
            let mut table = KeyTable::new(with_capacity(14));
            for number in 0..2 {
                let entry = table.table.insert_unique(number, number, |_| unreachable!());
                let bucket = entry.bucket_index();
                table.note(bucket, Occupancy::BusyUntil(5));
            }
            let mut take = || table.take_due(now, &mut SearchBudget::new(), |_| Occupancy::Idle);
            let found = [take(), take()];
            assert!(found.contains(&Some(0)) && found.contains(&Some(1)), "{found:?} at {now}");
            assert_eq!(take(), None);
        }
    }

    #[test]
    fn entries_that_move_to_other_tables_take_their_times_along() {
        let mut table = KeyTable::new(with_capacity(112));
        for number in 0..112 {
            let entry = table.table.insert_unique(number, number, |_| unreachable!());
            let bucket = entry.bucket_index();
            // Only the entries of one group have a time.
            if bucket / IdleTimes::GROUP == 5 {
                table.note(bucket, Occupancy::BusyUntil(5 + number));
            }
        }
        let of_group = |bucket: &usize| table.table.get_bucket(*bucket).copied();
        let mut due: Vec<u64> = (80..96).filter_map(|bucket| of_group(&bucket)).collect();
        due.sort_unstable();
        let mut parts = table.split(4, |number| *number, |hash| (hash % 4) as usize);
        let look = |number: &mut u64| match due.contains(number) {
            true => Occupancy::Idle,
            false => Occupancy::Busy,
        };
        assert!(parts.iter().all(|part| part.idle_times.least() >= 5));
        let mut found = Vec::new();
        for part in &mut parts {
            while let Some(number) = part.take_due(1000, &mut SearchBudget::new(), look) {
                found.push(number);
            }
        }
        found.sort_unstable();
        assert_eq!(found, due);
    }
}
