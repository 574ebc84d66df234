//! A reference for the semaphore: a few lines of sequential code.

use std::{collections::VecDeque, task::Poll};

use tidegate_semaphore::{
    AcquireError, Permit, Semaphore, Stats, TryAcquireError, future::Acquire,
};

use test_kit::Task;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Try(usize),
    Ask(usize),
    /// Asks for a range: at least the first number, at most the sum of both.
    AskUpTo(usize, usize),
    /// Polls the future at this index among those that are alive.
    Poll(usize),
    Cancel(usize),
    Release(usize),
    Forget(usize),
    Split(usize, usize),
    Add(usize),
    ForgetFree(usize),
    SetCapacity(usize),
    Close,
}

/// What became of a request of the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Waits,
    Granted(usize),
    Refused(AcquireError),
}

/// The reference: numbers and a queue.
#[derive(Default)]
pub(crate) struct Reference {
    closed: bool,
    /// Permits in use above the capacity.
    pub(crate) debt: usize,
    /// The requests that wait: their indexes, and the least and the most that they ask for.
    line: VecDeque<(usize, usize, usize)>,
    fates: Vec<Fate>,
    stats: Stats,
}

impl Reference {
    pub(crate) fn new(permits: usize) -> Self {
        let mut reference = Self::default();
        reference.stats.capacity = permits;
        reference.stats.available = permits;
        reference
    }

    fn try_take(&mut self, min: usize, max: usize) -> Result<usize, TryAcquireError> {
        let mut n = max.min(self.stats.available);
        if !self.line.is_empty() {
            n = 0;
        }
        let answer = if self.closed {
            Err(TryAcquireError::Closed)
        } else if min > self.stats.capacity {
            Err(TryAcquireError::TooMany)
        } else if n < min {
            Err(TryAcquireError::NoPermits)
        } else {
            self.stats.available -= n;
            Ok(n)
        };
        match answer {
            Ok(_) => self.stats.acquired += 1,
            Err(_) => self.stats.refused += 1,
        }
        answer
    }

    fn ask(&mut self, min: usize, max: usize) {
        let before = self.stats;
        let fate = match self.try_take(min, max) {
            Ok(n) => Fate::Granted(n),
            Err(TryAcquireError::Closed) => Fate::Refused(AcquireError::Closed),
            Err(TryAcquireError::TooMany) => Fate::Refused(AcquireError::TooMany),
            Err(_) => {
                self.stats = before;
                self.stats.waited += 1;
                self.line.push_back((self.fates.len(), min, max));
                Fate::Waits
            }
        };
        self.fates.push(fate);
    }

    fn serve(&mut self) {
        let paid = self.debt.min(self.stats.available);
        self.debt -= paid;
        self.stats.available -= paid;
        while let Some(&(index, min, max)) = self.line.front() {
            self.fates[index] = if min > self.stats.capacity {
                Fate::Refused(AcquireError::TooMany)
            } else if min <= self.stats.available {
                let n = max.min(self.stats.available);
                self.stats.available -= n;
                self.stats.acquired += 1;
                Fate::Granted(n)
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

    /// Removes `n` permits that are held.
    fn forget(&mut self, n: usize) {
        let paid = n.min(self.debt);
        self.debt -= paid;
        self.stats.capacity -= n - paid;
        self.serve();
    }

    fn set_capacity(&mut self, n: usize) {
        let existing = self.stats.capacity + self.debt;
        self.stats.capacity = n;
        self.debt = existing.saturating_sub(n);
        self.release(n.saturating_sub(existing));
    }

    fn stats(&self) -> Stats {
        let in_use = self.stats.capacity + self.debt - self.stats.available;
        let mut stats = self.stats;
        (stats.in_use, stats.waiting) = (in_use, self.line.len());
        stats
    }
}

/// A live future, and its index in the reference.
struct Asked<'a> {
    task: Task<Acquire<'a>>,
    index: usize,
}

/// Polls a future and compares with the reference; returns true if the future is ready.
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
            assert_eq!(fate, Fate::Granted(permit.count()));
            held.push(permit);
        }
        Poll::Ready(Err(error)) => {
            // A rejected request gets `Closed` instead if a close came before its poll.
            if reference.closed {
                assert_eq!(error, AcquireError::Closed);
            } else {
                assert_eq!(fate, Fate::Refused(error));
            }
            // A request that never waited was counted by `ask`.
            reference.stats.refused += u64::from(waited);
        }
    }
    fate != Fate::Waits
}

/// Takes the steps with a semaphore and with the reference; panics where they differ.
pub(crate) fn live_through(
    permits: usize,
    mut reference: Reference,
    steps: impl IntoIterator<Item = Step>,
) {
    let semaphore = Semaphore::new(permits);
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let mut held: Vec<Permit<'_>> = Vec::new();
    for step in steps {
        match step {
            Step::Try(n) => match (semaphore.try_acquire(n), reference.try_take(n, n)) {
                (Ok(permit), Ok(_)) => held.push(permit),
                (got, expected) => assert_eq!(got.map(|permit| permit.count()), expected),
            },
            Step::Ask(_) | Step::AskUpTo(..) => {
                let (min, acquire) = match step {
                    Step::Ask(n) => (n, semaphore.acquire(n)),
                    Step::AskUpTo(n, more) => (n, semaphore.acquire_up_to(n..=n + more)),
                    _ => unreachable!("matched above"),
                };
                let more = if let Step::AskUpTo(_, more) = step { more } else { 0 };
                reference.ask(min, min + more);
                let index = reference.fates.len() - 1;
                let mut new = Asked { task: Task::new(acquire), index };
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
                let Asked { task, index } = asked.remove(place);
                drop(task);
                reference.stats.cancelled += 1;
                match reference.fates[index] {
                    Fate::Waits => {
                        reference.line.retain(|(waiting, ..)| *waiting != index);
                        reference.serve();
                    }
                    Fate::Granted(n) => {
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
                reference.forget(permit.count());
                permit.forget();
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
                reference.set_capacity(reference.stats.capacity + n);
            }
            Step::SetCapacity(n) => {
                semaphore.set_capacity(n);
                reference.set_capacity(n);
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
                while let Some((index, ..)) = reference.line.pop_front() {
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
        let is_idle = Task::new(semaphore.idle()).is_ready();
        assert_eq!(is_idle, reference.stats().in_use == 0);
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
