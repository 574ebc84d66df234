//! What maps weigh: nothing, while nothing is in them; a bounded number of bytes for each entry; nothing again.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet};

thread_local! {
    /// Allocated and not freed by this thread, so that tests beside each other do not count each other's.
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts the bytes in use.
struct Counting;

fn count(bytes: usize, sign: isize) {
    // No layout is larger than `isize::MAX`.
    BYTES.set(BYTES.get() + sign * isize::try_from(bytes).unwrap_or(isize::MAX));
}

// SAFETY: both methods pass their arguments on unchanged to the system's allocator, whose contract is the caller's. The
// thread-locals have no destructors: touching them neither allocates nor fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f`; returns its result, how many more bytes are in use after it, and how often it has allocated.
fn measured<R>(f: impl FnOnce() -> R) -> (R, isize, usize) {
    let (bytes, allocations) = (BYTES.get(), ALLOCATIONS.get());
    let result = f();
    (result, BYTES.get() - bytes, ALLOCATIONS.get() - allocations)
}

/// What a process or a thread has only once is made here, and not counted.
fn warm_up() {
    let map = ConcurrentMap::<u64, u64>::new();
    map.insert(1, 1);
    map.get(&1);
}

/// What is left of a map in which nothing is, after `fill` and `empty`, beyond its shards.
fn left_over(fill: impl Fn(&ConcurrentMap<u64, u64>), empty: impl Fn(&ConcurrentMap<u64, u64>)) {
    warm_up();
    let map = ConcurrentMap::<u64, u64>::with_shards(8);
    let (_, shards, _) = measured(|| {
        map.insert(0, 0);
        map.clear();
    });
    let (_, filled, _) = measured(|| fill(&map));
    let (_, emptied, _) = measured(|| empty(&map));
    assert!(filled > 10_000, "{filled} bytes");
    assert_eq!((map.len(), filled + emptied), (0, 0), "beside {shards} bytes of shards");
}

#[test]
fn a_new_map_owns_no_memory() {
    warm_up();
    let (map, bytes, allocations) = measured(ConcurrentMap::<String, String>::new);
    assert_eq!((bytes, allocations), (0, 0));
    let nothing = || {
        let found = (map.get("a"), map.contains_key("a"), map.remove("a"), map.len());
        map.clear();
        map.retain(|_, _| false);
        map.for_each(|_, _| ());
        (found, map.is_empty(), map.update("a", |_| ()))
    };
    assert_eq!(measured(nothing), (((None, false, None, 0), true, None), 0, 0));
    assert_eq!(measured(ConcurrentSet::<String>::new).1, 0);
}

/// dashmap: every map allocates its shards at once, on many cores some 20 KB.
#[test]
fn a_thousand_empty_maps_weigh_less_than_512_kb() {
    type Map = ConcurrentMap<String, String>;
    warm_up();
    let (maps, heap, _) = measured(|| (0..1000).map(|_| Map::new()).collect::<Vec<_>>());
    assert_eq!(maps.len(), 1000);
    println!("an empty map: {} bytes inline; a thousand: {heap} bytes", size_of::<Map>());
    assert!(size_of::<Map>() <= 512);
    // The vector holds the maps themselves.
    assert!(heap < 512 * 1024, "{heap} bytes");
}

/// 8 + 8 bytes and one of the table's own; the tables double, so they are between 7/16 and 7/8 full.
#[test]
fn an_entry_of_two_words_weighs_at_most_forty_bytes() {
    const ENTRIES: isize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    warm_up();
    let map = ConcurrentMap::new();
    let (_, bytes, _) = measured(|| (0..ENTRIES).for_each(|n| _ = map.insert(n, n)));
    let per_entry = bytes / ENTRIES;
    println!("two words: {per_entry} bytes an entry, {ENTRIES} entries, {} shards", map.shards());
    assert!((17..=40).contains(&per_entry), "{per_entry} bytes an entry");
    let (_, dropped, _) = measured(|| drop(map));
    assert_eq!(bytes + dropped, 0, "a dropped map gives everything back");
}

#[test]
fn clear_gives_the_memory_back() {
    left_over(|map| (0..10_000).for_each(|n| _ = map.insert(n, n)), ConcurrentMap::clear);
}

/// high-scale-lib #9: inserting and removing ever new keys ends in an out-of-memory error. papaya, flurry and scc keep what
/// is removed until an epoch has passed.
#[test]
fn keys_that_come_and_go_leave_no_memory_in_use() {
    warm_up();
    let map = ConcurrentMap::<u64, Box<u64>>::with_shards(1);
    let churn = |from: u64| {
        for n in from..from + 10_000 {
            map.insert(n, Box::new(n));
            map.remove(&n);
        }
    };
    churn(0);
    let (_, bytes, _) = measured(|| (1..5).for_each(|round| churn(round << 32)));
    assert_eq!(bytes, 0);
}

#[test]
fn an_overwrite_a_read_and_a_removal_allocate_nothing() {
    warm_up();
    let map: ConcurrentMap<u64, u64> = (0..1000).map(|n| (n, n)).collect();
    let (_, bytes, allocations) = measured(|| {
        for n in 0..1000 {
            map.insert(n, 1);
            map.update(&n, |value| *value += 1);
            map.upsert(n, || 0, |value| *value += 1);
            assert_eq!(map.compare_and_swap(&n, &3, 4), Ok(3));
            assert_eq!(map.get(&n), Some(4));
            assert_eq!(map.remove(&n), Some(4));
        }
    });
    assert_eq!((bytes, allocations), (0, 0));
}
