//! `WorkerPool`: what its users hold.

use core::{fmt, future::Future};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{CancelToken, primitive::Arc, ring::NotPushed};

use crate::{
    builder::Builder,
    error::{ExecuteError, TrySubmitError},
    job::{Job, future_job::future_job, handle::JobHandle, job_cell::runnable},
    pause::PauseGuard,
    shutdown::{Idle, Shutdown},
    state::Shared,
    stats::Stats,
    submit::{Execute, RunJob, Submit},
    unstarted::UnstartedJob,
    unwind::contain,
    workers::{threads::Threads, worker::Worker},
};
#[cfg(feature = "std")]
use crate::{error::StartError, workers::thread_limits::ThreadCount};

/// Runs jobs on a bounded number of workers, with a bounded queue before them.
///
/// The workers are threads of the pool's own ([`builder`](Self::builder)), or futures that any
/// executor drives ([`detached`](Self::detached)), or both. Clones are the same pool and cost one
/// reference count.
///
/// **At the end of the process** a pool with threads has lost no accepted job if its last clone was
/// dropped before, and the drop waited (see below). The clone may have been a thread-local of a
/// thread that was joined. A pool that is never dropped (in a `static`, leaked, or owned by a
/// thread that is not joined) cannot finish its jobs: when `main` returns, the system ends its
/// threads. In this case call [`shutdown().wait()`](Self::shutdown) at the end of `main`, or
/// [`idle().wait()`](Self::idle).
///
/// # Dropping it
///
/// Dropping the last clone closes and drains the pool: every accepted job is run. A pool with
/// threads *waits* for that, and joins its threads. It does not wait after a shutdown that timed
/// out, nor if one of its own threads drops it: that thread would wait for itself. A detached pool
/// does not wait: its workers finish the jobs. If it has no worker, the jobs are cancelled.
///
/// In a task, call `shutdown().await` before the drop, which then has nothing left to wait for.
///
/// # Clones
///
/// A pool and a [`KeyedPool`](crate::KeyedPool) are `Clone`: a clone is the same pool. A
/// [`JobHandle`], a group, a guard and a future are not: each has one owner.
///
/// # Fairness
///
/// Jobs begin in the order in which they were accepted; but a job with a [key](crate::KeyedPool)
/// waits until no other job of its key runs. Waiting submitters are woken in order, but a new
/// submitter may take a slot before the woken one does.
///
/// # Memory ordering
///
/// What happens before a job is submitted happens before the job; and the job happens before its
/// result is seen through its handle, and before the end of a shutdown.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().queue(4).build()?;
/// let square = |n: u64| pool.submit(move || n * n).wait();
/// let squares: Vec<_> = (0..8).map(square).collect();
/// let values = squares.into_iter().map(|square| square.wait().unwrap());
/// assert_eq!(values.sum::<u64>(), 140);
/// # Ok::<(), tidegate_worker_pool::StartError>(())
/// ```
#[derive(Clone)]
pub struct WorkerPool {
    owner: Arc<Owner>,
}

/// Dropped with the last clone of the pool: its drop closes the pool and joins the threads.
struct Owner {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

impl WorkerPool {
    /// Returns a builder with the default settings; its [`build`](Builder::build) starts the pool.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Creates a pool without threads, with a queue for `queue` jobs and otherwise default
    /// settings.
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

    /// Adds a worker: a future that the caller drives, and that runs one job at a time. A pool
    /// without threads runs as many jobs at once as it has such workers.
    ///
    /// A pool with threads can have such workers, too.
    pub fn worker(&self) -> Worker {
        Worker::new(self.shared())
    }

    /// Waits for room, submits a job, and resolves to a handle that waits for its result.
    /// [`on_full`](Builder::on_full) sets what it does instead of waiting for room.
    ///
    /// Inside a job of the same pool, see [the warning](crate#submitting-from-inside-a-job).
    ///
    /// # Cancel safety
    ///
    /// The job is submitted when the future resolves. Dropping the future before that drops the job
    /// and leaves no trace.
    ///
    /// # Errors
    ///
    /// If the pool is closed, the job is dropped and the handle resolves to
    /// [`JoinError::Closed`](crate::JoinError::Closed), so that all errors come from one place.
    /// [`OnFull`](crate::OnFull) says what else can happen to the job. To get the job back, use
    /// [`try_submit`](Self::try_submit).
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
    /// let error = pool.run(|| 6 * 7).wait().unwrap_err();
    /// assert!(error.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit<F, T>(&self, job: F) -> Submit<'_, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (runnable, unsubmitted) = runnable(job, None);
        Submit::new(self.shared(), Job::Tracked(runnable), unsubmitted.into_receiver())
    }

