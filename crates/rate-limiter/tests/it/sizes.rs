//! What the types of keyed, fixed and throttled limiters take, in bytes on a machine of 64 bits.
#![cfg(target_pointer_width = "64")]

use std::mem::size_of;

use tidegate_rate_limiter::{
    Balance, FixedCells, FixedKeyedLimiter, KeyGate, KeyRefused, KeyedLimiter, Overflow,
    SystemClock, Throttled, TokenBucket, future::AcquireKey,
};

#[test]
fn no_type_is_larger_than_it_need_be() {
    let table = [
        ("Balance", size_of::<Balance>(), 40),
        ("FixedCells<1024>", size_of::<FixedCells<1024>>(), 8192),
        ("FixedKeyedLimiter<1024>", size_of::<FixedKeyedLimiter<1024>>(), 216),
        ("KeyRefused", size_of::<KeyRefused>(), 40),
        ("KeyedLimiter<u64>", size_of::<KeyedLimiter<u64>>(), 448),
        ("KeyGate", size_of::<KeyGate<'_, SystemClock>>(), 16),
        ("AcquireKey", size_of::<AcquireKey<'_, SystemClock>>(), 152),
        ("Overflow", size_of::<Overflow>(), 1),
        ("Throttled<()>", size_of::<Throttled<'_, (), TokenBucket, SystemClock>>(), 24),
    ];
    for (name, size, most) in table {
        println!("{name}: {size}");
        assert!(size <= most, "{name}: {size} bytes, {most} were agreed on");
    }
}
