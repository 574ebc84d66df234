//! The loop that runs jobs: `Worker`, one future for threads and tasks alike.

use core::{
    fmt,
    future::{Future, poll_fn},
    mem,
    panic::{RefUnwindSafe, UnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

#[cfg(feature = "std")]
use tidegate_core::Wait;
use tidegate_core::{Closed, primitive::Arc};

#[cfg(feature = "std")]
use super::loop_hooks::LoopHooks;
use super::worker_state::WorkerState;
use crate::{job::Job, state::Shared};

/// A worker of a pool, for an executor to drive: `.await` it in a task or `.wait()` for it on a
/// thread.
///
/// It resolves once the pool is closed and no job is left. Jobs run inside of its poll, and the
/// worker yields to its executor after each of them.
///
/// # Cancel safety
///
/// A worker can be dropped between any two polls: between two jobs, or while a
/// [future](crate::WorkerPool::submit_future) that it runs is pending, which is cancelled then. A
/// job that has claimed the worker at a rendezvous, and has not begun, waits for the next worker.
///
/// # Panics
///
/// Panics if it is polled again after it was ready. Without std a job's panic cannot be caught:
/// unless it aborts, it comes out of the worker's poll. The job's handle resolves all the same, but
/// this worker is lost; spawn another.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::detached(16);
/// let worker = pool.worker();
/// let thread = std::thread::spawn(|| worker.wait());
/// assert_eq!(pool.submit(|| 6 * 7).wait().wait()?, 42);
/// pool.close();
/// thread.join().unwrap();
/// # Ok::<(), tidegate_worker_pool::JoinError>(())
/// ```
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Worker {
    stage: Lifecycle,
}

enum Lifecycle {
    Fresh(WorkerState),
    // The future of `run_in_task`: it borrows from the state that it owns, which only an `async fn`
    // can.
    Working(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

impl Worker {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { stage: Lifecycle::Fresh(WorkerState::new(shared)) }
    }

    /// Lends the calling thread to the pool: runs jobs until the pool is closed and none is left.
    ///
    /// It does what [`wait`](tidegate_core::Wait::wait) would do, in the way of the pool's own
    /// threads: it does not yield between two jobs, and spins for a bounded time before it sleeps.
    /// A worker that was polled before goes on as with `wait`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::detached(16);
    /// let handle = pool.try_submit(|| 6 * 7).unwrap();
    /// pool.close();
    /// pool.worker().run();
    /// assert!(handle.is_finished());
    /// ```
    #[cfg(feature = "std")]
    pub fn run(self) {
        match self.stage {
            Lifecycle::Fresh(worker) => run_on_thread(worker, ()),
            Lifecycle::Working(work) => work.wait(),
            Lifecycle::Over => {}
        }
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let work = match mem::replace(&mut self.stage, Lifecycle::Over) {
            Lifecycle::Fresh(worker) => Box::pin(run_in_task(worker)),
            Lifecycle::Working(work) => work,
            Lifecycle::Over => panic!("polled after it was ready"),
        };
        self.stage = Lifecycle::Working(work);
        let Lifecycle::Working(work) = &mut self.stage else { return Poll::Ready(()) };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.stage = Lifecycle::Over;
        }
        polled
    }
}

// The panics of its jobs are contained.
impl UnwindSafe for Worker {}
impl RefUnwindSafe for Worker {}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// Runs jobs until the pool is closed and none is left.
async fn run_in_task(mut worker: WorkerState) {
    worker.start();
    loop {
        let job = match worker.next_resumed().await {
            Some(next) => next,
            None => {
                worker.announce();
                match worker.take() {
                    Some(job) => job,
                    None => match worker.wait(|| false).await {
                        Ok(job) => {
                            worker.shared.job_queue.wake_next_worker();
                            job
                        }
                        Err(Closed) => return,
                    },
                }
            }
        };
        match job {
            Job::Future(future) => worker.run_future(*future).await,
            job => worker.run(job),
        }
        yield_now().await;
    }
}

/// Runs jobs on a thread that has nothing else to do, until the pool is closed and none is left, or
/// until `hooks` ends the worker.
#[cfg(feature = "std")]
pub(super) fn run_on_thread(mut worker: WorkerState, mut hooks: impl LoopHooks) {
    worker.start();
    loop {
        let found = worker.take_next().or_else(|| {
            worker.announce();
            worker.take().or_else(|| worker.spin())
        });
        let woken = || {
            let job = worker.sleep(&mut hooks);
            job.inspect(|_| worker.shared.job_queue.wake_next_worker())
        };
        let Some(job) = found.or_else(woken) else { return };
        hooks.before_job(&worker.shared);
        worker.run(job);
        if hooks.is_surplus() {
            return;
        }
    }
}

/// Yields to the executor once.
async fn yield_now() {
    let mut polled = false;
    poll_fn(|cx| {
        if polled {
            return Poll::Ready(());
        }
        polled = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
