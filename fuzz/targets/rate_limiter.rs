//! A token bucket against a reference that counts in whole numbers and has a queue of waiters.
#![no_main]

use std::{task::Poll, time::Duration};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate::{
    ManualClock, Quota, RateLimiter,
    rate_limiter::{TokenBucket, future::Acquire},
};

use test_kit::Task;

#[derive(Debug, Arbitrary)]
enum Step {
    Acquire(u8),
    UpTo(u8),
    Refund(u8),
    Advance(u16),
    /// Makes a request and polls it once.
    Ask(u8),
    /// Polls a waiter, woken or not.
    Poll(u8),
    GiveUp(u8),
}

/// The tokens that are there, in parts: a token has as many parts as its refill takes nanoseconds.
struct Bucket {
    parts: u64,
    full: u64,
}

/// A request that waits.
struct Asked<'a> {
    task: Task<Acquire<'a, TokenBucket, ManualClock>>,
    n: u32,
    /// Wake-ups before its last poll.
    seen: usize,
}

/// One token a microsecond, which is a whole number of nanoseconds.
const PER_SECOND: u32 = 1_000_000;
const TOKEN: u64 = 1_000;

impl Bucket {
    fn has(&self, n: u32) -> bool {
        u64::from(n) * TOKEN + u64::from(cfg!(feature = "wrong")) <= self.parts
    }

    fn take(&mut self, n: u32) {
        self.parts -= u64::from(n) * TOKEN;
    }

    fn fill(&mut self, parts: u64) {
        self.parts = (self.parts + parts).min(self.full);
    }
}

/// An index into a list, if it has any.
fn pick(of: u8, len: usize) -> Option<usize> {
    usize::from(of).checked_rem(len)
}

fuzz_target!(|input: (u8, Vec<Step>)| {
    let (burst, steps) = input;
    let burst = u32::from(burst % 16) + 1;
    let clock = ManualClock::new();
    let quota = Quota::per_second(PER_SECOND).burst(burst);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let full = u64::from(burst) * TOKEN;
    let mut bucket = Bucket { parts: full, full };
    let mut line: Vec<Asked<'_>> = Vec::new();
    for step in steps {
        match step {
            Step::Acquire(n) => {
                let n = u32::from(n % 20) + 1;
                let took = limiter.try_acquire(n).is_ok();
                assert_eq!(took, line.is_empty() && bucket.has(n), "{n} of {}", bucket.parts);
                if took {
                    bucket.take(n);
                }
            }
            Step::UpTo(n) => {
                let n = u32::from(n % 20) + 1;
                let whole = if line.is_empty() { bucket.parts / TOKEN } else { 0 };
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
                bucket.fill(u64::from(n) * TOKEN);
            }
            Step::Advance(nanos) => {
                clock.advance(Duration::from_nanos(nanos.into()));
                bucket.fill(nanos.into());
            }
            Step::Ask(n) => {
                let n = u32::from(n) % burst + 1;
                let mut task = Task::new(limiter.acquire(n));
                match task.poll() {
                    Poll::Ready(grant) => {
                        grant.expect("within the burst");
                        assert!(line.is_empty() && bucket.has(n), "overtook");
                        bucket.take(n);
                    }
                    Poll::Pending => {
                        assert!(!line.is_empty() || !bucket.has(n), "waits for what is there");
                        line.push(Asked { task, n, seen: 0 });
                    }
                }
            }
            Step::Poll(of) => {
                let Some(at) = pick(of, line.len()) else { continue };
                let Asked { task, n, seen } = &mut line[at];
                *seen = task.woken();
                let polled = task.poll();
                assert_eq!(polled.is_ready(), at == 0 && bucket.has(*n), "{n} at {at}");
                if polled.is_ready() {
                    bucket.take(*n);
                    line.remove(at);
                }
            }
            Step::GiveUp(of) => {
                if let Some(at) = pick(of, line.len()) {
                    line.remove(at);
                }
            }
        }
        if let Some(Asked { task, n, seen }) = line.first() {
            assert!(!bucket.has(*n) || task.woken() > *seen, "asleep beside {n} tokens");
        }
        assert_eq!(limiter.stats().waiting, line.len());
    }
});
