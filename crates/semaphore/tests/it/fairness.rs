//! Whether newcomers may overtake, how often, and which waiter is served first.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll},
};

use proptest::prelude::*;
use tidegate_semaphore::{Fairness, Permit, Semaphore, TryAcquireError, Wait};

use test_kit::{PanickingWaker, Task, panics, poll};

fn semaphore(permits: usize, fairness: Fairness) -> Semaphore {
    Semaphore::builder(permits).fairness(fairness).build()
}

fn overtakes(n: u32) -> Fairness {
    Fairness::Eventual { overtakes: NonZeroU32::new(n).unwrap() }
}

#[test]
fn a_waiter_for_idleness_is_notified_past_a_panicking_head() {
    let semaphore = semaphore(1, overtakes(3));
    let permit = semaphore.try_acquire(1).unwrap();
    let mut head = pin!(semaphore.acquire(1));
    let panicking = PanickingWaker::in_wake();
    assert!(head.as_mut().poll(&mut Context::from_waker(&panicking)).is_pending());
    let idle = Task::waiting(semaphore.idle());
    assert!(panics(|| drop(permit)));
    assert_eq!(idle.woken(), 1);
}

#[test]
fn a_request_in_the_queue_takes_its_permit_and_leaves_whoever_polls_it() {
    for fairness in [Fairness::Fifo, overtakes(9), Fairness::Barging, Fairness::Lifo] {
        let semaphore = semaphore(1, fairness);
        let permit = semaphore.try_acquire(1).unwrap();
        let mut waits = semaphore.acquire(1);
        assert!(poll(&mut waits).is_pending());
        drop(permit);
        // A thread would spin before it joins the queue, but this request is in the queue already.
        assert!((&mut waits).wait().is_ok());
        assert_eq!((semaphore.stats().waiting, semaphore.available_permits()), (0, 1));
    }
}

#[test]
fn newcomers_overtake_the_head_no_more_often_than_the_bound() {
    for bound in [1, 2, 7] {
        let semaphore = semaphore(1, overtakes(bound));
        let mut newcomer = semaphore.try_acquire(1).unwrap();
        let mut head = Task::waiting(semaphore.acquire(1));
        for overtaken in 0..bound {
            drop(newcomer);
            newcomer = semaphore.try_acquire(1).unwrap_or_else(|_| panic!("barred at {overtaken}"));
            assert!(!head.is_ready(), "it comes too late");
        }
        drop(newcomer);
        assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::NoPermits);
        assert!(head.is_ready());
    }
}

#[test]
fn newcomers_are_not_barred_by_a_head_that_is_on_its_way() {
    let semaphore = semaphore(1, overtakes(1));
    let held = semaphore.try_acquire(1).unwrap();
    let mut head = Task::waiting(semaphore.acquire(1));
    drop(held);
    for _ in 0..5 {
        drop(semaphore.try_acquire(1).unwrap());
        assert_eq!(head.woken(), 1, "woken once, and not again before it runs");
    }
    assert!(head.is_ready());
}

#[test]
fn an_overtaken_head_that_polls_in_vain_keeps_what_is_left() {
    let semaphore = semaphore(2, overtakes(1));
    let held = semaphore.try_acquire(2).unwrap();
    let mut head = Task::waiting(semaphore.acquire(2));
    drop(held);
    let thief = semaphore.try_acquire(1).unwrap();
    assert!(!head.is_ready());
    assert!(semaphore.try_acquire(1).is_err(), "the head's");
    drop(thief);
    assert!(head.is_ready());
}

#[test]
fn one_behind_an_overtaken_head_does_not_take_what_the_head_gathers() {
    let semaphore = semaphore(3, overtakes(1));
    let held = semaphore.try_acquire(3).unwrap();
    let mut head = Task::waiting(semaphore.acquire(2));
    let mut second = Task::waiting(semaphore.acquire(1));
    drop(held);
    let thief = semaphore.try_acquire(2).unwrap();
    assert!(!head.is_ready() && !second.is_ready());
    drop(thief);
    assert!(head.is_ready() && second.is_ready());
}

#[test]
fn a_head_that_takes_its_permits_lets_those_behind_it_look_again() {
    let semaphore = semaphore(4, overtakes(1));
    let held = semaphore.try_acquire(4).unwrap();
    let mut head = Task::waiting(semaphore.acquire(2));
    let mut second = Task::waiting(semaphore.acquire(1));
    drop(held);
    let thief = semaphore.try_acquire(3).unwrap();
    // The head was overtaken and polls in vain: now newcomers and the second waiter are barred.
    assert!(!head.is_ready() && !second.is_ready());
    drop(thief);
    let _permit = head.output().unwrap();
    assert_eq!(second.woken(), 2);
    assert!(second.is_ready());
}

#[test]
fn a_head_that_comes_too_late_keeps_its_place() {
    let semaphore = semaphore(1, Fairness::Barging);
    let mut holder = semaphore.try_acquire(1).unwrap();
    let mut head = Task::waiting(semaphore.acquire(1));
    let mut second = Task::waiting(semaphore.acquire(1));
    for round in 1..4 {
        drop(holder);
        holder = semaphore.try_acquire(1).unwrap();
        assert!(!head.is_ready());
        assert_eq!((head.woken(), second.woken()), (round, 0));
    }
    drop(holder);
    assert!(head.is_ready() && second.is_ready());
}

