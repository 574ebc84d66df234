//! The fast paths, each a function of its own, to be counted by callgrind:
//!
//! ```sh
//! cargo build --release -p tidegate-semaphore --example instructions
//! for path in try_and_release ready_acquire wait_and_be_served refusal; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="*::$path" \
//!         target/release/examples/instructions 2>&1 | grep Collected
//! done
//! ```
//!
//! Divide by [`CALLS`].

use std::{
    future::Future,
    hint::black_box,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tidegate_semaphore::{Permit, Semaphore, future::Acquire};

/// How often each path is taken.
const CALLS: u32 = 1000;

/// A free permit is taken and given back.
#[inline(never)]
fn try_and_release(semaphore: &Semaphore) {
    drop(semaphore.try_acquire(1));
}

/// The same by the future, which is ready at its first poll.
#[inline(never)]
fn ready_acquire(semaphore: &Semaphore, cx: &mut Context<'_>) {
    let mut acquire = semaphore.acquire(1);
    drop(Pin::new(&mut acquire).poll(cx));
}

/// A request joins the wait queue, is handed the permit, and picks it up. Its waker does nothing.
#[inline(never)]
fn wait_and_be_served<'a>(
    semaphore: &'a Semaphore,
    held: Permit<'a>,
    cx: &mut Context<'_>,
) -> Option<Permit<'a>> {
    let mut acquire: Acquire<'a> = semaphore.acquire(1);
    let joined = Pin::new(&mut acquire).poll(cx);
    drop((joined, held));
    match Pin::new(&mut acquire).poll(cx) {
        Poll::Ready(Ok(permit)) => Some(permit),
        _ => None,
    }
}

/// No permit is free.
#[inline(never)]
fn refusal(semaphore: &Semaphore) {
    drop(black_box(semaphore.try_acquire(1)));
}

fn main() {
    let semaphore = Semaphore::new(1);
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..CALLS {
        try_and_release(black_box(&semaphore));
        ready_acquire(black_box(&semaphore), cx);
    }
    let mut held = semaphore.try_acquire(1).expect("free");
    for _ in 0..CALLS {
        held = wait_and_be_served(black_box(&semaphore), held, cx).expect("handed over");
        refusal(black_box(&semaphore));
    }
    drop(held);
    let stats = semaphore.stats();
    assert_eq!((stats.acquired, stats.refused), (u64::from(3 * CALLS + 1), u64::from(CALLS)));
}
