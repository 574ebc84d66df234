//! What maps weigh: nothing before the first entry, a bounded number of bytes for each entry, and
//! only their shards once they are cleared. Every test assumes 64 processors, whatever the machine
//! has.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    num::NonZeroUsize,
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, Keyed, Occupancy};
use tidegate_core::primitive::assume_parallelism;

thread_local! {
    /// What this thread has allocated and not freed: tests that run at the same time do not count
    /// each other's bytes.
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts the bytes in use.
struct Counting;

fn count(bytes: usize, sign: isize) {
    // No layout is larger than `isize::MAX`.
    BYTES.set(BYTES.get() + sign * isize::try_from(bytes).unwrap_or(isize::MAX));
}

// SAFETY: both methods pass their arguments on unchanged to the system's allocator, whose contract
// is the caller's. The thread-locals have no destructors: touching them neither allocates nor
// fails.
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

/// Runs `f`; returns its result, how many more bytes are in use after it, and how often it has
/// allocated.
fn measured<R>(f: impl FnOnce() -> R) -> (R, isize, usize) {
    let (bytes, allocations) = (BYTES.get(), ALLOCATIONS.get());
    let result = f();
    (result, BYTES.get() - bytes, ALLOCATIONS.get() - allocations)
}

/// Allocates what a process or a thread allocates only once, so that no test counts it.
fn warm_up() {
    assert!(assume_parallelism(64), "each test begins with this");
    let map = ConcurrentMap::<u64, u64>::new();
    map.insert(1, 1);
    map.get(&1);
}

/// Asserts that a map that `fill` has filled and `empty` has emptied weighs no more than its
/// shards.
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

/// An entry takes 8 + 8 bytes, and one for the table itself. Tables double, so they are between
/// 7/16 and 7/8 full.
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

/// high-scale-lib #9: inserting and removing ever new keys ends in an out-of-memory error. papaya,
/// flurry and scc keep what is removed until an epoch has passed.
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

#[test]
fn an_overwrite_in_a_table_without_room_allocates_nothing() {
    warm_up();
    for entries in 1..=500 {
        let mut map = ConcurrentMap::<u64, u64>::with_shards(1);
        map.extend((0..entries).map(|n| (n, n)));
        let (_, bytes, allocations) = measured(|| {
            for n in 0..entries {
                map.insert(n, 1);
                map.upsert(n, || 0, |value| *value += 1);
            }
        });
        assert_eq!((bytes, allocations), (0, 0), "with {entries} entries");
    }
}

/// high-scale-lib and dashmap: a map with one entry has all its shards.
#[test]
fn one_entry_weighs_little_on_many_processors() {
    warm_up();
    let keyed = || Keyed::<u64, u64>::new(NonZeroUsize::new(100_000).unwrap());
    let weigh = |what: &str, bytes: isize| {
        println!("{what} with one entry: {bytes} bytes");
        assert!((100..=2560).contains(&bytes), "{what}: {bytes} bytes");
    };
    let (map, bytes, _) = measured(|| ConcurrentMap::from([(1_u64, 1_u64)]));
    assert_eq!(map.shards(), 1024);
    weigh("a map", bytes);
    weigh("a map made for one", {
        let (_map, bytes, _) = measured(|| {
            let map = ConcurrentMap::with_capacity(1);
            map.insert(1_u64, 1_u64);
            map
        });
        bytes
    });
    let (_copy, bytes, _) = measured(|| map.clone());
    weigh("a copy", bytes);
    let (_set, bytes, _) = measured(|| ConcurrentSet::from(["a"]));
    weigh("a set", bytes);
    let (_keyed, bytes, _) = measured(|| {
        let keyed = keyed();
        keyed.with(&1, || 1, |_| true, |_| ()).unwrap();
        keyed
    });
    weigh("a registry", bytes);
    let (_keyed, bytes, _) = measured(|| {
        let keyed = keyed();
        keyed.with_until(&1, 0, || 1, |end| Occupancy::BusyUntil(*end), |_| ()).unwrap();
        keyed
    });
    weigh("a registry with times", bytes);
}

#[test]
fn entries_weigh_in_proportion_to_their_number_on_many_processors() {
    warm_up();
    let keys = NonZeroUsize::new(1 << 20).unwrap();
    for power in 0..16 {
        let entries = 1_u64 << power;
        let map = || (0..entries).map(|n| (n, n)).collect::<ConcurrentMap<u64, u64>>();
        let one_by_one = || {
            let map = ConcurrentMap::<u64, u64>::new();
            (0..entries).for_each(|n| _ = map.insert(n, n));
            map
        };
        let keyed = || {
            let keyed = Keyed::<u64, u64>::new(keys);
            (0..entries).for_each(|n| keyed.with(&n, || n, |_| true, |_| ()).unwrap());
            keyed
        };
        let room = || ConcurrentMap::<u64, u64>::with_capacity(usize::try_from(entries).unwrap());
        let weights =
            [measured(map).1, measured(one_by_one).1, measured(keyed).1, measured(room).1];
        println!("{entries} entries: {weights:?} bytes");
        let most = 2560 + 160 * isize::try_from(entries).unwrap();
        assert!(weights.iter().all(|bytes| *bytes <= most), "{entries}: {weights:?} of {most}");
    }
}

#[test]
fn threads_that_meet_often_get_all_shards_on_many_processors() {
    warm_up();
    let map = ConcurrentMap::from([(1_u64, 1_u64)]);
    let rounds = |rounds: u32| {
        for _ in 0..rounds {
            // A reader that finds another one in.
            map.for_each(|_, _| {
                thread::scope(|s| s.spawn(|| map.for_each(|_, _| ())).join().unwrap());
            });
        }
    };
    rounds(63);
    assert_eq!(measured(|| map.get(&1)), (Some(1), 0, 0), "not yet");
    rounds(1);
    let (found, bytes, _) = measured(|| map.get(&1));
    assert!(found == Some(1) && bytes > 100_000, "{bytes} bytes");
    assert_eq!((map.len(), map.keys()), (1, vec![1]));
}
