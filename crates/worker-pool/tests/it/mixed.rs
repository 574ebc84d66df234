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

use tidegate_worker_pool::{JobHandle, Lanes, OnFull, Wait, WorkerPool};

/// Long enough that only what hangs needs it.
const HANGS: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_micros(200);

/// Does something with a pool: what, is told by a number.
fn act(pool: &WorkerPool, lanes: &Lanes<u64>, number: u64, ran: &Arc<AtomicUsize>) {
    let (ran, key) = (ran.clone(), number >> 20 & 3);
    let job = move || _ = ran.fetch_add(1, Ordering::SeqCst);
    let cancel_some = |job: Option<JobHandle<()>>| {
        if let Some(job) = job.filter(|_| number & 64 == 0) {
            job.cancel();
        }
    };
    match number % 7 {
        0 => cancel_some(pool.submit(job).wait_timeout(SOON).ok()),
        1 => cancel_some(lanes.submit(key, job).wait_timeout(SOON).ok()),
        2 => cancel_some(lanes.try_submit(key, job).ok()),
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
fn after_any_mix_of_submits_and_cancels_the_pool_is_idle_and_all_its_places_are_free() {
    for (round, on_full) in (0..20).flat_map(|n| [(n, OnFull::Wait), (n, OnFull::DropOldest)]) {
        let builder = WorkerPool::builder().threads(2).queue(3);
        let pool = builder.on_full(on_full).build().unwrap();
        let lanes = pool.lanes(NonZeroUsize::new(2).unwrap());
        let ran = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for thread in 0..3 {
                let (pool, lanes, ran) = (&pool, &lanes, &ran);
                scope.spawn(move || {
                    let mut number = round * 7919 + thread * 104_729 + 1;
                    for _ in 0..200 {
                        number ^= number << 13;
                        number ^= number >> 7;
                        number ^= number << 17;
                        act(pool, lanes, number, ran);
                    }
                });
            }
        });
        pool.idle().wait_timeout(HANGS).expect("it is idle when nobody submits any more");
        let stats = pool.stats();
        assert_eq!((stats.queued, stats.running), (0, 0));
        // What was called off is taken out by the next worker that comes by.
        while !lanes.is_empty() {
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
