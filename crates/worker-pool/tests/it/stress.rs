//! Threads that do everything at once to one pool, from a seed:
//! `TIDEGATE_SEED=7 cargo test -p tidegate-worker-pool --test it stress`.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use test_kit::{Random, random};
use tidegate_worker_pool::{JobGroup, KeyedPool, OnFull, Wait, WorkerPool};

/// How long one pool is stressed.
const LONG: Duration = Duration::from_millis(150);

/// Does one thing at random; returns how many jobs the pool has accepted for certain and will not
/// drop.
fn act(
    pool: &WorkerPool,
    keyed: &KeyedPool<u64>,
    ran: &Arc<AtomicU64>,
    random: &mut Random,
) -> u64 {
    let count = || {
        let ran = ran.clone();
        move || _ = ran.fetch_add(1, Ordering::Relaxed)
    };
    match random.below(12) {
        0..=2 => u64::from(pool.execute(count()).wait().is_ok()),
        3 => u64::from(pool.submit(count()).wait().wait().is_ok()),
        4 => {
            let handle = pool.submit(count()).wait();
            // It is cancelled or it runs.
            u64::from(!handle.cancel() && handle.wait().is_ok())
        }
        5 => {
            drop(pool.submit(|| resume_unwind(Box::new("quiet"))).wait());
            0
        }
        6 => {
            let group: JobGroup<_> = (0..3).map(|_| pool.submit(count()).wait()).collect();
            group.join().wait().iter().filter(|result| result.is_ok()).count() as u64
        }
        7 => {
            let own = AtomicU64::new(0);
            pool.scope(|scope| {
                for _ in 0..random.below(4) {
                    scope.execute(|| _ = own.fetch_add(1, Ordering::Relaxed));
                }
            });
            ran.fetch_add(own.load(Ordering::Relaxed), Ordering::Relaxed);
            own.into_inner()
        }
        8 => {
            // If it was cancelled just when it ended, it has run all the same.
            let handle = pool.submit_future(async { 7 }).wait();
            assert!(handle.cancel() || handle.wait().unwrap() == 7);
            0
        }
        9 => {
            let least = random.below(3) + 1;
            pool.resize(least..=least + 1).unwrap();
            0
        }
        10 => {
            let key = random.below(3) as u64;
            u64::from(keyed.submit(key, count()).wait().wait().is_ok())
        }
        _ => {
            let _pause = pool.pause();
            thread::yield_now();
            match pool.try_submit(count()) {
                // Its result is given up, and it runs all the same.
                Ok(handle) => {
                    drop(handle);
                    1
                }
                Err(_refused) => 0,
            }
        }
    }
}

fn stress(queue: usize, on_full: OnFull, random: &mut Random) {
    let keep_alive = Duration::from_micros(random.below(200) as u64);
    let builder = WorkerPool::builder().threads(1..=3).keep_alive(keep_alive);
    let pool = builder.queue(queue).on_full(on_full).build().unwrap();
    let keyed = pool.keyed(NonZeroUsize::MIN);
    let (ran, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + LONG);
    let accepted: u64 = thread::scope(|s| {
        let actors: Vec<_> = (0..3)
            .map(|_| {
                let (pool, keyed, ran) = (&pool, &keyed, &ran);
                let mut random = Random::new(random.next_u64());
                s.spawn(move || {
                    let mut accepted = 0;
                    while Instant::now() < end {
                        accepted += act(pool, keyed, ran, &mut random);
                    }
                    accepted
                })
            })
            .collect();
        actors.into_iter().map(|actor| actor.join().unwrap()).sum()
    });
    pool.shutdown().wait();
    let stats = pool.stats();
    assert_eq!(ran.load(Ordering::Relaxed), accepted, "queue of {queue}, {on_full:?}");
    assert_eq!((stats.waiting, stats.in_flight, stats.workers), (0, 0, 0));
    assert_eq!(stats.submitted, stats.succeeded + stats.panicked + stats.cancelled);
}

#[test]
fn nothing_is_lost_whatever_happens_at_once() {
    let mut random = random();
    for queue in [0, 1, 3, 64, 5000] {
        stress(queue, OnFull::Wait, &mut random);
    }
    for queue in [1, 3, 64] {
        stress(queue, OnFull::CallerRuns, &mut random);
    }
}

/// As many jobs as there are threads meet at a barrier, while one thread spins for jobs and the
/// others sleep.
#[test]
fn as_many_jobs_run_as_there_are_idle_threads() {
    const THREADS: usize = 4;
    let pool = WorkerPool::builder().threads(THREADS).build().unwrap();
    for _ in 0..2000 {
        pool.submit(|| ()).wait().wait().unwrap();
        let barrier = Arc::new(std::sync::Barrier::new(THREADS));
        let jobs = [(); THREADS].map(|()| {
            let barrier = barrier.clone();
            pool.try_submit(move || barrier.wait().is_leader()).unwrap()
        });
        for job in jobs {
            job.wait_timeout(Duration::from_secs(60))
                .expect("a thread sleeps while a job waits")
                .unwrap();
        }
    }
}
