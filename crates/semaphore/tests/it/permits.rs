//! Permits: acquired, held, split, merged and released.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex},
};

use tidegate_semaphore::{
    AcquireError, Gate, MAX_PERMITS, Outcome, OwnedPermit, Pass, Permit, Semaphore,
    TryAcquireError, Wait,
    future::{Acquire, AcquireOwned},
};

use test_kit::Task;

fn panics(act: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(act)).unwrap_err();
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn permits_are_released_when_dropped() {
    let semaphore = Arc::new(Semaphore::new(3));
    let borrowed = semaphore.try_acquire(1).unwrap();
    let owned = semaphore.clone().acquire_owned(2).wait().unwrap();
    assert_eq!((borrowed.count(), owned.count(), semaphore.available_permits()), (1, 2, 0));
    drop(borrowed);
    assert_eq!(semaphore.available_permits(), 1);
    drop(owned);
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn an_owned_permit_keeps_its_semaphore() {
    let semaphore = Arc::new(Semaphore::new(2));
    let weak = Arc::downgrade(&semaphore);
    let mut permit = semaphore.try_acquire_owned(2).unwrap();
    let half = permit.split(1);
    drop(permit);
    assert_eq!(weak.upgrade().unwrap().available_permits(), 1);
    drop(half);
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_permit_is_what_its_parts_are() {
    let semaphore = Arc::new(Semaphore::new(5));
    let mut permit = semaphore.try_acquire(5).unwrap();
    assert!(permit.split(6).is_none());
    let mut two = permit.split(2).unwrap();
    let none = permit.split(0).unwrap();
    assert_eq!((permit.count(), two.count(), none.count()), (3, 2, 0));
    drop(none);
    assert_eq!(semaphore.available_permits(), 0);
    two.merge(permit);
    assert_eq!((two.count(), semaphore.available_permits()), (5, 0));
    drop(two);

    let mut owned = semaphore.clone().try_acquire_owned(5).unwrap();
    let all = owned.split(5).unwrap();
    assert_eq!((owned.count(), all.count()), (0, 5));
    owned.merge(all);
    assert_eq!((owned.count(), semaphore.available_permits()), (5, 0));
    drop(owned);
    assert_eq!(semaphore.available_permits(), 5);
}

#[test]
fn permits_of_different_semaphores_do_not_merge() {
    let (one, other) = (Semaphore::new(1), Semaphore::new(1));
    let mut permit = one.try_acquire(1).unwrap();
    let foreign = other.try_acquire(1).unwrap();
    assert!(panics(|| permit.merge(foreign)).contains("different semaphores"));
    assert_eq!((one.available_permits(), other.available_permits()), (0, 1));
}

#[test]
fn forgotten_permits_are_gone() {
    let semaphore = Arc::new(Semaphore::new(5));
    semaphore.try_acquire(2).unwrap().forget();
    semaphore.clone().try_acquire_owned(1).unwrap().forget();
    semaphore.try_acquire(0).unwrap().forget();
    assert_eq!((semaphore.capacity(), semaphore.available_permits()), (2, 2));
    assert_eq!(Arc::strong_count(&semaphore), 1);
}

#[test]
fn what_exceeds_the_capacity_is_refused_at_once() {
    let semaphore = Semaphore::new(2);
    for n in [3, MAX_PERMITS, MAX_PERMITS + 1, usize::MAX] {
        assert_eq!(semaphore.try_acquire(n).unwrap_err(), TryAcquireError::TooMany);
        assert_eq!(Task::new(semaphore.acquire(n)).output().unwrap_err(), AcquireError::TooMany);
    }
    // A request behind others is refused, too.
    let _held = semaphore.try_acquire(2).unwrap();
    let _first = Task::waiting(semaphore.acquire(1));
    assert_eq!(Task::new(semaphore.acquire(3)).output().unwrap_err(), AcquireError::TooMany);
}

#[test]
fn of_several_reasons_closed_comes_first_and_no_permits_last() {
    let semaphore = Semaphore::new(1);
    let _held = semaphore.try_acquire(1).unwrap();
    assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(semaphore.try_acquire(2).unwrap_err(), TryAcquireError::TooMany);
    semaphore.close();
    assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::Closed);
    assert_eq!(semaphore.try_acquire(2).unwrap_err(), TryAcquireError::Closed);
    assert_eq!(semaphore.acquire(2).wait().unwrap_err(), AcquireError::Closed);
}

#[test]
fn nothing_is_granted_at_once_unless_closed() {
    let semaphore = Semaphore::new(1);
    let _held = semaphore.try_acquire(1).unwrap();
    let mut head = Task::waiting(semaphore.acquire(1));
    assert_eq!(semaphore.try_acquire(0).unwrap().count(), 0);
    assert_eq!(Task::new(semaphore.acquire(0)).output().unwrap().count(), 0);
    assert!(!head.is_ready());
    semaphore.close();
    assert_eq!(semaphore.try_acquire(0).unwrap_err(), TryAcquireError::Closed);
    assert_eq!(semaphore.acquire(0).wait().unwrap_err(), AcquireError::Closed);
}

#[test]
fn capacity_is_at_most_max_permits() {
    let limit = MAX_PERMITS.to_string();
    let semaphore = Semaphore::new(MAX_PERMITS);
    assert_eq!(semaphore.try_acquire(MAX_PERMITS).unwrap().count(), MAX_PERMITS);
    assert!(panics(|| drop(Semaphore::new(MAX_PERMITS + 1))).contains(&limit));
    assert!(panics(|| semaphore.add_permits(1)).contains(&limit));
    assert!(panics(|| semaphore.add_permits(usize::MAX)).contains(&limit));
    assert_eq!((semaphore.capacity(), semaphore.available_permits()), (MAX_PERMITS, MAX_PERMITS));
}

#[test]
fn a_panic_releases_the_permits() {
    let semaphore = Semaphore::new(2);
    let unwind = || -> () { resume_unwind(Box::new(())) };
    catch_unwind(AssertUnwindSafe(|| semaphore.with(2, unwind))).unwrap_err();
    assert_eq!(semaphore.available_permits(), 2);
    let mut task = Task::new(semaphore.with_async(2, async { unwind() }));
    catch_unwind(AssertUnwindSafe(|| task.is_ready())).unwrap_err();
    drop(task);
    assert_eq!(semaphore.available_permits(), 2);
    catch_unwind(AssertUnwindSafe(|| semaphore.run(unwind))).unwrap_err();
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn with_holds_the_permits_for_as_long_as_the_work_takes() {
    let semaphore = Semaphore::new(2);
    assert_eq!(semaphore.with(2, || semaphore.available_permits()), Ok(0));
    assert_eq!(semaphore.with(3, || ()), Err(AcquireError::TooMany));
    let mut work = Task::waiting(semaphore.with_async(1, std::future::pending::<()>()));
    assert_eq!(semaphore.available_permits(), 1);
    assert_eq!(semaphore.with_async(2, async { 7 }).wait_timeout(Default::default()).ok(), None);
    assert!(!work.is_ready());
    drop(work);
    assert_eq!(semaphore.with_async(2, async { 7 }).wait(), Ok(7));
}

#[test]
fn permits_come_back_after_the_work_is_gone() {
    struct Work<'a>(&'a Semaphore, &'a Mutex<Option<usize>>);
    impl Drop for Work<'_> {
        fn drop(&mut self) {
            *self.1.lock().unwrap() = Some(self.0.available_permits());
        }
    }
    let (semaphore, seen) = (Semaphore::new(1), Mutex::new(None));
    let work = Work(&semaphore, &seen);
    let task = Task::waiting(semaphore.with_async(1, async move {
        let _work = work;
        std::future::pending::<()>().await;
    }));
    drop(task);
    assert_eq!((*seen.lock().unwrap(), semaphore.available_permits()), (Some(0), 1));
}

#[test]
fn a_gate_takes_as_many_permits_as_it_was_made_for() {
    let semaphore = Semaphore::new(3);
    let (one, two) = (&semaphore, semaphore.gate(2));
    let pass = two.try_enter().unwrap();
    assert_eq!(pass.count(), 2);
    assert_eq!(one.enter().wait().unwrap().count(), 1);
    assert_eq!(two.try_enter().unwrap_err(), TryAcquireError::NoPermits);
    pass.settle(Outcome::Failure);
    two.run(|| assert_eq!(semaphore.available_permits(), 1)).unwrap();
    assert_eq!(
        two.run(|| Err::<(), _>("settled all the same")).unwrap(),
        Err("settled all the same")
    );
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn a_pair_of_gates_releases_the_first_when_the_second_refuses() {
    let (first, second) = (Semaphore::new(1), Semaphore::new(1));
    second.close();
    assert!((&first, &second).try_enter().is_err());
    assert_eq!(first.available_permits(), 1);
}

#[test]
fn everything_moves_between_threads_and_owned_things_borrow_nothing() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    fn is_static<T: Send + 'static>(_: T) {}
    is_sync::<Semaphore>();
    is_sync::<Permit<'_>>();
    is_send::<Permit<'_>>();
    is_send::<OwnedPermit>();
    is_send::<Acquire<'_>>();
    is_static(Arc::new(Semaphore::new(1)).acquire_owned(1));
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    is_static(SEMAPHORE.with_async(1, async {}));
    is_static(SEMAPHORE.try_acquire(1).unwrap());
    fn is_unpin<T: Unpin>() {}
    is_unpin::<Acquire<'_>>();
    is_unpin::<AcquireOwned>();
}

#[test]
fn a_future_is_not_polled_after_it_was_ready() {
    let semaphore = Semaphore::new(2);
    let mut task = Task::new(semaphore.acquire(1));
    let _permit = task.output();
    assert!(panics(|| drop(task.poll())).contains("polled after it was ready"));
    assert_eq!(semaphore.available_permits(), 1);
    let mut owned = Task::new(Arc::new(Semaphore::new(0)).acquire_owned(1));
    assert_eq!(owned.output().unwrap_err(), AcquireError::TooMany);
    assert!(panics(|| drop(owned.poll())).contains("polled after it was ready"));
}
