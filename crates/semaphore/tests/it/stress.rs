//! Random histories on real threads: waits that are cancelled or time out, resizes, and a close
//! while threads wait.
//!
//! The seed is printed; `TIDEGATE_SEED=… cargo test -p tidegate-semaphore --test it stress` repeats
//! a run, as far as the scheduler lets it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use tidegate_semaphore::{AcquireError, CancelToken, Fairness, Semaphore, Wait};

use test_kit::{Random, Task, seed};

const CAPACITY: usize = 3;
const THREADS: u64 = 4;
const STEPS: usize = 1500;

fn live(semaphore: &Semaphore, inside: &AtomicUsize, random: &mut Random) {
    for _ in 0..STEPS {
        let n = 1 + random.below(CAPACITY);
        let permit = match random.below(8) {
            0 => semaphore.try_acquire(n).ok(),
            1 => semaphore.try_acquire_up_to(1..=n).ok(),
            2 => semaphore
                .acquire(n)
                .wait_timeout(Duration::from_micros(20))
                .ok()
                .map(Result::unwrap),
            3 => {
                let token = CancelToken::new();
                let mut task = Task::new(semaphore.acquire(n).or_cancelled(&token));
                drop(task.poll());
                token.cancel();
                None
            }
            4 => {
                semaphore.set_capacity(CAPACITY);
                None
            }
            5 => Some(semaphore.acquire_up_to(1..=n).wait().unwrap()),
            _ => Some(semaphore.acquire(n).wait().unwrap()),
        };
        let Some(mut permit) = permit else { continue };
        let now = inside.fetch_add(permit.count(), Ordering::Relaxed) + permit.count();
        assert!(now <= CAPACITY, "{now} permits are out");
        let part = permit.split(random.below(permit.count() + 1));
        for mut permit in part.into_iter().chain([permit]) {
            inside.fetch_sub(permit.count(), Ordering::Relaxed);
            drop(permit.split(0));
        }
    }
}

#[test]
fn any_history_on_threads_conserves_permits_and_serves_every_request() {
    let seed = seed();
    for fairness in [Fairness::Fifo, Fairness::eventual(), Fairness::Barging, Fairness::Lifo] {
        let semaphore = Semaphore::builder(CAPACITY).fairness(fairness).build();
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (semaphore, inside) = (&semaphore, &inside);
                scope.spawn(move || live(semaphore, inside, &mut Random::new(seed + thread)));
            }
        });
        semaphore.idle().wait();
        let stats = semaphore.stats();
        assert_eq!(
            (stats.available, stats.in_use, stats.waiting),
            (CAPACITY, 0, 0),
            "{fairness:?}"
        );
    }
}

#[test]
fn a_close_rejects_every_waiter_whatever_it_does() {
    let seed = seed();
    for round in 0..60 {
        let semaphore = Semaphore::builder(1).fairness(Fairness::eventual()).build();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (semaphore, mut random) =
                    (&semaphore, Random::new(seed + round * THREADS + thread));
                scope.spawn(move || {
                    loop {
                        let acquire = semaphore.acquire(1);
                        let answer = match random.below(2) {
                            0 => acquire.wait(),
                            _ => acquire
                                .wait_timeout(Duration::from_micros(50))
                                .unwrap_or_else(|_| semaphore.acquire(0).wait()),
                        };
                        if answer.map(drop) == Err(AcquireError::Closed) {
                            return;
                        }
                    }
                });
            }
            let held = semaphore.acquire(1).wait().unwrap();
            semaphore.close();
            drop(held);
        });
        semaphore.idle().wait();
        assert_eq!((semaphore.available_permits(), semaphore.stats().waiting), (1, 0));
    }
}
