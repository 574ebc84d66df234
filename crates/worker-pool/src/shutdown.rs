//! The futures of `shutdown` and `idle`, which wait for the end of the jobs.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use alloc::boxed::Box;

use tidegate_core::{Timer, Wait, event::Waiter, primitive::Arc, wait::OrTimeout};

use crate::{error::StillRunning, state::Shared, workers::threads::Threads};

/// Future of [`WorkerPool::shutdown`](crate::WorkerPool::shutdown).
///
/// Its timed forms are [`wait_timeout`](Self::wait_timeout), `wait_deadline` and
/// [`or_timeout`](Self::or_timeout); their error says how many jobs were left.
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Shutdown {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
    waiter: Waiter,
}

impl Shutdown {
    pub(crate) fn new(shared: &Arc<Shared>, threads: &Arc<Threads>) -> Self {
        Self { shared: shared.clone(), threads: threads.clone(), waiter: Waiter::new() }
    }

    /// Blocks the calling thread until the pool has ended or `duration` has passed since the call.
    ///
    /// # Errors
    ///
    /// [`StillRunning`] if the time is up before the pool has ended. The pool stays closed, its
    /// workers go on until no job is left, and dropping the pool does not wait for its threads
    /// either.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let (stop, stopped) = std::sync::mpsc::channel::<()>();
    /// let endless = pool.submit(move || stopped.recv()).wait();
    /// let error = pool.shutdown().wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.jobs, 1);
    /// # drop((stop, endless));
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn wait_timeout(mut self, duration: Duration) -> Result<(), StillRunning> {
        Wait::wait_timeout(&mut self, duration).map_err(|_| give_up(&self.shared, &self.threads))
    }

    /// Blocks the calling thread until the pool has ended or `deadline` has come.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    #[cfg(feature = "std")]
    pub fn wait_deadline(mut self, deadline: std::time::Instant) -> Result<(), StillRunning> {
        Wait::wait_deadline(&mut self, deadline).map_err(|_| give_up(&self.shared, &self.threads))
    }

    /// Returns a future, for tasks, that resolves to [`StillRunning`] if the pool has not ended
    /// when `duration` has passed since this call, measured by `timer`.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_worker_pool::{SystemClock, Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::detached(1);
    /// let nobody_runs_it = pool.try_submit(|| ())?;
    /// let time = Duration::from_millis(1);
    /// let task = async { pool.shutdown().or_timeout(&SystemClock, time).await };
    /// assert_eq!(task.wait().unwrap_err().jobs, 1);
    /// # drop(nobody_runs_it);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn or_timeout<T: Timer>(self, timer: &T, duration: Duration) -> ShutdownWithin<T> {
        let (shared, threads) = (self.shared.clone(), self.threads.clone());
        ShutdownWithin { ended: Box::pin(Wait::or_timeout(self, timer, duration)), shared, threads }
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, threads, waiter } = &mut *self;
        shared.job_queue.close();
        waiter
            .poll_until(&shared.workers.changed, cx, &mut || shared.is_terminated().then_some(()))
            // No job is left, so this waits for threads that are about to end, not for jobs.
            .map(|()| threads.join())
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("waiter", &self.waiter).finish_non_exhaustive()
    }
}

/// Future of [`Shutdown::or_timeout`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct ShutdownWithin<T: Timer> {
    ended: Pin<Box<OrTimeout<T, Shutdown>>>,
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

impl<T: Timer> Future for ShutdownWithin<T> {
    type Output = Result<(), StillRunning>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = self.ended.as_mut().poll(cx);
        ended.map_err(|_| give_up(&self.shared, &self.threads))
    }
}

impl<T: Timer> fmt::Debug for ShutdownWithin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownWithin").finish_non_exhaustive()
    }
}

/// Lets the threads end by themselves, and returns how many jobs are left.
fn give_up(shared: &Shared, threads: &Threads) -> StillRunning {
    threads.let_go();
    let stats = shared.stats();
    StillRunning { jobs: stats.waiting + stats.in_flight }
}

/// Future of [`WorkerPool::idle`](crate::WorkerPool::idle).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Idle {
    shared: Arc<Shared>,
    waiter: Waiter,
}

impl Idle {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), waiter: Waiter::new() }
    }
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, waiter } = &mut *self;
        waiter.poll_until(&shared.workers.changed, cx, &mut || shared.is_idle().then_some(()))
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("waiter", &self.waiter).finish_non_exhaustive()
    }
}
