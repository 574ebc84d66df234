//! The laws of waiting for semaphores whose newcomers may overtake, and models of resizing and of
//! idleness.

use std::{
    future::{Future, poll_fn},
    mem,
    num::NonZeroU32,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use loom_tests::{
    CountingWaker, laws::Subject, laws_of_waiting, model, poll, poll_quietly, thread,
};
use tidegate_core::{
    Closed,
    primitive::atomic::{AtomicUsize, Ordering},
};
use tidegate_semaphore::{AcquireError, Fairness, OwnedPermit, Semaphore, TryAcquireError, Wait};

laws_of_waiting!(eventual: crate::Overtaken<1>);
laws_of_waiting!(barging: crate::Overtaken<0>);

/// A semaphore with all its permits taken.
struct Taken {
    semaphore: Arc<Semaphore>,
    // Outside of the model: the lock is not held over a step of it.
    unused: Mutex<OwnedPermit>,
}

impl Taken {
    fn new(permits: usize, fairness: Fairness) -> Self {
        let semaphore = Arc::new(Semaphore::builder(permits).fairness(fairness).build());
        let held = semaphore.clone().try_acquire_owned(permits).unwrap();
        Self { semaphore, unused: Mutex::new(held) }
    }

    fn put(&self) {
        let unit = self.unused.lock().unwrap().split(1).unwrap();
        drop(unit);
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin + use<'_> {
        let mut acquire = self.semaphore.acquire(1);
        poll_fn(move |cx| {
            Pin::new(&mut acquire).poll(cx).map(|answer| match answer {
                Ok(permit) => {
                    mem::forget(permit);
                    Ok(())
                }
                Err(AcquireError::Closed) => Err(Closed),
                Err(error) => panic!("{error}"),
            })
        })
    }
}

/// The head may be overtaken so many times, then it is granted the next permit; 0 means no bound.
struct Overtaken<const TIMES: u32>(Taken);

impl<const TIMES: u32> Subject for Overtaken<TIMES> {
    const FIFO: bool = false;

    fn new() -> Self {
        let bound = NonZeroU32::new(TIMES);
        let fairness =
            bound.map_or(Fairness::Barging, |overtakes| Fairness::Eventual { overtakes });
        Self(Taken::new(4, fairness))
    }

    fn put(&self) {
        self.0.put();
    }

    fn take(&self) -> impl Future<Output = Result<(), Closed>> + Send + Unpin {
        self.0.take()
    }

    fn close(&self) {
        self.0.semaphore.close();
    }

    fn units(&self) -> usize {
        self.0.semaphore.available_permits()
    }
}

#[test]
fn a_thief_does_not_leave_the_nudged_head_asleep() {
    for fairness in [Fairness::Barging, Fairness::Lifo, Fairness::eventual()] {
        model(move || {
            let semaphore = Arc::new(Semaphore::builder(1).fairness(fairness).build());
            let held = semaphore.clone().try_acquire_owned(1).unwrap();
            let waits = {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.acquire(1).wait().map(drop))
            };
            let thief = {
                let semaphore = semaphore.clone();
                thread::spawn(move || drop(semaphore.try_acquire(1)))
            };
            drop(held);
            assert_eq!(waits.join().unwrap(), Ok(()));
            thief.join().unwrap();
            assert_eq!(semaphore.available_permits(), 1);
        });
    }
}

#[test]
fn a_head_that_was_overtaken_is_handed_the_next_permit() {
    model(|| {
        let once = Fairness::Eventual { overtakes: NonZeroU32::MIN };
        let semaphore = Arc::new(Semaphore::builder(1).fairness(once).build());
        let held = semaphore.try_acquire(1).unwrap();
        let (woken, waker) = CountingWaker::new();
        let mut head = semaphore.acquire(1);
        assert!(poll(&mut head, &waker).is_pending());
        drop(held);
        // The head is nudged, and overtaken before it is polled.
        let thief = semaphore.clone().try_acquire_owned(1).unwrap();
        assert!(poll(&mut head, &waker).is_pending());
        let newcomer = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                let refused = semaphore.try_acquire(1).map(drop);
                assert!(poll_quietly(&mut semaphore.acquire(1)).is_pending());
                refused
            })
        };
        drop(thief);
        assert_eq!(newcomer.join().unwrap(), Err(TryAcquireError::NoPermits));
        assert_eq!(woken.count(), 2);
        let Poll::Ready(Ok(permit)) = poll(&mut head, &waker) else { panic!("not handed over") };
        drop(permit);
        assert!(semaphore.try_acquire(1).is_ok());
    });
}

