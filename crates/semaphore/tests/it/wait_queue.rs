//! The order in which waiters are served.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    thread,
};

use tidegate_semaphore::{AcquireError, CancelToken, Semaphore, TryAcquireError, Wait};

use test_kit::Task;

#[test]
fn a_task_and_a_thread_wait_in_one_queue() {
    let semaphore = Semaphore::new(1);
    let order = Mutex::new(Vec::new());
    let held = semaphore.try_acquire(1).unwrap();
    let mut task = Task::waiting(semaphore.acquire(1));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _permit = semaphore.acquire(1).wait().unwrap();
            order.lock().unwrap().push("thread");
        });
        while semaphore.stats().waiting < 2 {
            thread::yield_now();
        }
        let mut last = Task::waiting(semaphore.acquire(1));
        drop(held);
        let permit = task.output().unwrap();
        order.lock().unwrap().push("task");
        drop(permit);
        while !last.is_ready() {
            thread::yield_now();
        }
        order.lock().unwrap().push("last");
    });
    assert_eq!(*order.lock().unwrap(), ["task", "thread", "last"]);
}

#[test]
fn two_permits_dropped_before_either_waiter_is_polled_wake_both() {
    let semaphore = Semaphore::new(2);
    let mut held = semaphore.try_acquire(2).unwrap();
    let mut first = Task::waiting(semaphore.acquire(1));
    let mut second = Task::waiting(semaphore.acquire(1));
    drop(held.split(1));
    drop(held);
    assert_eq!((first.woken(), second.woken()), (1, 1));
    let _both = (first.output().unwrap(), second.output().unwrap());
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn one_release_serves_as_many_as_it_suffices_for() {
    let semaphore = Semaphore::new(4);
    let held = semaphore.try_acquire(4).unwrap();
    let mut tasks: Vec<_> =
        [1, 2, 2, 1].into_iter().map(|n| Task::waiting(semaphore.acquire(n))).collect();
    drop(held);
    assert_eq!(tasks.iter().map(Task::woken).collect::<Vec<_>>(), [1, 1, 0, 0]);
    assert_eq!(semaphore.available_permits(), 1);
    drop(tasks.remove(0));
    // The permit of the dropped future is passed on, together with the one that was free.
    assert_eq!(tasks.iter().map(Task::woken).collect::<Vec<_>>(), [1, 1, 0]);
}

#[test]
fn small_newcomers_do_not_overtake_a_large_head() {
    let semaphore = Semaphore::new(3);
    let mut held = semaphore.try_acquire(2).unwrap();
    let mut large = Task::waiting(semaphore.acquire(3));
    let mut small = Task::waiting(semaphore.acquire(1));
    assert_eq!(semaphore.available_permits(), 1);
    assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::NoPermits);
    drop(held.split(1));
    assert!(!large.is_ready() && !small.is_ready());
    drop(held);
    assert!(!small.is_ready());
    drop(large.output().unwrap());
    assert!(small.is_ready());
}

#[test]
fn a_cancelled_large_head_lets_the_small_ones_through() {
    let semaphore = Semaphore::new(3);
    let _held = semaphore.try_acquire(1).unwrap();
    let large = Task::waiting(semaphore.acquire(3));
    let mut small = [1, 1, 1].map(|n| Task::waiting(semaphore.acquire(n)));
    drop(large);
    assert_eq!(small.each_ref().map(Task::woken), [1, 1, 0]);
    drop(small[0].output());
    assert_eq!(small[2].woken(), 1);
}

#[test]
fn a_cancelled_waiter_passes_its_grant_on() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire(2).unwrap();
    let large = Task::waiting(semaphore.acquire(2));
    let mut small = [1, 1].map(|n| Task::waiting(semaphore.acquire(n)));
    drop(held);
    assert_eq!((large.woken(), semaphore.available_permits()), (1, 0));
    drop(large);
    assert_eq!(small.each_ref().map(Task::woken), [1, 1]);
    let _permits = small.each_mut().map(|task| task.output().unwrap());
}

#[test]
fn the_queue_is_left_without_a_trace() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    drop(Task::waiting(semaphore.acquire(1)));
    let token = CancelToken::new();
    let mut cancelled = Task::waiting(semaphore.acquire(1).or_cancelled(&token));
    token.cancel();
    assert!(cancelled.output().is_err());
    drop(cancelled);
    assert!(semaphore.acquire(1).wait_timeout(std::time::Duration::ZERO).is_err());
    drop(held);
    // No request waits: the fast path is open again.
    assert!(semaphore.try_acquire(1).is_ok());
    assert_eq!((semaphore.stats().waiting, semaphore.stats().cancelled), (0, 3));
}

