//! Threads that do everything at once, from a seed that is printed.

use std::{
    env, hint, thread,
    time::{Duration, Instant},
};

use tidegate_rate_limiter::{Inherit, Quota, RateLimiter, Wait};

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

fn seed() -> u64 {
    let now = || Instant::now().elapsed().as_nanos() ^ u128::from(std::process::id());
    env::var("TIDEGATE_SEED").map_or_else(
        |_| u64::try_from(now() & u128::from(u64::MAX)).unwrap_or(0),
        |seed| seed.parse().expect("TIDEGATE_SEED is a number"),
    )
}

/// Whatever happens, nobody hangs, nobody is left in line, and what was granted was there.
#[test]
fn waits_cancels_changes_and_reservations_at_once() {
    const THREADS: u64 = 4;
    let seed = seed();
    println!("TIDEGATE_SEED={seed}");
    let fast = |n: u64| {
        let tokens = u32::try_from(200_000 + 50_000 * n).unwrap();
        Quota::per_second(tokens).and_then(|quota| quota.burst(8)).unwrap()
    };
    let limiter = RateLimiter::new(fast(8));
    let start = Instant::now();
    let work = |number: u64| {
        let (mut random, mut granted) = (Random(seed ^ number), 0);
        for _ in 0..1500 {
            let n = 1 + u32::try_from(random.below(3)).unwrap();
            granted += match random.below(9) {
                0 => u64::from(limiter.try_acquire(n).map_or(0, |grant| grant.tokens())),
                1 | 2 => u64::from(limiter.acquire(n).wait().unwrap().tokens()),
                3 => {
                    let soon = Duration::from_micros(random.below(30));
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
                    limiter.set_quota(fast(random.below(9)), inherit);
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
    // The fastest of the quotas, and what refunds and taken-over parts of tokens can add.
    let most = start.elapsed().as_secs_f64() * 600_000.0;
    let refunds = 3.0 * 1500.0 * THREADS as f64;
    assert!(granted as f64 <= most + 8.0 + refunds, "TIDEGATE_SEED={seed}: {granted} of {most}");
    assert_eq!(limiter.stats().waiting, 0, "TIDEGATE_SEED={seed}");
    assert!(limiter.acquire(8).wait().is_ok());
}
