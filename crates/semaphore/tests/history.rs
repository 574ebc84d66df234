//! Any history, against a semaphore that is a few lines of sequential code.

use std::{collections::VecDeque, task::Poll};

use proptest::prelude::*;
use tidegate_semaphore::{Acquire, AcquireError, Permit, Semaphore, Stats, TryAcquireError};

mod by_hand;
use by_hand::Task;

#[derive(Debug, Clone)]
enum Step {
    Try(usize),
    Ask(usize),
    /// Polls the future at this place among those that are alive.
    Poll(usize),
    Cancel(usize),
    Release(usize),
    Forget(usize),
    Split(usize, usize),
    Add(usize),
    ForgetFree(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let (amount, place) = (0..5_usize, 0..8_usize);
    prop_oneof![
        4 => amount.clone().prop_map(Step::Try),
        8 => amount.clone().prop_map(Step::Ask),
        4 => place.clone().prop_map(Step::Poll),
        3 => place.clone().prop_map(Step::Cancel),
        8 => place.clone().prop_map(Step::Release),
        1 => place.clone().prop_map(Step::Forget),
        2 => (place, amount.clone()).prop_map(|(place, n)| Step::Split(place, n)),
        1 => amount.clone().prop_map(Step::Add),
        1 => amount.prop_map(Step::ForgetFree),
        1 => Just(Step::Close),
    ]
}

/// What became of a request of the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Waits,
    Granted,
    Refused(AcquireError),
}

/// The reference: numbers and a queue.
#[derive(Default)]
struct Reference {
    closed: bool,
    line: VecDeque<(usize, usize)>,
    fates: Vec<Fate>,
    stats: Stats,
}

impl Reference {
    fn new(permits: usize) -> Self {
        let mut reference = Self::default();
        reference.stats.capacity = permits;
        reference.stats.available = permits;
        reference
    }

    fn try_take(&mut self, n: usize) -> Result<(), TryAcquireError> {
        let answer = if self.closed {
            Err(TryAcquireError::Closed)
        } else if n > self.stats.capacity {
            Err(TryAcquireError::TooMany)
        } else if n > 0 && (n > self.stats.available || !self.line.is_empty()) {
            Err(TryAcquireError::NoPermits)
        } else {
            self.stats.available -= n;
            Ok(())
        };
        match answer {
            Ok(()) => self.stats.acquired += 1,
            Err(_) => self.stats.refused += 1,
        }
        answer
    }

    fn ask(&mut self, n: usize) {
        let before = self.stats;
        let fate = match self.try_take(n) {
            Ok(()) => Fate::Granted,
            Err(TryAcquireError::Closed) => Fate::Refused(AcquireError::Closed),
            Err(TryAcquireError::TooMany) => Fate::Refused(AcquireError::TooMany),
            Err(_) => {
                self.stats = before;
                self.stats.waited += 1;
                self.line.push_back((self.fates.len(), n));
                Fate::Waits
            }
        };
        self.fates.push(fate);
    }

    fn serve(&mut self) {
        while let Some(&(index, n)) = self.line.front() {
            self.fates[index] = if n > self.stats.capacity {
                Fate::Refused(AcquireError::TooMany)
            } else if n <= self.stats.available {
                self.stats.available -= n;
                self.stats.acquired += 1;
                Fate::Granted
            } else {
                return;
            };
            self.line.pop_front();
        }
    }

    fn release(&mut self, n: usize) {
        self.stats.available += n;
        self.serve();
    }

    fn stats(&self) -> Stats {
        let in_use = self.stats.capacity - self.stats.available;
        let mut stats = self.stats;
        (stats.in_use, stats.waiting) = (in_use, self.line.len());
        stats
    }
}

/// A live future, its number in the reference, what it asked for.
struct Asked<'a> {
    task: Task<Acquire<'a>>,
    index: usize,
    n: usize,
}

