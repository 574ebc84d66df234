//! A million unknown clients, and the memory that they take.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
};

use tidegate_rate_limiter::{FixedKeyedLimiter, KeyedLimiter, ManualClock, Quota, Timestamp};

const CLIENTS: u64 = 1_000_000;
const SLOTS: usize = 4096;

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts the bytes in use.
struct Counting;

// SAFETY: both methods pass their arguments on unchanged to the system's allocator, whose contract
// is the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

fn quota() -> Quota {
    Quota::per_second(1000).burst(1)
}

/// governor #170 and #171: the map of keys grows without end. There is one test, as the counter is
/// that of the whole process.
#[test]
fn a_million_unknown_clients_take_no_more_memory_than_agreed() {
    let before = bytes();
    let ids = KeyedLimiter::<u64, _>::with_clock(
        quota(),
        NonZeroUsize::new(SLOTS).unwrap(),
        ManualClock::new(),
    );
    for id in 0..CLIENTS {
        // A token is refilled after a millisecond, in which two thousand other keys come.
        assert!(ids.try_acquire_at(&id, 1, Timestamp::from_nanos(id * 500)).is_ok());
        assert!(ids.len() <= SLOTS);
    }
    let end = bytes() - before;
    // Of a key's bytes, 16 are the key and its bucket, in entries of 24; the rest is spare room.
    // Measured before anything is printed, as printed text takes memory, too.
    drop(ids.gate(&(CLIENTS - 1)).unwrap());
    let held = bytes() - before - end;
    let per_key = end / SLOTS;
    println!(
        "KeyedLimiter<u64>: {per_key} bytes a key ({end} for {SLOTS}), tables and counters included"
    );
    println!("a key that was held or waited for: {held} bytes more");
    assert!(per_key <= 192, "{per_key} bytes a key");
    assert!(held <= 128, "{held} bytes more");
    drop(ids);

    let before = bytes();
    let cells = Box::new(FixedKeyedLimiter::<SLOTS, ()>::with_clock(quota(), ()));
    let _ = cells.try_acquire_at(&0, 1, Timestamp::ORIGIN);
    let start = bytes() - before;
    for id in 0..CLIENTS {
        let _ = cells.try_acquire_at(&id, 1, Timestamp::from_nanos(id * 500));
    }
    assert_eq!(bytes() - before, start);
    println!("FixedKeyedLimiter: {} bytes a cell, counters included", start / SLOTS);
    assert!(start < 8 * SLOTS + 2048);
}
