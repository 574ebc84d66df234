//! Which threads do the work of a stage, and how the flow requests them.

use core::{future::Future, pin::Pin, task::Context};

use alloc::{boxed::Box, collections::VecDeque};

use tidegate_core::primitive::Arc;
use tidegate_worker_pool::{JoinError, WorkerPool};

use crate::{
    debug::debug_by_name,
    flow::{Flow, RunThreads, WorkQueue},
};

/// How many chunks a job of a pool works on before other jobs have their turn.
const CHUNKS_PER_JOB: usize = 8;

/// The threads that do the work of a stage: those of a pool, as `&`[`WorkerPool`], or the run's own
/// [`Threads`]. What they work on lives for `'w`. Implemented by this crate.
pub trait Workers<'h, 'w> {
    #[doc(hidden)]
    fn requests(self, flow: &mut Flow<'h>) -> WorkerRequests<'w>;
}

/// Requests workers, each of which works on the chunks of a queue and then leaves.
pub struct WorkerRequests<'w> {
    request: Box<dyn FnMut(Arc<dyn WorkQueue + 'w>) -> Option<PendingRequest> + Send + 'w>,
    /// Requests that the pool has not accepted yet. A poll that finds the first pending polls no
    /// other, since all are alike.
    pending: VecDeque<PendingRequest>,
    /// Whether the workers are threads of the run.
    is_for_threads: bool,
}

/// The future of a request. It borrows from the pool that it owns, which only the future of an
/// `async` block can.
type PendingRequest = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<'w> WorkerRequests<'w> {
    fn new(
        is_for_threads: bool,
        request: impl FnMut(Arc<dyn WorkQueue + 'w>) -> Option<PendingRequest> + Send + 'w,
    ) -> Self {
        Self { request: Box::new(request), pending: VecDeque::new(), is_for_threads }
    }

    /// Returns whether the workers are threads of the run, and the run has none of its own: then
    /// the thread that drives the flow does the work.
    #[inline]
    pub(crate) fn is_here(&self, flow: &Flow<'_>) -> bool {
        self.is_for_threads && !flow.has_threads
    }

    /// Requests a worker for `queue`.
    pub(crate) fn request_worker(&mut self, queue: Arc<dyn WorkQueue + 'w>) {
        self.pending.extend((self.request)(queue));
    }

    /// Goes on with the pending requests.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        while self.pending.front_mut().is_some_and(|first| first.as_mut().poll(cx).is_ready()) {
            self.pending.pop_front();
        }
    }
}

debug_by_name!(WorkerRequests<'w>);

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

impl<'h> Workers<'h, 'h> for Threads {
    fn requests(self, flow: &mut Flow<'h>) -> WorkerRequests<'h> {
        let run_threads = flow.run_threads.get_or_insert_with(|| Arc::new(RunThreads::new()));
        let run_threads = run_threads.clone();
        WorkerRequests::new(true, move |queue| {
            run_threads.request_worker(queue);
            None
        })
    }
}

impl Workers<'_, 'static> for &WorkerPool {
    fn requests(self, _flow: &mut Flow<'_>) -> WorkerRequests<'static> {
        let pool = self.clone();
        WorkerRequests::new(false, move |queue| {
            if pool.is_closed() {
                queue.lose(|| JoinError::Closed);
                return None;
            }
            let (pool, request) = (pool.clone(), WorkerRequest { queue: Some(queue) });
            // If the pool refuses the job, the job is dropped and with it the request, which lets
            // the waiting chunks fail.
            Some(Box::pin(async move { _ = pool.execute(move || request.serve()).await }))
        })
    }
}

/// A request for a worker, as a job of a pool. If it is dropped before a worker has come, the items
/// of the queue's waiting chunks fail.
struct WorkerRequest {
    // `None` once a worker has come.
    queue: Option<Arc<dyn WorkQueue>>,
}

impl WorkerRequest {
    fn serve(mut self) {
        let Some(queue) = self.queue.take() else { return };
        for _ in 0..CHUNKS_PER_JOB {
            if !queue.work_one() {
                return;
            }
        }
        queue.leave();
    }
}

impl Drop for WorkerRequest {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.lose(|| JoinError::Cancelled);
        }
    }
}
