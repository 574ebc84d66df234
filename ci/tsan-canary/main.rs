//! Two threads add to one plain integer: a data race, planted for ci/tsan.sh to find.

use std::cell::UnsafeCell;
use std::thread;

struct Unguarded(UnsafeCell<u64>);

// SAFETY: none; that is the point.
unsafe impl Sync for Unguarded {}

static COUNT: Unguarded = Unguarded(UnsafeCell::new(0));

fn add() {
    for _ in 0..1000 {
        // SAFETY: none; the other thread does the same at the same time.
        unsafe { *COUNT.0.get() += 1 }
    }
}

fn main() {
    let other = thread::spawn(add);
    add();
    other.join().unwrap();
}
