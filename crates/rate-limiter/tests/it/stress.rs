//! Threads that call the methods at random, all at once, by a seed that is printed.

use std::{
    hint, thread,
    time::{Duration, Instant},
};

use test_kit::{Random, seed};
use tidegate_rate_limiter::{Inherit, Quota, RateLimiter, Wait};

/// No thread hangs, no waiter is left in the queue, and no token is minted.
#[test]
fn waits_cancels_changes_and_reservations_at_once() {
    const THREADS: u64 = 4;
    let seed = seed();
    let fast = |n: u64| {
        let tokens = u32::try_from(200_000 + 50_000 * n).unwrap();
        Quota::per_second(tokens).burst(8)
    };
    let limiter = RateLimiter::new(fast(8));
    let start = Instant::now();
    let work = |number: u64| {
        let (mut random, mut granted) = (Random::new(seed ^ number), 0);
        for _ in 0..1500 {
            let n = 1 + u32::try_from(random.below(3)).unwrap();
            granted += match random.below(9) {
                0 => u64::from(limiter.try_acquire(n).map_or(0, |grant| grant.tokens())),
                1 | 2 => u64::from(limiter.acquire(n).wait().unwrap().tokens()),
                3 => {
                    let soon = Duration::from_micros(random.next_u64() % 30);
                    let waited = limiter.acquire(n).wait_timeout(soon);
                    waited.map_or(0, |grant| u64::from(grant.unwrap().tokens()))
                }
                4 => u64::from(limiter.acquire_up_to(n).wait().unwrap().tokens()),
                5 => limiter.reserve(n).map_or(0, |reservation| {
                    let kept = n - reservation.cancel();
                    u64::from(kept)
                }),
                6 => {
                    let inherit = if n == 1 { Inherit::Proportional } else { Inherit::AsIs };
                    limiter.set_quota(fast(random.next_u64() % 9), inherit);
                    0
                }
                7 => {
                    let grant = limiter.consume_now(n);
                    limiter.adjust(grant, 1);
                    1
                }
                _ => {
                    hint::spin_loop();
                    0
                }
            };
        }
        granted
    };
    let granted: u64 = thread::scope(|s| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|number| s.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // What the fastest quota grants, and what refunds and inherited parts of tokens can add.
    let most = start.elapsed().as_secs_f64() * 600_000.0;
    let refunds = 3.0 * 1500.0 * THREADS as f64;
    assert!(granted as f64 <= most + 8.0 + refunds, "TIDEGATE_SEED={seed}: {granted} of {most}");
    assert_eq!(limiter.stats().waiting, 0, "TIDEGATE_SEED={seed}");
    assert!(limiter.acquire(8).wait().is_ok());
}
