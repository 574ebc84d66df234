//! The laws of waiting for semaphores, and models of what only semaphores do.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use loom_tests::{
    CallingWaker, CountingWaker, laws::Subject, laws_of_waiting, model, poll, poll_quietly, thread,
};
use tidegate_core::{
    Closed,
    primitive::atomic::{AtomicUsize, Ordering},
};
use tidegate_semaphore::{
    AcquireError, OwnedPermit, Semaphore, TryAcquireError, Wait, future::Acquire,
};

laws_of_waiting!(borrowed: crate::Borrowed);
laws_of_waiting!(owned: crate::Owned);

/// More permits than any law uses.
const PERMITS: usize = 4;

/// Units are free permits; permits that are not put in yet, or are used up, are held.
struct Borrowed {
    semaphore: Arc<Semaphore>,
    // Outside of the model: neither lock is held over a step of it.
    unused: Mutex<OwnedPermit>,
}

impl Subject for Borrowed {
    const FIFO: bool = true;

    fn new() -> Self {
        let (semaphore, unused) = all_taken(PERMITS);
        Self { semaphore, unused: Mutex::new(unused) }
    }

    fn put(&self) {
        let unit = self.unused.lock().unwrap().split(1).unwrap();
        drop(unit);
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        let mut acquire = self.semaphore.acquire(1);
        poll_fn(move |cx| {
            Pin::new(&mut acquire).poll(cx).map(|answer| used_up(answer, mem::forget))
        })
    }

    fn close(&self) {
        self.semaphore.close();
    }

    fn units(&self) -> usize {
        self.semaphore.available_permits()
    }
}

/// The same through futures and permits that own their semaphore.
struct Owned {
    inner: Borrowed,
    // Kept, because a forgotten owned permit would leak its semaphore.
    used: Mutex<Vec<OwnedPermit>>,
}

impl Subject for Owned {
    const FIFO: bool = true;

    fn new() -> Self {
        Self { inner: Borrowed::new(), used: Mutex::default() }
    }

    fn put(&self) {
        self.inner.put();
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        let mut acquire = self.inner.semaphore.clone().acquire_owned(1);
        poll_fn(move |cx| {
            let keep = |permit| self.used.lock().unwrap().push(permit);
            Pin::new(&mut acquire).poll(cx).map(|answer| used_up(answer, keep))
        })
    }

    fn close(&self) {
        self.inner.close();
    }

    fn units(&self) -> usize {
        self.inner.units()
    }
}

/// Holds a permit for as long as the subject is there.
fn used_up<P>(answer: Result<P, AcquireError>, hold: impl FnOnce(P)) -> Result<(), Closed> {
    match answer {
        Ok(permit) => {
            hold(permit);
            Ok(())
        }
        Err(AcquireError::Closed) => Err(Closed),
        Err(error) => panic!("{error}"),
    }
}

/// Creates a semaphore with all its permits taken.
fn all_taken(permits: usize) -> (Arc<Semaphore>, OwnedPermit) {
    let semaphore = Arc::new(Semaphore::new(permits));
    let held = semaphore.clone().try_acquire_owned(permits).unwrap();
    (semaphore, held)
}

/// Puts a request into the wait queue; also returns how often it was woken.
fn in_line(semaphore: &Semaphore, n: usize) -> (Acquire<'_>, Arc<CountingWaker>) {
    let (woken, waker) = CountingWaker::new();
    let mut acquire = semaphore.acquire(n);
    assert!(poll(&mut acquire, &waker).is_pending());
    (acquire, woken)
}

/// Runs `act` on a thread of its own.
fn spawn<T: Send + 'static>(
    semaphore: &Arc<Semaphore>,
    act: impl FnOnce(&Arc<Semaphore>) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let semaphore = semaphore.clone();
    thread::spawn(move || act(&semaphore))
}

