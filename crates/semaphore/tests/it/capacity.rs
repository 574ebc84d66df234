//! Requests that wait for permits to be added.

use tidegate_semaphore::{AcquireError, Fairness, MAX_PERMITS, Semaphore, TryAcquireError};

use test_kit::Task;

fn filled_later(permits: usize, fairness: Fairness) -> Semaphore {
    Semaphore::builder(permits).fairness(fairness).wait_for_capacity(true).build()
}

const ALL: [Fairness; 4] =
    [Fairness::Fifo, Fairness::eventual(), Fairness::Barging, Fairness::Lifo];

#[test]
fn a_request_beyond_the_capacity_waits_for_added_permits() {
    for fairness in ALL {
        let semaphore = filled_later(0, fairness);
        assert_eq!(semaphore.try_acquire(3).unwrap_err(), TryAcquireError::NoPermits);
        let mut large = Task::waiting(semaphore.acquire(3));
        semaphore.add_permits(2);
        assert!(large.woken() == 0 && !large.is_ready(), "{fairness:?}");
        semaphore.add_permits(1);
        assert_eq!(large.output().unwrap().count(), 3, "{fairness:?}");
        assert_eq!((semaphore.capacity(), semaphore.available_permits()), (3, 3));
    }
}

#[test]
fn a_set_capacity_and_released_permits_serve_it_too() {
    for fairness in ALL {
        let semaphore = filled_later(1, fairness);
        let held = semaphore.try_acquire(1).unwrap();
        let mut large = Task::waiting(semaphore.acquire_up_to(2..=9));
        semaphore.set_capacity(4);
        assert_eq!(large.output().unwrap().count(), 3);
        let mut all = Task::waiting(semaphore.acquire(5));
        semaphore.set_capacity(5);
        assert!(!all.is_ready());
        drop(held);
        assert_eq!(all.output().unwrap().count(), 5, "{fairness:?}");
    }
}

#[test]
fn fewer_permits_reject_no_waiter_for_the_capacity() {
    for fairness in ALL {
        let semaphore = filled_later(3, fairness);
        let held = semaphore.try_acquire(2).unwrap();
        let mut large = Task::waiting(semaphore.acquire(3));
        assert_eq!(semaphore.forget_permits(1), 1);
        held.forget();
        semaphore.set_capacity(0);
        assert!(!large.is_ready(), "{fairness:?}");
        semaphore.add_permits(3);
        assert_eq!(large.output().unwrap().count(), 3, "{fairness:?}");
    }
}

#[test]
fn those_behind_one_that_waits_for_the_capacity_are_not_overtaken_by_it_nor_it_by_them() {
    let semaphore = filled_later(1, Fairness::Fifo);
    let mut large = Task::waiting(semaphore.acquire(2));
    let mut small = Task::waiting(semaphore.acquire(1));
    assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::NoPermits);
    semaphore.add_permits(1);
    assert!(!small.is_ready());
    drop(large.output().unwrap());
    assert!(small.is_ready());
    let given_up = Task::waiting(semaphore.acquire(9));
    let mut small = Task::waiting(semaphore.acquire(1));
    drop(given_up);
    assert!(small.is_ready());
}

#[test]
fn a_close_rejects_a_waiter_for_the_capacity() {
    let semaphore = filled_later(0, Fairness::Fifo);
    let mut large = Task::waiting(semaphore.acquire(1));
    semaphore.close();
    assert_eq!(large.output().unwrap_err(), AcquireError::Closed);
    assert_eq!(semaphore.stats().waiting, 0);
}

#[cfg(target_pointer_width = "64")]
#[test]
fn what_no_semaphore_can_have_is_refused_at_once() {
    let semaphore = filled_later(0, Fairness::Fifo);
    for n in [MAX_PERMITS + 1, usize::MAX] {
        assert_eq!(semaphore.try_acquire(n).unwrap_err(), TryAcquireError::TooMany);
        assert_eq!(Task::new(semaphore.acquire(n)).output().unwrap_err(), AcquireError::TooMany);
    }
    let full = Semaphore::new(MAX_PERMITS);
    assert_eq!(full.try_acquire(MAX_PERMITS + 1).unwrap_err(), TryAcquireError::TooMany);
    assert_eq!(full.try_acquire_up_to(1..=usize::MAX).unwrap().count(), MAX_PERMITS);
    assert_eq!(full.try_acquire(MAX_PERMITS).unwrap().count(), MAX_PERMITS);
}
