//! The fast paths, each a function of its own, to be counted by callgrind:
//!
//! ```sh
//! cargo build --release -p tidegate-circuit-breaker --example instructions
//! for path in closed_call refusal; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="*::$path" \
//!         target/release/examples/instructions 2>&1 | grep Collected
//! done
//! ```
//!
//! Divide by [`CALLS`].

use std::{hint::black_box, time::Duration};

use tidegate_circuit_breaker::{Breaker, ManualClock};

/// How often each path is taken.
const CALLS: u32 = 1000;

/// A call that is let through and succeeds.
#[inline(never)]
fn closed_call(breaker: &Breaker<ManualClock>) {
    if let Ok(pass) = breaker.try_enter() {
        pass.success();
    }
}

/// A call that is refused. Its clock costs one load.
#[inline(never)]
fn refusal(breaker: &Breaker<ManualClock>) {
    drop(black_box(breaker.try_enter()));
}

fn main() {
    let breaker = Breaker::builder().clock(ManualClock::new()).build().expect("valid");
    for _ in 0..CALLS {
        closed_call(black_box(&breaker));
    }
    breaker.try_enter().expect("closed").failure_open_for(Duration::from_secs(1));
    for _ in 0..CALLS {
        refusal(black_box(&breaker));
    }
    let stats = breaker.stats();
    assert_eq!((stats.succeeded, stats.refused), (u64::from(CALLS), u64::from(CALLS)));
}
