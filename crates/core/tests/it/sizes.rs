//! The sizes of futures and types that programs hold many of, in bytes on 64 bits. A type that
//! grows fails here; if it must grow, its line is changed, with a reason.
#![cfg(target_pointer_width = "64")]

use std::{
    future::{Pending, Ready},
    mem::size_of,
    sync::Arc,
};

use tidegate_core::{
    CachedClock, CancelToken, Cancelled, Event, ManualClock, Queue, Reason, RwShards, Shards,
    SystemClock, Tally, Timer, Timestamp,
    cancel::{DropGuard, UntilCancelled},
    event::{WaitUntil, Waiter},
    lock::Lock,
    queue::{Pop, Push},
    ring::Ring,
    time::{CachedSleep, KeepFresh, ManualSleep, SystemSleep},
    turnstile::{Enter, Inside},
    wait::{OrCancelled, OrTimeout},
    wake_list::WakeList,
};

type Condition = fn() -> Option<()>;
type Cached = Arc<CachedClock>;

/// Makes the table: the name of each type, its size, and the most that it may have.
macro_rules! table {
    ($($type:ty: $most:literal,)*) => {
        [$((stringify!($type), size_of::<$type>(), $most)),*]
    };
}

#[test]
fn no_type_is_larger_than_the_table_says() {
    let table = table! {
        // Futures.
        Waiter: 16,
        WaitUntil<'_, Condition>: 32,
        UntilCancelled<'_>: 24,
        OrCancelled<'_, Ready<()>>: 32,
        OrCancelled<'_, Pending<()>>: 32,
        OrTimeout<SystemClock, Pending<()>>: 32,
        SystemSleep: 24,
        ManualSleep: 32,
        CachedSleep<Cached, SystemClock>: 32,
        KeepFresh<'_, SystemClock>: 56,
        Push<'_, u64>: 48,
        Pop<'_, u64>: 32,
        Enter<'_>: 16,
        // What is held.
        Inside<'_>: 8,
        CancelToken: 8,
        DropGuard: 8,
        Timestamp: 8,
        Reason: 24,
        Cancelled: 24,
        // What is shared.
        Event: 32,
        Lock<u64>: 16,
        WakeList: 96,
        Queue<u64>: 512,
        Ring<u64>: 384,
        Tally<1>: 48,
        Tally<8>: 160,
        Shards<u64>: 16,
        // They count how often threads meet in them: a map grows when that is often.
        RwShards<u64>: 72,
        SystemClock: 0,
        ManualClock: 8,
        CachedClock: 8,
        <Cached as Timer>::Sleep: 32,
    };
    let larger: Vec<_> = table.iter().filter(|(_, size, most)| size > most).collect();
    assert!(larger.is_empty(), "larger than they may be (type, size, most): {larger:?}");
}
