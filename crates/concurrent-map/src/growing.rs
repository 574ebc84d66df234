//! A small map has a few shards; it gets all its shards when it needs them.
//!
//! ```text
//! small     a few shards, each for a range of all the shards that there may be
//! grows     when one of the few has many entries, or when threads have often met in the few: each
//!           of them in turn moves its entries to its range of all shards, and is closed
//! grown     all shards; the few are closed, and have no tables any more
//!
//! one key   grown? ─▶ its shard of all
//!           else its shard of the few ─▶ closed? ─▶ its shard of all
//! every key range by range: its shard of the few ─▶ closed? ─▶ its range of all
//! ```
//!
//! "Many" entries are two for each shard of the range (`ENTRIES_PER_SHARD`). `MUCH_CONTENTION` in
//! core's `rw_shards/readers.rs` says how often "often" is. Without std a map has all shards from
//! the start.
//!
//! The high bits of the [`spread`] hash choose the shard, both among the few and among all, so the
//! entries of a range stay together. A visitor that goes from range to range therefore meets an
//! entry that is there all the time exactly once, whether the entry has moved or not. Each of the
//! few is closed by the same writing section that moves its entries, so no caller finds it open and
//! empty, and none enters its range of all shards before the entries are there.
//!
//! Moving entries hashes their keys again, and `Hash` is foreign code. All keys of a shard are
//! hashed before the first entry moves: if a hash panics, the shard stays as it was, and the shards
//! that have moved stay moved.

mod ranges;

use core::num::NonZeroUsize;

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{
    RwShards,
    primitive::{
        atomic::{AtomicBool, Ordering},
        tuned,
    },
    rw_shards::{self, MOST_SECTIONS, Scanning, Writing},
    shard,
};

use crate::lazy::{Lazy, lazy};

/// The number of the few shards. A map that is to have no more than that does not grow: it has all
/// its shards from the start.
const FEW: NonZeroUsize = NonZeroUsize::new(tuned(8, 2) as usize).expect("not zero");

/// Why a shard of `all` is always open.
const NEVER_CLOSED: &str = "only the few are closed";

/// With so many entries for each of them, all shards are worth their memory.
const ENTRIES_PER_SHARD: usize = 2;

/// The table in a shard.
pub(crate) trait Table: Sized {
    type Entry;

    /// What can be read of a table without its lock.
    type Meta;

    fn empty() -> (Self, Self::Meta);

    /// Publishes what a section has changed.
    fn publish(&self, meta: &Self::Meta);

    /// Returns about how many entries there are, without the lock.
    fn entries(meta: &Self::Meta) -> usize;

    /// Moves all entries to `parts` tables, each entry to the one at the index that `part_of`
    /// returns for its hash. If `hash_of` panics, the table is as it was.
    fn split(
        &mut self,
        parts: usize,
        hash_of: impl Fn(&Self::Entry) -> u64,
        part_of: impl Fn(u64) -> usize,
    ) -> Vec<Self>;
}

/// Either the few shards or all shards, each with its table's metadata beside the lock.
type Shards<T> = RwShards<T, <T as Table>::Meta>;

type Shard<'a, T> = rw_shards::Shard<'a, T, <T as Table>::Meta>;

/// Hashes the key of an entry again, when the entry moves.
type HashOf<'a, T> = &'a dyn Fn(&<T as Table>::Entry) -> u64;

/// Tables behind locks: a few at first, then all. With std they are made at the first write or the
/// first reservation of room, without std at once.
///
/// When sections are nested, those of the few and those of all count as sections of the same
/// shards.
pub(crate) struct GrowingShards<T: Table> {
    // INVARIANT: once it is set, all of `few` are closed, or there never were any.
    is_grown: AtomicBool,
    all: Lazy<Shards<T>>,
    // Holds no shards in a map that does not grow: with std it is empty then, without std it holds
    // `None`.
    few: Lazy<Option<Box<Shards<T>>>>,
    // INVARIANT: a power of two; larger than `FEW` unless `is_grown`.
    count: NonZeroUsize,
}

