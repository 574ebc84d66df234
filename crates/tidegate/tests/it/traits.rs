//! What the facade re-exports may still be used after a panic has passed it by.

use std::panic::{RefUnwindSafe, UnwindSafe};

use tidegate::{
    Breaker, CachedClock, CancelToken, Cancelled, Closed, KeyedBreaker, KeyedLimiter, ManualClock,
    Outcome, Permit, Queue, Quota, RateLimiter, Reason, Semaphore, SystemClock, TimedOut,
    Timestamp,
};

#[test]
fn what_a_panic_passes_by_may_be_used_on() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<(Semaphore, Permit<'_>)>();
    safe::<(RateLimiter, KeyedLimiter<String>, Quota)>();
    safe::<(Breaker, KeyedBreaker<String>)>();
    safe::<(CancelToken, Reason, Queue<u8>)>();
    safe::<(SystemClock, ManualClock, CachedClock, Timestamp)>();
    safe::<(Cancelled, Closed, TimedOut, Outcome)>();
}