#[test]
fn never_more_holders_than_permits_and_each_sees_what_the_last_one_did() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        // Written with Relaxed: only the permit orders the holders.
        let guarded = Arc::new(AtomicUsize::new(0));
        let increment = |semaphore: &Semaphore, guarded: &AtomicUsize| {
            let _permit = semaphore.acquire(1).wait().unwrap();
            let before = guarded.load(Ordering::Relaxed);
            guarded.store(before + 1, Ordering::Relaxed);
        };
        let other = {
            let guarded = guarded.clone();
            spawn(&semaphore, move |semaphore| increment(semaphore, &guarded))
        };
        increment(&semaphore, &guarded);
        other.join().unwrap();
        assert_eq!(guarded.load(Ordering::Relaxed), 2);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_free_permit_brings_what_was_done_with_it() {
    model(|| {
        let (semaphore, held) = all_taken(1);
        let written = Arc::new(AtomicUsize::new(0));
        let newcomer = {
            let written = written.clone();
            spawn(&semaphore, move |semaphore| {
                if semaphore.try_acquire(1).is_ok() {
                    assert_eq!(written.load(Ordering::Relaxed), 1);
                }
            })
        };
        written.store(1, Ordering::Relaxed);
        drop(held);
        newcomer.join().unwrap();
    });
}

/// Stores, then closes in one thread; the other sees the store if `finds` returns true there.
fn a_close_is_found_by(finds: fn(&Semaphore) -> bool) {
    model(move || {
        let semaphore = Arc::new(Semaphore::new(1));
        let written = Arc::new(AtomicUsize::new(0));
        let looker = {
            let written = written.clone();
            spawn(&semaphore, move |semaphore| {
                assert!(!finds(semaphore) || written.load(Ordering::Relaxed) == 1);
            })
        };
        written.store(1, Ordering::Relaxed);
        semaphore.close();
        looker.join().unwrap();
        assert!(semaphore.is_closed());
    });
}

#[test]
fn a_close_brings_what_was_done_before_it() {
    a_close_is_found_by(|it| it.try_acquire(1).map(drop) == Err(TryAcquireError::Closed));
}

#[test]
fn a_close_that_is_asked_for_brings_what_was_done_before_it() {
    a_close_is_found_by(Semaphore::is_closed);
}

/// Of two permits one goes to the head, past the word, and one to a newcomer.
#[test]
fn what_the_head_leaves_brings_what_was_done_with_it() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let written = Arc::new(AtomicUsize::new(0));
        let held = semaphore.clone().try_acquire_owned(2).unwrap();
        let mut head = semaphore.clone().acquire_owned(1);
        assert!(poll_quietly(&mut head).is_pending());
        let newcomer = {
            let written = written.clone();
            spawn(&semaphore, move |semaphore| {
                let came = semaphore.try_acquire(1).is_ok();
                assert!(!came || written.load(Ordering::Relaxed) == 1);
            })
        };
        written.store(1, Ordering::Relaxed);
        drop(held);
        newcomer.join().unwrap();
        assert!(poll_quietly(&mut head).is_ready());
    });
}

#[test]
fn a_large_head_sees_what_was_done_with_each_of_its_permits() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = [1, 1].map(|n| semaphore.clone().try_acquire_owned(n).unwrap());
        let written = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let mut givers = held.into_iter().enumerate().map(|(index, permit)| {
            let written = written.clone();
            move || {
                written[index].store(1, Ordering::Relaxed);
                drop(permit);
            }
        });
        // Started before the head joins: its permit may reach the word before it can see a waiter.
        let other = thread::spawn(givers.next().unwrap());
        let (mut head, _) = in_line(&semaphore, 2);
        givers.next().unwrap()();
        if poll_quietly(&mut head).is_ready() {
            assert_eq!(written.each_ref().map(|done| done.load(Ordering::Relaxed)), [1, 1]);
        }
        other.join().unwrap();
    });
}