impl<T: Table> GrowingShards<T> {
    /// Creates `count` shards, a power of two, all of which are made when the first is needed.
    pub(crate) fn fixed(count: NonZeroUsize) -> Self {
        Self {
            is_grown: AtomicBool::new(true),
            all: lazy(|| empty(count)),
            few: lazy(|| None),
            count,
        }
    }

    /// Creates shards for `entries` entries: a few that grow to `count`, a power of two. There are
    /// `count` from the start if `entries` is high or `count` is not above `FEW`, and always
    /// without std.
    pub(crate) fn growing(count: NonZeroUsize, entries: usize) -> Self {
        let needs_all = count <= FEW || entries >= ENTRIES_PER_SHARD * count.get();
        let is_grown = needs_all || cfg!(not(feature = "std"));
        Self { is_grown: AtomicBool::new(is_grown), ..Self::fixed(count) }
    }

    /// Returns how many shards there are once the few have grown.
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// Returns the index, below [`count`](Self::count), of the shard that `hash` belongs to once
    /// the map has all shards.
    #[inline]
    pub(crate) fn index_of(&self, hash: u64) -> usize {
        shard::index_of(spread(hash), self.count.get())
    }

    /// Reads the table that `hash` belongs to; `None` if no table has been made yet.
    #[inline]
    pub(crate) fn read<R>(
        &self,
        hash: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
        section: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        let spread = spread(hash);
        let reading = match self.grown_by(spread).and_then(Shard::<T>::begin_read) {
            Some(reading) => reading,
            None => self.begin_read(spread, hash_of)?.into(),
        };
        Some(reading.run(section))
    }

    /// Works on the table that `hash` belongs to, and publishes what has changed, also if the
    /// section panics.
    #[inline]
    pub(crate) fn write<R>(
        &self,
        hash: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
        section: impl FnOnce(&mut T) -> R,
    ) -> R {
        let spread = spread(hash);
        let writing = match self.grown_by(spread).and_then(Shard::<T>::begin_write) {
            Some(writing) => writing,
            None => self.begin_insert(spread, hash_of),
        };
        writing.run(publishing(section))
    }

    /// Does what [`write`](Self::write) does, for sections that do not insert; `None` if no table
    /// has been made yet.
    #[inline]
    pub(crate) fn write_existing<R>(
        &self,
        hash: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
        section: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.edit_with(hash, hash_of, publishing(section))
    }

    /// Works on an entry of the table that `hash` belongs to; `None` if no table has been made yet.
    /// Publishes nothing: for sections after which the metadata may stay as it is.
    #[inline]
    pub(crate) fn edit<R>(
        &self,
        hash: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
        section: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.edit_with(hash, hash_of, |table: &mut T, _: &T::Meta| section(table))
    }

    #[inline]
    fn edit_with<R>(
        &self,
        hash: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
        section: impl FnOnce(&mut T, &T::Meta) -> R,
    ) -> Option<R> {
        let spread = spread(hash);
        let writing = match self.grown_by(spread).and_then(Shard::<T>::begin_write) {
            Some(writing) => writing,
            None => self.begin_edit(spread, hash_of)?,
        };
        Some(writing.run(section))
    }

    /// Returns all shards; `None` as long as the few have not grown, and if no shard has been made
    /// yet.
    #[inline]
    fn grown(&self) -> Option<&Shards<T>> {
        if self.is_grown() { self.all.get() } else { None }
    }

