//! The settings of a pool.

#[cfg(feature = "std")]
use core::num::NonZeroUsize;
use core::{any::Any, fmt, time::Duration};

use alloc::boxed::Box;
#[cfg(feature = "std")]
use alloc::string::String;

use tidegate_core::{CancelToken, Clock, Timer, primitive::Arc};

#[cfg(feature = "std")]
use crate::threads::ThreadSettings;
use crate::{
    overflow::OnFull,
    pool::WorkerPool,
    shared::{Settings, Shared},
};

/// The capacity of a queue that nobody has set.
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
/// let name = pool.submit(|| std::thread::current().name().map(String::from)).wait().wait();
/// assert_eq!(name.unwrap().as_deref(), Some("tidegate-worker-0"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "settings do nothing until the pool is built"]
pub struct Builder {
    #[cfg(feature = "std")]
    threads: Option<NonZeroUsize>,
    #[cfg(feature = "std")]
    thread_settings: ThreadSettings,
    settings: Settings,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "std")]
            threads: None,
            #[cfg(feature = "std")]
            thread_settings: ThreadSettings::default(),
            settings: Settings {
                queue: DEFAULT_QUEUE,
                on_full: OnFull::default(),
                clock: None,
                on_panic: None,
                cancel_token: None,
                limit: None,
            },
        }
    }

    /// Sets the number of threads that [`build`](Self::build) starts. Default: as many as can run at once.
    #[cfg(feature = "std")]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets the names of the threads, by their numbers from 0. Default: `tidegate-worker-0` and so on.
    ///
    /// # Panics
    ///
    /// [`build`](Self::build) does if a name contains a null byte.
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

    /// Sets what each thread calls with its number before its first job. Default: nothing.
    ///
    /// A panic of it is contained, and the thread works all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    /// use tidegate_worker_pool::{Wait, WorkerPool};
    ///
    /// let alive = Arc::new(AtomicUsize::new(0));
    /// let (born, gone) = (alive.clone(), alive.clone());
    /// let pool = WorkerPool::builder()
    ///     .on_start(move |_number| drop(born.fetch_add(1, Ordering::Relaxed)))
    ///     .on_stop(move |_number| drop(gone.fetch_sub(1, Ordering::Relaxed)))
    ///     .build()?;
    /// assert!(pool.submit(move || alive.load(Ordering::Relaxed)).wait().wait().unwrap() > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn on_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.thread_settings.on_start = Some(Box::new(hook));
        self
    }

    /// Sets what each thread calls with its number after its last job. Default: nothing.
    ///
    /// A shutdown, and the drop of the pool, wait for it. A panic of it is contained.
    #[cfg(feature = "std")]
    pub fn on_stop(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.thread_settings.on_stop = Some(Box::new(hook));
        self
    }

    /// Sets how many jobs may wait when no worker does. Default: 1024.
    ///
    /// 0 is a hand-off: a job is accepted when a worker is there to take it. The queue takes memory as it fills;
    /// `usize::MAX` means no bound.
    pub fn queue(mut self, capacity: usize) -> Self {
        self.settings.queue = capacity;
        self
    }

    /// Sets what `submit` and `execute` do while the queue is full. Default: they wait.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.settings.on_full = on_full;
        self
    }

    /// Measures with `clock` how long jobs wait and run, for [`Stats`](crate::Stats). Default: nobody measures, which
    /// saves three looks at the clock for each job.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.settings.clock = Some(Box::new(clock));
        self
    }

    /// Sets what hears of every panic of a job, with its payload, before the job's handle does. Default: nothing.
    ///
    /// It runs on the worker. It also hears of a result that nobody wanted and that panics when it is dropped. Its own
    /// panic is contained. Without std it hears only that there was a panic.
    pub fn on_panic(
        mut self,
        on_panic: impl Fn(&(dyn Any + Send)) + Send + Sync + 'static,
    ) -> Self {
        self.settings.on_panic = Some(Box::new(on_panic));
        self
    }

    /// Sets the parent of the tokens of jobs that have one: futures, and closures that
    /// [take a token](WorkerPool::submit_with_token). Default: they have no parent.
    ///
    /// Cancelled, it stops those that run, and those that begin later at once. Other jobs know no token and are run.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::{CancelToken, Wait, WorkerPool};
    ///
    /// let token = CancelToken::new();
    /// let pool = WorkerPool::builder().cancel_token(token.clone()).build()?;
    /// let endless = pool.submit_future(std::future::pending::<()>()).wait();
    /// token.cancel();
    /// assert!(endless.wait().unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cancel_token(mut self, token: CancelToken) -> Self {
        self.settings.cancel_token = Some(token);
        self
    }

    /// Cancels the token of a job when it has run for `duration`, measured by `timer` from its beginning; of jobs that have
    /// one, as above. Default: no limit.
    ///
    /// A future ends at its next await. A closure has to look at its token: nobody can stop a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_worker_pool::{SystemClock, Wait, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().job_timeout(SystemClock, Duration::from_millis(1)).build()?;
    /// let endless = pool.submit_future(std::future::pending::<()>()).wait();
    /// assert!(endless.wait().unwrap_err().is_cancelled());
    ///
    /// let patient = pool.submit_with_token(|token| token.cancelled().wait().to_string()).wait();
    /// assert_eq!(patient.wait().unwrap(), "deadline exceeded");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn job_timeout(
        mut self,
        timer: impl Timer + Send + Sync + 'static,
        duration: Duration,
    ) -> Self {
        self.settings.limit =
            Some(Arc::new(move |token| token.child_with_timeout(&timer, duration)));
        self
    }

    /// Creates a pool and starts its threads.
    ///
    /// # Errors
    ///
    /// The operating system's, if it does not start a thread; those that were started have ended then.
    #[cfg(feature = "std")]
    pub fn build(self) -> std::io::Result<WorkerPool> {
        let threads = match self.threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let settings = Arc::new(self.thread_settings);
        let pool = WorkerPool::new(Shared::new(self.settings));
        // Dropping the pool on the way out closes it and joins what has started.
        (0..threads.get()).try_for_each(|number| pool.spawn_thread(number, &settings))?;
        Ok(pool)
    }

    /// Creates a pool without threads: whoever drives its [`worker`](WorkerPool::worker)s runs its jobs.
    pub fn detached(self) -> WorkerPool {
        WorkerPool::new(Shared::new(self.settings))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("queue", &self.settings.queue).finish_non_exhaustive()
    }
}
