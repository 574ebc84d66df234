//! The pool as its users hold it.

use core::{fmt, future::Future};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{CancelToken, primitive::Arc};

use crate::{
    builder::Builder,
    cell::{errand, errand_with},
    driven::driven,
    error::TrySubmitError,
    handle::JobHandle,
    intake::Refused,
    panic::contain,
    pause::PauseGuard,
    pending::Pending,
    shared::Shared,
    shutdown::{Idle, Shutdown},
    stats::Stats,
    submit::{Execute, RunJob, Submit},
    task::Job,
    threads::Threads,
    worker::Worker,
};

/// Runs jobs on a bounded number of workers, with a bounded queue before them.
///
/// The workers are threads of the pool's own ([`builder`](Self::builder)), or futures that any executor drives
/// ([`detached`](Self::detached)), or both. Clones are the same pool and cost one reference count.
///
/// **At the end of the process** nothing that was accepted is lost if the last clone is dropped before, also by a thread-local of
/// a thread that is joined. One that never is (in a `static`, leaked, with a thread that nobody joins) cannot finish anything:
/// when `main` returns, the system ends the threads with what they do. There, call
/// [`shutdown().wait()`](Self::shutdown) at the end of `main`, or [`idle().wait()`](Self::idle).
///
/// # Dropping it
///
/// Dropping the last clone is close and drain: every accepted job is run. A pool with threads *waits* for that, and joins
/// them; except after a shutdown that timed out, and on one of its own threads, where that would be waiting for itself.
/// A detached pool does not wait: its workers finish the jobs. If it has no worker, nobody can, and they are cancelled.
///
/// In a task, `shutdown().await` before, so that the drop has nothing left to wait for.
///
/// # Clones
///
/// What many share is `Clone`, and a clone is the same pool or the same lanes. What stands for one job, one wait or one pause is
/// not: a [`JobHandle`], a group, a guard, a future.
///
/// # Fairness
///
/// Jobs begin in the order in which they were accepted. Waiting submissions are woken in order, but a newcomer may take
/// the room first.
///
/// # Memory ordering
///
/// What happened before a job was submitted happens before the job; and the job before whatever its handle's result, or
/// the end of a shutdown, is seen by.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().queue(4).build()?;
/// let squares: Vec<_> = (0..8_u64).map(|n| pool.submit(move || n * n).wait()).collect();
/// let sum: u64 = squares.into_iter().map(|square| square.wait().unwrap()).sum();
/// assert_eq!(sum, 140);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct WorkerPool {
    owner: Arc<Owner>,
}

/// What ends with the last clone.
struct Owner {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

impl WorkerPool {
    /// Starts the settings of a pool.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Creates a pool without threads, with a queue for `queue` jobs and otherwise default settings.
    ///
    /// Its jobs run wherever its [`worker`](Self::worker)s are driven.
    pub fn detached(queue: usize) -> Self {
        Self::builder().queue(queue).detached()
    }

    pub(crate) fn new(shared: Arc<Shared>, threads: Arc<Threads>) -> Self {
        Self { owner: Arc::new(Owner { shared, threads }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// Adds a worker, to be driven by the caller: as many as there are live futures from here run jobs at the same time.
    ///
    /// A pool with threads can have them, too.
    pub fn worker(&self) -> Worker {
        Worker::new(self.shared())
    }

    /// Waits for room, or does what else [`on_full`](Builder::on_full) says, and submits a job. The handle it resolves to waits for the job's result.
    ///
    /// Inside a job of the same pool, see [the warning](crate#submitting-from-inside-a-job).
    ///
    /// # Cancel safety
    ///
    /// The job is submitted when the future resolves. Dropped before, it drops the job and leaves no trace.
    ///
    /// # Errors
    ///
    /// If the pool is closed, the job is dropped and the handle resolves to [`JoinError::Closed`](crate::JoinError::Closed),
    /// so that there is one place to look for what went wrong. [`OnFull`](crate::OnFull) says what else may become of it. To get the job back, use [`try_submit`](Self::try_submit).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let task = async { pool.submit(|| 6 * 7).await.await };
    /// assert_eq!(task.wait()?, 42);
    ///
    /// pool.close();
    /// assert!(pool.submit(|| 6 * 7).wait().wait().unwrap_err().is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit<F, T>(&self, job: F) -> Submit<'_, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (errand, draft) = errand(job);
        Submit::new(self.shared(), Job::tracked(errand), draft.into_reply())
    }

    /// Runs a job on a worker and waits for its result: [`submit`](Self::submit) and the wait for its handle in one.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it cancels the job, unless that has begun: nobody wants its result any more. One that has begun goes on.
    ///
    /// # Errors
    ///
    /// [`JoinError`](crate::JoinError): the job panicked, was cancelled, or was not accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// assert_eq!(pool.run(|| 6 * 7).wait()?, 42);
    /// let task = async { pool.run(|| 6 * 7).await };
    /// assert_eq!(task.wait()?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run<F, T>(&self, job: F) -> RunJob<'_, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        RunJob::new(self.submit(job))
    }

    /// Submits a job that is told when it should stop: [`submit`](Self::submit) for closures that take long.
    ///
    /// Its token is cancelled by [`JobHandle::cancel`], by the pool's [`cancel_token`](Builder::cancel_token), and when
    /// its [time](Builder::job_timeout) is up. It stops by looking at the token, and returns what it likes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let (begun, begin) = std::sync::mpsc::channel();
    /// let handle = pool.submit_with_token(move |token| {
    ///     begun.send(()).unwrap();
    ///     let mut rounds = 0_u64;
    ///     while !token.is_cancelled() {
    ///         rounds += 1;
    ///     }
    ///     rounds
    /// });
    /// let handle = handle.wait();
    /// begin.recv()?;
    /// assert!(!handle.cancel(), "it has begun");
    /// assert!(handle.wait().is_ok(), "and has stopped");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit_with_token<F, T>(&self, job: F) -> Submit<'_, T>
    where
        F: FnOnce(&CancelToken) -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = self.shared();
        let (token, limit) = (shared.token(), shared.limit());
        let heeded = token.clone();
        let (errand, draft) = errand_with(move || job(&limit(heeded)), token);
        Submit::new(shared, Job::tracked(errand), draft.into_reply())
    }