    /// Returns, of all shards, the one that a spread hash belongs to; `None` in the same cases as
    /// [`grown`](Self::grown).
    #[inline]
    fn grown_by(&self, spread: u64) -> Option<Shard<'_, T>> {
        Some(self.grown()?.by_hash(spread).owned_by(self))
    }

    #[inline]
    fn is_grown(&self) -> bool {
        // ORDERING: Acquire: pairs with the Release in `grow`, so that what has moved is found.
        self.is_grown.load(Ordering::Acquire)
    }

    /// Begins to read the table that a spread hash belongs to; `None` if no table has been made
    /// yet.
    #[inline(never)]
    fn begin_read(
        &self,
        spread: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
    ) -> Option<Scanning<'_, T, T::Meta>> {
        let Some(few) = self.few() else {
            return self.grown_by(spread)?.begin_scan();
        };
        // A caller that only reads may hold locks of other maps, taken in any order. Growing waits
        // for each lock of this map, so a caller that holds any lock does not do it.
        if rw_shards::sections_around() == 0 && few.take_contention() {
            self.grow(few, &hash_of);
        }
        let begun = few.by_hash(spread).owned_by(self).begin_scan();
        begun.or_else(|| self.all.get()?.by_hash(spread).owned_by(self).begin_scan())
    }

    /// Begins to write to the table that a spread hash belongs to; `None` if no table has been made
    /// yet.
    #[inline(never)]
    fn begin_edit(
        &self,
        spread: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
    ) -> Option<Writing<'_, T, T::Meta>> {
        let Some(few) = self.few() else {
            return self.grown_by(spread)?.begin_write();
        };
        if may_grow() && few.take_contention() {
            self.grow(few, &hash_of);
        }
        let begun = few.by_hash(spread).owned_by(self).begin_write();
        begun.or_else(|| self.all.get()?.by_hash(spread).owned_by(self).begin_write())
    }

    /// Begins to insert into the table that a spread hash belongs to.
    #[inline(never)]
    fn begin_insert(
        &self,
        spread: u64,
        hash_of: impl Fn(&T::Entry) -> u64,
    ) -> Writing<'_, T, T::Meta> {
        self.make();
        if let Some(few) = self.few() {
            let shard = few.by_hash(spread).owned_by(self);
            let is_full = T::entries(shard.meta()) >= ENTRIES_PER_SHARD * self.range_len();
            if !shard.is_closed() && may_grow() && (is_full || few.take_contention()) {
                self.grow(few, &hash_of);
            }
            if let Some(begun) = shard.begin_write() {
                return begun;
            }
        }
        let begun = self.make_all().by_hash(spread).owned_by(self).begin_write();
        begun.expect(NEVER_CLOSED)
    }

    /// Returns the few, each open or closed; `None` if the map does not grow, or if they have not
    /// been made yet.
    fn few(&self) -> Option<&Shards<T>> {
        self.few.get()?.as_deref()
    }

    /// Makes the shards, if there are none yet: the few, or all if the map does not grow or has
    /// grown.
    fn make(&self) {
        if self.is_grown() {
            self.make_all();
        } else {
            let empty = || RwShards::counted(FEW, |_| T::empty());
            self.few.get_or_init(|| Some(Box::new(empty())));
        }
    }

    fn make_all(&self) -> &Shards<T> {
        self.all.get_or_init(|| empty(self.count))
    }

    /// Returns the number of shards that each of the few stands for.
    fn range_len(&self) -> usize {
        self.count.get() / FEW
    }

    /// Moves all entries to all shards. If `hash_of` panics, some entries have moved and others
    /// have not, and all are found.
    #[cold]
    fn grow(&self, few: &Shards<T>, hash_of: HashOf<'_, T>) {
        let all = self.make_all();
        let len = self.range_len();
        let part_of = |hash| self.index_of(hash) % len;
        for (range, shard) in few.iter().enumerate() {
            // The entries of a closed shard have moved already.
            _ = shard.owned_by(self).close(|table| {
                let parts = table.split(len, hash_of, part_of);
                for (part, index) in parts.into_iter().zip(range * len..) {
                    let shard = all.get(index).expect("as many as the ranges say");
                    // No other thread enters this shard yet. It is entered as a section of `few`:
                    // within a section of `self` no other section of `self` may begin to write.
                    replace(shard.owned_by(few), part);
                }
            });
        }
        // ORDERING: Release: pairs with the Acquire in `is_grown`. The moves by other threads
        // happen before this, as this thread found their shards closed.
        self.is_grown.store(true, Ordering::Release);
    }
}

