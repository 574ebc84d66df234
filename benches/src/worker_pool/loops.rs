//! The loops, the same for every pool. Each starts its pool at the first lap.

use std::{cell::LazyCell, hint::black_box, thread, time::Duration};

use cpu_time::ProcessTime;
use rayon::{Scope, ThreadPool};

use super::subject::Pool;
use crate::{
    roll_call::RollCall,
    timing::{scaled, timed, timed_on_two_threads, timed_result},
};

/// Submits tiny jobs from outside, and waits until all have run.
pub(super) fn tiny<P: Pool>(start: fn() -> P) -> impl FnMut(u64) -> Duration {
    let (pool, roll) = (LazyCell::new(start), RollCall::for_jobs());
    move |n| {
        lap(roll, n, || {
            for number in 0..n {
                pool.execute(move || roll.report(number));
            }
        })
    }
}

/// The same as jobs that borrow. The scope waits for them.
pub(super) fn tiny_in_a_scope(start: fn() -> ThreadPool) -> impl FnMut(u64) -> Duration {
    in_a_scope(start, |_| ())
}

/// Spawns jobs that do `work` with their numbers.
fn in_a_scope(
    start: fn() -> ThreadPool,
    work: impl Fn(u64) + Copy + Send + Sync,
) -> impl FnMut(u64) -> Duration {
    let (pool, roll) = (LazyCell::new(start), RollCall::default());
    move |n| {
        let roll = &roll;
        lap(roll, n, || {
            pool.in_place_scope(|scope| {
                for number in 0..n {
                    scope.spawn(move |_| {
                        work(number);
                        roll.report(number);
                    });
                }
            });
        })
    }
}

/// Two threads that submit tiny jobs to one pool, each half of them.
pub(super) fn tiny_of_two<P: Pool>(start: fn() -> P) -> impl FnMut(u64) -> Duration {
    let (pool, roll) = (LazyCell::new(start), RollCall::for_jobs());
    move |n| {
        let (pool, half) = (&*pool, n.div_ceil(2));
        roll.begin(2 * half);
        let elapsed = timed_on_two_threads(|thread| {
            let first = thread as u64 * half;
            move || {
                for number in first..first + half {
                    pool.execute(move || roll.report(number));
                }
                if thread == 0 {
                    roll.wait();
                }
            }
        });
        roll.check();
        scaled(elapsed, 2 * half, n)
    }
}

/// Submits a job, waits for its result, submits the next.
pub(super) fn one_by_one<P: Pool>(start: fn() -> P) -> impl FnMut(u64) -> Duration {
    let pool = LazyCell::new(start);
    move |n| {
        summing(n, || {
            (0..n).fold(0, |sum, number| {
                let result = pool.submit(move || black_box(number));
                sum + result()
            })
        })
    }
}

/// The same by rayon's own way to run something inside of its pool.
pub(super) fn one_by_one_installed(start: fn() -> ThreadPool) -> impl FnMut(u64) -> Duration {
    let pool = LazyCell::new(start);
    move |n| {
        summing(n, || (0..n).fold(0, |sum, number| sum + pool.install(move || black_box(number))))
    }
}

/// Submits 64 jobs, waits for their results in order, submits the next 64.
pub(super) fn sixty_four<P: Pool>(start: fn() -> P) -> impl FnMut(u64) -> Duration {
    const AT_ONCE: u64 = 64;
    let pool = LazyCell::new(start);
    move |n| {
        let rounds = n.div_ceil(AT_ONCE);
        let mut results = Vec::with_capacity(64);
        let elapsed = summing(rounds * AT_ONCE, || {
            let mut sum = 0;
            for round in 0..rounds {
                let numbers = round * AT_ONCE..(round + 1) * AT_ONCE;
                results.extend(numbers.map(|number| pool.submit(move || black_box(number))));
                sum += results.drain(..).map(|result| result()).sum::<u64>();
            }
            sum
        });
        scaled(elapsed, rounds * AT_ONCE, n)
    }
}

/// Submits jobs of 0.2 to 200 µs: jobs of twice a size are half as frequent.
pub(super) fn uneven<P: Pool>(start: fn() -> P) -> impl FnMut(u64) -> Duration {
    let (pool, roll) = (LazyCell::new(start), RollCall::for_jobs());
    move |n| {
        lap(roll, n, || {
            for number in 0..n {
                pool.execute(move || {
                    work(number);
                    roll.report(number);
                });
            }
        })
    }
}

