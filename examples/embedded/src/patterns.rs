//! The five patterns that need no compare-and-swap.

use alloc::vec::Vec;
use core::{
    cell::{Cell, RefCell},
    convert::Infallible,
};

use cortex_m_semihosting::hprintln;
use tidegate::{
    Batcher, Breaker, Clock, ConcurrentMap, ManualClock, Quota, RateLimiter, Semaphore, Timer,
    circuit_breaker::{OpenFor, TripRule},
    ground::primitive::Arc,
};

use crate::{MS, executor::Executor};

/// Three tasks share two permits.
pub fn semaphore(clock: &ManualClock) {
    let semaphore = Semaphore::new(2);
    let (inside, most) = (Cell::new(0), Cell::new(0));
    let mut executor = Executor::default();
    for _ in 0..3 {
        executor.spawn(async {
            let _permit = semaphore.acquire(1).await.expect("open");
            inside.set(inside.get() + 1);
            most.set(most.get().max(inside.get()));
            clock.sleep(2 * MS).await;
            inside.set(inside.get() - 1);
        });
    }
    executor.run();
    assert_eq!((most.get(), semaphore.available_permits()), (2, 2));
    hprintln!("semaphore: two of three at once");
}

/// One at once, and then one in ten milliseconds.
pub fn rate_limiter(clock: &ManualClock) {
    let quota = Quota::per_second(100).and_then(|quota| quota.burst(1)).expect("in range");
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

/// Two failures open it, and a success closes it again.
pub fn circuit_breaker(clock: &ManualClock) {
    let breaker = Breaker::builder()
        .clock(clock.clone())
        .trip_on(TripRule::consecutive(2))
        .open_for(OpenFor::fixed(10 * MS))
        .close_after(1)
        .build()
        .expect("in range");
    for _ in 0..2 {
        let _ = breaker.call(|| Err::<(), _>("no sensor"));
    }
    assert!(breaker.call(|| Ok::<_, &str>(1)).is_err(), "open");
    let mut executor = Executor::default();
    executor.spawn(async { breaker.enter().await.expect("after its time").success() });
    executor.run();
    assert_eq!((breaker.call(|| Ok::<_, &str>(1)), breaker.stats().trips), (Ok(Ok(1)), 1));
    hprintln!("circuit breaker: opened and closed");
}

/// Twenty numbers add up under four keys.
pub fn concurrent_map(_: &ManualClock) {
    let map = ConcurrentMap::new();
    for n in 0..20_u32 {
        map.upsert(n % 4, || n, |sum| *sum += n);
    }
    assert_eq!((map.len(), map.get(&1)), (4, Some(1 + 5 + 9 + 13 + 17)));
    hprintln!("concurrent map: four sums");
}

/// Four items are a batch, and the last two go when their time has come.
pub fn batch_processor(clock: &ManualClock) {
    let sizes = Arc::new(critical_section::Mutex::new(RefCell::new(Vec::new())));
    let seen = sizes.clone();
    let process = move |items: Vec<u32>| {
        critical_section::with(|cs| seen.borrow_ref_mut(cs).push(items.len()));
        Ok::<_, Infallible>(items.iter().map(|n| n * 2).collect::<Vec<_>>())
    };
    let builder = Batcher::builder().clock(clock.clone()).max_items(4).max_delay(5 * MS);
    let (batcher, driver) = builder.build(process).expect("in range");
    let mut executor = Executor::default();
    executor.spawn(driver);
    executor.spawn(async {
        let replies: Vec<_> =
            (0..6_u32).map(|n| batcher.try_submit(n).expect("there is room")).collect();
        for (n, reply) in (0..).zip(replies) {
            assert_eq!(reply.await.expect("processed"), n * 2);
        }
        batcher.close();
    });
    executor.run();
    let sizes = critical_section::with(|cs| sizes.borrow_ref(cs).clone());
    assert_eq!(sizes, [4, 2]);
    hprintln!("batch processor: batches of {:?}", sizes);
}
