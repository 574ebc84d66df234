//! A table whose idle entries are found in few looks.

use alloc::{vec, vec::Vec};

use hashbrown::HashTable;
use tidegate_core::primitive::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{dues::Dues, occupancy::Occupancy};
use crate::{
    growing::Table,
    room::{make_room, with_room},
};

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
    const fn new(table: HashTable<E>) -> Self {
        Self { table, dues: Dues::new(), hand: 0 }
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

/// What is known of a table without its lock. The length is as of the last change of times: removals do not count.
pub(crate) struct Known {
    soonest: AtomicU64,
    len: AtomicUsize,
}

impl Known {
    /// Returns whether the earliest time at which an entry may be idle, of those that have one, has come.
    pub(super) fn has_come(&self, now: u64) -> bool {
        // ORDERING: Relaxed: a snapshot. A thread sees its own writes, and those that happened before.
        let soonest = self.soonest.load(Ordering::Relaxed);
        soonest <= now && soonest != Dues::NEVER
    }
}

impl<E> Table for Shelf<E> {
    type Entry = E;
    type Beside = Known;

    fn empty() -> (Self, Known) {
        let (soonest, len) = (AtomicU64::new(Dues::NEVER), AtomicUsize::new(0));
        (Self::new(HashTable::new()), Known { soonest, len })
    }

    fn publish(&self, beside: &Known) {
        // ORDERING: Relaxed: as in `Known::has_come`; the lock is still held, so the stores are in the order of the changes.
        beside.soonest.store(self.dues.least(), Ordering::Relaxed);
        beside.len.store(self.table.len(), Ordering::Relaxed);
    }

    fn entries(beside: &Known) -> usize {
        beside.len.load(Ordering::Relaxed)
    }

    /// Times go along: each entry's is its group's, or earlier.
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
        let mut shelves: Vec<Self> =
            lens.into_iter().map(|len| Self::new(with_room(len))).collect();
        for (bucket, hash) in hashes {
            let Ok(entry) = self.table.get_bucket_entry(bucket) else { continue };
            let shelf = &mut shelves[part_of(hash)];
            let moved = shelf
                .table
                .insert_unique(hash, entry.remove().0, |_| unreachable!("there is room"));
            let to = moved.bucket_index();
            shelf.dues.lower(shelf.table.num_buckets(), to, self.dues.bound(bucket));
        }
        *self = Self::new(HashTable::new());
        shelves
    }
}
