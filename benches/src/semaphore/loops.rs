//! The loops, the same for every semaphore.

use std::{hint, hint::black_box, pin::pin, task::Poll, time::Duration};

use async_executor::{LocalExecutor, Task};
use futures_lite::future::{block_on, yield_now};

use super::subject::{Async, Subject};
use crate::timing::{ByHand, scaled, timed, timed_on_two_threads};

/// How many tasks there are, where an executor runs them.
const TASKS: u64 = 64;

/// Takes a permit without waiting, and releases it.
pub(super) fn trying<S: Subject>(semaphore: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        timed(|| {
            for _ in 0..n {
                drop(black_box(&semaphore).try_acquire().unwrap());
            }
        })
    }
}

/// Awaits a permit that is free, and releases it. One `block_on` around all of it.
pub(super) fn awaiting<S: Async>(semaphore: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        timed(|| {
            block_on(async {
                for _ in 0..n {
                    drop(S::permit(black_box(&semaphore).acquire().await));
                }
            });
        })
    }
}

/// Waits on the thread for a permit that is free, and releases it.
pub(super) fn waiting<S: Subject>(semaphore: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        timed(|| {
            for _ in 0..n {
                drop(black_box(&semaphore).wait());
            }
        })
    }
}

/// Tasks of one executor that hold their permit while the others run.
pub(super) fn tasks_on_one_executor<S: Async>(semaphore: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let rounds = n.div_ceil(TASKS);
        let executor = LocalExecutor::new();
        let tasks = spawn(&executor, &semaphore, TASKS, rounds);
        let elapsed = timed(|| join(&executor, tasks));
        scaled(elapsed, rounds * TASKS, n)
    }
}

/// The same on two threads, each with an executor and half of the tasks.
pub(super) fn tasks_on_two_executors<S: Async>(semaphore: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let rounds = n.div_ceil(TASKS);
        let elapsed = timed_on_two_threads(|_| {
            let executor = LocalExecutor::new();
            let tasks = spawn(&executor, &semaphore, TASKS / 2, rounds);
            move || join(&executor, tasks)
        });
        scaled(elapsed, rounds * TASKS, n)
    }
}

fn spawn<'s, S: Async>(
    executor: &LocalExecutor<'s>,
    semaphore: &'s S,
    tasks: u64,
    rounds: u64,
) -> Vec<Task<()>> {
    let task = |_| {
        executor.spawn(async move {
            for _ in 0..rounds {
                let permit = S::permit(semaphore.acquire().await);
                yield_now().await;
                drop(permit);
            }
        })
    };
    (0..tasks).map(task).collect()
}

fn join(executor: &LocalExecutor<'_>, tasks: Vec<Task<()>>) {
    block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
}

/// Two threads that want the only permit all the time, and do a little with it.
pub(super) fn threads<S: Subject>(semaphore: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let rounds = n.div_ceil(2);
        let elapsed = timed_on_two_threads(|_| {
            || {
                for _ in 0..rounds {
                    let permit = semaphore.wait();
                    for _ in 0..4 {
                        hint::spin_loop();
                    }
                    drop(permit);
                }
            }
        });
        scaled(elapsed, rounds * 2, n)
    }
}

/// Asks for a permit that is taken, polls once, and gives up.
pub(super) fn cancelling<S: Async>(semaphore: S) -> impl FnMut(u64) -> Duration {
    let hand = ByHand::new();
    move |n| {
        let permit = semaphore.try_acquire().unwrap();
        let elapsed = timed(|| {
            for _ in 0..n {
                let mut acquire = pin!(black_box(&semaphore).acquire());
                assert!(hand.poll(acquire.as_mut()).is_pending());
            }
        });
        drop(permit);
        elapsed
    }
}

/// On one thread: a waiter queues up, the holder releases and so wakes it, and it is polled again.
pub(super) fn handing_over<S: Async>(semaphore: S) -> impl FnMut(u64) -> Duration {
    let hand = ByHand::new();
    move |n| {
        let mut permit = semaphore.try_acquire();
        timed(|| {
            for _ in 0..n {
                let mut acquire = pin!(black_box(&semaphore).acquire());
                assert!(hand.poll(acquire.as_mut()).is_pending());
                drop(permit.take());
                let Poll::Ready(answer) = hand.poll(acquire.as_mut()) else {
                    panic!("released, and not granted")
                };
                permit = Some(S::permit(answer));
            }
        })
    }
}

/// Two threads that release by turns what the other waits for.
///
/// The first thread begins with two of three permits. Each thread takes what the other has just
/// released, and never what it has released itself: otherwise it could go on alone.
pub(super) fn ping_pong<S: Subject>(semaphores: [S; 3]) -> impl FnMut(u64) -> Duration {
    move |n| {
        let rounds = n.div_ceil(2);
        let [a, b, c] = &semaphores;
        let elapsed = timed_on_two_threads(|thread| {
            let (mut wanted, mut older, mut newer) = match thread {
                0 => ([b, a, c], a.try_acquire(), c.try_acquire()),
                _ => ([a, c, b], None, b.try_acquire()),
            };
            move || {
                for _ in 0..rounds {
                    drop(older.take());
                    let permit = wanted[0].wait();
                    wanted.rotate_left(1);
                    match thread {
                        0 => older = newer.replace(permit),
                        _ => newer = Some(permit),
                    }
                }
            }
        });
        scaled(elapsed, 2 * rounds, n)
    }
}
