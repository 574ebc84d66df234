//! A law of everything at once.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use test_kit::Random;
use tidegate_worker_pool::{JobHandle, KeyedPool, OnFull, Wait, WorkerPool};

/// Long enough that only what hangs needs it.
const HANGS: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_micros(200);

/// Does something with a pool, as a number says.
fn act(pool: &WorkerPool, keyed: &KeyedPool<u64>, number: u64, ran: &Arc<AtomicUsize>) {
    let (ran, key) = (ran.clone(), number >> 20 & 3);
    let job = move || _ = ran.fetch_add(1, Ordering::SeqCst);
    let cancel_some = |job: Option<JobHandle<()>>| {
        if let Some(job) = job.filter(|_| number & 64 == 0) {
            job.cancel();
        }
    };
    match number % 7 {
        0 => cancel_some(pool.submit(job).wait_timeout(SOON).ok()),
        1 => cancel_some(keyed.submit(key, job).wait_timeout(SOON).ok()),
        2 => cancel_some(keyed.try_submit(key, job).ok()),
        3 => cancel_some(pool.submit_future(thread_switch()).wait_timeout(SOON).ok()),
        4 => drop(pool.run(job).wait_timeout(SOON)),
        5 => drop(pool.idle().wait_timeout(SOON)),
        _ => {
            let pause = pool.pause();
            thread::yield_now();
            drop(pause);
        }
    }
}

async fn thread_switch() {
    thread::yield_now();
}

#[test]
fn after_any_mix_of_submits_and_cancels_the_pool_is_idle_and_all_its_slots_are_free() {
    for (round, on_full) in (0..20).flat_map(|n| [(n, OnFull::Wait), (n, OnFull::DropOldest)]) {
        let builder = WorkerPool::builder().threads(2).queue(3);
        let pool = builder.on_full(on_full).build().unwrap();
        let keyed = pool.keyed(NonZeroUsize::new(2).unwrap());
        let ran = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for thread in 0..3 {
                let (pool, keyed, ran) = (&pool, &keyed, &ran);
                scope.spawn(move || {
                    let mut random = Random::new(round * 7919 + thread);
                    for _ in 0..200 {
                        act(pool, keyed, random.next_u64(), ran);
                    }
                });
            }
        });
        pool.idle().wait_timeout(HANGS).expect("it is idle when no thread submits any more");
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.in_flight), (0, 0));
        // The next worker takes the cancelled jobs out.
        while !keyed.is_empty() {
            thread::yield_now();
        }
        assert!(stats.succeeded >= ran.load(Ordering::SeqCst) as u64);
        assert_eq!(stats.submitted, stats.succeeded + stats.cancelled);
        let pause = pool.pause();
        assert_eq!((0..10).map_while(|_| pool.try_submit(|| ()).ok()).count(), 3);
        drop(pause);
        pool.shutdown().wait_timeout(HANGS).expect("it ends");
    }
}