#[test]
fn an_overtaken_head_that_is_served_as_it_goes_to_sleep_sees_what_was_done() {
    model(|| {
        let once = Fairness::Eventual { overtakes: NonZeroU32::MIN };
        let semaphore = Arc::new(Semaphore::builder(1).fairness(once).build());
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let mut head = semaphore.acquire(1);
        assert!(poll_quietly(&mut head).is_pending());
        drop(held);
        let thief = semaphore.clone().try_acquire_owned(1).unwrap();
        let written = Arc::new(AtomicUsize::new(0));
        let giver = {
            let written = written.clone();
            thread::spawn(move || {
                written.store(1, Ordering::Relaxed);
                drop(thief);
            })
        };
        // The head finds nothing and bars newcomers, unless the permit comes in that very moment.
        if poll_quietly(&mut head).is_ready() || poll_quietly(&mut head).is_ready() {
            assert_eq!(written.load(Ordering::Relaxed), 1);
        }
        giver.join().unwrap();
    });
}

#[test]
fn one_behind_a_head_that_is_not_polled_does_not_sleep_for_ever() {
    for fairness in [Fairness::Barging, Fairness::eventual()] {
        model(move || {
            let semaphore = Arc::new(Semaphore::builder(1).fairness(fairness).build());
            let held = semaphore.try_acquire(1).unwrap();
            let mut unpolled = semaphore.acquire(1);
            let mut behind = semaphore.clone().acquire_owned(1);
            assert!(poll_quietly(&mut unpolled).is_pending());
            assert!(poll_quietly(&mut behind).is_pending());
            drop(held);
            let behind = thread::spawn(move || behind.wait().map(drop));
            // More often than a nudged waiter may stay unpolled; in models that is less.
            for _ in 0..if cfg!(loom) { 3 } else { 300 } {
                drop(semaphore.try_acquire(1));
            }
            assert_eq!(behind.join().unwrap(), Ok(()));
        });
    }
}

#[test]
fn what_one_does_not_find_enough_of_is_for_the_one_behind_an_unpolled_head() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(3).fairness(Fairness::Barging).build());
        let held = semaphore.clone().try_acquire_owned(3).unwrap();
        let [mut first, mut unpolled, mut behind] = [2, 1, 1].map(|n| semaphore.acquire(n));
        assert!(poll_quietly(&mut first).is_pending() && poll_quietly(&mut unpolled).is_pending());
        let (woken, waker) = CountingWaker::new();
        assert!(poll(&mut behind, &waker).is_pending());
        drop(held);
        // Takes a permit that the first was nudged for; when the first gives up, the rest is free.
        let thief = semaphore.clone().try_acquire_owned(1).unwrap();
        let giver = thread::spawn(move || drop(thief));
        drop(first);
        giver.join().unwrap();
        assert!(woken.count() > 0, "asleep beside free permits");
        assert!(poll(&mut behind, &waker).is_ready());
        drop(unpolled);
    });
}

