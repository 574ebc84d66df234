//! Which threads do the work of a stage.

use core::{fmt, future::Future, pin::Pin, task::Context};

use alloc::{boxed::Box, collections::VecDeque};

use tidegate_core::primitive::Arc;
use tidegate_worker_pool::WorkerPool;

use crate::{
    debug::debug_by_name,
    flow::{Flow, RunThreads, WorkQueue},
};

use super::{
    chunk_work::ChunkWork,
    exchange::{ChunkExchange, Lost},
};

/// How many chunks a job of a pool works on before other jobs have their turn.
const CHUNKS_PER_JOB: usize = 8;

/// Does the work of a stage: a [`WorkerPool`], or the run's own [`Threads`]. Implemented by this
/// crate.
pub trait Executor<'h, H> {
    /// How workers are called.
    #[doc(hidden)]
    type Dispatcher: Dispatcher<H>;

    #[doc(hidden)]
    fn dispatcher(self, flow: &mut Flow<'h>) -> Self::Dispatcher;
}

/// Calls workers to an exchange.
#[doc(hidden)]
pub trait Dispatcher<H> {
    /// Returns whether the flow does the work itself.
    fn is_here(&self, flow: &Flow<'_>) -> bool;

    /// Calls a worker.
    fn call(&mut self, exchange: &Arc<H>);

    /// Goes on with calls that wait.
    fn poll(&mut self, cx: &mut Context<'_>);
}

/// The threads of the run itself: those of [`run_on_threads`](crate::Pipeline::run_on_threads), or
/// else the one that drives the flow.
///
/// Work on them may borrow what outlives the flow. All stages on `Threads` share them: a thread
/// that is free works wherever chunks wait.
///
/// # Examples
///
/// ```
/// use core::{num::NonZeroUsize};
/// use tidegate_pipeline::{Pipeline, Threads};
///
/// const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
///
/// let words = ["tide".to_owned(), "gate".to_owned()];
/// let lengths = Pipeline::from_iter(&words)
///     .map_on(Threads, "measure", TWO, |word: &String| word.len())
///     .collect()
///     .run_on_threads(TWO);
/// assert_eq!(lengths.unwrap(), [4, 4]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Threads;

impl<'h, H: WorkQueue + 'h> Executor<'h, H> for Threads {
    type Dispatcher = OnThreads<'h>;

    fn dispatcher(self, flow: &mut Flow<'h>) -> OnThreads<'h> {
        OnThreads {
            run_threads: flow
                .run_threads
                .get_or_insert_with(|| Arc::new(RunThreads::new()))
                .clone(),
        }
    }
}

/// Calls the run's own threads.
pub struct OnThreads<'h> {
    run_threads: Arc<RunThreads<'h>>,
}

debug_by_name!(OnThreads<'h>);

impl<'h, H: WorkQueue + 'h> Dispatcher<H> for OnThreads<'h> {
    fn is_here(&self, flow: &Flow<'_>) -> bool {
        !flow.has_threads
    }

    fn call(&mut self, exchange: &Arc<H>) {
        self.run_threads.call(exchange.clone());
    }

    fn poll(&mut self, _cx: &mut Context<'_>) {}
}

impl<In, L> Executor<'_, ChunkExchange<In, L>> for &WorkerPool
where
    In: Send + 'static,
    L: ChunkWork<In, Out: Send> + 'static,
{
    type Dispatcher = OnPool;

    fn dispatcher(self, _flow: &mut Flow<'_>) -> OnPool {
        OnPool { pool: self.clone(), calls: VecDeque::new() }
    }
}

/// Calls workers of a pool.
pub struct OnPool {
    pool: WorkerPool,
    /// Jobs for which the pool had no room yet. Only the first is polled, since all are alike. Each
    /// borrows from the pool it owns, a type that only the compiler can write down.
    calls: VecDeque<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl fmt::Debug for OnPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnPool").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl<In, L> Dispatcher<ChunkExchange<In, L>> for OnPool
where
    In: Send + 'static,
    L: ChunkWork<In, Out: Send> + 'static,
{
    fn is_here(&self, _flow: &Flow<'_>) -> bool {
        false
    }

    fn call(&mut self, exchange: &Arc<ChunkExchange<In, L>>) {
        if self.pool.is_closed() {
            return exchange.lose(Lost::Closed);
        }
        let call = Call { exchange: Some(exchange.clone()) };
        let pool = self.pool.clone();
        // A job that is refused is dropped, and dropping its call reports the chunks that are lost.
        self.calls
            .push_back(Box::pin(async move { _ = pool.execute(move || call.answer()).await }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        while self.calls.front_mut().is_some_and(|call| call.as_mut().poll(cx).is_ready()) {
            self.calls.pop_front();
        }
    }
}

/// A call of a worker to an exchange.
struct Call<In, L: ChunkWork<In>> {
    // `None` once a worker has come.
    exchange: Option<Arc<ChunkExchange<In, L>>>,
}

impl<In, L: ChunkWork<In>> Call<In, L> {
    fn answer(mut self) {
        let Some(exchange) = self.exchange.take() else { return };
        for _ in 0..CHUNKS_PER_JOB {
            if !exchange.work_one() {
                return;
            }
        }
        exchange.leave();
    }
}

impl<In, L: ChunkWork<In>> Drop for Call<In, L> {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.lose(Lost::Cancelled);
        }
    }
}