    /// Runs a job on a worker and waits for its result: [`submit`](Self::submit) and the wait for
    /// its handle in one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the job if it has not begun; a job that has begun goes on.
    ///
    /// # Errors
    ///
    /// [`JoinError`](crate::JoinError): the job panicked, was cancelled, expired, or was not
    /// accepted.
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

    /// Submits a closure with a token that tells it to stop: [`submit`](Self::submit) for closures
    /// that take long.
    ///
    /// The token is cancelled by [`JobHandle::cancel`], by the pool's
    /// [`cancel_token`](Builder::cancel_token), and when the job's [time](Builder::job_timeout) is
    /// up. The closure itself has to check the token, and to return.
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
        let (token, start_token) = (shared.token(), shared.start_token());
        let parent = token.clone();
        let (runnable, unsubmitted) = runnable(move || job(&start_token(parent)), Some(token));
        Submit::new(shared, Job::Tracked(runnable), unsubmitted.into_receiver())
    }

    /// Submits a future: a worker polls it until it has ended, and then takes the next job.
    ///
    /// So at most as many futures run at once as there are workers; shutdown, back-pressure and
    /// order are the same as for closures. While the future is pending, a worker that is [driven by
    /// an executor](Self::worker) lets other tasks run, and a thread sleeps. To have many futures
    /// wait at once, spawn them in an executor.
    ///
    /// The future is cancelled at an await by [`JobHandle::cancel`], by the pool's
    /// [`cancel_token`](Builder::cancel_token), when its [time](Builder::job_timeout) is up, and
    /// when its [`Worker`] is dropped. Submitting a future takes at least five allocations.
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
        let (future, unsubmitted) = future_job(future, shared.token(), shared.start_token());
        Submit::new(shared, Job::Future(Box::new(future)), unsubmitted.into_receiver())
    }

    /// Submits a job if there is room now: a free slot in the queue, or, if its capacity is 0, a
    /// worker that waits.
    ///
    /// # Errors
    ///
    /// [`TrySubmitError`] gives the job back if the queue is full or the pool is closed.
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
        // This first check refuses a job before anything is allocated.
        let refused = if shared.job_queue.is_full() && !shared.job_queue.is_closed() {
            TrySubmitError::Full(job)
        } else {
            let (runnable, unsubmitted) = runnable(job, None);
            match shared.accept(Job::Tracked(runnable)) {
                Ok(()) => {
                    return Ok(JobHandle::new(
                        unsubmitted.into_receiver(),
                        Arc::downgrade(shared) as _,
                    ));
                }
                Err(NotPushed::Full(_)) => TrySubmitError::Full(unsubmitted.into_closure()),
                Err(NotPushed::Closed(_)) => TrySubmitError::Closed(unsubmitted.into_closure()),
            }
        };
        shared.note_refused(match refused {
            TrySubmitError::Full(_) => ExecuteError::Full,
            TrySubmitError::Closed(_) => ExecuteError::Closed,
        });
        Err(refused)
    }

    /// Waits for room, and submits a job without a handle. Only [`stats`](Self::stats) and
    /// [`on_panic`](Builder::on_panic) tell how the job ended. [`on_full`](Builder::on_full) sets
    /// what this does instead of waiting.
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`ExecuteError`](crate::ExecuteError) if the pool is closed, or full and
    /// [rejecting](crate::OnFull::Reject); the job is dropped then.
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

    /// Closes the pool, which accepts no more jobs; returns false if it was closed already.
    ///
    /// It wakes submitters that wait for room, and idle workers, which leave. Accepted jobs are
    /// still run.
    pub fn close(&self) -> bool {
        self.shared().job_queue.close()
    }

    /// Returns whether the pool is closed. Jobs may still be queued or running.
    pub fn is_closed(&self) -> bool {
        self.shared().job_queue.is_closed()
    }

    /// Closes the pool, waits until its workers have run every accepted job and have left, and
    /// joins the pool's threads.
    ///
    /// It does not wait for a worker that was never polled, nor for jobs that run elsewhere, in
    /// [their caller](crate::OnFull::CallerRuns). On a pool without workers it waits until one
    /// comes and runs the jobs that are left. A job must not wait for this: it would wait for
    /// itself.
    ///
    /// # Cancel safety
    ///
    /// The first poll closes the pool, which stays closed. Dropping the future only ends the wait.
    ///
    /// # Errors
    ///
    /// None; but the future's timed forms can return [`StillRunning`](crate::StillRunning).
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
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.shared(), &self.owner.threads)
    }

    /// Waits for a moment in which no accepted job waits and none runs on a worker. The pool stays
    /// open.
    ///
    /// While other callers submit, that moment may never come; in a pool that has no workers or is
    /// [paused](Self::pause), it does not come while a job waits. Jobs that run elsewhere, in
    /// [their caller](crate::OnFull::CallerRuns), are not waited for. A job must not wait for this:
    /// it would wait for itself.
    ///
    /// # Memory ordering
    ///
    /// The jobs that were waited for happen before the end of the wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().threads(2).build()?;
    /// let done = Arc::new(Mutex::new(0));
    /// for batch in 1..=2 {
    ///     for _ in 0..10 {
    ///         let done = done.clone();
    ///         pool.execute(move || *done.lock().unwrap() += 1).wait().unwrap();
    ///     }
    ///     pool.idle().wait();
    ///     assert_eq!(*done.lock().unwrap(), 10 * batch);
    /// }
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    pub fn idle(&self) -> Idle {
        Idle::new(self.shared())
    }

    /// Closes the pool and takes out the jobs that no worker has taken, oldest first. Running jobs
    /// go on; this does not wait for them. Some of the jobs that it returns may have been cancelled
    /// by their handles: to run such a job does nothing.
    ///
    /// It may spin for the few instructions that another thread needs to store a job that was
    /// accepted just then; so do not call it in an interrupt handler.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::detached(4);
    /// let handle = pool.try_submit(|| 42)?;
    /// assert_eq!(pool.shutdown_now().len(), 1); // and its drop cancels the job
    /// assert!(handle.wait().unwrap_err().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_now(&self) -> Vec<UnstartedJob> {
        let shared = self.shared();
        shared.take_all().into_iter().map(|job| UnstartedJob::new(shared, job)).collect()
    }

    /// Keeps the workers from beginning jobs until the guard is dropped; jobs that have begun go
    /// on.
    ///
    /// Submissions go on too, as long as there is room. With several guards the pause lasts until
    /// the last one is dropped. A closed pool ignores guards, so that no shutdown waits for a
    /// guard.
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
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    pub fn pause(&self) -> PauseGuard {
        PauseGuard::new(self.shared())
    }

    /// Returns whether a [`PauseGuard`] is alive. A snapshot.
    pub fn is_paused(&self) -> bool {
        self.shared().job_queue.is_paused()
    }

    /// Changes how many [threads](Builder::threads) the pool has, from 1 to 65535: a number, or a
    /// range.
    ///
    /// It starts threads up to the minimum, and one more within the maximum if all are in jobs.
    /// Threads beyond the maximum end: at once, or after the job they are in. In a pool that is
    /// closed and has no job left, it starts none. A [detached](Self::detached) pool can be given
    /// threads this way.
    ///
    /// # Errors
    ///
    /// [`StartError::Thread`] if a thread cannot be started; those that were started stay.
    /// [`StartError::Setting`] if `threads` is not a range from 1 to 65535; then nothing has
    /// changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().threads(2).build()?;
    /// pool.resize(4)?;
    /// assert_eq!(pool.stats().workers, 4);
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn resize(&self, threads: impl Into<ThreadCount>) -> Result<(), StartError> {
        self.owner.threads.resize(threads.into(), self.shared())
    }

    /// Returns the statistics of the pool: what it has done and is doing.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// Returns how many jobs may wait while all workers are busy.
    pub fn capacity(&self) -> usize {
        self.shared().job_queue.capacity()
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("WorkerPool")
            .field("capacity", &self.capacity())
            .field("waiting", &stats.waiting)
            .field("in_flight", &stats.in_flight)
            .field("workers", &stats.workers)
            .field("is_paused", &self.is_paused())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        contain(|| _ = self.shared.job_queue.close());
        if self.shared.workers.orphan() {
            self.shared.abandon();
        }
        self.threads.join();
    }
}
