//! Rate limiter: one call at once, and then one in ten milliseconds.

use cortex_m_semihosting::hprintln;
use tidegate::{Clock, ManualClock, Quota, RateLimiter};

use crate::{clock::MS, executor::Executor};

pub fn run(clock: &ManualClock) {
    let quota = Quota::per_second(100).burst(1);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let start = clock.now();
    let mut executor = Executor::default();
    executor.spawn(async {
        for _ in 0..3 {
            limiter.acquire(1).await.expect("within the burst");
        }
    });
    executor.run();
    let took = clock.now().since(start);
    assert!(took >= 20 * MS, "{took:?}");
    hprintln!("rate limiter: three calls in {} ms", took.as_millis());
}