    /// Submits a future: a worker polls it until it has ended, and then takes the next job.
    ///
    /// So as many futures are under way as there are workers, and shutdown, back-pressure and order are those of other
    /// jobs. A worker that is [driven by an executor](Self::worker) waits as that executor's tasks do; a thread
    /// sleeps. To have many futures wait at once, spawn them in an executor.
    ///
    /// It is cancelled at an await by [`JobHandle::cancel`], by the pool's [`cancel_token`](Builder::cancel_token), when its
    /// [time](Builder::job_timeout) is up, and with its [`Worker`]. Four allocations.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_worker_pool::{SystemClock, Timer, Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let handle = pool.submit_future(async {
    ///     SystemClock.sleep(Duration::from_millis(1)).await;
    ///     42
    /// });
    /// assert_eq!(handle.wait().wait()?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit_future<F>(&self, future: F) -> Submit<'_, F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let shared = self.shared();
        let (driven, draft) = driven(future, shared.token(), shared.limit());
        Submit::new(shared, Job::Driven(Box::new(driven)), draft.into_reply())
    }

    /// Submits a job if there is room now: a free place in the queue, or a worker that waits.
    ///
    /// # Errors
    ///
    /// [`TrySubmitError`] gives the job back if the queue is full or the pool closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::detached(1);
    /// let handle = pool.try_submit(|| 1).unwrap();
    /// let job = pool.try_submit(|| 2).unwrap_err().into_inner();
    /// assert_eq!(job(), 2); // the caller runs it: the simplest back-pressure
    /// # drop(handle);
    /// ```
    pub fn try_submit<F, T>(&self, job: F) -> Result<JobHandle<T>, TrySubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = self.shared();
        // A glance, to refuse before anything is allocated.
        let refused = if shared.intake.is_full() && !shared.intake.is_closed() {
            TrySubmitError::Full(job)
        } else {
            let (errand, draft) = errand(job);
            match shared.accept(Job::tracked(errand)) {
                Ok(()) => {
                    return Ok(JobHandle::new(draft.into_reply(), Arc::downgrade(shared) as _));
                }
                Err(Refused::Full(_)) => TrySubmitError::Full(draft.take_back()),
                Err(Refused::Closed(_)) => TrySubmitError::Closed(draft.take_back()),
            }
        };
        shared.counters.reject();
        Err(refused)
    }

    /// Waits for room, or does what else [`on_full`](Builder::on_full) says, and submits a job whose end nobody waits for. Only [`stats`](Self::stats) and
    /// [`on_panic`](Builder::on_panic) tell how it went.
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`ExecuteError`](crate::ExecuteError) if the pool is closed, or full and [rejecting](crate::OnFull::Reject); the
    /// job was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// pool.execute(move || sender.send(42).unwrap()).wait()?;
    /// assert_eq!(receiver.recv()?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn execute<F>(&self, job: F) -> Execute<'_, F>
    where
        F: FnOnce() + Send + 'static,
    {
        Execute::new(self.shared(), job)
    }

    /// Accepts no more jobs; wakes who waits for room, and idle workers, which leave. Accepted jobs will be run.
    ///
    /// Returns false if it was closed already.
    pub fn close(&self) -> bool {
        self.shared().intake.close()
    }

    /// Returns whether the pool is closed. Jobs may still be queued or running.
    pub fn is_closed(&self) -> bool {
        self.shared().intake.is_closed()
    }

    /// Closes the pool, waits until every accepted job has ended and every worker has left, and joins the pool's
    /// threads.
    ///
    /// A worker that was never polled is not waited for. On a pool without workers this waits for one to come and do what
    /// is left. A job must not wait for this: it would wait for itself.
    ///
    /// # Cancel safety
    ///
    /// The pool is closed by the first poll and stays closed. What is dropped is the wait.
    ///
    /// # Errors
    ///
    /// None; but its timed forms return [`StillRunning`](crate::StillRunning).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let handle = pool.submit(|| 42).wait();
    /// pool.shutdown().wait();
    /// assert!(handle.is_finished());
    /// assert_eq!(pool.stats().workers, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.shared(), &self.owner.threads)
    }

    /// Waits for a moment in which no accepted job waits and none runs on a worker. The pool stays open.
    ///
    /// While others submit, that moment may never come; and in a pool that nobody works for, or that is
    /// [paused](Self::pause), only when nothing waits. Jobs that run elsewhere, in
    /// [their caller](crate::OnFull::CallerRuns), are not waited for. A job must not wait for this: it would wait for itself.
    ///
    /// # Memory ordering
    ///
    /// What the jobs did happens before what comes after the wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let (pool, done) = (WorkerPool::builder().threads(2).build()?, Arc::new(AtomicUsize::new(0)));
    /// for batch in 1..=2 {
    ///     for _ in 0..10 {
    ///         let done = done.clone();
    ///         pool.execute(move || drop(done.fetch_add(1, Ordering::Relaxed))).wait().unwrap();
    ///     }
    ///     pool.idle().wait();
    ///     assert_eq!(done.load(Ordering::Relaxed), 10 * batch);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn idle(&self) -> Idle {
        Idle::new(self.shared())
    }

    /// Closes the pool and takes the jobs out that no worker has taken, oldest first. Running jobs run on; nothing here
    /// waits for them.
    ///
    /// May spin for the few instructions that another thread needs to put a job in which was accepted just then; so it
    /// is not for interrupt handlers.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::detached(4);
    /// let handle = pool.try_submit(|| 42)?;
    /// assert_eq!(pool.shutdown_now().len(), 1); // and what is not kept is cancelled
    /// assert!(handle.wait().unwrap_err().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_now(&self) -> Vec<Pending> {
        let shared = self.shared();
        shared.take_all().into_iter().map(|job| Pending::new(shared, job)).collect()
    }

    /// Keeps the workers from beginning jobs until the guard is dropped; jobs that have begun go on.
    ///
    /// Submissions go on too, as long as there is room. Guards add up: the pool goes on when the last one is dropped. A
    /// closed pool does not heed them, so that no shutdown waits for a guard.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let paused = pool.pause();
    /// let handle = pool.submit(|| 7).wait();
    /// assert!(pool.is_paused() && !handle.is_finished());
    /// drop(paused);
    /// assert_eq!(handle.wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pause(&self) -> PauseGuard {
        PauseGuard::new(self.shared())
    }

    /// Returns whether a [`PauseGuard`] is alive. A snapshot.
    pub fn is_paused(&self) -> bool {
        self.shared().intake.is_paused()
    }

    /// Changes how many [threads](Builder::threads) the pool has, from 1 to 65535: a number, or a range.
    ///
    /// It starts those that are missing to the least, and a spare one if all are in jobs. Those that are too many end: at
    /// once, or after the job they are in. A [detached](Self::detached) pool can be given threads so.
    ///
    /// # Errors
    ///
    /// The operating system's, if it does not start a thread; those that were started stay. `InvalidInput` if `threads`
    /// are no range from 1 to 65535; then nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().threads(2).build()?;
    /// pool.resize(4)?;
    /// assert_eq!(pool.stats().workers, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn resize(&self, threads: impl Into<crate::headcount::ThreadCount>) -> std::io::Result<()> {
        self.owner.threads.resize(threads.into(), self.shared())
    }

    /// Returns what the pool has done and is doing.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// Returns how many jobs may wait when no worker does.
    pub fn capacity(&self) -> usize {
        self.shared().intake.capacity()
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("WorkerPool")
            .field("capacity", &self.capacity())
            .field("queued", &stats.queued)
            .field("running", &stats.running)
            .field("workers", &stats.workers)
            .field("is_paused", &self.is_paused())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        contain(|| _ = self.shared.intake.close());
        if self.shared.crew.orphan() {
            self.shared.abandon();
        }
        self.threads.join();
    }
}