#[test]
fn two_permits_dropped_on_two_threads_serve_a_large_taker() {
    model(|| {
        let (semaphore, mut held) = all_taken(2);
        let half = held.split(1).unwrap();
        let other = thread::spawn(move || drop(half));
        let taker = spawn(&semaphore, |semaphore| semaphore.acquire(2).wait().unwrap().count());
        drop(held);
        assert_eq!(taker.join().unwrap(), 2);
        other.join().unwrap();
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn a_large_head_is_served_before_a_newcomer() {
    model(|| {
        let (semaphore, mut held) = all_taken(2);
        let (mut head, woken) = in_line(&semaphore, 2);
        let newcomer =
            spawn(&semaphore, |semaphore| semaphore.try_acquire(1).map(|permit| permit.count()));
        drop(held.split(1));
        drop(held);
        assert_eq!(newcomer.join().unwrap(), Err(TryAcquireError::NoPermits));
        assert_eq!(woken.count(), 1);
        assert!(poll_quietly(&mut head).is_ready());
    });
}

#[test]
fn a_cancelled_large_head_lets_a_small_one_through() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let mut large = semaphore.clone().acquire_owned(2);
        assert!(poll_quietly(&mut large).is_pending());
        let canceller = thread::spawn(move || drop(large));
        // Behind the large one, or after it is gone: one permit is free all the time.
        assert_eq!(semaphore.acquire(1).wait().unwrap().count(), 1);
        canceller.join().unwrap();
        drop(held);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn a_close_meets_a_half_served_head() {
    model(|| {
        let (semaphore, mut held) = all_taken(2);
        let (mut head, woken) = in_line(&semaphore, 2);
        drop(held.split(1));
        let closer = spawn(&semaphore, |semaphore| semaphore.close());
        drop(held);
        assert!(closer.join().unwrap());
        assert_eq!(woken.count(), 1);
        match poll_quietly(&mut head) {
            Poll::Ready(Ok(permit)) => assert_eq!(permit.count(), 2),
            Poll::Ready(Err(error)) => assert_eq!(error, AcquireError::Closed),
            Poll::Pending => panic!("neither granted nor rejected"),
        }
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn a_task_and_a_thread_wait_in_one_queue() {
    model(|| {
        let (semaphore, held) = all_taken(1);
        let (mut task, woken) = in_line(&semaphore, 1);
        let waits = spawn(&semaphore, |semaphore| semaphore.acquire(1).wait().unwrap().count());
        drop(held);
        assert_eq!(woken.count(), 1);
        // The thread is behind the task, so only the task's end lets it go on.
        drop(poll_quietly(&mut task));
        assert_eq!(waits.join().unwrap(), 1);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_waker_may_give_permits_back() {
    model(|| {
        let (semaphore, mut held) = all_taken(2);
        let second_permit = Mutex::new(held.split(1));
        let give_back = CallingWaker::new(move || {
            let permit = second_permit.lock().unwrap().take();
            drop(permit);
        });
        let mut first = semaphore.acquire(1);
        assert!(poll(&mut first, &give_back).is_pending());
        drop(give_back);
        let mut second = semaphore.acquire(1);
        let giver = thread::spawn(move || drop(held));
        let ready = poll_quietly(&mut second).is_ready();
        giver.join().unwrap();
        assert!(poll_quietly(&mut first).is_ready());
        assert!(ready || poll_quietly(&mut second).is_ready());
    });
}

#[test]
fn added_permits_reach_a_request_that_is_about_to_wait() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let _held = semaphore.try_acquire(1).unwrap();
        let written = Arc::new(AtomicUsize::new(0));
        let taker = {
            let written = written.clone();
            spawn(&semaphore, move |semaphore| {
                drop(semaphore.acquire(1).wait().unwrap());
                written.load(Ordering::Relaxed)
            })
        };
        written.store(1, Ordering::Relaxed);
        semaphore.add_permits(1);
        assert_eq!(taker.join().unwrap(), 1);
        assert_eq!((semaphore.available_permits(), semaphore.capacity()), (1, 2));
    });
}

#[test]
fn a_request_for_permits_that_are_being_forgotten_does_not_wait_for_ever() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let taker = spawn(&semaphore, |semaphore| semaphore.acquire(2).wait().map(drop));
        held.forget();
        assert_eq!(taker.join().unwrap(), Err(AcquireError::TooMany));
        assert_eq!((semaphore.available_permits(), semaphore.capacity()), (1, 1));
    });
}

#[test]
fn released_permits_go_to_the_queue_before_they_can_be_forgotten() {
    model(|| {
        let (semaphore, held) = all_taken(1);
        let forgetter = spawn(&semaphore, |semaphore| {
            let mut head = semaphore.acquire(1);
            if poll_quietly(&mut head).is_pending() {
                assert_eq!(semaphore.forget_permits(1), 0);
                assert_eq!(head.wait().map(drop), Ok(()));
            }
        });
        // This thread gives back: it may have read the word before the head joined, and that takes
        // one preemption less this way.
        drop(held);
        forgetter.join().unwrap();
        assert_eq!((semaphore.available_permits(), semaphore.capacity()), (1, 1));
    });
}

#[test]
fn forgetting_free_permits_races_taking_them() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let taker = spawn(&semaphore, |semaphore| semaphore.acquire(1).wait().is_ok());
        let forgotten = semaphore.forget_permits(2);
        let served = taker.join().unwrap();
        assert_eq!(semaphore.capacity(), 2 - forgotten);
        assert_eq!(semaphore.available_permits(), 2 - forgotten);
        assert!(served || forgotten == 2);
    });
}

