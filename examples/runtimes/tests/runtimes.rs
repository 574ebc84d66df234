//! A survey finds the same in each runtime, and one object serves all runtimes.

use std::{sync::Arc, thread};

use runtimes::{Background, GAUGES, in_async_std, in_smol, in_tokio, on_threads};
use tidegate::{Semaphore, Wait};

#[test]
fn tokio_smol_async_std_and_threads_find_the_same() {
    let reports = [in_tokio, in_smol, in_async_std, on_threads].map(|survey| survey().unwrap());
    let found = &reports[0].found;
    // Every gauge has a row of its own, in order; the five calls that failed were made again.
    assert_eq!(found.rows, (0..GAUGES as usize).collect::<Vec<_>>());
    assert_eq!(found.calls, GAUGES + 5);
    assert_eq!(found.levels.len(), 4);
    let sum: u32 = (0..GAUGES).map(|gauge| 300 + gauge * 7 % 100).sum();
    assert_eq!(found.levels.values().sum::<u64>(), u64::from(sum));
    assert!(reports.iter().all(|report| report.found == *found), "{reports:?}");
    assert!(reports.iter().all(|report| report.batches >= 5), "{reports:?}");
}

#[test]
fn all_four_at_once_do_not_disturb_each_other() {
    let surveys = [in_tokio, in_smol, in_async_std, on_threads].map(thread::spawn);
    let found = surveys.map(|survey| survey.join().unwrap().unwrap().found);
    assert!(found.iter().all(|other| *other == found[0]), "{found:?}");
}

/// What drives a future to its end.
type Drive = fn(Background);

#[test]
fn one_object_serves_the_tasks_of_three_runtimes_and_a_thread_in_the_order_they_came() {
    let drives: [Drive; 4] = [
        |future| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
            let runtime = runtime.unwrap();
            runtime.block_on(runtime.spawn(future)).unwrap();
        },
        |future| smol::block_on(smol::spawn(future)),
        |future| async_std::task::block_on(async_std::task::spawn(future)),
        |future| future.wait(),
    ];
    let permit = Arc::new(Semaphore::new(1));
    let held = permit.acquire(1).wait().unwrap();
    let (order, came) = std::sync::mpsc::channel();
    let waiters = [0, 1, 2, 3].map(|number| {
        let (semaphore, order) = (permit.clone(), order.clone());
        let future: Background = Box::pin(async move {
            let _permit = semaphore.acquire(1).await.unwrap();
            order.send(number).unwrap();
        });
        let waiter = thread::spawn(move || drives[number](future));
        while permit.stats().waiting <= number {
            thread::yield_now();
        }
        waiter
    });
    drop(held);
    for waiter in waiters {
        waiter.join().unwrap();
    }
    assert_eq!(came.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}