/// The same as jobs that borrow.
pub(super) fn uneven_in_a_scope(start: fn() -> ThreadPool) -> impl FnMut(u64) -> Duration {
    in_a_scope(start, work)
}

/// The same jobs one after the other: two threads take half of this time at best.
pub(super) fn uneven_alone() -> impl FnMut(u64) -> Duration {
    let roll = RollCall::default();
    move |n| {
        lap(&roll, n, || {
            for number in 0..n {
                work(number);
                roll.report(number);
            }
        })
    }
}

/// Submits the root of a tree of jobs. Every job but a leaf submits two, and waits for neither.
pub(super) fn tree<const JOBS: u64, P: Pool>(start: fn() -> P) -> impl FnMut(u64) -> Duration {
    // Jobs use the pool, so it is never dropped, as if it were in a static.
    let pool = LazyCell::new(move || &*Box::leak(Box::new(start())));
    let roll = RollCall::for_jobs();
    move |n| {
        let pool: &'static P = *pool;
        trees::<JOBS>(roll, n, || pool.execute(move || branch::<JOBS, P>(pool, roll, 0)))
    }
}

fn branch<const JOBS: u64, P: Pool>(pool: &'static P, roll: &'static RollCall, number: u64) {
    for child in children(number, JOBS) {
        pool.execute_from_a_job(move || branch::<JOBS, P>(pool, roll, child));
    }
    roll.report(number);
}

/// The same as jobs that borrow.
pub(super) fn tree_in_a_scope<const JOBS: u64>(
    start: fn() -> ThreadPool,
) -> impl FnMut(u64) -> Duration {
    let (pool, roll) = (LazyCell::new(start), RollCall::default());
    move |n| {
        let roll = &roll;
        trees::<JOBS>(roll, n, || {
            pool.in_place_scope(|scope| scope.spawn(|scope| borrowing::<JOBS>(scope, roll, 0)));
        })
    }
}

fn borrowing<'a, const JOBS: u64>(scope: &Scope<'a>, roll: &'a RollCall, number: u64) {
    for child in children(number, JOBS) {
        scope.spawn(move |scope| borrowing::<JOBS>(scope, roll, child));
    }
    roll.report(number);
}

/// Returns the jobs that job `number` submits, in a tree of `jobs` jobs.
fn children(number: u64, jobs: u64) -> impl Iterator<Item = u64> {
    [2 * number + 1, 2 * number + 2].into_iter().filter(move |&child| child < jobs)
}

/// Runs as many trees as have at least `n` jobs.
fn trees<const JOBS: u64>(roll: &RollCall, n: u64, submit_the_root: impl Fn()) -> Duration {
    let trees = n.div_ceil(JOBS);
    let elapsed: Duration = (0..trees).map(|_| lap(roll, JOBS, &submit_the_root)).sum();
    scaled(elapsed, trees * JOBS, n)
}

/// Runs jobs, and then none for so many seconds. Returns the CPU time of those seconds.
pub(super) fn idling<P: Pool>(start: fn() -> P) -> impl FnMut(u64) -> Duration {
    let mut jobs = tiny(start);
    move |seconds| {
        jobs(10_000);
        let start = ProcessTime::now();
        thread::sleep(Duration::from_secs(seconds));
        start.elapsed()
    }
}

/// Times `submit` and the jobs it submits: `n` jobs, which report.
fn lap(roll: &RollCall, n: u64, submit: impl FnOnce()) -> Duration {
    roll.begin(n);
    let elapsed = timed(|| {
        submit();
        roll.wait();
    });
    roll.check();
    elapsed
}

/// Times `results`, which sums up the results of `n` jobs; each result is the job's number.
fn summing(n: u64, results: impl FnOnce() -> u64) -> Duration {
    let (elapsed, sum) = timed_result(results);
    assert_eq!(sum, n * (n - 1) / 2, "a result was lost, or is another's");
    elapsed
}

/// Computes for a time that the number decides.
fn work(number: u64) {
    // Of this odd number's multiples half have no leading zero, a quarter has one, and so on.
    let zeros = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).leading_zeros();
    let steps = 128_u64 << zeros.min(10);
    let mut state = number | 1;
    for _ in 0..steps {
        state = state.wrapping_mul(6_364_136_223_846_793_005).rotate_left(23);
    }
    black_box(state);
}
