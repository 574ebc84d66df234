//! Where a flow and the threads that work for it exchange chunks of items.
//!
//! ```text
//! the flow:   put a chunk ─▶ fewer workers than allowed? ─▶ call one
//! a worker:   take a chunk ─▶ work ─▶ put the result ─▶ wake the flow ─▶ again, or leave
//! ```
//!
//! Waiting chunks, the number of workers and results lie behind one lock. So when a worker finds no
//! chunk and leaves, either the flow that puts the next chunk sees that it has left, or the worker
//! finds that chunk.

use core::{mem, num::NonZeroUsize, time::Duration};

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::{
    Timestamp,
    future_slots::WakerCell,
    lock::Lock,
    primitive::Arc,
    unwind::{DropEach, contain},
};
use tidegate_worker_pool::JoinError;

use crate::{
    debug::debug_by_name,
    error::{BoxError, catch_panic},
    flow::{Lineage, StageId, WorkQueue},
};

use super::chunk_work::ChunkWork;

/// Consecutive items on their way to a worker.
pub(crate) struct Chunk<In> {
    pub(crate) seq: u64,
    pub(crate) lineages: Vec<Lineage>,
    pub(crate) items: DropEach<Vec<In>>,
}

/// A chunk on which a worker has worked.
pub(crate) struct Done<Out> {
    pub(crate) seq: u64,
    pub(crate) lineages: Vec<Lineage>,
    /// The results, in order, without the items that failed.
    pub(crate) outs: DropEach<Vec<Out>>,
    /// The items that failed, in order: their stage and error.
    pub(crate) failures: DropEach<Vec<Failure>>,
    /// How long the work took; `None` without a clock.
    pub(crate) time: Option<Duration>,
    /// Why no worker did; `None` if one did.
    pub(crate) lost: Option<Lost>,
}

/// Why a chunk was not worked on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lost {
    Closed,
    Cancelled,
}

impl Lost {
    pub(crate) fn error(self) -> JoinError {
        match self {
            Self::Closed => JoinError::Closed,
            Self::Cancelled => JoinError::Cancelled,
        }
    }
}

/// An item of a chunk that failed.
pub(crate) struct Failure {
    pub(crate) position: usize,
    pub(crate) id: StageId,
    pub(crate) cause: BoxError,
}

/// The exchange of one stage.
pub struct ChunkExchange<In, L: ChunkWork<In>> {
    chunk_work: L,
    state: Lock<ExchangeState<In, L::Out>>,
    max_workers: NonZeroUsize,
    waker_cell: Arc<WakerCell>,
}

struct ExchangeState<In, Out> {
    waiting: VecDeque<Chunk<In>>,
    /// Workers that were called and have not left.
    // INVARIANT: while a chunk waits, there is a worker, or a vacancy for which the flow was woken.
    workers: usize,
    /// Workers that left early and are to be replaced.
    vacancies: usize,
    done: Vec<Done<Out>>,
}

impl<In, L: ChunkWork<In>> ChunkExchange<In, L> {
    pub(crate) fn new(
        chunk_work: L,
        max_workers: NonZeroUsize,
        waker_cell: Arc<WakerCell>,
    ) -> Self {
        let state =
            ExchangeState { waiting: VecDeque::new(), workers: 0, vacancies: 0, done: Vec::new() };
        Self { chunk_work, state: Lock::new(state), max_workers, waker_cell }
    }

    pub(crate) fn chunk_work(&self) -> &L {
        &self.chunk_work
    }

    pub(crate) fn into_chunk_work(self) -> L {
        self.chunk_work
    }

    // The flow's side.

    /// Puts a chunk for the workers. Returns whether the flow is to call one more; never without
    /// `calls`.
    pub(crate) fn put(&self, chunk: Chunk<In>, calls: bool) -> bool {
        self.state.with(|state| {
            state.waiting.push_back(chunk);
            let is_short = calls && state.workers < self.max_workers.get();
            state.workers += usize::from(is_short);
            is_short
        })
    }

    /// Takes the finished chunks into `done`, which is empty. Returns how many workers the flow is
    /// to call.
    pub(crate) fn collect(&self, done: &mut Vec<Done<L::Out>>) -> usize {
        self.state.with(|state| {
            mem::swap(&mut state.done, done);
            let vacancies = mem::take(&mut state.vacancies).min(state.waiting.len());
            state.workers += vacancies;
            vacancies
        })
    }

