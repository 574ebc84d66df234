//! The settings of a pool: `Builder`.

#[cfg(feature = "tracing")]
mod tracing;

use core::{any::Any, fmt, time::Duration};

use alloc::boxed::Box;
#[cfg(feature = "std")]
use alloc::string::String;

use tidegate_core::{CancelToken, Clock, Timer, primitive::Arc};

use crate::{
    error::ExecuteError,
    on_full::OnFull,
    pool::WorkerPool,
    state::{JobSettings, Shared},
    workers::threads::{ThreadSettings, Threads},
};
#[cfg(feature = "std")]
use crate::{error::StartError, workers::thread_limits::ThreadCount};

/// The capacity of the queue if the builder sets none.
const DEFAULT_QUEUE: usize = 1024;

/// The settings of a [`WorkerPool`], each of which has a default.
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use tidegate_worker_pool::{SystemClock, Wait, WorkerPool};
///
/// let pool = WorkerPool::builder()
///     .threads(NonZeroUsize::MIN)
///     .queue(8)
///     .clock(SystemClock)
///     .on_panic(|_| eprintln!("a job panicked"))
///     .build()?;
/// let name = || std::thread::current().name().map(String::from);
/// let name = pool.run(name).wait().unwrap();
/// assert_eq!(name.as_deref(), Some("tidegate-worker-0"));
/// # Ok::<(), tidegate_worker_pool::StartError>(())
/// ```
#[must_use = "settings do nothing until the pool is built"]
pub struct Builder {
    #[cfg(feature = "std")]
    threads: Option<ThreadCount>,
    thread_settings: ThreadSettings,
    settings: JobSettings,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "std")]
            threads: None,
            thread_settings: ThreadSettings::default(),
            settings: JobSettings { queue: DEFAULT_QUEUE, ..JobSettings::default() },
        }
    }

    /// Sets how many threads the pool has, from 1 to 65535: a number, or a range. Default:
    /// `std::thread::available_parallelism`.
    ///
    /// Given a range, the pool starts with the minimum. A thread that begins a job while no other
    /// thread is free for the next one starts another, up to the maximum. If the system refuses it,
    /// the existing threads do the work
    /// ([`Stats::threads_refused`](crate::Stats::threads_refused)). A thread that has waited for
    /// [`keep_alive`](Self::keep_alive) ends if there are more threads than the minimum and another
    /// one waits, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// // For jobs that block: a thread for each such job, up to 64.
    /// let pool = WorkerPool::builder().threads(1..=64).build()?;
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let waits = pool.submit(move || receive.recv()).wait();
    /// pool.execute(move || send.send(42).unwrap()).wait().unwrap();
    /// assert_eq!(waits.wait().unwrap(), Ok(42));
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn threads(mut self, threads: impl Into<ThreadCount>) -> Self {
        self.threads = Some(threads.into());
        self
    }

    /// Sets how long a thread waits for a job before it ends, if the pool has more
    /// [`threads`](Self::threads) than the minimum. Default: 10 s; `Duration::MAX` means for ever.
    #[cfg(feature = "std")]
    pub fn keep_alive(mut self, duration: Duration) -> Self {
        self.thread_settings.keep_alive = duration;
        self
    }

    /// Sets the function that names each thread by its number, from 0 on. Default:
    /// `tidegate-worker-0` and so on.
    ///
    /// A thread is not started if the function panics for it, or its name contains a null byte:
    /// [`build`](Self::build) fails then.
    #[cfg(feature = "std")]
    pub fn thread_name(mut self, name: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        self.thread_settings.name = Some(Box::new(name));
        self
    }

    /// Sets the size of the threads' stacks, in bytes. Default: the system's.
    #[cfg(feature = "std")]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.thread_settings.stack_size = Some(bytes);
        self
    }

    /// Sets a hook that each thread calls, with its number, before its first job. Default: none.
    ///
    /// A panic of the hook is contained, and the thread works all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering::Relaxed}};
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let alive = Arc::new(AtomicUsize::new(0));
    /// let (born, gone) = (alive.clone(), alive.clone());
    /// let pool = WorkerPool::builder()
    ///     .on_start(move |_number| _ = born.fetch_add(1, Relaxed))
    ///     .on_stop(move |_number| _ = gone.fetch_sub(1, Relaxed))
    ///     .build()?;
    /// assert!(pool.run(move || alive.load(Relaxed)).wait().unwrap() > 0);
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn on_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.thread_settings.on_start = Some(Box::new(hook));
        self
    }

    /// Sets a hook that each thread calls, with its number, after its last job. Default: none.
    ///
    /// A shutdown and the drop of the pool wait until the hook has returned. Its panic is
    /// contained.
    #[cfg(feature = "std")]
    pub fn on_stop(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.thread_settings.on_stop = Some(Box::new(hook));
        self
    }

    /// Sets how many jobs may wait while all workers are busy. Default: 1024.
    ///
    /// 0 is a rendezvous: a job is accepted only while a worker waits for one. Memory for up to
    /// 1024 jobs is allocated at once, and more as the queue fills; `usize::MAX` means no bound.
    pub fn queue(mut self, capacity: usize) -> Self {
        self.settings.queue = capacity;
        self
    }

    /// Sets what `submit` and `execute` do while the queue is full. Default: they wait.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.settings.on_full = on_full;
        self
    }

    /// Sets the clock that measures, for [`Stats`](crate::Stats), how long jobs wait and run.
    /// Default: none, which saves three readings for each job.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.settings.clock = Some(Box::new(clock));
        self
    }

    /// Sets how long a job may wait in the queue: a worker that takes a job which has waited for
    /// longer than `age`, measured by `clock`, drops it instead of running it. So an overloaded
    /// pool does not spend its time on jobs whose callers have given up. Default: no limit.
    ///
    /// The handle of such a job resolves to [`Expired`](crate::JoinError::Expired). This also sets
    /// `clock` as the [clock](Self::clock) of the statistics.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_worker_pool::{ManualClock, Wait, WorkerPool};
    ///
    /// let clock = ManualClock::new();
    /// let pool = WorkerPool::builder()
    ///     .max_queue_age(clock.clone(), Duration::from_secs(1))
    ///     .detached();
    /// let stale = pool.submit(|| unreachable!()).wait();
    /// clock.advance(Duration::from_secs(2));
    /// let fresh = pool.submit(|| 42).wait();
    /// pool.close();
    /// pool.worker().wait();
    /// assert!(stale.wait().unwrap_err().is_expired());
    /// assert_eq!(fresh.wait().unwrap(), 42);
    /// ```
    pub fn max_queue_age(
        mut self,
        clock: impl Clock + Send + Sync + 'static,
        age: Duration,
    ) -> Self {
        self.settings.max_queue_age = Some(age);
        self.clock(clock)
    }

    /// Sets a hook that is called for every panic of a job, with its payload, before the job's
    /// handle resolves. Default: none. The panics of a scope's jobs do not come here: the scope
    /// resumes the first one.
    ///
    /// It runs on the thread that runs the job. It is also called if a job's handle was dropped
    /// before the job returned, and the destructor of the result panics. A panic of the hook is
    /// contained. Without std the payload only says that there was a panic.
    pub fn on_panic(
        mut self,
        on_panic: impl Fn(&(dyn Any + Send)) + Send + Sync + 'static,
    ) -> Self {
        self.settings.on_panic = Some(Box::new(on_panic));
        self
    }

    /// Sets a hook that is called for every job that is not accepted: for
    /// [`Stats::refused`](crate::Stats::refused). Default: none. Jobs that
    /// [`OnFull`](crate::OnFull) cancels were accepted, and do not come here.
    ///
    /// It runs on the thread of the submitter, which then gets its error. A panic of the hook is
    /// contained.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// use tidegate_worker_pool::{ExecuteError, WorkerPool};
    ///
    /// let full = Arc::new(AtomicU32::new(0));
    /// let counter = full.clone();
    /// let count = move |why: ExecuteError| {
    ///     counter.fetch_add(why.is_full().into(), Ordering::Relaxed);
    /// };
    /// let pool = WorkerPool::builder().queue(1).on_refuse(count).detached();
    /// let _first = pool.try_submit(|| ());
    /// assert!(pool.try_submit(|| ()).is_err());
    /// assert_eq!(full.load(Ordering::Relaxed), 1);
    /// ```
    pub fn on_refuse(mut self, on_refuse: impl Fn(ExecuteError) + Send + Sync + 'static) -> Self {
        self.settings.on_refuse = Some(Box::new(on_refuse));
        self
    }

    /// Makes an event of the crate `tracing` of each panic of a job (level `ERROR`, with its
    /// message) and of each job that is not accepted (level `WARN`). The field `pool` is `name`.
    ///
    /// Hooks for [panics](Self::on_panic) and [refusals](Self::on_refuse) that were set before are
    /// called after the event. Hooks set later replace both.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().tracing("thumbnails").build()?;
    /// // ERROR tidegate_worker_pool: a job panicked pool="thumbnails" panic="no such picture"
    /// let job = pool.run(|| panic!("no such picture"));
    /// assert!(job.wait().is_err());
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    #[cfg(feature = "tracing")]
    pub fn tracing(mut self, name: impl Into<alloc::borrow::Cow<'static, str>>) -> Self {
        tracing::set_hooks(&mut self.settings, name.into());
        self
    }

    /// Sets the parent of all jobs' tokens. Only futures, and closures that [take a
    /// token](WorkerPool::submit_with_token), have a token. Default: the tokens have no parent.
    ///
    /// Cancelling the parent cancels the tokens of the jobs that run, and of each job that begins
    /// later. Jobs without a token run all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{CancelToken, Wait, WorkerPool};
    ///
    /// let token = CancelToken::new();
    /// let pool = WorkerPool::builder().cancel_token(token.clone()).build()?;
    /// let endless = std::future::pending::<()>();
    /// let endless = pool.submit_future(endless).wait();
    /// token.cancel();
    /// assert!(endless.wait().unwrap_err().is_cancelled());
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    pub fn cancel_token(mut self, token: CancelToken) -> Self {
        self.settings.cancel_token = Some(token);
        self
    }

    /// Sets how long a job may run until its token is cancelled: for `duration`, measured by
    /// `timer`. Only futures, and closures that [take a token](WorkerPool::submit_with_token), have
    /// a token. Default: no limit.
    ///
    /// A future ends at its next await. A closure has to check its token: a thread cannot be
    /// stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_worker_pool::{SystemClock, Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder()
    ///     .job_timeout(SystemClock, Duration::from_millis(1))
    ///     .build()?;
    /// let endless = std::future::pending::<()>();
    /// let endless = pool.submit_future(endless).wait();
    /// assert!(endless.wait().unwrap_err().is_cancelled());
    ///
    /// let patient = pool
    ///     .submit_with_token(|token| token.cancelled().wait().to_string())
    ///     .wait();
    /// assert_eq!(patient.wait().unwrap(), "deadline exceeded");
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    pub fn job_timeout(
        mut self,
        timer: impl Timer + Send + Sync + 'static,
        duration: Duration,
    ) -> Self {
        self.settings.job_timeout =
            Some(Arc::new(move |token| token.child_with_timeout(&timer, duration)));
        self
    }

    /// Creates a pool and starts its threads.
    ///
    /// # Errors
    ///
    /// [`StartError::Thread`] if a thread cannot be started; those that were started have ended
    /// then. [`StartError::Setting`] if [`threads`](Self::threads) is not a range from 1 to 65535.
    #[cfg(feature = "std")]
    pub fn build(self) -> Result<WorkerPool, StartError> {
        let threads = self.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().unwrap_or(core::num::NonZeroUsize::MIN).into()
        });
        let pool = self.detached();
        // If this returns an error, the drop of the pool closes it and joins the threads that were
        // started.
        pool.resize(threads)?;
        Ok(pool)
    }

    /// Creates a pool without threads: its jobs run where its [`worker`](WorkerPool::worker)s are
    /// driven.
    pub fn detached(self) -> WorkerPool {
        WorkerPool::new(Shared::new(self.settings), Threads::new(self.thread_settings))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("queue", &self.settings.queue).finish_non_exhaustive()
    }
}
