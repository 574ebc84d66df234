//! The stage whose work is done by the threads of a pool or of the run.

use core::{
    mem,
    num::NonZeroUsize,
    task::{Context, Poll, ready},
};

use alloc::vec::{IntoIter, Vec};

use tidegate_core::{primitive::Arc, unwind::DropEach};

use crate::{
    debug::debug_by_name,
    flow::{Flow, Item, Lineage, Reorder, Stage, StageId},
};

use super::{
    chunk_size::ChunkSize,
    chunk_work::ChunkWork,
    exchange::{Chunk, ChunkExchange, Done},
    workers::WorkerRequests,
};

/// A stage whose work is done by the threads of a pool or of the run. Consecutive items travel as
/// chunks, whose size is learnt from the time that they take. Items are not held back for a larger
/// chunk while a worker is free.
pub struct Chunked<'w, S: Stage, L: ChunkWork<S::Item>> {
    pub(crate) upstream: S,
    exchange: FlowSide<S::Item, L>,
    requests: WorkerRequests<'w>,
    pub(crate) n: NonZeroUsize,
    chunk_size: ChunkSize,
    /// The items of the next chunk.
    items: DropEach<Vec<S::Item>>,
    // INVARIANT: as long as `items`.
    lineages: Vec<Lineage>,
    /// Chunks put into the exchange and not collected, and the items in them.
    in_work: usize,
    items_in_work: usize,
    /// Chunks in the exchange, and those collected of which nothing was emitted yet.
    finished: Reorder<Opened<L::Out>>,
    opened: Option<Opened<L::Out>>,
    /// Reused by `collect`; empty between two calls.
    done: Vec<Done<L::Out>>,
    /// The number of the flow's poll in which the stage last advanced.
    advanced_at: u64,
    /// The state of the thread that drives the flow, where that thread does the work; `None` before
    /// its first item and after a panic.
    state: Option<L::State>,
}

/// A chunk that is being emitted.
struct Opened<Out> {
    lineages: IntoIter<Lineage>,
    outs: DropEach<IntoIter<Out>>,
}

impl<'w, S: Stage, L: ChunkWork<S::Item>> Chunked<'w, S, L> {
    pub(crate) fn new(
        upstream: S,
        chunk_work: L,
        requests: WorkerRequests<'w>,
        n: NonZeroUsize,
        flow: &Flow<'_>,
    ) -> Self {
        let exchange = ChunkExchange::new(chunk_work, n, flow.waker_cell.clone());
        let chunk_size = ChunkSize::new(n);
        Self {
            upstream,
            exchange: FlowSide(Arc::new(exchange)),
            requests,
            n,
            items: DropEach::default(),
            lineages: Vec::new(),
            in_work: 0,
            items_in_work: 0,
            finished: Reorder::new(chunk_size.chunks(), true),
            opened: None,
            done: Vec::new(),
            advanced_at: 0,
            state: None,
            chunk_size,
        }
    }

    /// Returns the same stage with other work, for the same workers.
    pub(crate) fn rework<M: ChunkWork<S::Item>>(
        self,
        flow: &Flow<'_>,
        make: impl FnOnce(L) -> M,
    ) -> Chunked<'w, S, M> {
        let chunk_work = self.exchange.into_chunk_work();
        let mut stage = Chunked::new(self.upstream, make(chunk_work), self.requests, self.n, flow);
        stage.finished = Reorder::like(&self.finished);
        stage.chunk_size = self.chunk_size;
        stage
    }

    pub(crate) fn set_window(&mut self, window: NonZeroUsize) {
        self.chunk_size.set_window(self.n, window);
        self.finished.window = self.chunk_size.chunks();
    }

    pub(crate) fn set_unordered(&mut self) {
        self.finished = Reorder::new(self.finished.window, false);
    }

    fn id(&self) -> StageId {
        self.exchange.0.chunk_work.first()
    }

    fn has_room(&self) -> bool {
        self.finished.held() + usize::from(self.opened.is_some()) < self.chunk_size.chunks().get()
    }

    /// Emits the next result of the open chunk; `None` if there is no such result.
    #[inline(always)]
    fn next(&mut self, flow: &mut Flow<'_>) -> Option<Item<L::Out>> {
        let Opened { lineages, outs } = self.opened.as_mut()?;
        if let (Some(lineage), Some(value)) = (lineages.next(), outs.next()) {
            flow.ledger.count_emitted(self.exchange.0.chunk_work.last());
            return Some(Item { lineage, value });
        }
        self.opened = None;
        None
    }
}

