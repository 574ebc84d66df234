//! Futures in the queue that are kept alive and not polled.

use std::num::NonZeroU32;

use tidegate_semaphore::{Fairness, Semaphore};

use test_kit::Task;

/// After so many acquisitions by others the next waiter is woken, as the docs of `Fairness` say.
const PATIENCE: usize = 128;

const BOUND: u32 = 7;

fn overtaking() -> [Fairness; 4] {
    let overtakes = NonZeroU32::new(BOUND).unwrap();
    [Fairness::eventual(), Fairness::Eventual { overtakes }, Fairness::Barging, Fairness::Lifo]
}

fn semaphore(permits: usize, fairness: Fairness) -> Semaphore {
    Semaphore::builder(permits).fairness(fairness).build()
}

#[test]
fn a_head_that_is_not_polled_loses_its_turn_after_a_bound() {
    for fairness in overtaking() {
        for unpolled in 1..4 {
            let semaphore = semaphore(1, fairness);
            let held = semaphore.try_acquire(1).unwrap();
            let mut live = None;
            if fairness == Fairness::Lifo {
                live = Some(Task::waiting(semaphore.acquire(1)));
            }
            let _unpolled: Vec<_> =
                (0..unpolled).map(|_| Task::waiting(semaphore.acquire(1))).collect();
            let mut live = live.unwrap_or_else(|| Task::waiting(semaphore.acquire(1)));
            drop(held);
            for _ in 0..unpolled * PATIENCE {
                drop(semaphore.try_acquire(1).unwrap());
            }
            assert_eq!(live.woken(), 1, "{fairness:?} behind {unpolled}");
            assert!(live.is_ready());
        }
    }
}

#[test]
fn a_head_loses_its_turn_also_if_nobody_looks_just_when_the_bound_is_reached() {
    const MANY: usize = PATIENCE + 20;
    for fairness in [Fairness::Barging, Fairness::eventual()] {
        let semaphore = semaphore(MANY, fairness);
        let held = semaphore.try_acquire(MANY).unwrap();
        let _unpolled = Task::waiting(semaphore.acquire(1));
        let mut live = Task::waiting(semaphore.acquire(MANY));
        drop(held);
        let others: Vec<_> = (0..MANY).map(|_| semaphore.try_acquire(1).unwrap()).collect();
        drop(others);
        assert_eq!(live.woken(), 1, "{fairness:?}");
        assert!(live.is_ready());
    }
}

#[test]
fn one_woken_behind_the_head_takes_its_permit_before_the_head_runs() {
    for fairness in overtaking() {
        let semaphore = semaphore(2, fairness);
        let held = semaphore.try_acquire(2).unwrap();
        let mut waiters = [0, 1].map(|_| Task::waiting(semaphore.acquire(1)));
        drop(held);
        let permits = [1, 0].map(|number: usize| waiters[number].output().unwrap());
        assert_eq!(permits.map(|permit| permit.count()), [1; 2], "{fairness:?}");
    }
}

#[test]
fn a_small_waiter_that_is_polled_takes_what_a_newcomer_would_get() {
    for fairness in [Fairness::Barging, Fairness::eventual()] {
        let semaphore = semaphore(2, fairness);
        let held = [0, 1].map(|_| semaphore.try_acquire(1).unwrap());
        let mut large = Task::waiting(semaphore.acquire(2));
        let mut small = Task::waiting(semaphore.acquire(1));
        let [one, other] = held;
        drop(one);
        assert_eq!((large.woken(), small.woken()), (0, 0), "{fairness:?}");
        assert!(small.is_ready());
        drop(other);
        assert!(large.is_ready());
    }
}

#[test]
fn a_waiter_that_is_polled_takes_what_an_unpolled_head_leaves_free() {
    for fairness in overtaking() {
        let semaphore = semaphore(1, fairness);
        let held = semaphore.try_acquire(1).unwrap();
        let mut waiters = [0, 1].map(|_| Task::waiting(semaphore.acquire(1)));
        drop(held);
        let last = waiters.iter().position(|waiter| waiter.woken() == 0).unwrap();
        assert!(waiters[last].is_ready(), "{fairness:?}");
        assert!(waiters[1 - last].is_ready());
    }
}

