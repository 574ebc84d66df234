//! The pools that are measured, behind one trait. A method is what a user would write.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, JoinHandle},
};

use async_executor::Executor;
use crossbeam_channel::{Receiver, Sender};
use futures_lite::future::block_on;
use tidegate_core::Wait;
use tidegate_worker_pool::{OnFull, WorkerPool};
use tokio::runtime::{Builder, Runtime};

/// How many threads run jobs.
pub(super) const THREADS: usize = 2;

/// How many jobs a bounded pool holds: tidegate's default.
pub(super) const ROOM: usize = 1024;

/// A pool of [`THREADS`] threads.
pub(super) trait Pool: Send + Sync + 'static {
    /// Submits a job without a handle. If there is no room it waits.
    fn execute(&self, job: impl FnOnce() + Send + 'static);

    /// Does so from inside a job. Where it would have to wait, the job runs the new one itself.
    fn execute_from_a_job(&self, job: impl FnOnce() + Send + 'static) {
        self.execute(job);
    }

    /// Hands over a job, and returns what waits for its result.
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64;
}

/// A channel for the result, as one uses it where a pool has no handle.
#[inline]
fn by_channel(
    pool: &impl Pool,
    job: impl FnOnce() -> u64 + Send + 'static,
) -> impl FnOnce() -> u64 {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    pool.execute(move || sender.send(job()).unwrap());
    move || receiver.recv().unwrap()
}

/// Starts tidegate's pool, with room for so many jobs; `on_full` says what a full pool does.
pub(super) fn tidegate(room: usize, on_full: OnFull) -> WorkerPool {
    let threads = NonZeroUsize::new(THREADS).unwrap();
    WorkerPool::builder().threads(threads).queue(room).on_full(on_full).build().unwrap()
}

impl Pool for WorkerPool {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.execute(job).wait().unwrap();
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        let handle = self.submit(job).wait();
        move || handle.wait().unwrap()
    }
}

/// Threads that receive jobs from a channel.
pub(super) struct ByChannel {
    jobs: Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl ByChannel {
    pub(super) fn bounded(room: usize) -> Self {
        Self::start(crossbeam_channel::bounded(room))
    }

    pub(super) fn unbounded() -> Self {
        Self::start(crossbeam_channel::unbounded())
    }

    fn start((jobs, received): (Sender<Job>, Receiver<Job>)) -> Self {
        start_threads(move || received.iter().for_each(|job| job()));
        Self { jobs }
    }
}

impl Pool for ByChannel {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).unwrap();
    }

    #[inline]
    fn execute_from_a_job(&self, job: impl FnOnce() + Send + 'static) {
        if let Err(refused) = self.jobs.try_send(Box::new(job)) {
            refused.into_inner()();
        }
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        by_channel(self, job)
    }
}

/// Starts a threadpool.
pub(super) fn threadpool() -> threadpool::ThreadPool {
    threadpool::ThreadPool::new(THREADS)
}

impl Pool for threadpool::ThreadPool {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.execute(job);
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        by_channel(self, job)
    }
}

/// Starts a rusty_pool, which does not grow.
pub(super) fn rusty_pool() -> rusty_pool::ThreadPool {
    rusty_pool::Builder::new().core_size(THREADS).max_size(THREADS).build()
}

impl Pool for rusty_pool::ThreadPool {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.execute(job);
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        let handle = self.evaluate(job);
        move || handle.await_complete()
    }
}

/// Starts a pool of rayon's.
pub(super) fn rayon() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().unwrap()
}

impl Pool for rayon::ThreadPool {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.spawn(job);
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        by_channel(self, job)
    }
}

/// The threads on which tokio runs blocking code.
pub(super) struct Blocking(Runtime);

impl Blocking {
    pub(super) fn start() -> Self {
        Self(Builder::new_current_thread().max_blocking_threads(THREADS).build().unwrap())
    }
}

impl Pool for Blocking {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.0.spawn_blocking(job);
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        let handle = self.0.spawn_blocking(job);
        move || block_on(handle).unwrap()
    }
}

/// Tokio's workers, for which a job is a future that is never pending.
pub(super) struct Tokio(Runtime);

impl Tokio {
    pub(super) fn start() -> Self {
        Self(Builder::new_multi_thread().worker_threads(THREADS).build().unwrap())
    }
}

impl Pool for Tokio {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.0.spawn(async move { job() });
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        let handle = self.0.spawn(async move { job() });
        move || block_on(handle).unwrap()
    }
}

/// An async-executor that is run by threads; a job is a future, too.
pub(super) struct Tasks {
    executor: Arc<Executor<'static>>,
    // Dropped, it ends the threads.
    _stop: async_channel::Sender<()>,
}

impl Tasks {
    pub(super) fn start() -> Self {
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let executor = Arc::new(Executor::new());
        start_threads({
            let executor = executor.clone();
            move || _ = block_on(executor.run(stopped.recv()))
        });
        Self { executor, _stop: stop }
    }
}

impl Pool for Tasks {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        self.executor.spawn(async move { job() }).detach();
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        let task = self.executor.spawn(async move { job() });
        move || block_on(task)
    }
}

/// A thread for each job instead of a pool.
pub(super) struct Threads;

impl Pool for Threads {
    #[inline]
    fn execute(&self, job: impl FnOnce() + Send + 'static) {
        thread::spawn(job);
    }

    #[inline]
    fn submit(&self, job: impl FnOnce() -> u64 + Send + 'static) -> impl FnOnce() -> u64 {
        let thread: JoinHandle<u64> = thread::spawn(job);
        move || thread.join().unwrap()
    }
}

fn start_threads(run: impl Fn() + Clone + Send + 'static) {
    for _ in 0..THREADS {
        thread::spawn(run.clone());
    }
}
