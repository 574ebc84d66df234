//! What a call and a key cost in memory, counted by the allocator. In a file, and so a process, of
//! its own.
//!
//! `cargo test -p tidegate-circuit-breaker --test memory -- --nocapture` prints the bytes.

use core::{num::NonZeroUsize, time::Duration};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use tidegate_circuit_breaker::{Breaker, KeyedBreaker, ManualClock, TripRule, Window};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator, whose contract is the
// caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES.with(|bytes| bytes.set(bytes.get().wrapping_add(layout.size())));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.with(|bytes| bytes.set(bytes.get().wrapping_sub(layout.size())));
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns how often `steps` allocated on this thread.
fn allocations(steps: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    steps();
    ALLOCATIONS.with(Cell::get) - before
}

fn bytes() -> usize {
    BYTES.with(Cell::get)
}

#[test]
fn a_call_allocates_nothing() {
    let rate = |window| {
        let slow = TripRule::slow_rate(1.0, Duration::from_secs(1)).count_inflight_slow();
        TripRule::failure_rate(1.0, window).or(slow)
    };
    let second = Duration::from_secs(1);
    for rule in [TripRule::consecutive(5), rate(Window::count(9)), rate(Window::time(second, 9))] {
        let breaker = Breaker::builder()
            .trip_on(rule)
            .trip_when(|seen| seen.consecutive_failures > 5)
            .clock(ManualClock::new())
            .build()
            .unwrap();
        // The first call allocates what a thread needs once.
        breaker.try_enter().unwrap().success();
        let count = allocations(|| {
            breaker.try_enter().unwrap().success();
            breaker.try_enter().unwrap().failure();
            breaker.try_enter().unwrap().ignore();
            breaker.try_enter().unwrap().failure_open_for(second);
            breaker.try_enter().unwrap_err();
        });
        assert_eq!(count, 0, "{rule:?}");
    }
}

#[test]
fn a_million_keys_take_the_memory_of_max_keys() {
    const MAX_KEYS: usize = 1000;
    let before = bytes();
    let max_keys = NonZeroUsize::new(MAX_KEYS).unwrap();
    let breakers = KeyedBreaker::<u64>::new(max_keys, Breaker::builder()).unwrap();
    let touch = |key| breakers.gate(&key).unwrap().try_enter().unwrap().failure();
    // The tables still grow a little, whenever chance puts more keys into one of them.
    (0..20 * MAX_KEYS as u64).for_each(touch);
    let full = bytes().wrapping_sub(before);
    (0..1_000_000).for_each(touch);
    let after = bytes().wrapping_sub(before);
    println!("{} bytes a key, {} of them the breaker", after / MAX_KEYS, size_of::<Breaker>());
    assert_eq!(breakers.len(), MAX_KEYS);
    assert!(after < full * 3 / 2, "{full} bytes at first, {after} after a million keys");
}