#[test]
fn those_behind_an_unpolled_head_are_overtaken_no_more_often_than_the_bound() {
    let overtakes = NonZeroU32::new(BOUND).unwrap();
    let semaphore = semaphore(1, Fairness::Eventual { overtakes });
    let mut holder = semaphore.try_acquire(1).unwrap();
    let _unpolled = Task::waiting(semaphore.acquire(1));
    let mut second = Task::waiting(semaphore.acquire(1));
    let (mut woken, mut overtaken) = (0, 0);
    loop {
        drop(holder);
        // A newcomer takes the permit whenever it may.
        let Ok(newcomer) = semaphore.try_acquire(1) else { break };
        (holder, overtaken) = (newcomer, overtaken + 1);
        if second.woken() > woken {
            woken = second.woken();
            assert!(!second.is_ready());
        }
    }
    assert!(second.is_ready());
    assert!(overtaken <= PATIENCE + BOUND as usize, "overtaken {overtaken} times");
}

#[test]
fn a_head_that_lost_its_turn_keeps_its_place() {
    for fairness in overtaking() {
        if fairness == Fairness::Lifo {
            continue;
        }
        let semaphore = semaphore(1, fairness);
        let held = semaphore.try_acquire(1).unwrap();
        let mut late = Task::waiting(semaphore.acquire(1));
        let mut others = [0, 1].map(|_| Task::waiting(semaphore.acquire(1)));
        drop(held);
        (0..PATIENCE).for_each(|_| drop(semaphore.try_acquire(1).unwrap()));
        let permit = others[0].output().unwrap();
        assert!(!late.is_ready());
        drop(permit);
        assert_eq!((late.woken(), others[1].woken()), (2, 0), "{fairness:?}");
        assert!(late.is_ready());
    }
}

#[test]
fn a_large_head_that_is_not_polled_lets_small_ones_through() {
    for fairness in [Fairness::Barging, Fairness::eventual()] {
        let semaphore = semaphore(4, fairness);
        let held = semaphore.try_acquire(4).unwrap();
        let _large = Task::waiting(semaphore.acquire(4));
        let mut small = [0, 1, 2, 3].map(|_| Task::waiting(semaphore.acquire(1)));
        drop(held);
        (0..PATIENCE).for_each(|_| drop(semaphore.try_acquire(1).unwrap()));
        assert_eq!(small.each_ref().map(Task::woken), [1; 4], "{fairness:?}");
        let _permits = small.each_mut().map(|task| task.output().unwrap());
        assert_eq!(semaphore.available_permits(), 0);
    }
}

#[test]
fn a_granted_permit_is_that_of_a_head_that_is_not_polled() {
    let semaphore = semaphore(1, Fairness::Fifo);
    let held = semaphore.try_acquire(1).unwrap();
    let granted = Task::waiting(semaphore.acquire(1));
    let mut second = Task::waiting(semaphore.acquire(1));
    drop(held);
    assert!(semaphore.try_acquire(1).is_err() && !second.is_ready());
    drop(granted);
    assert!(second.is_ready());
}

#[test]
fn a_release_of_many_wakes_each_of_those_it_suffices_for_once() {
    for fairness in overtaking() {
        for n in [100, 1600] {
            let semaphore = semaphore(n, fairness);
            let held = semaphore.try_acquire(n).unwrap();
            let mut waiters: Vec<_> =
                (0..n + 1).map(|_| Task::waiting(semaphore.acquire(1))).collect();
            drop(held);
            if fairness == Fairness::Lifo {
                waiters.reverse();
            }
            let mut last = waiters.pop().unwrap();
            assert!(waiters.iter().all(|waiter| waiter.woken() == 1), "all by the release itself");
            let _permits: Vec<_> = waiters.iter_mut().map(|w| w.output().unwrap()).collect();
            assert!(waiters.iter().all(|waiter| waiter.woken() == 1), "one wake-up each");
            assert!(last.woken() == 0 && !last.is_ready());
        }
    }
}