/// Polls a future and compares with the reference; true if it is over.
fn settle<'a>(
    asked: &mut Asked<'a>,
    reference: &mut Reference,
    held: &mut Vec<Permit<'a>>,
) -> bool {
    let fate = reference.fates[asked.index];
    let waited = asked.task.woken() > 0;
    match asked.task.poll() {
        Poll::Pending => assert_eq!(fate, Fate::Waits),
        Poll::Ready(Ok(permit)) => {
            assert_eq!((fate, permit.count()), (Fate::Granted, asked.n));
            held.push(permit);
        }
        Poll::Ready(Err(error)) => {
            // One that was sent away for asking too much may learn of the close instead.
            if reference.closed {
                assert_eq!(error, AcquireError::Closed);
            } else {
                assert_eq!(fate, Fate::Refused(error));
            }
            // At once refused, it was counted by `ask`.
            reference.stats.refused += u64::from(waited);
        }
    }
    fate != Fate::Waits
}

fn live_through(permits: usize, steps: Vec<Step>) {
    let semaphore = Semaphore::new(permits);
    let mut reference = Reference::new(permits);
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let mut held: Vec<Permit<'_>> = Vec::new();
    for step in steps {
        match step {
            Step::Try(n) => match (semaphore.try_acquire(n), reference.try_take(n)) {
                (Ok(permit), Ok(())) => held.push(permit),
                (got, expected) => assert_eq!(got.map(drop), expected),
            },
            Step::Ask(n) => {
                reference.ask(n);
                let index = reference.fates.len() - 1;
                let mut new = Asked { task: Task::new(semaphore.acquire(n)), index, n };
                if !settle(&mut new, &mut reference, &mut held) {
                    asked.push(new);
                }
            }
            Step::Poll(place) if place < asked.len() => {
                if settle(&mut asked[place], &mut reference, &mut held) {
                    asked.remove(place);
                }
            }
            Step::Cancel(place) if place < asked.len() => {
                let Asked { task, index, n } = asked.remove(place);
                drop(task);
                reference.stats.cancelled += 1;
                match reference.fates[index] {
                    Fate::Waits => {
                        reference.line.retain(|(waiting, _)| *waiting != index);
                        reference.serve();
                    }
                    Fate::Granted => {
                        reference.stats.acquired -= 1;
                        reference.release(n);
                    }
                    Fate::Refused(_) => {}
                }
            }
            Step::Release(place) if place < held.len() => {
                let permit = held.remove(place);
                let n = permit.count();
                drop(permit);
                reference.release(n);
            }
            Step::Forget(place) if place < held.len() => {
                let permit = held.remove(place);
                reference.stats.capacity -= permit.count();
                permit.forget();
                reference.serve();
            }
            Step::Split(place, n) if place < held.len() => {
                let count = held[place].count();
                match held[place].split(n) {
                    Some(part) => held.push(part),
                    None => assert!(n > count),
                }
            }
            Step::Add(n) => {
                semaphore.add_permits(n);
                reference.stats.capacity += n;
                reference.release(n);
            }
            Step::ForgetFree(n) => {
                let removed = n.min(reference.stats.available);
                reference.stats.capacity -= removed;
                reference.stats.available -= removed;
                assert_eq!(semaphore.forget_permits(n), removed);
                reference.serve();
            }
            Step::Close => {
                assert_eq!(semaphore.close(), !reference.closed);
                reference.closed = true;
                while let Some((index, _)) = reference.line.pop_front() {
                    reference.fates[index] = Fate::Refused(AcquireError::Closed);
                }
            }
            Step::Poll(_)
            | Step::Cancel(_)
            | Step::Release(_)
            | Step::Forget(_)
            | Step::Split(..) => {}
        }
        assert_eq!(semaphore.stats(), reference.stats());
        for Asked { task, index, .. } in &asked {
            assert_eq!(
                task.woken() > 0,
                reference.fates[*index] != Fate::Waits,
                "woken when settled"
            );
        }
    }
    drop((asked, held));
    assert_eq!(semaphore.available_permits(), semaphore.capacity());
    assert_eq!(semaphore.stats().waiting, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_history_conserves_permits_and_order(
        permits in 0..6_usize,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        live_through(permits, steps);
    }
}
