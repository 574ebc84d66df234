//! Jobs that borrow.
//!
//! ```text
//! execute ─▶ the scope's own line ─▶ a call into the pool's queue ──full──▶ run one here
//! a worker answers a call:  the oldest of the line ─▶ run, contain its panic ─▶ one less is pending
//! the end of the scope:     run what is left in the line ─▶ wait until none is pending
//! ```
//!
//! What is in the pool's queue is a call, not a job: a call that comes late finds the line empty and does nothing. So the end
//! of a scope needs no worker, and a scope on a worker of its own pool ends also if every other worker waits, too.
#![allow(unsafe_code, reason = "what borrows is kept as if it lived for ever")]

use core::{fmt, marker::PhantomData, mem};
use std::panic::resume_unwind;

use alloc::{boxed::Box, collections::VecDeque};

use tidegate_core::{
    Event, Wait,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    panic::{Payload, bury, catch},
    pool::WorkerPool,
    task::Job,
};

/// Where jobs can borrow from: see [`WorkerPool::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    pool: &'scope WorkerPool,
    line: Arc<Line>,
    // Invariant in both, as std's: what jobs borrow is neither shortened nor prolonged.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A closure that says that it may be kept for ever. Its scope sees to it that it is not.
type Erased = Box<dyn FnOnce() + Send>;

struct Line {
    jobs: Lock<VecDeque<Erased>>,
    /// Jobs that were put in and have not ended.
    pending: AtomicUsize,
    changed: Event,
    /// The first panic of a job.
    panic: Lock<Option<Payload>>,
}

impl Line {
    /// Runs the oldest job of the line; returns whether there was one.
    fn run_one(&self) -> bool {
        let Some(job) = self.jobs.with(VecDeque::pop_front) else { return false };
        if let Err(payload) = catch(job) {
            let is_first = self.panic.with(|first| {
                if first.is_some() {
                    return Some(payload);
                }
                *first = Some(payload);
                None
            });
            is_first.into_iter().for_each(bury);
        }
        // ORDERING: Release: what the job did, its drop included, is seen by who finds none pending (Acquire in `run`).
        if self.pending.fetch_sub(1, Ordering::Release) == 1 {
            self.changed.notify_all();
        }
        true
    }

    /// Runs what is left, and waits for what others run.
    fn run(&self) {
        let is_over = || (self.pending.load(Ordering::Acquire) == 0).then_some(());
        while is_over().is_none() {
            if !self.run_one() {
                // A job that runs may put another one in; whoever has run it looks at the line again.
                self.changed
                    .wait_until(|| is_over().or_else(|| self.has_jobs().then_some(())))
                    .wait();
            }
        }
    }

    fn has_jobs(&self) -> bool {
        self.jobs.with(|jobs| !jobs.is_empty())
    }
}

/// Ends the scope, however it is left.
struct End<'a>(&'a Line);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.run();
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Has a job run that may borrow what outlives the scope.
    ///
    /// It never waits: where there is no room in the pool's queue, the calling thread runs the scope's oldest job itself, and
    /// where the pool is closed, the end of the scope runs them all. A job may use the scope, too. It has no handle; results
    /// go where the job borrows. In the pool's statistics each is a job, and a job that the end of the scope has run counts once
    /// more, as one that found nothing to do.
    pub fn execute(&'scope self, job: impl FnOnce() + Send + 'scope) {
        let job: Box<dyn FnOnce() + Send + 'scope> = Box::new(job);
        // SAFETY: only the lifetime changes. The job is called and dropped before `pending`, which is raised here, is lowered;
        // and `End`, in `WorkerPool::scope`, does not let 'scope end before none is pending. Nobody else ever sees it: it goes
        // from the line into `run_one`, by value.
        let job: Erased =
            unsafe { mem::transmute::<Box<dyn FnOnce() + Send + 'scope>, Erased>(job) };
        let line = &self.line;
        // ORDERING: Relaxed: 'scope is alive, so its end will look at this later than we do: by the end of the closure, or of the
        // job, in which this is.
        line.pending.fetch_add(1, Ordering::Relaxed);
        line.jobs.with(|jobs| jobs.push_back(job));
        let call = {
            let line = line.clone();
            Job::plain(move || _ = line.run_one())
        };
        match self.pool.shared().accept(call) {
            Ok(()) => {}
            Err(crate::intake::Refused::Full(call)) => self.pool.shared().run_here(call),
            // The end of the scope will run it.
            Err(crate::intake::Refused::Closed(_)) => {}
        }
        // If it waits already, it helps: perhaps nobody answers calls.
        line.changed.notify(1);
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.line.pending.load(Ordering::Relaxed);
        f.debug_struct("Scope").field("pending", &pending).finish_non_exhaustive()
    }
}

impl WorkerPool {
    /// Runs jobs that borrow, and returns when all of them have ended.
    ///
    /// The calling thread helps: it runs those jobs of the scope that no worker has begun, and no others. So it can be called
    /// in a job of the same pool, at any depth, and does not need a worker that is free.
    ///
    /// # Panics
    ///
    /// When all jobs have ended, it goes on with the panic of the closure, or else of the job that panicked first.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().build()?;
    /// let mut numbers = vec![1, 2, 3, 4];
    /// pool.scope(|scope| {
    ///     for half in numbers.chunks_mut(2) {
    ///         scope.execute(|| half.iter_mut().for_each(|n| *n *= 10));
    ///     }
    /// });
    /// assert_eq!(numbers, [10, 20, 30, 40]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn scope<'env, R>(
        &'env self,
        jobs: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    ) -> R {
        let scope = Scope {
            pool: self,
            line: Arc::new(Line {
                jobs: Lock::new(VecDeque::new()),
                pending: AtomicUsize::new(0),
                changed: Event::new(),
                panic: Lock::new(None),
            }),
            scope: PhantomData,
            env: PhantomData,
        };
        let result = {
            let _end = End(&scope.line);
            jobs(&scope)
        };
        if let Some(payload) = scope.line.panic.with(Option::take) {
            resume_unwind(payload);
        }
        result
    }
}