fn empty<T: Table>(count: NonZeroUsize) -> Shards<T> {
    RwShards::new(count, |_| T::empty())
}

/// Puts a table into an open shard.
fn replace<T: Table>(shard: Shard<'_, T>, table: T) {
    let writing = shard.begin_write().expect("it is open");
    writing.run(publishing(|old: &mut T| *old = table));
}

/// Returns whether the calling thread, which is about to write, may grow the shards: to grow them
/// it enters two more sections, one within the other. If it is in a section of the same shards,
/// growing panics.
fn may_grow() -> bool {
    rw_shards::sections_around() + 2 <= MOST_SECTIONS
}

/// Makes a section that publishes what it has changed, also when it panics.
#[inline]
fn publishing<T: Table, R>(
    section: impl FnOnce(&mut T) -> R,
) -> impl FnOnce(&mut T, &T::Meta) -> R {
    |table, meta| {
        let published = Published { table, meta };
        section(&mut *published.table)
    }
}

/// A table that is being written to.
struct Published<'a, T: Table> {
    table: &'a mut T,
    meta: &'a T::Meta,
}

impl<T: Table> Drop for Published<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.table.publish(self.meta);
    }
}

/// Turns a hash into one whose high bits pick a shard.
///
/// The high bits must be independent of those bits of the hash that the table in the shard uses
/// (the lowest, and the seven highest for its tags): otherwise all entries of a shard would agree
/// in these. And the high bits must depend on all bits of the hash, because some hashers leave the
/// high ones empty. Multiplying by 2⁶⁴ divided by the golden ratio does both (Knuth, The Art of
/// Computer Programming, vol. 3, section 6.4).
#[inline]
pub(crate) fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use hashbrown::HashTable;

    use super::*;

    const COUNT: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

    type Numbers = GrowingShards<HashTable<u64>>;

    /// Returns how many tables there are.
    fn tables(shards: &Numbers) -> usize {
        shards.ranges().len()
    }

    #[test]
    fn ranges_are_all_indices_in_order() {
        let shards = Numbers::growing(COUNT, 0);
        assert_eq!(tables(&shards), 0, "there is nothing to visit");
        shards.make();
        for count in [FEW, COUNT] {
            assert_eq!(tables(&shards), count.get());
            assert!(shards.ranges().flatten().eq(0..COUNT.get()));
            let len = COUNT.get() / count;
            let rest = |index| shards.edit_at(index, |_| ()).expect("tables were made").0;
            assert_eq!((rest(len), rest(len + len / 2)), (len, len - len / 2));
            shards.prepare(2048, &|_| unreachable!("it is empty"), |_, _| ());
        }
    }

    #[test]
    fn a_map_for_two_entries_a_shard_has_all_shards_from_the_start() {
        for (entries, count) in [(2047, FEW), (2048, COUNT)] {
            let shards = Numbers::growing(COUNT, entries);
            shards.make();
            assert_eq!(tables(&shards), count.get());
            let shards = Numbers::growing(COUNT, 0);
            shards.prepare(entries, &|_| unreachable!("it is empty"), |_, _| ());
            assert_eq!(tables(&shards), count.get());
        }
    }

    #[test]
    fn a_map_grows_with_the_first_entry_above_two_for_each_shard_of_a_range() {
        let shards = Numbers::growing(COUNT, 0);
        let first_range = |hash: &u64| shards.index_of(*hash) < COUNT.get() / FEW;
        for (entries, hash) in (0..).filter(first_range).take(257).enumerate() {
            shards.write(
                hash,
                |entry| *entry,
                |table| {
                    table.insert_unique(hash, hash, |entry| *entry);
                },
            );
            let count = if entries < 256 { FEW } else { COUNT };
            assert_eq!(tables(&shards), count.get(), "with {} entries", entries + 1);
        }
    }
}