#[test]
fn two_nudged_waiters_and_a_thief_leave_no_waiter_asleep() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(2).fairness(Fairness::Barging).build());
        let held = semaphore.clone().try_acquire_owned(2).unwrap();
        let waits = [2, 1].map(|n| {
            let mut acquire = semaphore.clone().acquire_owned(n);
            assert!(poll_quietly(&mut acquire).is_pending());
            acquire
        });
        drop(held);
        let waits = waits.map(|acquire| thread::spawn(move || acquire.wait().map(drop)));
        drop(semaphore.try_acquire(1));
        for wait in waits {
            assert_eq!(wait.join().unwrap(), Ok(()));
        }
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn an_overtaken_head_and_a_newcomer_do_not_get_the_same_permit() {
    model(|| {
        let twice = Fairness::Eventual { overtakes: NonZeroU32::new(2).unwrap() };
        let semaphore = Arc::new(Semaphore::builder(2).fairness(twice).build());
        let held = semaphore.clone().try_acquire_owned(2).unwrap();
        let mut head = semaphore.acquire(2);
        assert!(poll_quietly(&mut head).is_pending());
        drop(held);
        let thief = semaphore.try_acquire(1).unwrap();
        assert!(poll_quietly(&mut head).is_pending());
        // The head is overtaken once more, which no thread has noticed yet.
        drop(semaphore.try_acquire(0).unwrap());
        let newcomer = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.try_acquire_owned(1).ok())
        };
        drop(thief);
        let taken = newcomer.join().unwrap();
        let served = poll_quietly(&mut head);
        assert!(served.is_ready() != taken.is_some());
        let in_use = if served.is_ready() { 2 } else { 1 };
        assert_eq!((semaphore.available_permits(), semaphore.stats().in_use), (2 - in_use, in_use));
    });
}

#[test]
fn a_permit_released_beside_a_queue_brings_what_was_done_with_it() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(2).fairness(Fairness::Barging).build());
        let mut held = semaphore.try_acquire(2).unwrap();
        let mut head = semaphore.acquire(2);
        assert!(poll_quietly(&mut head).is_pending());
        let written = Arc::new(AtomicUsize::new(0));
        let newcomer = {
            let (semaphore, written) = (semaphore.clone(), written.clone());
            thread::spawn(move || {
                // Takes the permit past the head, without the lock under which it was given back.
                if semaphore.try_acquire(1).is_ok() {
                    assert_eq!(written.load(Ordering::Relaxed), 1);
                }
            })
        };
        written.store(1, Ordering::Relaxed);
        drop(held.split(1));
        newcomer.join().unwrap();
    });
}

#[test]
fn a_release_meets_a_head_that_comes_too_late() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(1).fairness(Fairness::Barging).build());
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let (woken, waker) = CountingWaker::new();
        let mut head = semaphore.acquire(1);
        assert!(poll(&mut head, &waker).is_pending());
        drop(held);
        let thief = semaphore.clone().try_acquire_owned(1).unwrap();
        // Every waiter is nudged: the thief serves the queue only if the head polled first.
        let giver = thread::spawn(move || drop(thief));
        let ready = poll(&mut head, &waker).is_ready();
        giver.join().unwrap();
        assert!(ready || woken.count() == 2, "asleep beside a permit");
        assert!(ready || poll(&mut head, &waker).is_ready());
    });
}

#[test]
fn a_nudged_waiter_that_is_cancelled_passes_the_nudge_on() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(1).fairness(Fairness::Barging).build());
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let (_, waker) = CountingWaker::new();
        let mut first = semaphore.clone().acquire_owned(1);
        assert!(poll(&mut first, &waker).is_pending());
        let second = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.acquire(1).wait().map(drop))
        };
        let canceller = thread::spawn(move || drop(first));
        drop(held);
        assert_eq!(second.join().unwrap(), Ok(()));
        canceller.join().unwrap();
    });
}

#[test]
fn a_resize_races_a_waiter_and_a_release() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.clone().try_acquire_owned(2).unwrap();
        let waits = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.acquire(1).wait().map(|permit| permit.count()))
        };
        let resizer = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.set_capacity(1))
        };
        drop(held);
        assert_eq!(waits.join().unwrap(), Ok(1));
        resizer.join().unwrap();
        let stats = semaphore.stats();
        assert_eq!((stats.capacity, stats.available, stats.in_use), (1, 1, 0));
    });
}

