//! How the jobs of a key get into the pool's queue, and run one after the other.
//!
//! ```text
//! submit ─▶ room in the key's queue, and in the pool's? ──no──▶ wait
//!             │ yes, both at once (lock)
//!             ▼
//!           the job into the key's queue, a turn into the pool's queue
//! a worker takes a turn ─▶ does a worker run this key? ──yes──▶ that one owes one more job
//!                            │ no: this one does
//!                            ▼
//!                          run the key's oldest job ─▶ while it owes: run the next ─▶ stop
//! ```
//!
//! For each job that waits there is one turn in the pool's queue, or the worker that runs the key
//! owes the job; it does not matter which turn runs which job. So the jobs keep the order of the
//! key's queue, however late a worker comes with its turn.

use core::mem;

use alloc::{boxed::Box, collections::VecDeque};

use tidegate_core::{primitive::Arc, ring::NotPushed};

use super::serial_queue::SerialQueue;
use crate::{
    error::JoinError,
    job::{ErasedTurn, Job, job_cell::Runnable},
    state::Shared,
    unwind::contain,
};

/// Why a job was not accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NotEntered {
    /// The key's queue is full.
    KeyFull,
    /// The pool's queue is full.
    PoolFull,
    Closed,
}

/// Puts a job into the key's queue and a turn into the pool's queue, or gives the job back.
pub(super) fn enter<K: Ord + Send + Sync + 'static>(
    queue: &Arc<SerialQueue<K>>,
    shared: &Shared,
    runnable: Runnable,
) -> Result<(), (NotEntered, Runnable)> {
    if let Some(now) = shared.now() {
        runnable.accept(now);
    }
    let turn = Box::new(KeyTurn { queue: queue.clone(), state: TurnState::Unused });
    let entered = queue.push_with(runnable, |runnable, is_full| {
        if is_full {
            return Err((NotEntered::KeyFull, runnable, Job::KeyTurn(turn)));
        }
        // The worker is woken below, with no lock held.
        match shared.job_queue.push_quietly(Job::KeyTurn(turn)) {
            Err(NotPushed::Full(turn)) => Err((NotEntered::PoolFull, runnable, turn)),
            Err(NotPushed::Closed(turn)) => Err((NotEntered::Closed, runnable, turn)),
            Ok(is_awaited) => Ok((runnable, is_awaited)),
        }
    });
    match entered {
        Ok(true) => shared.job_queue.wake_worker(),
        Ok(false) => {}
        Err((why, runnable, turn)) => {
            if let Job::KeyTurn(mut turn) = turn {
                turn.forget();
            }
            let is_closed = why == NotEntered::KeyFull && shared.job_queue.is_closed();
            return Err((if is_closed { NotEntered::Closed } else { why }, runnable));
        }
    }
    Ok(())
}

/// The right to run one job of a key.
struct KeyTurn<K: Ord + Send + Sync + 'static> {
    queue: Arc<SerialQueue<K>>,
    state: TurnState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TurnState {
    /// There is a job for it.
    Unused,
    /// It runs the key's queue.
    Running,
    Used,
}

impl<K: Ord + Send + Sync + 'static> KeyTurn<K> {
    /// Cancels an unused turn's job, or the jobs that a running turn owes; returns how many of them
    /// had not been cancelled before. A running turn is dropped in two cases. In one, a panic
    /// unwinds through its worker (only without std). In the other, its worker was dropped between
    /// two jobs and put the turn back into the queue; a shutdown, or a submitter that drops the
    /// oldest job, then takes it out. In both cases no other worker would run the owed jobs.
    fn cancel_jobs(&mut self) -> u64 {
        let state = mem::replace(&mut self.state, TurnState::Used);
        if state == TurnState::Used {
            return 0;
        }
        let cancelled: VecDeque<_> = self.queue.change(|queue| match state {
            TurnState::Running => {
                queue.runs = false;
                queue.jobs.drain(..mem::take(&mut queue.owed)).collect()
            }
            _ => queue.jobs.remove(queue.owed).into_iter().collect(),
        });
        contain(|| self.queue.room_freed.notify(cancelled.len()));
        let all = cancelled.len();
        let live = cancelled
            .into_iter()
            .filter_map(|runnable| runnable.discard(JoinError::Cancelled).then_some(()))
            .count();
        self.queue.note_removed(all - live);
        live as u64
    }
}

impl<K: Ord + Send + Sync + 'static> ErasedTurn for KeyTurn<K> {
    fn begin(&mut self) -> Option<Runnable> {
        let was_running = self.state == TurnState::Running;
        let job = self.queue.change(|queue| {
            if was_running {
                // Take the next of the jobs that it owes.
                queue.owed -= 1;
                return queue.jobs.pop_front();
            }
            if queue.runs {
                queue.owed += 1;
                return None;
            }
            let job = queue.jobs.pop_front();
            queue.runs = job.is_some();
            job
        });
        if job.is_some() {
            self.state = TurnState::Running;
            contain(|| self.queue.room_freed.notify(1));
        } else {
            self.state = TurnState::Used;
        }
        job
    }

    fn owes(&mut self) -> bool {
        let owes = self.state == TurnState::Running
            && self.queue.change(|queue| {
                queue.runs = queue.owed > 0;
                queue.runs
            });
        if !owes {
            self.state = TurnState::Used;
        }
        owes
    }

    fn note_removed(&mut self) {
        self.queue.note_removed(1);
    }

    fn cancel(mut self: Box<Self>) -> u64 {
        self.cancel_jobs()
    }

    fn forget(&mut self) {
        self.state = TurnState::Used;
    }
}

impl<K: Ord + Send + Sync + 'static> Drop for KeyTurn<K> {
    fn drop(&mut self) {
        self.cancel_jobs();
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroUsize;

    use super::*;
    use crate::WorkerPool;

    /// This happens without std, where a panic unwinds through the worker.
    #[test]
    fn a_turn_that_is_dropped_while_it_runs_cancels_what_it_owes_and_no_more() {
        let pool = WorkerPool::detached(4);
        let keyed = pool.keyed(NonZeroUsize::new(4).unwrap());
        let jobs = [0, 1, 2].map(|n| keyed.try_submit('a', move || n).unwrap());
        let take = || match pool.shared().job_queue.pop() {
            Ok(Some(Job::KeyTurn(turn))) => turn,
            _ => unreachable!("there are three turns"),
        };
        let (mut runs, mut leaves) = (take(), take());
        let running = runs.begin();
        assert!(leaves.begin().is_none(), "the other owes it");
        drop(leaves);
        assert!(!jobs[1].is_finished());
        drop((running, runs));
        assert_eq!(jobs.each_ref().map(|job| job.is_finished()), [true, true, false]);
        drop(take());
        assert!(jobs[2].is_finished() && keyed.is_empty());
    }
}
