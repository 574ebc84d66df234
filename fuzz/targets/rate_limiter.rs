//! A token bucket against one that is counted in whole numbers.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate::{ManualClock, Quota, RateLimiter};

#[derive(Debug, Arbitrary)]
enum Step {
    Acquire(u8),
    UpTo(u8),
    Refund(u8),
    Advance(u16),
}

/// Tokens that are there, in parts of which a token has as many as it takes nanoseconds.
struct Bucket {
    parts: u64,
    full: u64,
}

/// A token in a microsecond: exact in nanoseconds.
const PER_SECOND: u32 = 1_000_000;
const TOKEN: u64 = 1_000;

fuzz_target!(|input: (u8, Vec<Step>)| {
    let (burst, steps) = input;
    let burst = u32::from(burst % 16) + 1;
    let clock = ManualClock::new();
    let quota =
        Quota::per_second(PER_SECOND).and_then(|quota| quota.burst(burst)).expect("in range");
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let full = u64::from(burst) * TOKEN;
    let mut bucket = Bucket { parts: full, full };
    for step in steps {
        match step {
            Step::Acquire(n) => {
                let n = u32::from(n % 20) + 1;
                let took = limiter.try_acquire(n).is_ok();
                let wrong = u64::from(cfg!(feature = "wrong"));
                assert_eq!(
                    took,
                    u64::from(n) * TOKEN + wrong <= bucket.parts,
                    "acquire {n} of {}",
                    bucket.parts
                );
                bucket.parts -= if took { u64::from(n) * TOKEN } else { 0 };
            }
            Step::UpTo(n) => {
                let n = u32::from(n % 20) + 1;
                let whole = bucket.parts / TOKEN;
                match limiter.try_acquire_up_to(n) {
                    Ok(grant) => {
                        let taken = whole.min(u64::from(n));
                        assert!(taken > 0, "nothing is no grant");
                        bucket.parts -= taken * TOKEN;
                        assert_eq!(u64::from(grant.remaining()), bucket.parts / TOKEN);
                    }
                    Err(_) => assert_eq!(whole, 0),
                }
            }
            Step::Refund(n) => {
                limiter.refund(n.into());
                bucket.parts = (bucket.parts + u64::from(n) * TOKEN).min(bucket.full);
            }
            Step::Advance(nanos) => {
                clock.advance(Duration::from_nanos(nanos.into()));
                bucket.parts = (bucket.parts + u64::from(nanos)).min(bucket.full);
            }
        }
    }
});