#[test]
fn what_is_owed_is_paid_before_a_newcomer_takes_it() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(2).fairness(Fairness::Barging).build());
        let mut held = semaphore.clone().try_acquire_owned(2).unwrap();
        semaphore.set_capacity(1);
        let newcomer = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.try_acquire(1).is_ok())
        };
        drop(held.split(1));
        assert!(!newcomer.join().unwrap(), "a permit too many is out");
        assert_eq!((semaphore.available_permits(), semaphore.stats().in_use), (0, 1));
        drop(held);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn owed_permits_go_to_no_request_and_no_head() {
    for fairness in [Fairness::Fifo, Fairness::Barging] {
        model(move || {
            let semaphore = Arc::new(Semaphore::builder(2).fairness(fairness).build());
            let _held = semaphore.try_acquire(1).unwrap();
            let other = semaphore.clone().try_acquire_owned(1).unwrap();
            let giver = thread::spawn(move || drop(other));
            semaphore.set_capacity(1);
            assert!(semaphore.try_acquire(1).is_err());
            let mut head = semaphore.acquire(1);
            assert!(poll_quietly(&mut head).is_pending());
            // Given up, it serves the wait queue.
            let mut second = semaphore.acquire(1);
            assert!(poll_quietly(&mut second).is_pending());
            drop(second);
            assert_eq!(semaphore.forget_permits(1), 0);
            giver.join().unwrap();
            assert!(poll_quietly(&mut head).is_pending(), "two are out, and there is one");
            assert_eq!(semaphore.capacity(), 1);
        });
    }
}

#[test]
fn newcomers_are_barred_until_all_is_paid() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let _held = semaphore.try_acquire(1).unwrap();
        let other = semaphore.try_acquire(1).unwrap();
        let resizer = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                semaphore.set_capacity(1);
                assert!(semaphore.try_acquire(1).is_err(), "two are out, and there is one");
            })
        };
        drop(other);
        resizer.join().unwrap();
        assert_eq!((semaphore.available_permits(), semaphore.stats().in_use), (0, 1));
    });
}

#[test]
fn owed_permits_go_to_no_nudged_waiter() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(2).fairness(Fairness::Barging).build());
        let held = semaphore.try_acquire(1).unwrap();
        let other = semaphore.clone().try_acquire_owned(1).unwrap();
        let giver = thread::spawn(move || drop(other));
        let mut nudged = semaphore.acquire(1);
        if poll_quietly(&mut nudged).is_pending() {
            drop(held);
            let _stolen = semaphore.try_acquire(1).unwrap();
            semaphore.set_capacity(1);
            assert!(poll_quietly(&mut nudged).is_pending(), "two are out, and there is one");
        }
        giver.join().unwrap();
    });
}

#[test]
fn the_last_release_wakes_a_waiter_for_idleness_and_brings_what_was_done() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let written = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let holders: Vec<_> = (0..2)
            .map(|index| {
                let permit = semaphore.clone().try_acquire_owned(1).unwrap();
                let written = written.clone();
                thread::spawn(move || {
                    written[index].store(1, Ordering::Relaxed);
                    drop(permit);
                })
            })
            .collect();
        semaphore.idle().wait();
        assert_eq!(written.each_ref().map(|done| done.load(Ordering::Relaxed)), [1, 1]);
        holders.into_iter().for_each(|holder| holder.join().unwrap());
    });
}

#[test]
fn idleness_is_not_reported_while_a_permit_is_handed_on() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let (_, waker) = CountingWaker::new();
        let mut heir = semaphore.acquire(1);
        assert!(poll(&mut heir, &waker).is_pending());
        let giver = thread::spawn(move || drop(held));
        assert!(poll_quietly(&mut semaphore.idle()).is_pending());
        giver.join().unwrap();
        assert!(poll_quietly(&mut semaphore.idle()).is_pending());
        drop(heir);
        assert!(poll_quietly(&mut semaphore.idle()).is_ready());
    });
}

#[test]
fn a_full_queue_refuses_and_an_emptied_one_does_not() {
    model(|| {
        let semaphore = Arc::new(Semaphore::builder(1).max_waiters(1).build());
        let held = semaphore.clone().try_acquire_owned(1).unwrap();
        let ask = |semaphore: &Arc<Semaphore>| {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.acquire(1).wait().map(drop))
        };
        let askers = [ask(&semaphore), ask(&semaphore)];
        drop(held);
        let answers = askers.map(|asker| asker.join().unwrap());
        assert!(answers.contains(&Ok(())));
        assert!(
            answers.iter().all(|answer| matches!(answer, Ok(()) | Err(AcquireError::QueueFull)))
        );
        assert_eq!((semaphore.available_permits(), semaphore.stats().waiting), (1, 0));
    });
}
