//! Laws of the ring.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;
use tidegate_core::{
    Queue,
    ring::{NotPopped, NotPushed, Ring},
};

fn ring<T>(capacity: usize) -> Ring<T> {
    Ring::new(NonZeroUsize::new(capacity).unwrap())
}

#[test]
fn what_is_left_is_dropped_once() {
    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = AtomicUsize::new(0);
    let ring = ring(3);
    for _ in 0..3 {
        assert!(ring.push(Counted(&dropped)).is_ok());
    }
    drop(ring.pop());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    drop(ring);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn a_capacity_beyond_what_positions_or_memory_hold_is_refused_by_name() {
    fn refusal(make: impl FnOnce() + std::panic::UnwindSafe) -> String {
        *std::panic::catch_unwind(make).unwrap_err().downcast::<String>().unwrap()
    }
    let most = Ring::<()>::MAX_CAPACITY;
    assert!(most < 1 << (usize::BITS - 4));
    let above = NonZeroUsize::new(most + 1).unwrap();
    let expected = format!("capacity of {above} is outside of 1..={most}");
    assert!(refusal(move || drop(Ring::<()>::new(above))).contains(&expected));
    assert!(
        refusal(|| drop(Ring::<[u64; 8]>::new(NonZeroUsize::MAX))).contains("a ring's capacity")
    );
    assert!(
        refusal(|| drop(Queue::<()>::bounded(NonZeroUsize::MAX))).contains("a queue's capacity")
    );
}

#[test]
fn the_flags_are_read_with_the_step_and_stay_until_they_are_lowered() {
    let ring = ring(2);
    ring.set_consumer_waiting();
    assert!(ring.push(1).unwrap().is_awaited);
    assert!(ring.is_consumer_waiting() && ring.push(2).unwrap().is_awaited);
    ring.clear_consumer_waiting();
    ring.set_producer_waiting();
    assert!(ring.pop().unwrap().is_awaited);
    assert!(!ring.push(3).unwrap().is_awaited);
    ring.clear_producer_waiting();
    assert!(!ring.pop().unwrap().is_awaited);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Push,
    Pop,
    Divert,
    PushDiverted,
    Resume,
    Flag,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Push),
        8 => Just(Step::Pop),
        1 => Just(Step::Divert),
        1 => Just(Step::PushDiverted),
        1 => Just(Step::Resume),
        1 => Just(Step::Flag),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn it_is_a_bounded_deque(capacity in 1..5_usize, steps in prop::collection::vec(step(), 1..80)) {
        let ring = ring(capacity);
        let (mut items, mut closed, mut diverted) = (VecDeque::new(), false, false);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push | Step::PushDiverted => {
                    let past = matches!(step, Step::PushDiverted);
                    let expected = if closed && !past {
                        Err(NotPushed::Closed(number))
                    } else if (diverted && !past) || items.len() == capacity {
                        Err(NotPushed::Full(number))
                    } else {
                        items.push_back(number);
                        Ok(())
                    };
                    let pushed = if past { ring.push_diverted(number) } else { ring.push(number) };
                    prop_assert_eq!(pushed.map(drop), expected);
                }
                Step::Pop => {
                    let expected = items.pop_front().ok_or(match (diverted, closed) {
                        (true, _) => NotPopped::Diverted,
                        (false, true) => NotPopped::Closed,
                        (false, false) => NotPopped::Empty,
                    });
                    prop_assert_eq!(ring.pop().map(|popped| popped.item), expected);
                }
                Step::Divert => {
                    ring.divert();
                    diverted = true;
                }
                Step::Resume => {
                    ring.resume();
                    diverted = false;
                }
                Step::Flag => {
                    ring.set_consumer_waiting();
                    ring.set_producer_waiting();
                }
                Step::Close => {
                    prop_assert_eq!(ring.close(), !closed);
                    closed = true;
                }
            }
            prop_assert_eq!(ring.seems_to_have_room(), items.len() < capacity);
            prop_assert_eq!((ring.len(), ring.is_empty()), (items.len(), items.is_empty()));
            prop_assert_eq!((ring.is_closed(), ring.is_diverted()), (closed, diverted));
            prop_assert_eq!(ring.is_drained(), closed && !diverted && items.is_empty());
        }
    }
}

#[test]
fn many_threads_lose_nothing_and_keep_each_pushers_order() {
    const ITEMS: u64 = 5_000;
    const PUSHERS: usize = 3;
    for capacity in [1, 2, 7, 64] {
        let ring = Arc::new(ring(capacity));
        let sum = Arc::new(AtomicU64::new(0));
        let poppers: Vec<_> = (0..2)
            .map(|_| {
                let (ring, sum) = (ring.clone(), sum.clone());
                thread::spawn(move || {
                    let mut latest = [0; PUSHERS];
                    loop {
                        match ring.pop() {
                            Ok(popped) => {
                                let (pusher, number): (usize, u64) = popped.item;
                                let latest = &mut latest[pusher];
                                assert!(*latest < number, "overtaken");
                                *latest = number;
                                sum.fetch_add(number, Ordering::Relaxed);
                            }
                            Err(NotPopped::Closed) => return,
                            Err(_) => thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        thread::scope(|scope| {
            for pusher in 0..PUSHERS {
                let ring = &ring;
                scope.spawn(move || {
                    for number in 1..=ITEMS {
                        while ring.push((pusher, number)).is_err() {
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        ring.close();
        poppers.into_iter().for_each(|popper| popper.join().unwrap());
        assert_eq!(sum.load(Ordering::Relaxed), PUSHERS as u64 * ITEMS * (ITEMS + 1) / 2);
    }
}
