//! The loops, the same for every batcher. Each loop starts its batcher at the first lap.

use std::{cell::LazyCell, collections::VecDeque, hint::black_box, ops::Range, time::Duration};

use futures_lite::future::zip;
use tokio::runtime::{Builder, Runtime};

use super::subject::{
    BATCH, Caller, Intake, Roll, Service, TaskIntake, TaskService, UNDER_WAY, answer,
};
use crate::{
    roll_call::RollCall,
    timing::{scaled, timed, timed_on_threads},
};

/// How many tasks there are.
const TASKS: u64 = 64;

/// Pushes from so many threads, and waits until all is processed.
pub(super) fn push<const THREADS: usize, I: Intake>(
    start: fn(Roll) -> I,
) -> impl FnMut(u64) -> Duration {
    on_threads::<THREADS, I>(start, |intake, _thread, numbers| {
        for number in numbers {
            intake.push(black_box(number));
        }
    })
}

/// Submits from so many threads. Each has up to [`UNDER_WAY`] items under way: it waits for its
/// oldest result, then submits the next item.
pub(super) fn submit<const THREADS: usize, S: Service>(
    start: fn(Roll) -> S,
) -> impl FnMut(u64) -> Duration {
    on_threads::<THREADS, S>(start, |service, thread, numbers| {
        let mut caller = service.caller(thread);
        let mut under_way = VecDeque::with_capacity(UNDER_WAY);
        let mut results = Results::default();
        for number in numbers {
            if under_way.len() == UNDER_WAY {
                let (oldest, reply) = under_way.pop_front().unwrap();
                results.add(oldest, caller.result(reply));
            }
            under_way.push_back((number, caller.submit(black_box(number))));
        }
        for (number, reply) in under_way {
            results.add(number, caller.result(reply));
        }
        results.check();
    })
}

/// The same with one item under way.
pub(super) fn submit_one<const THREADS: usize, S: Service>(
    start: fn(Roll) -> S,
) -> impl FnMut(u64) -> Duration {
    on_threads::<THREADS, S>(start, |service, thread, numbers| {
        let mut caller = service.caller(thread);
        let mut results = Results::default();
        for number in numbers {
            let reply = caller.submit(black_box(number));
            results.add(number, caller.result(reply));
        }
        results.check();
    })
}

/// Has each of so many threads go through its share of the numbers, in full batches.
fn on_threads<const THREADS: usize, S: Sync>(
    start: fn(Roll) -> S,
    produce: impl Fn(&S, usize, Range<u64>) + Copy + Sync,
) -> impl FnMut(u64) -> Duration {
    let roll = RollCall::for_jobs();
    let subject = LazyCell::new(move || start(roll));
    move |n| {
        let (subject, share) = (&*subject, share(n, THREADS as u64));
        let all = share * THREADS as u64;
        roll.begin(all);
        let elapsed = timed_on_threads(THREADS, |thread| {
            let first = thread as u64 * share;
            move || {
                produce(subject, thread, first..first + share);
                if thread == 0 {
                    roll.wait();
                }
            }
        });
        roll.check();
        scaled(elapsed, all, n)
    }
}

/// Pushes from [`TASKS`] tasks of one runtime, in which the batcher runs, too.
pub(super) fn push_tasks<I: TaskIntake>(start: fn(Roll) -> I) -> impl FnMut(u64) -> Duration {
    in_tasks(start, |intake, numbers| async move {
        for number in numbers {
            intake.push(black_box(number)).await;
        }
    })
}

/// Submits from [`TASKS`] tasks that each await two results: one batch is under way in all.
pub(super) fn submit_tasks<S: TaskService>(start: fn(Roll) -> S) -> impl FnMut(u64) -> Duration {
    in_tasks(start, |service, numbers| async move {
        let mut results = Results::default();
        for number in numbers.step_by(2) {
            let (one, other) =
                zip(service.submit(black_box(number)), service.submit(black_box(number + 1))).await;
            results.add(number, one);
            results.add(number + 1, other);
        }
        results.check();
    })
}

fn in_tasks<S, F>(
    start: fn(Roll) -> S,
    produce: impl Fn(S, Range<u64>) -> F,
) -> impl FnMut(u64) -> Duration
where
    S: Clone,
    F: Future<Output = ()> + Send + 'static,
{
    let roll = RollCall::for_jobs();
    let started = LazyCell::new(move || {
        let runtime: Runtime =
            Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let subject = runtime.block_on(async { start(roll) });
        (subject, runtime)
    });
    move |n| {
        let (subject, runtime) = &*started;
        let share = share(n, TASKS);
        roll.begin(share * TASKS);
        let elapsed = timed(|| {
            runtime.block_on(async {
                let task = |task| produce(subject.clone(), task * share..(task + 1) * share);
                let tasks: Vec<_> = (0..TASKS).map(|number| tokio::spawn(task(number))).collect();
                for task in tasks {
                    task.await.expect("a contender does not panic");
                }
            });
            roll.wait();
        });
        roll.check();
        scaled(elapsed, share * TASKS, n)
    }
}

/// Returns how many of `n` items each producer makes: full batches, so that none waits at the end.
fn share(n: u64, producers: u64) -> u64 {
    n.div_ceil(producers).next_multiple_of(BATCH as u64)
}

/// Whether each result is that of its item.
#[derive(Default)]
struct Results {
    wrong: u64,
}

impl Results {
    #[inline]
    fn add(&mut self, number: u64, result: u64) {
        self.wrong |= answer(number) ^ result;
    }

    fn check(self) {
        assert_eq!(self.wrong, 0, "somebody got the result of another");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic = "the result of another"]
    fn two_results_that_are_exchanged_are_found() {
        let mut results = Results::default();
        results.add(1, answer(2));
        results.add(2, answer(1));
        results.check();
    }

    #[test]
    fn shares_are_full_batches() {
        assert_eq!((share(1, 1), share(128 * 64, 64), share(128 * 64 + 1, 64)), (128, 128, 256));
    }
}
