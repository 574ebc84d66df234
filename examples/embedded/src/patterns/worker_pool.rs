//! Worker pool: two workers, which are tasks, and a future among the jobs.

use core::cell::Cell;

use cortex_m_semihosting::hprintln;
use tidegate::{ManualClock, Timer, WorkerPool};

use crate::{clock::MS, executor::Executor};

pub fn run(clock: &ManualClock) {
    let pool = WorkerPool::detached(2);
    let sum = Cell::new(0);
    let mut executor = Executor::default();
    executor.spawn(pool.worker());
    executor.spawn(pool.worker());
    executor.spawn(async {
        for n in 1..=5_u32 {
            sum.set(sum.get() + pool.submit(move || n * n).await.await.expect("it runs"));
        }
        let sleep = clock.sleep(2 * MS);
        pool.submit_future(sleep).await.await.expect("it ends");
        pool.close();
    });
    executor.run();
    assert_eq!(sum.get(), 55);
    hprintln!("worker pool: {} jobs", pool.stats().succeeded);
}
