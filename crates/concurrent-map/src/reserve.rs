//! Reserves room for entries in such a way that no entry is lost if the `Hash` of a key panics.
//!
//! Making room hashes every key of the table again, which is foreign code:
//!
//! ```text
//! more than half full ─▶ hashbrown moves all entries to a larger table; a panic leaves the old one
//! else, buckets are   ─▶ hashbrown would move entries in place, and drop some if a hash panics:
//! blocked by removals    so all keys are hashed here first, and then the entries move
//! ```

use core::mem;

use alloc::vec::Vec;

use hashbrown::HashTable;

/// Reserves room for `additional` more entries. If `hash` panics the table is as it was.
///
/// # Panics
///
/// Panics if there is no memory for so many entries: the process does not abort.
#[inline]
pub(crate) fn reserve<E>(table: &mut HashTable<E>, additional: usize, hash: impl Fn(&E) -> u64) {
    if additional > table.capacity() - table.len() {
        grow(table, additional, hash);
    }
}

#[cold]
#[inline(never)]
fn grow<E>(table: &mut HashTable<E>, additional: usize, hash: impl Fn(&E) -> u64) {
    let full = full_capacity(table.num_buckets());
    if table.len().saturating_add(additional) > full / 2 {
        let room = table.try_reserve(additional, hash);
        return room.unwrap_or_else(|_| refuse(additional));
    }
    let hashes: Vec<u64> = table.iter().map(hash).collect();
    let old = mem::replace(table, with_capacity(full));
    for (hash, entry) in hashes.into_iter().zip(old) {
        table.insert_unique(hash, entry, |_| unreachable!("there is room"));
    }
}

/// Returns an empty table with room for `capacity` entries.
///
/// # Panics
///
/// As [`reserve`].
pub(crate) fn with_capacity<E>(capacity: usize) -> HashTable<E> {
    let mut table = HashTable::new();
    let room = table.try_reserve(capacity, |_| unreachable!("it is empty"));
    room.unwrap_or_else(|_| refuse(capacity));
    table
}

#[cold]
fn refuse(entries: usize) -> ! {
    panic!("capacity overflow: there is no memory for {entries} entries in one shard")
}

/// Returns how many entries a table of `buckets` buckets takes when no removed entry blocks a
/// bucket: seven for each eight buckets, or in a small table all but one.
fn full_capacity(buckets: usize) -> usize {
    if buckets < 8 { buckets - 1 } else { buckets / 8 * 7 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_removals_has_its_full_capacity() {
        let mut table = HashTable::new();
        for n in 0..5000_u64 {
            assert_eq!(table.capacity(), full_capacity(table.num_buckets()));
            table.insert_unique(n, n, |n| *n);
        }
    }

    #[test]
    fn places_blocked_by_removed_entries_are_freed() {
        for (additional, buckets) in [(1, 128), (46, 128), (47, 256), (300, 512)] {
            let mut table = HashTable::with_capacity(112);
            // A full table of consecutive hashes: removals from its midst block their buckets.
            (0..112_u64).for_each(|n| _ = table.insert_unique(n, n, |n| *n));
            (10..112).for_each(|n| _ = table.find_entry(n, |m| *m == n).expect("found").remove());
            assert!(table.capacity() < 56, "most places are blocked");
            reserve(&mut table, additional, |n| *n);
            assert!(table.capacity() - table.len() >= additional);
            assert_eq!((table.len(), table.num_buckets()), (10, buckets));
            assert!((0..10).all(|n| table.find(n, |m| *m == n).is_some()), "all are found");
        }
    }
}