#[test]
fn a_new_head_is_overtaken_anew() {
    let semaphore = semaphore(1, overtakes(1));
    let mut holder = semaphore.try_acquire(1).unwrap();
    let mut tasks = [0, 1].map(|_| Task::waiting(semaphore.acquire(1)));
    for task in &mut tasks {
        drop(holder);
        holder = semaphore.try_acquire(1).unwrap();
        assert!(!task.is_ready());
        drop(holder);
        assert!(semaphore.try_acquire(1).is_err(), "the head's");
        holder = task.output().unwrap();
    }
}

#[test]
fn newcomers_that_are_barred_while_they_ask_keep_no_release_from_the_head() {
    for overtaken in 0..6 {
        let semaphore = semaphore(2, overtakes(3));
        let (held, mut other) = (semaphore.try_acquire(1).unwrap(), semaphore.try_acquire(1));
        let mut large = Task::waiting(semaphore.acquire(2));
        for _ in 0..overtaken {
            drop(other);
            other = semaphore.try_acquire(1);
        }
        let mut small = Task::waiting(semaphore.acquire(1));
        drop((other, held));
        assert!(large.woken() > 0 && large.is_ready(), "overtaken {overtaken} times");
        assert!(small.is_ready());
    }
}

#[test]
fn once_newcomers_are_barred_a_large_head_gathers_its_permits() {
    let semaphore = semaphore(3, overtakes(2));
    let mut held: Vec<Permit<'_>> = (0..3).map(|_| semaphore.try_acquire(1).unwrap()).collect();
    let mut large = Task::waiting(semaphore.acquire(3));
    for _ in 0..2 {
        held.pop();
        held.push(semaphore.try_acquire(1).unwrap());
    }
    while held.pop().is_some() {
        assert!(semaphore.try_acquire(1).is_err());
    }
    assert_eq!(large.output().unwrap().count(), 3);
    assert!(semaphore.try_acquire(1).is_ok());
}

#[test]
fn two_permits_dropped_before_either_waiter_is_polled_wake_both() {
    // Two releases are two wake-ups. In async-lock 3.5.0 they are one.
    for fairness in [Fairness::Fifo, overtakes(5), Fairness::Barging, Fairness::Lifo] {
        let semaphore = semaphore(2, fairness);
        let mut held = semaphore.try_acquire(2).unwrap();
        let mut first = Task::waiting(semaphore.acquire(1));
        let mut second = Task::waiting(semaphore.acquire(1));
        drop(held.split(1));
        drop(held);
        assert_eq!((first.woken(), second.woken()), (1, 1), "{fairness:?}");
        let both = (first.output().unwrap(), second.output().unwrap());
        assert_eq!(semaphore.available_permits(), 0);
        drop(both);
    }
}

#[test]
fn the_latest_is_served_first_under_lifo() {
    let semaphore = semaphore(1, Fairness::Lifo);
    let mut permit = semaphore.try_acquire(1).unwrap();
    let mut tasks: Vec<_> = (0..9).map(|_| Task::waiting(semaphore.acquire(1))).collect();
    while let Some(mut latest) = tasks.pop() {
        drop(permit);
        assert!(tasks.iter().all(|earlier| earlier.woken() == 0));
        assert_eq!(latest.woken(), 1);
        permit = latest.output().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Newcomers are always faster than waiters, although each waiter is polled whenever it is
    /// woken. The head is overtaken at most as often as the bound plus the number of permits, and
    /// every waiter is served in the end.
    #[test]
    fn the_bound_holds_for_any_history(
        permits in 1..4_usize,
        bound in 1..6_u32,
        steps in prop::collection::vec((0..6_u8, 0..4_usize), 0..120),
    ) {
        let semaphore = semaphore(permits, overtakes(bound));
        let mut held = Vec::new();
        let mut waiting: Vec<Task<_>> = Vec::new();
        let mut overtaken = 0;
        for (step, n) in steps {
            match step {
                0..=3 => {
                    if step > 0 && !held.is_empty() {
                        drop(held.remove(n % held.len()));
                    }
                    if let Ok(permit) = semaphore.try_acquire(1) {
                        overtaken += usize::from(!waiting.is_empty());
                        held.push(permit);
                    }
                }
                4 if !held.is_empty() => drop(held.remove(n % held.len())),
                _ => {
                    let mut task = Task::new(semaphore.acquire(permits));
                    match task.poll() {
                        Poll::Ready(permit) => held.push(permit.unwrap()),
                        Poll::Pending => waiting.push(task),
                    }
                }
            }
            // A waiter that may have been woken is polled, as by an executor.
            let mut at = 0;
            while at < waiting.len() {
                match waiting[at].poll() {
                    Poll::Ready(permit) => {
                        held.push(permit.unwrap());
                        waiting.remove(at);
                        overtaken = 0;
                    }
                    Poll::Pending => at += 1,
                }
            }
            prop_assert!(overtaken <= bound as usize + permits, "overtaken {overtaken} times");
        }
        held.clear();
        while let Some(at) = waiting.iter_mut().position(Task::is_ready) {
            waiting.remove(at);
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(semaphore.available_permits(), permits);
    }
}
