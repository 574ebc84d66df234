//! Any number of keys in cells that are never on the stack.

use std::{
    hash::{BuildHasherDefault, DefaultHasher},
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use tidegate_rate_limiter::{
    FixedCells, FixedKeyedLimiter, ManualClock, Quota, SystemClock, Timestamp,
};

const MILLION: usize = 1 << 20;

const QUOTA: Quota = Quota::per_minute(2);

type Hasher = BuildHasherDefault<DefaultHasher>;

static CELLS: FixedCells<MILLION> = FixedCells::new();
static IN_STATIC: FixedKeyedLimiter<MILLION, SystemClock, Hasher> =
    FixedKeyedLimiter::in_static(&CELLS, QUOTA, SystemClock, Hasher::new());
static LATER: LazyLock<FixedKeyedLimiter<MILLION>> =
    LazyLock::new(|| FixedKeyedLimiter::new(QUOTA));

#[test]
fn a_million_cells_need_no_stack() {
    let small = thread::Builder::new().stack_size(256 * 1024).spawn(|| {
        let boxed = Box::new(FixedKeyedLimiter::<MILLION>::new(QUOTA));
        let shared =
            Arc::new(FixedKeyedLimiter::<MILLION, _>::with_clock(QUOTA, ManualClock::new()));
        let moved =
            FixedKeyedLimiter::<MILLION, _, _>::with_hasher(QUOTA, SystemClock, Hasher::new());
        let granted = [
            boxed.try_acquire("ann", 2).is_ok(),
            shared.try_acquire("ann", 2).is_ok(),
            moved.try_acquire("ann", 2).is_ok(),
            IN_STATIC.try_acquire("ann", 2).is_ok(),
            LATER.try_acquire("ann", 2).is_ok(),
        ];
        assert_eq!(granted, [true; 5]);
        assert!(boxed.try_acquire("ann", 1).is_err() && IN_STATIC.try_acquire("ann", 1).is_err());
    });
    small.unwrap().join().unwrap();
}

#[test]
fn cells_in_a_static_are_like_those_on_the_heap() {
    static FEW: FixedCells<64> = FixedCells::new();
    let clock = ManualClock::new();
    let here = FixedKeyedLimiter::in_static(&FEW, QUOTA, clock.clone(), Hasher::new());
    let there = FixedKeyedLimiter::<64, _, _>::with_hasher(QUOTA, clock.clone(), Hasher::new());
    for step in 0..1000_u32 {
        clock.advance(Duration::from_secs(u64::from(step % 7)));
        let key = step % 13;
        assert_eq!(here.try_acquire(&key, 1), there.try_acquire(&key, 1));
        if step % 5 == 0 {
            here.refund(&key, 1);
            there.refund(&key, 1);
        }
    }
    assert_eq!(here.stats(), there.stats());
    assert_eq!(here.stats().allowed + here.stats().refused, 1000);
}

#[test]
fn refunded_tokens_of_a_key_are_taken_again() {
    let keys = FixedKeyedLimiter::<1, _>::with_clock(QUOTA, ManualClock::new());
    keys.try_acquire("ann", 2).unwrap();
    keys.refund("ann", 1);
    assert!(keys.try_acquire("ann", 1).is_ok());
    assert!(keys.try_acquire("ann", 1).is_err());
}

/// Before the end of time by as long as a bucket takes to fill. After that no token comes.
#[test]
fn a_cell_answers_up_to_the_last_full_bucket_before_the_end_of_time() {
    let keys = FixedKeyedLimiter::<1, _, _>::with_hasher(QUOTA, (), Hasher::new());
    let last = Timestamp::NEVER - Duration::from_secs(60);
    assert!(keys.try_acquire_at(&1, 1, last).is_ok());
    let refused = keys.try_acquire_at(&1, 2, last).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)));
    let refused = keys.try_acquire_at(&1, 1, last + Duration::from_nanos(1)).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::MAX));
}

#[test]
fn a_call_at_an_extreme_time_shuts_no_other_key_out() {
    let keys = FixedKeyedLimiter::<4096, _, _>::with_hasher(QUOTA, (), Hasher::new());
    for time in [u64::MAX, u64::MAX - 1, u64::MAX / 2, 0] {
        let now = Timestamp::from_nanos(time);
        let _ = keys.try_acquire_at(&1, 0, now);
        let _ = keys.try_acquire_at(&1, 1, now);
    }
    assert!(keys.try_acquire_at(&2, 2, Timestamp::from_nanos(5)).is_ok());
}
