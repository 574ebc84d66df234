//! How large the types are. A change that makes a type larger has to change the table.
#![cfg(target_pointer_width = "64")]

use std::mem::{size_of, size_of_val};

use tidegate_semaphore::{
    AcquireError, Builder, Fairness, Gate, OwnedPermit, OwnedPermitGate, Permit, PermitGate,
    Semaphore, Stats, TryAcquireError,
    adaptive::{self, AdaptiveSemaphore, Aimd, Gradient2, Vegas},
    future::{Acquire, AcquireOwned, Enter, Idle, WithAsync},
};

/// Fails if types are larger than the table says, and lists them all.
macro_rules! table {
    ($($size:literal $type:ty)*) => {
        let mut larger = Vec::new();
        $(
            if size_of::<$type>() > $size {
                larger.push(format!("{} {}", size_of::<$type>(), stringify!($type)));
            }
        )*
        assert!(larger.is_empty(), "larger than in the table: {larger:#?}");
    };
}

#[test]
fn no_type_is_larger_than_the_table_says() {
    table! {
        16 Permit<'static>
        16 OwnedPermit
        16 Result<Permit<'static>, AcquireError>
        16 Result<OwnedPermit, TryAcquireError>
        32 Acquire<'static>
        32 AcquireOwned
        32 Enter<Acquire<'static>>
        32 Enter<AcquireOwned>
        16 PermitGate<'static>
        16 OwnedPermitGate
        48 Idle<'static>
        8 Fairness
        1 AcquireError
        1 TryAcquireError
        208 Stats
        48 Builder
        56 WithAsync<'static, [u64; 2]>
        32 adaptive::Permit<'static, Vegas>
        32 adaptive::OwnedPermit<Vegas>
        32 adaptive::future::Acquire<'static, Vegas>
        32 adaptive::future::AcquireOwned<Vegas>
        32 Enter<adaptive::future::Acquire<'static, Vegas>>
        32 Enter<adaptive::future::AcquireOwned<Vegas>>
        80 adaptive::Stats
        88 adaptive::BuildError
        32 Aimd
        40 Vegas
        48 Gradient2
        352 Semaphore
        520 AdaptiveSemaphore<Vegas>
    }
}

#[test]
fn a_future_that_runs_with_permits_is_stored_once() {
    let semaphore = Semaphore::new(1);
    let large = [0_u8; 1000];
    let action = || async move {
        std::future::ready(()).await;
        std::hint::black_box(&large);
    };
    let size = size_of_val(&action());
    assert!(size_of_val(&semaphore.with_async(1, action())) <= size + 48);
    assert!(size_of_val(&(&semaphore).run_async(action())) <= size + 48);
}