    /// Works in the flow's own thread. `pick` gets the number of waiting chunks and returns the
    /// position of the next, until it returns `None`.
    pub(crate) fn work_here(&self, mut pick: impl FnMut(usize) -> Option<usize>) {
        loop {
            let waiting = self.state.with(|state| state.waiting.len());
            let Some(at) = pick(waiting) else { return };
            let Some(chunk) = self.state.with(|state| state.waiting.remove(at)) else { return };
            let done = self.work(chunk);
            self.state.with(|state| state.done.push(done));
        }
    }

    /// Drops the waiting chunks.
    pub(crate) fn clear(&self) {
        drop(self.state.with(|state| mem::take(&mut state.waiting)));
    }

    // The workers' side.

    /// Works on a chunk. Returns whether there is another; if not, the worker has left.
    pub(crate) fn work_one(&self) -> bool {
        let Some(chunk) = self.state.with(ExchangeState::take_or_leave) else { return false };
        let done = self.work(chunk);
        let has_more = self.state.with(|state| {
            state.done.push(done);
            state.stay_or_leave()
        });
        contain(|| self.waker_cell.wake());
        has_more
    }

    /// Leaves early. The flow calls another worker if a chunk waits.
    pub(crate) fn leave(&self) {
        self.state.with(|state| {
            state.workers -= 1;
            state.vacancies += 1;
        });
        contain(|| self.waker_cell.wake());
    }

    /// Leaves without having come: the waiting chunks are lost.
    #[cold]
    pub(crate) fn lose(&self, why: Lost) {
        let lost = self.state.with(|state| {
            state.workers -= 1;
            mem::take(&mut state.waiting)
        });
        let lost: Vec<_> = lost.into_iter().map(|chunk| Done::lost(chunk, why)).collect();
        self.state.with(|state| state.done.extend(lost));
        contain(|| self.waker_cell.wake());
    }

    fn work(&self, Chunk { seq, lineages, items }: Chunk<In>) -> Done<L::Out> {
        let start = now();
        let mut done = Done {
            seq,
            lineages,
            outs: DropEach::new(Vec::with_capacity(items.len())),
            failures: DropEach::default(),
            time: None,
            lost: None,
        };
        let (mut items, mut position) = (items.into_inner().into_iter(), 0);
        // One run through all items, and one more after each panic, because catching panics costs
        // time.
        while items.len() > 0 {
            let (begin, mut at) = (position, self.chunk_work.first());
            let run = catch_panic(|| {
                let mut state = self.chunk_work.enter();
                for item in items.by_ref() {
                    position += 1;
                    match self.chunk_work.step(&mut state, &mut at, item) {
                        Ok(out) => done.outs.push(out),
                        Err(cause) => {
                            done.failures.push(Failure { position: position - 1, id: at, cause })
                        }
                    }
                }
                self.chunk_work.leave(state);
            });
            if let Err(cause) = run {
                if position == begin {
                    // The next item has no state, and fails.
                    position += 1;
                    let item = items.next();
                    contain(|| drop(item));
                }
                done.failures.push(Failure { position: position - 1, id: at, cause });
            }
        }
        done.time = start.and_then(|start| Some(now()?.since(start)));
        done
    }
}

impl<In, Out> ExchangeState<In, Out> {
    fn take_or_leave(&mut self) -> Option<Chunk<In>> {
        let chunk = self.waiting.pop_front();
        self.workers -= usize::from(chunk.is_none());
        chunk
    }

    fn stay_or_leave(&mut self) -> bool {
        let stays = !self.waiting.is_empty();
        self.workers -= usize::from(!stays);
        stays
    }
}

impl<Out> Done<Out> {
    fn lost<In>(chunk: Chunk<In>, why: Lost) -> Self {
        let Chunk { seq, lineages, items } = chunk;
        drop(items);
        let (outs, failures) = (DropEach::default(), DropEach::default());
        Self { seq, lineages, outs, failures, time: None, lost: Some(why) }
    }
}

impl<In, L> WorkQueue for ChunkExchange<In, L>
where
    In: Send,
    L: ChunkWork<In, Out: Send>,
{
    fn work_one(&self) -> bool {
        self.work_one()
    }
}

/// The system's time, which measures chunks; `None` without such a clock.
#[cfg(feature = "std")]
fn now() -> Option<Timestamp> {
    Some(tidegate_core::Clock::now(&tidegate_core::SystemClock))
}

#[cfg(not(feature = "std"))]
fn now() -> Option<Timestamp> {
    None
}

debug_by_name!(ChunkExchange<In, L: ChunkWork<In>>);
