//! One file for each pattern. Its `run` asserts what it finds and prints a line.

mod batch_processor;
mod circuit_breaker;
mod concurrent_map;
#[cfg(target_has_atomic = "ptr")]
mod pipeline;
mod rate_limiter;
mod semaphore;
#[cfg(target_has_atomic = "ptr")]
mod worker_pool;

use tidegate::ManualClock;

/// The queues of the last two need a compare-and-swap, which a Cortex-M0 does not have.
pub const ALL: &[fn(&ManualClock)] = &[
    semaphore::run,
    rate_limiter::run,
    circuit_breaker::run,
    concurrent_map::run,
    batch_processor::run,
    #[cfg(target_has_atomic = "ptr")]
    worker_pool::run,
    #[cfg(target_has_atomic = "ptr")]
    pipeline::run,
];
