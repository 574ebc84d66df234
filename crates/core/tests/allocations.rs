//! What waiting costs in allocations, counted by the allocator. This file is a process of its own.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::ready,
};

use tidegate_core::{CancelToken, Queue, SystemClock, Tally, Turnstile, Wait};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes unchanged to the system's allocator, whose contract the caller keeps.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        FREED.with(|count| count.set(count.get() + 1));
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

/// Returns how many more allocations than releases there were on this thread. Wraps around, as a
/// thread may release what other threads have allocated.
fn present() -> usize {
    ALLOCATIONS.with(Cell::get).wrapping_sub(FREED.with(Cell::get))
}

#[test]
fn the_counter_counts() {
    let before = present();
    let kept = std::hint::black_box(Box::new(1));
    assert_eq!(present(), before.wrapping_add(1));
    drop(kept);
    assert_eq!(present(), before);
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_ready_future_allocates_nothing_however_it_is_waited_for() {
    let token = CancelToken::new();
    let count = allocations(|| {
        assert_eq!(ready(1).wait(), 1);
        assert_eq!(ready(1).wait_timeout(core::time::Duration::from_secs(1)), Ok(1));
        assert_eq!(ready(1).or_cancelled(&token).wait(), Ok(1));
        assert_eq!(
            ready(1).or_timeout(&SystemClock, core::time::Duration::from_secs(1)).wait(),
            Ok(1)
        );
    });
    assert_eq!(count, 0);
}

#[test]
fn what_needs_no_waiting_allocates_nothing() {
    let queue = Queue::bounded(core::num::NonZeroUsize::MIN);
    let turnstile = Turnstile::new();
    let count = allocations(|| {
        queue.push(1).wait().unwrap();
        queue.pop().wait().unwrap();
        drop(turnstile.enter().wait().unwrap());
        drop(turnstile.enter().wait().unwrap());
    });
    assert_eq!(count, 0);
}

#[test]
fn a_second_wait_on_a_thread_reuses_its_parker() {
    // Ready at its second real poll: the probe and one more are pending.
    let wait_for_real = || {
        let mut polls = 0;
        core::future::poll_fn(move |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls < 3 { core::task::Poll::Pending } else { core::task::Poll::Ready(()) }
        })
        .wait();
    };
    assert!(allocations(wait_for_real) > 0);
    assert_eq!(allocations(wait_for_real), 0);
}

#[test]
fn a_tally_of_one_thread_allocates_nothing() {
    let count = allocations(|| {
        let tally = Tally::<8>::new();
        tally.add(3, 1);
        assert_eq!(tally.sum(3), 1);
    });
    assert_eq!(count, 0);
}

#[test]
fn children_that_are_dropped_leave_nothing_with_their_parent() {
    let parent = CancelToken::new();
    // The first child allocates the parent's list.
    drop(parent.child());
    let before = present();
    for _ in 0..100 {
        drop(parent.child().child());
    }
    let children: Vec<_> = (0..100).map(|_| parent.child()).collect();
    drop(children);
    assert_eq!(present(), before);
}
