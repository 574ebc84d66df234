//! Who runs the jobs: one future for threads and tasks alike.

use core::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use tidegate_core::primitive::Arc;

use crate::{shared::Shared, task::Job};

/// A worker of a pool, for an executor to drive: `.await` it in a task or `.wait()` for it on a thread.
///
/// It resolves once the pool is closed and no job is left. Jobs run inside of its poll, and it gives its executor a
/// turn after each of them.
///
/// # Cancel safety
///
/// A worker can be dropped at any time between two polls, which is between two jobs. A job that had been handed to it,
/// and not begun, waits for the next worker.
///
/// # Panics
///
/// Not with std. Without it a job's panic cannot be caught: unless it aborts, it comes out of the worker's poll. The
/// job's handle resolves all the same, but this worker is lost; spawn another.
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
    // Its pop borrows from the pool it owns, which only the compiler can write down.
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Worker {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { work: Box::pin(work(Seat::new(shared), Pace::Cooperative)) }
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.work.as_mut().poll(cx)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// What a worker does between two jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It gives its executor a turn.
    Cooperative,
    /// It has a thread of its own, and no time to lose.
    #[cfg(feature = "std")]
    Alone,
}

/// Runs jobs until there are no more.
pub(crate) async fn work(mut seat: Seat, pace: Pace) {
    seat.start();
    while let Some(job) = seat.next_job().await {
        seat.shared.run(job);
        if pace == Pace::Cooperative {
            take_turns().await;
        }
    }
}

/// Is pending once, and woken at once.
async fn take_turns() {
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

/// A worker's place in the crew. Dropped, it is taken out of every count.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    started: bool,
    // INVARIANT: it has made room for the job it waits for.
    asked: bool,
}

impl Seat {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.crew.join();
        Self { shared: shared.clone(), started: false, asked: false }
    }

    fn start(&mut self) {
        self.shared.crew.start();
        self.started = true;
    }

    /// Makes room for a job, unless it has.
    pub(crate) fn ask(&mut self) {
        if !self.asked {
            self.asked = true;
            self.shared.intake.ask();
        }
    }

    async fn next_job(&mut self) -> Option<Job> {
        self.ask();
        let job = self.shared.intake.next().await.ok()?;
        self.asked = false;
        Some(job)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.asked {
            self.shared.intake.withdraw();
        }
        if self.shared.crew.leave(self.started) {
            self.shared.abandon();
        }
    }
}