impl<'w, S, L> Chunked<'w, S, L>
where
    S: Stage<Item: Send + 'w>,
    L: ChunkWork<S::Item, Out: Send> + 'w,
{
    /// Goes on as far as possible without emitting a result. Returns true if it has found that the
    /// stages before have ended; without room for a chunk it does not ask them.
    fn advance(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        self.advanced_at = flow.polls;
        // An open chunk that is empty takes no room.
        self.opened.take_if(|opened| opened.lineages.len() == 0);
        if let Some(rng) = &mut flow.rng {
            // Draws which of the waiting chunks is worked on next, or that none is for now.
            self.exchange.0.work_here(|waiting| rng.below(waiting + 1).checked_sub(1));
        }
        self.collect(flow);
        let ended = self.pack(cx, flow);
        if flow.rng.is_some() && self.in_work > 0 {
            cx.waker().wake_by_ref();
        }
        self.requests.poll(cx);
        let in_work = self.in_work.min(self.n.get());
        flow.ledger.meter(self.id()).set_in_flight(self.items_in_work, in_work);
        ended
    }

    fn collect(&mut self, flow: &mut Flow<'_>) {
        let mut done = mem::take(&mut self.done);
        let missing = self.exchange.0.collect(&mut done);
        (0..missing).for_each(|_| self.requests.request_worker(self.exchange.0.clone()));
        for chunk in done.drain(..) {
            self.in_work -= 1;
            self.items_in_work -= chunk.lineages.len();
            if let (Some(time), None) = (chunk.time, &flow.rng) {
                self.chunk_size.learn(chunk.lineages.len(), time);
                flow.ledger.meter(self.id()).measured(time);
            }
            let seq = chunk.seq;
            let opened = self.settle(chunk, flow);
            self.finished.put(seq, opened);
        }
        self.done = done;
    }

    /// Counts the failures of a chunk, and returns its results; `None` if all its items failed.
    fn settle(&self, chunk: Done<L::Out>, flow: &mut Flow<'_>) -> Option<Opened<L::Out>> {
        let Done { lineages, outs, failures, .. } = chunk;
        let chunk_work = &self.exchange.0.chunk_work;
        let mut entered = lineages.len() as u64;
        for id in chunk_work.first().through(chunk_work.last()) {
            if id != chunk_work.first() {
                flow.ledger.meter(id).stats.received += entered;
            }
            entered -= failures.iter().filter(|failure| failure.id == id).count() as u64;
            if id != chunk_work.last() {
                flow.ledger.meter(id).stats.emitted += entered;
            }
        }
        let lineages = if failures.is_empty() {
            lineages
        } else {
            let mut failures = DropEach::new(failures.into_inner().into_iter());
            let mut left = Vec::with_capacity(outs.len());
            for (position, lineage) in lineages.into_iter().enumerate() {
                let is_next =
                    failures.as_slice().first().is_some_and(|next| next.position == position);
                match is_next.then(|| failures.next()).flatten() {
                    Some(failure) => flow.ledger.fail(failure.id, lineage, failure.cause),
                    None => left.push(lineage),
                }
            }
            left
        };
        let outs = DropEach::new(outs.into_inner().into_iter());
        let opened = Opened { lineages: lineages.into_iter(), outs };
        (opened.lineages.len() > 0).then_some(opened)
    }

    fn pack(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) -> bool {
        let id = self.id();
        while self.has_room() {
            let size =
                flow.rng.as_mut().map_or(self.chunk_size.size(), |rng| self.chunk_size.draw(rng));
            while self.items.len() < size {
                match self.upstream.pull(id, cx, flow) {
                    Poll::Ready(Some(Item { lineage, value })) => {
                        self.items.push(value);
                        self.lineages.push(lineage);
                    }
                    Poll::Ready(None) => {
                        self.put(flow);
                        return true;
                    }
                    Poll::Pending => {
                        if self.in_work < self.n.get() && !flow.budget.is_spent() {
                            self.put(flow);
                        }
                        return false;
                    }
                }
            }
            self.put(flow);
        }
        flow.ledger.meter(id).is_blocked = true;
        self.upstream.drive(cx, flow);
        false
    }

    /// Puts the next chunk into the exchange, if it has items.
    fn put(&mut self, flow: &Flow<'_>) {
        if self.items.is_empty() {
            return;
        }
        self.in_work += 1;
        self.items_in_work += self.items.len();
        let size = self.chunk_size.size();
        let chunk = Chunk {
            seq: self.finished.begin(),
            lineages: mem::replace(&mut self.lineages, Vec::with_capacity(size)),
            items: mem::replace(&mut self.items, DropEach::new(Vec::with_capacity(size))),
        };
        if self.exchange.0.put(chunk, flow.rng.is_none()) {
            self.requests.request_worker(self.exchange.0.clone());
        }
    }

    /// Emits the next result if the open chunk has none, or if the stage has not advanced in this
    /// poll of the flow. Most results leave by [`poll_next`](Stage::poll_next) itself, which is
    /// inlined because this method is not.
    #[inline(never)]
    fn poll_outside_a_chunk(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<L::Out>>> {
        if self.requests.is_here(flow) && flow.rng.is_none() {
            return self.poll_here(cx, flow);
        }
        let ended = self.advance(cx, flow);
        loop {
            if let Some(item) = self.next(flow) {
                return Poll::Ready(Some(item));
            }
            self.opened = self.finished.pop();
            if self.opened.is_none() {
                return if ended && self.in_work == 0 { Poll::Ready(None) } else { Poll::Pending };
            }
        }
    }

    /// Works on the next item in this thread, and emits the result.
    fn poll_here(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<L::Out>>> {
        let chunk_work = &self.exchange.0.chunk_work;
        let id = chunk_work.first();
        loop {
            let Some(Item { lineage, value }) = ready!(self.upstream.pull(id, cx, flow)) else {
                return Poll::Ready(None);
            };
            let (mut at, state) = (id, &mut self.state);
            let step = flow.call(id, || {
                chunk_work.step(state.get_or_insert_with(|| chunk_work.enter()), &mut at, value)
            });
            for between in id.through(chunk_work.last()) {
                if between != id {
                    flow.ledger.meter(between).stats.received += 1;
                }
                if between == at && step.as_ref().map_or(true, |step| step.is_err()) {
                    break;
                }
                flow.ledger.count_emitted(between);
            }
            match step {
                Ok(Ok(value)) => return Poll::Ready(Some(Item { lineage, value })),
                Ok(Err(error)) => flow.ledger.fail(at, lineage, error),
                Err(panic) => {
                    // The state may be half changed.
                    let _ = flow.call(id, || self.state = None);
                    flow.ledger.fail(at, lineage, panic);
                }
            }
        }
    }
}

impl<'w, S, L> Stage for Chunked<'w, S, L>
where
    S: Stage<Item: Send + 'w>,
    L: ChunkWork<S::Item, Out: Send> + 'w,
{
    type Item = L::Out;

    #[inline]
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<L::Out>>> {
        if self.advanced_at == flow.polls {
            if let Some(item) = self.next(flow) {
                return Poll::Ready(Some(item));
            }
        }
        self.poll_outside_a_chunk(cx, flow)
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        if self.requests.is_here(flow) && flow.rng.is_none() {
            self.upstream.drive(cx, flow);
        } else {
            self.advance(cx, flow);
        }
    }
}

debug_by_name!(Chunked<'w, S: Stage, L: ChunkWork<S::Item>>);

/// The flow's side of an exchange: when it is dropped, it drops the waiting chunks, whose results
/// nothing would take.
struct FlowSide<In, L: ChunkWork<In>>(Arc<ChunkExchange<In, L>>);

impl<In, L: ChunkWork<In>> FlowSide<In, L> {
    fn into_chunk_work(self) -> L {
        let exchange = self.0.clone();
        drop(self);
        let exchange = Arc::into_inner(exchange);
        exchange.expect("a flow that is not yet run has no workers").chunk_work
    }
}

impl<In, L: ChunkWork<In>> Drop for FlowSide<In, L> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use core::{pin::Pin, task::Waker, time::Duration};

    use futures_core::Stream;
    use test_kit::Task;
    use tidegate_worker_pool::WorkerPool;

    use super::*;
    use crate::{Pipeline, Queue};

    /// Each poll of a stream is one of the flow, and takes one result at most.
    #[test]
    fn a_worker_gets_new_items_although_results_of_a_chunk_are_left() {
        let (pool, queue) = (WorkerPool::detached(4), Queue::unbounded());
        let mut worker = Task::new(pool.worker());
        let mut flow =
            Pipeline::from_queue(&queue).map_on(&pool, "pass", NonZeroUsize::MIN, |item| item);
        flow.stages.chunk_size.learn(1, Duration::ZERO);
        assert_eq!(flow.stages.chunk_size.size(), 2);
        let (monitor, mut stream) = (flow.monitor(), flow.into_stream());
        let mut next = || {
            let polled = Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop()));
            polled.map(|item| item.map(Result::unwrap))
        };
        (0..2).for_each(|item| queue.try_push(item).unwrap());
        assert_eq!(next(), Poll::Pending);
        let _ = worker.poll();
        assert_eq!(next(), Poll::Ready(Some(0)));
        queue.try_push(2).unwrap();
        assert_eq!(next(), Poll::Ready(Some(1)));
        assert_eq!(monitor.stats().summary.read, 3);
        let _ = worker.poll();
        queue.close();
        assert_eq!((next(), next()), (Poll::Ready(Some(2)), Poll::Ready(None)));
    }
}
