//! A table whose idle entries are found in few looks.

use hashbrown::HashTable;

use super::{dues::Dues, occupancy::Occupancy};
use crate::room::make_room;

/// How many entries one search looks at.
#[derive(Debug)]
pub(super) struct Looks {
    entries: usize,
    // A table that was once much fuller has many empty buckets, and passing them costs a little, too.
    buckets: usize,
}

impl Looks {
    /// The most entries that a search goes round, and the most that it looks up by their time (and the rest of a group).
    pub(super) const MOST: usize = 64;

    pub(super) const fn new() -> Self {
        Self { entries: Self::MOST, buckets: 32 * Self::MOST }
    }

    pub(super) const fn are_spent(&self) -> bool {
        self.entries == 0 || self.buckets == 0
    }

    fn spend(&mut self, entries: usize) {
        self.entries = self.entries.saturating_sub(entries);
        self.buckets = self.buckets.saturating_sub(1);
    }
}

/// The table of one shard.
pub(super) struct Shelf<E> {
    pub(super) table: HashTable<E>,
    dues: Dues,
    /// The bucket from which the search goes on.
    hand: usize,
}

impl<E> Shelf<E> {
    pub(super) const fn new() -> Self {
        Self { table: HashTable::new(), dues: Dues::new(), hand: 0 }
    }

    /// Returns the earliest time at which an entry may be idle, of those that have one.
    pub(super) fn soonest(&self) -> u64 {
        self.dues.least()
    }

    /// Makes room for one more entry. `look` is asked about all of them if they move and times are kept.
    ///
    /// If `hash` panics, the table is as it was. If `look` does, entries are found later than they might be.
    pub(super) fn make_room(
        &mut self,
        hash: impl Fn(&E) -> u64,
        look: Option<impl Fn(&mut E) -> Occupancy>,
    ) {
        if self.table.len() < self.table.capacity() {
            return;
        }
        make_room(&mut self.table, 1, hash);
        self.dues.clear();
        let Some(look) = look else { return };
        for bucket in 0..self.table.num_buckets() {
            let Ok(mut entry) = self.table.get_bucket_entry(bucket) else { continue };
            let occupancy = look(entry.get_mut());
            self.note(bucket, occupancy);
        }
    }

    /// Keeps in mind when the entry in `bucket` may be idle.
    pub(super) fn note(&mut self, bucket: usize, occupancy: Occupancy) {
        let due = match occupancy {
            Occupancy::Idle => 0,
            Occupancy::Busy => Dues::NEVER,
            Occupancy::BusyUntil(due) => due,
        };
        self.dues.lower(self.table.num_buckets(), bucket, due);
    }

    /// Removes an idle entry whose time has come at `now`.
    ///
    /// A group is looked at again only after one of its entries was used or has gone, or when one is idle: so all searches
    /// together look at no more than a group for each of these.
    pub(super) fn take_due(
        &mut self,
        now: u64,
        looks: &mut Looks,
        look: impl Fn(&mut E) -> Occupancy,
    ) -> Option<E> {
        while !looks.are_spent() {
            let group = self.dues.first_due(now)?;
            let start = group * Dues::GROUP;
            let end = self.table.num_buckets().min(start + Dues::GROUP);
            let mut due = Dues::NEVER;
            for bucket in start..end {
                let Ok(mut entry) = self.table.get_bucket_entry(bucket) else { continue };
                looks.spend(1);
                match look(entry.get_mut()) {
                    // The bound stays: others of the group may be idle, too.
                    Occupancy::Idle => return Some(entry.remove().0),
                    Occupancy::Busy => {}
                    // What says that it was busy until now is looked at again, but not in this search.
                    Occupancy::BusyUntil(time) => due = due.min(time.max(now.saturating_add(1))),
                }
            }
            self.dues.set(group, due);
        }
        None
    }

    /// Removes the next idle entry up to the last bucket, from the first one or from where the last search has ended.
    pub(super) fn take_next(
        &mut self,
        goes_on: bool,
        looks: &mut Looks,
        look: impl Fn(&mut E) -> Occupancy,
    ) -> Option<E> {
        let buckets = self.table.num_buckets();
        if !goes_on {
            self.hand = 0;
        }
        while self.hand < buckets && !looks.are_spent() {
            let bucket = self.hand;
            // Before the look: one that panics is passed by the next search.
            self.hand += 1;
            let Ok(mut entry) = self.table.get_bucket_entry(bucket) else {
                looks.spend(0);
                continue;
            };
            looks.spend(1);
            if look(entry.get_mut()) == Occupancy::Idle {
                return Some(entry.remove().0);
            }
        }
        None
    }

    /// Returns whether the search has been at every bucket since it came to this table.
    pub(super) fn is_passed(&self) -> bool {
        self.hand >= self.table.num_buckets()
    }
}
