//! Changes of the capacity.

use tidegate_semaphore::{AcquireError, MAX_PERMITS, Semaphore};

use test_kit::Task;

#[test]
fn added_permits_go_to_the_head_of_the_queue() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    let mut first = Task::waiting(semaphore.acquire(1));
    let mut second = Task::waiting(semaphore.acquire(1));
    semaphore.add_permits(1);
    assert_eq!((first.woken(), second.woken(), semaphore.capacity()), (1, 0, 2));
    let permit = first.output().unwrap();
    drop(held);
    drop((permit, second.output().unwrap()));
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn added_permits_make_larger_requests_possible() {
    let semaphore = Semaphore::new(0);
    assert_eq!(Task::new(semaphore.acquire(2)).output().unwrap_err(), AcquireError::TooMany);
    semaphore.add_permits(2);
    assert_eq!(Task::new(semaphore.acquire(2)).output().unwrap().count(), 2);
}

#[test]
fn only_free_permits_are_forgotten() {
    let semaphore = Semaphore::new(4);
    let held = semaphore.try_acquire(1).unwrap();
    assert_eq!(semaphore.forget_permits(0), 0);
    assert_eq!(semaphore.forget_permits(2), 2);
    assert_eq!(semaphore.forget_permits(usize::MAX), 1);
    assert_eq!((semaphore.capacity(), semaphore.available_permits()), (1, 0));
    drop(held);
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_waiter_that_asks_for_more_than_is_left_is_rejected() {
    let semaphore = Semaphore::new(3);
    let mut held = semaphore.try_acquire(2).unwrap();
    let mut large = Task::waiting(semaphore.acquire(3));
    let mut small = Task::waiting(semaphore.acquire(1));
    let mut large_behind = Task::waiting(semaphore.acquire(3));
    assert_eq!(semaphore.forget_permits(1), 1);
    assert_eq!((large.woken(), small.woken(), large_behind.woken()), (1, 0, 0));
    assert_eq!(large.output().unwrap_err(), AcquireError::TooMany);
    held.split(1).unwrap().forget();
    drop(held);
    // The small one is served; the one behind it asks for too much, and is rejected at once.
    assert_eq!((small.woken(), large_behind.woken()), (1, 1));
    assert_eq!(large_behind.output().unwrap_err(), AcquireError::TooMany);
    assert_eq!((small.output().unwrap().count(), semaphore.capacity()), (1, 1));
}

#[test]
fn a_closed_semaphore_can_still_be_resized() {
    let semaphore = Semaphore::new(1);
    semaphore.close();
    semaphore.add_permits(2);
    assert_eq!(semaphore.forget_permits(1), 1);
    assert_eq!((semaphore.capacity(), semaphore.available_permits()), (2, 2));
}

#[test]
fn a_shrinking_semaphore_leaves_a_debt_that_releases_pay() {
    let semaphore = Semaphore::new(4);
    let mut held = semaphore.try_acquire(4).unwrap();
    semaphore.set_capacity(1);
    for in_use in [4, 3, 2] {
        assert_eq!((semaphore.stats().in_use, semaphore.available_permits()), (in_use, 0));
        assert!(semaphore.try_acquire(1).is_err());
        drop(held.split(1));
    }
    drop(held);
    assert_eq!((semaphore.stats().in_use, semaphore.available_permits()), (0, 1));
}

#[test]
fn growing_takes_a_debt_back() {
    let semaphore = Semaphore::new(3);
    let held = semaphore.try_acquire(3).unwrap();
    semaphore.set_capacity(1);
    semaphore.set_capacity(4);
    assert_eq!((semaphore.stats().in_use, semaphore.available_permits()), (3, 1));
    drop(held);
    assert_eq!(semaphore.available_permits(), 4);
}

#[test]
fn permits_that_are_forgotten_pay_the_debt_first() {
    let semaphore = Semaphore::new(3);
    let held = semaphore.try_acquire(2).unwrap();
    semaphore.set_capacity(1);
    held.forget();
    assert_eq!((semaphore.capacity(), semaphore.available_permits()), (0, 0));
}

#[test]
#[should_panic(
    expected = "a semaphore has at most MAX_PERMITS = 4294967295 permits, not 4294967296"
)]
fn a_capacity_above_the_limit_is_refused_by_name() {
    Semaphore::new(1).set_capacity(MAX_PERMITS + 1);
}