#[test]
fn a_queue_that_was_long_and_has_emptied_serves_the_next_in_order() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    // The queue is so long that its memory is freed when all have left.
    drop((0..100).map(|_| Task::waiting(semaphore.acquire(1))).collect::<Vec<_>>());
    let mut waiters: Vec<_> = (0..300).map(|_| Task::waiting(semaphore.acquire(1))).collect();
    assert_eq!(semaphore.stats().waiting, 300);
    let mut permit = held;
    for turn in 0..waiters.len() {
        drop(permit);
        permit = waiters[turn].output().unwrap();
        assert!(waiters[turn + 1..].iter().all(|later| later.woken() == 0));
    }
    assert_eq!(semaphore.stats().waiting, 0);
}

#[test]
fn a_future_takes_its_place_when_it_is_polled_first() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire(1).unwrap();
    let mut made_first = Task::new(semaphore.acquire(1));
    let mut polled_first = Task::waiting(semaphore.acquire(1));
    assert!(!made_first.is_ready());
    drop(held);
    assert!(!made_first.is_ready());
    drop(polled_first.output().unwrap());
    assert!(made_first.is_ready());
}

#[test]
fn a_close_rejects_all_waiters_once_and_for_ever() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.try_acquire(1).unwrap();
    let mut borrowed = Task::waiting(semaphore.acquire(1));
    let mut owned = Task::waiting(semaphore.clone().acquire_owned(1));
    let mut never_polled = Task::new(semaphore.acquire(1));
    assert!(semaphore.close());
    assert!(!semaphore.close() && semaphore.is_closed());
    assert_eq!((borrowed.woken(), owned.woken()), (1, 1));
    drop(held);
    assert_eq!(borrowed.output().unwrap_err(), AcquireError::Closed);
    assert_eq!(owned.output().unwrap_err(), AcquireError::Closed);
    assert_eq!(never_polled.output().unwrap_err(), AcquireError::Closed);
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_close_keeps_what_was_granted() {
    let semaphore = Semaphore::new(2);
    let mut held = semaphore.try_acquire(2).unwrap();
    let mut granted = Task::waiting(semaphore.acquire(1));
    // Waits for two permits, of which one will be free.
    let mut half_served = Task::waiting(semaphore.acquire(2));
    drop(held.split(1));
    semaphore.close();
    let permit = granted.output().unwrap();
    assert_eq!(half_served.output().unwrap_err(), AcquireError::Closed);
    drop((held, permit));
    assert_eq!(semaphore.available_permits(), 2);
}

/// Asks for permits and gives back what it gets, in `wake` and in `drop`.
struct Meddler {
    semaphore: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
}

impl Meddler {
    fn meddle(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut task = Task::new(self.semaphore.acquire(1));
        drop(task.poll());
        drop(task);
        drop(self.semaphore.try_acquire(1));
        self.semaphore.stats();
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.meddle();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.meddle();
    }
}

#[test]
fn a_waker_may_re_enter_from_wake_and_from_drop() {
    let semaphore = Arc::new(Semaphore::new(1));
    let calls = Arc::new(AtomicUsize::new(0));
    let meddler =
        || Waker::from(Arc::new(Meddler { semaphore: semaphore.clone(), calls: calls.clone() }));
    let held = semaphore.try_acquire(1).unwrap();
    let mut woken = Box::pin(semaphore.acquire(1));
    let mut dropped = Box::pin(semaphore.acquire(1));
    // The second poll of each future replaces its first waker; the drop of that waker meddles.
    for _ in 0..2 {
        assert!(woken.as_mut().poll(&mut Context::from_waker(&meddler())).is_pending());
        assert!(dropped.as_mut().poll(&mut Context::from_waker(&meddler())).is_pending());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(dropped);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    drop(held);
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    assert!(woken.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    drop(woken);
    // A granted future is dropped; its waker was called, and dropped, at the grant.
    let held = semaphore.try_acquire(1).unwrap();
    let mut granted = Box::pin(semaphore.acquire(1));
    assert!(granted.as_mut().poll(&mut Context::from_waker(&meddler())).is_pending());
    drop(held);
    drop(granted);
    assert_eq!((calls.load(Ordering::SeqCst), semaphore.available_permits()), (7, 1));
}
