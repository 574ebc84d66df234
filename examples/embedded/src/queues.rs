//! The two patterns whose queues need a compare-and-swap.

use core::{cell::Cell, convert::Infallible, num::NonZeroUsize};

use cortex_m_semihosting::hprintln;
use tidegate::{ManualClock, Pipeline, Timer, WorkerPool};

use crate::{MS, executor::Executor};

/// Two workers, which are tasks, and a future among the jobs.
pub fn worker_pool(clock: &ManualClock) {
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

/// Six items through a stage that works on two at once.
pub fn pipeline(clock: &ManualClock) {
    let two = NonZeroUsize::new(2).expect("not zero");
    let work = |n: u32| async move {
        clock.sleep(MS).await;
        Ok::<_, Infallible>(n * n)
    };
    let flow = Pipeline::from_iter(1..=6).map_async("square", two, work);
    let mut executor = Executor::default();
    executor.spawn(async {
        let squares = flow.collect().await.expect("nothing fails");
        assert_eq!(squares, [1, 4, 9, 16, 25, 36]);
    });
    executor.run();
    hprintln!("pipeline: six items, two at once");
}
