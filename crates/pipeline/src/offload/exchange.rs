//! Where a flow and the threads that work for it exchange chunks of items.
//!
//! ```text
//! the flow:   put a chunk ─▶ fewer workers than allowed? ─▶ request one
//! a worker:   take a chunk ─▶ work ─▶ put the result ─▶ wake the flow ─▶ again, or leave
//! ```
//!
//! Waiting chunks, the number of workers and results lie behind one lock. So when a worker is about
//! to leave while the flow puts a chunk, either the worker finds that chunk, or the flow sees that
//! the worker has left.

use core::{mem, num::NonZeroUsize, time::Duration};

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::{
    future_slots::WakerCell,
    lock::Lock,
    primitive::Arc,
    unwind::{DropEach, contain},
};
use tidegate_worker_pool::JoinError;

use crate::{
    error::{BoxError, catch_panic},
    flow::{Lineage, StageId, WorkQueue, system_time},
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
    /// How long the work took by the system's clock; `None` without std, and if no worker has come.
    pub(crate) time: Option<Duration>,
}

/// An item of a chunk that failed.
pub(crate) struct Failure {
    pub(crate) position: usize,
    pub(crate) id: StageId,
    pub(crate) cause: BoxError,
}

/// The exchange of one stage.
pub(crate) struct ChunkExchange<In, L: ChunkWork<In>> {
    pub(crate) chunk_work: L,
    state: Lock<ExchangeState<In, L::Out>>,
    max_workers: NonZeroUsize,
    waker_cell: Arc<WakerCell>,
}

struct ExchangeState<In, Out> {
    waiting: VecDeque<Chunk<In>>,
    /// Workers that were requested and have not left.
    // INVARIANT: while a chunk waits, there is a worker, or a vacancy for which the flow was woken,
    // or the run is deterministic and its own thread works.
    workers: usize,
    /// Workers that left early and are to be replaced if a chunk waits.
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

    /// Puts a chunk for the workers. Returns whether the flow is to request one more worker; always
    /// false without `may_request`.
    pub(crate) fn put(&self, chunk: Chunk<In>, may_request: bool) -> bool {
        self.state.with(|state| {
            state.waiting.push_back(chunk);
            let is_short = may_request && state.workers < self.max_workers.get();
            state.workers += usize::from(is_short);
            is_short
        })
    }

    /// Takes the finished chunks into `done`, which is empty. Returns how many workers the flow is
    /// to request.
    pub(crate) fn collect(&self, done: &mut Vec<Done<L::Out>>) -> usize {
        self.state.with(|state| {
            mem::swap(&mut state.done, done);
            let vacancies = mem::take(&mut state.vacancies).min(state.waiting.len());
            state.workers += vacancies;
            vacancies
        })
    }

    /// Works on chunks in the thread that drives the flow, until `pick` returns `None`. `pick` gets
    /// the number of waiting chunks and returns the position of the next.
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

    fn work(&self, Chunk { seq, lineages, items }: Chunk<In>) -> Done<L::Out> {
        let start = system_time();
        let mut done = Done {
            seq,
            lineages,
            outs: DropEach::new(Vec::with_capacity(items.len())),
            failures: DropEach::default(),
            time: None,
        };
        let (mut items, mut position) = (items.into_inner().into_iter(), 0);
        // Catching panics costs time, so they are caught once for all items; after a panic, the
        // next round of the loop goes on behind the item that panicked.
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
                    // The state could not be made: the next item has none, and fails.
                    position += 1;
                    let item = items.next();
                    contain(|| drop(item));
                }
                done.failures.push(Failure { position: position - 1, id: at, cause });
            }
        }
        done.time = start.and_then(|start| Some(system_time()?.since(start)));
        done
    }
}

impl<In: Send, L: ChunkWork<In, Out: Send>> WorkQueue for ChunkExchange<In, L> {
    fn work_one(&self) -> bool {
        let taken = self.state.with(|state| {
            let chunk = state.waiting.pop_front();
            state.workers -= usize::from(chunk.is_none());
            chunk
        });
        let Some(chunk) = taken else { return false };
        let done = self.work(chunk);
        let has_more = self.state.with(|state| {
            state.done.push(done);
            let has_more = !state.waiting.is_empty();
            state.workers -= usize::from(!has_more);
            has_more
        });
        contain(|| self.waker_cell.wake());
        has_more
    }

    fn leave(&self) {
        self.state.with(|state| {
            state.workers -= 1;
            state.vacancies += 1;
        });
        contain(|| self.waker_cell.wake());
    }

    #[cold]
    fn lose(&self, why: fn() -> JoinError) {
        let lost = self.state.with(|state| {
            state.workers -= 1;
            mem::take(&mut state.waiting)
        });
        let id = self.chunk_work.first();
        let failure = |position| Failure { position, id, cause: why().into() };
        let lost = lost.into_iter().map(|Chunk { seq, lineages, items }| {
            drop(items);
            let failures = DropEach::new((0..lineages.len()).map(failure).collect());
            Done { seq, lineages, outs: DropEach::default(), failures, time: None }
        });
        let lost: Vec<_> = lost.collect();
        self.state.with(|state| state.done.extend(lost));
        contain(|| self.waker_cell.wake());
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{
        flow::{Flow, Plain},
        offload::Apply,
    };

    #[test]
    fn a_worker_that_has_left_is_replaced_by_one() {
        let mut flow = Flow::new();
        let pass = Apply::<_, Plain>::new(|item: u64| item, flow.ledger.add_stage("pass", 1));
        let exchange = ChunkExchange::new(pass, NonZeroUsize::MIN, flow.waker_cell.clone());
        let put = |seq| {
            let (lineages, items) = (vec![Lineage::item(seq)], DropEach::new(vec![seq]));
            exchange.put(Chunk { seq, lineages, items }, true)
        };
        let collect = || exchange.collect(&mut Vec::new());
        for lap in 0..3 {
            assert!(put(2 * lap), "no worker is there");
            assert!(!put(2 * lap + 1), "the stage may have one");
            assert!(exchange.work_one());
            exchange.leave();
            assert_eq!((collect(), collect()), (1, 0));
            assert!(!exchange.work_one());
            assert_eq!(collect(), 0);
        }
        for _ in 0..3 {
            assert!(put(6));
            exchange.clear();
            assert!(!exchange.work_one(), "it has come in vain");
        }
    }
}
