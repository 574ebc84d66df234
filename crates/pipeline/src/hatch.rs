//! Where a flow and the threads that work for it exchange chunks of items.
//!
//! ```text
//! the flow:   put a chunk down ─▶ fewer workers than allowed? ─▶ call one
//! a worker:   take a chunk ─▶ work ─▶ put the result down ─▶ ring the bell ─▶ more? ─▶ again, or leave
//! ```
//!
//! Chunks that wait, workers that are there and results stand under one lock, so a worker that finds nothing and leaves
//! is either seen to be gone by the flow that brings the next chunk, or finds that chunk.

use core::{fmt, mem, num::NonZeroUsize, time::Duration};

use alloc::{collections::VecDeque, vec::Vec};

use tidegate_core::{future_slots::WakerCell, lock::Lock, primitive::Arc};
use tidegate_worker_pool::JoinError;

use crate::{
    crew::Workplace,
    error::BoxError,
    flow::{DropEach, Site, caught, contain, now},
    labour::Labour,
    parcel::Ticket,
};

/// Consecutive items on their way to a worker.
pub(crate) struct Chunk<In> {
    pub(crate) seq: u64,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) items: DropEach<Vec<In>>,
}

/// What became of a chunk.
pub(crate) struct Done<Out> {
    pub(crate) seq: u64,
    pub(crate) tickets: Vec<Ticket>,
    /// The results, in order, without the items that failed.
    pub(crate) outs: DropEach<Vec<Out>>,
    /// Which of the items failed, where and why, in order.
    pub(crate) failures: DropEach<Vec<Failure>>,
    /// How long the work took; `None` without a clock.
    pub(crate) time: Option<Duration>,
    /// Why nobody worked on it, if nobody did.
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
    pub(crate) site: Site,
    pub(crate) cause: BoxError,
}

/// The exchange of one stage.
pub struct Hatch<In, L: Labour<In>> {
    labour: L,
    sides: Lock<Sides<In, L::Out>>,
    most_workers: NonZeroUsize,
    bell: Arc<WakerCell>,
}

struct Sides<In, Out> {
    waiting: VecDeque<Chunk<In>>,
    /// Workers that were called and have not left.
    // INVARIANT: while a chunk waits, there is a worker, or a vacancy and the bell has been rung for it.
    workers: usize,
    /// Workers that left early.
    vacancies: usize,
    done: Vec<Done<Out>>,
}

impl<In, L: Labour<In>> Hatch<In, L> {
    pub(crate) fn new(labour: L, most_workers: NonZeroUsize, bell: Arc<WakerCell>) -> Self {
        let sides = Sides { waiting: VecDeque::new(), workers: 0, vacancies: 0, done: Vec::new() };
        Self { labour, sides: Lock::new(sides), most_workers, bell }
    }

    pub(crate) fn labour(&self) -> &L {
        &self.labour
    }

    pub(crate) fn into_labour(self) -> L {
        self.labour
    }

    // The flow's side.

    /// Puts a chunk down. Returns whether the flow is to call a worker, if it ever does.
    pub(crate) fn put(&self, chunk: Chunk<In>, calls: bool) -> bool {
        self.sides.with(|sides| {
            sides.waiting.push_back(chunk);
            let is_short = calls && sides.workers < self.most_workers.get();
            sides.workers += usize::from(is_short);
            is_short
        })
    }

    /// Takes what is done, into `done`, which is empty. Returns how many workers the flow is to call.
    pub(crate) fn collect(&self, done: &mut Vec<Done<L::Out>>) -> usize {
        self.sides.with(|sides| {
            mem::swap(&mut sides.done, done);
            let vacancies = mem::take(&mut sides.vacancies).min(sides.waiting.len());
            sides.workers += vacancies;
            vacancies
        })
    }

    /// Works, in the flow's own thread, on chunks that are picked out of those that wait by `pick`, of how many, until
    /// it picks none.
    pub(crate) fn work_here(&self, mut pick: impl FnMut(usize) -> Option<usize>) {
        loop {
            let waiting = self.sides.with(|sides| sides.waiting.len());
            let Some(chunk) = pick(waiting)
                .and_then(|place| self.sides.with(|sides| sides.waiting.remove(place)))
            else {
                return;
            };
            let done = self.work(chunk);
            self.sides.with(|sides| sides.done.push(done));
        }
    }

    /// Drops what waits: its results are not wanted.
    pub(crate) fn clear(&self) {
        drop(self.sides.with(|sides| mem::take(&mut sides.waiting)));
    }

    // The workers' side.

    /// Works on a chunk. Once called, a worker calls this until the answer is false, and has left then.
    pub(crate) fn work_one(&self) -> bool {
        let Some(chunk) = self.sides.with(Sides::take_or_leave) else { return false };
        let done = self.work(chunk);
        let has_more = self.sides.with(|sides| {
            sides.done.push(done);
            sides.stay_or_leave()
        });
        contain(|| self.bell.wake());
        has_more
    }

    /// Leaves early. Somebody else is to be called for what waits.
    pub(crate) fn leave(&self) {
        self.sides.with(|sides| {
            sides.workers -= 1;
            sides.vacancies += 1;
        });
        contain(|| self.bell.wake());
    }

    /// Leaves without having come: what waits is lost.
    #[cold]
    pub(crate) fn lose(&self, why: Lost) {
        let lost = self.sides.with(|sides| {
            sides.workers -= 1;
            mem::take(&mut sides.waiting)
        });
        let lost: Vec<_> = lost.into_iter().map(|chunk| Done::lost(chunk, why)).collect();
        self.sides.with(|sides| sides.done.extend(lost));
        contain(|| self.bell.wake());
    }

    fn work(&self, Chunk { seq, tickets, items }: Chunk<In>) -> Done<L::Out> {
        let start = now();
        let mut done = Done {
            seq,
            tickets,
            outs: DropEach::new(Vec::with_capacity(items.len())),
            failures: DropEach::default(),
            time: None,
            lost: None,
        };
        let (mut items, mut position) = (items.into_inner().into_iter(), 0);
        // One run through all, or one more after each panic: catching is not free.
        while items.len() > 0 {
            let (begin, mut at) = (position, self.labour.first());
            let run = caught(|| {
                let mut state = self.labour.enter();
                for item in items.by_ref() {
                    position += 1;
                    match self.labour.step(&mut state, &mut at, item) {
                        Ok(out) => done.outs.push(out),
                        Err(cause) => {
                            done.failures.push(Failure { position: position - 1, site: at, cause })
                        }
                    }
                }
                self.labour.leave(state);
            });
            if let Err(cause) = run {
                if position == begin {
                    // No state for the next item: that is the one that fails.
                    position += 1;
                    let item = items.next();
                    contain(|| drop(item));
                }
                done.failures.push(Failure { position: position - 1, site: at, cause });
            }
        }
        done.time = start.and_then(|start| Some(now()?.since(start)));
        done
    }
}

impl<In, Out> Sides<In, Out> {
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
        let Chunk { seq, tickets, items } = chunk;
        drop(items);
        let (outs, failures) = (DropEach::default(), DropEach::default());
        Self { seq, tickets, outs, failures, time: None, lost: Some(why) }
    }
}

impl<In, L> Workplace for Hatch<In, L>
where
    In: Send,
    L: Labour<In, Out: Send>,
{
    fn work_one(&self) -> bool {
        self.work_one()
    }
}

impl<In, L: Labour<In>> fmt::Debug for Hatch<In, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hatch").finish_non_exhaustive()
    }
}