#[test]
fn stats_are_of_one_instant() {
    model(|| {
        let (semaphore, held) = all_taken(1);
        let changer = spawn(&semaphore, |semaphore| {
            semaphore.add_permits(1);
            assert_eq!(semaphore.forget_permits(1), 1);
        });
        // The capacity and the free permits are read in two steps; the number held is the same at
        // both.
        let stats = semaphore.stats();
        assert_eq!(stats.in_use, held.count());
        changer.join().unwrap();
    });
}

#[test]
fn stats_show_no_waiter_for_permits_that_do_not_exist() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let (mut head, woken) = in_line(&semaphore, 2);
        let forgetter = thread::spawn(move || held.forget());
        // Nobody waits for permits that do not exist.
        let stats = semaphore.stats();
        assert_eq!((stats.capacity, stats.available), (1 + stats.waiting, 1));
        forgetter.join().unwrap();
        assert_eq!(woken.count(), 1);
        assert!(matches!(poll_quietly(&mut head), Poll::Ready(Err(AcquireError::TooMany))));
    });
}

#[test]
fn stats_count_each_request_once() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let taker = spawn(&semaphore, |semaphore| drop(semaphore.acquire(2).wait()));
        let held = semaphore.try_acquire(1);
        drop(held);
        taker.join().unwrap();
        let stats = semaphore.stats();
        assert_eq!((stats.available, stats.in_use, stats.waiting, stats.cancelled), (2, 0, 0, 0));
        assert_eq!(stats.acquired + stats.refused, 2);
    });
}

#[test]
fn one_that_waits_for_the_capacity_is_served_by_added_permits() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(0).wait_for_capacity(true).build());
        let waits = spawn(&semaphore, |semaphore| semaphore.acquire(2).wait().map(drop));
        let adds = spawn(&semaphore, |semaphore| semaphore.add_permits(1));
        semaphore.add_permits(1);
        assert_eq!(waits.join().unwrap(), Ok(()));
        adds.join().unwrap();
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn a_close_reaches_one_that_waits_for_the_capacity() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(0).wait_for_capacity(true).build());
        let waits = spawn(&semaphore, |semaphore| semaphore.acquire(1).wait().map(drop));
        let adds = spawn(&semaphore, |semaphore| semaphore.add_permits(1));
        semaphore.close();
        assert!(matches!(waits.join().unwrap(), Ok(()) | Err(AcquireError::Closed)));
        adds.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_shrink_leaves_permits_released_before_it_to_waiters() {
    model(|| {
        let (semaphore, mut held) = all_taken(2);
        let unit = held.split(1).unwrap();
        let shared = semaphore.clone();
        let shrinks = thread::spawn(move || {
            let mut acquire = shared.acquire(1);
            let is_in_line = poll_quietly(&mut acquire).is_pending();
            // Lets the releaser go on, which may have checked for waiters before there was one.
            thread::yield_now();
            // The permit is given back, and not yet handed to the waiter.
            let is_back = shared.available_permits() == 1;
            shared.set_capacity(1);
            if is_in_line && is_back {
                let taken = poll_quietly(&mut acquire);
                assert!(matches!(taken, Poll::Ready(Ok(_))), "the debt was paid with it");
            }
        });
        drop(unit);
        shrinks.join().unwrap();
    });
}
