//! Jobs that borrow.
//!
//! ```text
//! execute ─▶ the scope's own queue ─▶ the pool's list of scopes
//!         ─▶ a request for help into the pool's queue, unless there are enough
//! a worker takes a request: the first scope of the list ─▶ run its oldest job, contain its panic
//!                           ─▶ more jobs? another request
//! the end of the scope:     run what is left in its queue ─▶ wait until no job is unfinished
//! ```
//!
//! The pool's queue holds requests for help, not the scopes' jobs, and a request belongs to no
//! scope: served late, it helps another scope, or does nothing if the list is empty. So the end of
//! a scope needs no worker, and a scope on a worker of its own pool ends even if every other worker
//! waits, too. There are no more requests than workers (or one, if there is no worker), and a
//! request that a scope leaves behind blocks no other scope.
//!
//! A thread runs a scope's job within another job only while the outer one waits for the end of a
//! scope of its own. So the stack that the jobs need does not depend on their number.
#![allow(unsafe_code, reason = "what borrows is kept as if it lived for ever")]

use core::{fmt, marker::PhantomData, mem};
use std::panic::resume_unwind;

use alloc::boxed::Box;

use tidegate_core::{
    primitive::{Arc, Weak, atomic::Ordering},
    ring::NotPushed,
};

use crate::{
    job::Job,
    pool::WorkerPool,
    state::{
        Shared,
        scopes::{ErasedClosure, ScopeQueue, Scopes},
    },
    unwind::contain,
};

/// Runs jobs that may borrow what outlives the scope: see [`WorkerPool::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    pool: &'scope WorkerPool,
    queue: Arc<ScopeQueue>,
    // Both lifetimes are invariant, as in std's scope, so that no borrow of a job is shortened or
    // prolonged.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Ends the scope when it is dropped, also if the scope's closure panics.
struct ScopeEnd<'a>(&'a ScopeQueue, &'a Scopes);

impl Drop for ScopeEnd<'_> {
    fn drop(&mut self) {
        self.1.finish(self.0);
    }
}

/// A request, in the pool's queue, for a worker's help with the scopes. Its drop takes it out of
/// the count.
struct HelpRequest(Weak<Shared>);

impl HelpRequest {
    fn serve(self) {
        let Some(shared) = self.0.upgrade() else { return };
        // The request leaves the count before it reads the list: a submitter that adds a scope and
        // finds enough requests relies on one that has not read the list yet.
        drop(self);
        if shared.scopes.run_one() {
            request_help(&shared);
        }
    }
}

impl Drop for HelpRequest {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            // ORDERING: Relaxed: see `request_help`.
            shared.scopes.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Asks for a worker's help with the scopes, unless there are as many requests as workers.
fn request_help(shared: &Arc<Shared>) {
    let most = shared.workers.total().max(1);
    // ORDERING: Relaxed: the list's lock orders the count: a request that has read the list before
    // our scope was added had left the count before it read.
    let one_more = |requests| (requests < most).then_some(requests + 1);
    let requests = &shared.scopes.requests;
    if requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
        return;
    }
    let request = HelpRequest(Arc::downgrade(shared));
    match shared.accept(Job::plain(move || request.serve())) {
        // Requests are few, and this one must be stored now: no other caller asks again once there
        // is room.
        Err(NotPushed::Full(request)) if shared.job_queue.capacity() > 0 => {
            shared.job_queue.push_unbounded(request);
        }
        // The end of a scope runs the jobs that no worker helps with.
        Ok(()) | Err(NotPushed::Full(_) | NotPushed::Closed(_)) => {}
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Submits a job that may borrow what outlives the scope.
    ///
    /// It never waits, and never runs a job: the end of the scope runs those that no worker takes,
    /// oldest first, also if the pool is closed. So only memory bounds how many jobs wait. A job
    /// may use the scope, too. It has no handle, and stores its result in what it borrows. The
    /// pool's statistics do not count a scope's jobs; they count each time that a worker came to
    /// help, even if no job was left.
    pub fn execute(&'scope self, job: impl FnOnce() + Send + 'scope) {
        let job: Box<dyn FnOnce() + Send + 'scope> = Box::new(job);
        // SAFETY: only the lifetime changes. The job is called and dropped before `unfinished`,
        // which `push` raises, is lowered; and `ScopeEnd`, in `WorkerPool::scope`, does not let
        // 'scope end before `unfinished` is zero. No other code ever sees the job, which goes from
        // the queue into `run_one` by value.
        let job: ErasedClosure =
            unsafe { mem::transmute::<Box<dyn FnOnce() + Send + 'scope>, ErasedClosure>(job) };
        self.queue.push(job);
        self.pool.shared().scopes.add(&self.queue);
        request_help(self.pool.shared());
        self.queue.notify_end();
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unfinished = self.queue.unfinished();
        f.debug_struct("Scope").field("unfinished", &unfinished).finish_non_exhaustive()
    }
}

impl WorkerPool {
    /// Calls `jobs` with a scope, whose jobs may borrow; returns what `jobs` returned, when all
    /// jobs of the scope have ended.
    ///
    /// When `jobs` has returned, the calling thread helps: it runs those jobs of the scope that no
    /// worker has begun, and no others. So this method can be called in a job of the same pool, at
    /// any depth, and needs no free worker.
    ///
    /// # Panics
    ///
    /// When all jobs have ended, resumes the panic of `jobs`, or else of the job that panicked
    /// first.
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
    /// # Ok::<(), tidegate_worker_pool::StartError>(())
    /// ```
    pub fn scope<'env, R>(
        &'env self,
        jobs: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    ) -> R {
        let queue = Arc::new(ScopeQueue::default());
        let scope = Scope { pool: self, queue, scope: PhantomData, env: PhantomData };
        let result = {
            let _end = ScopeEnd(&scope.queue, &self.shared().scopes);
            jobs(&scope)
        };
        if let Some(payload) = scope.queue.take_panic() {
            contain(|| drop(result));
            resume_unwind(payload);
        }
        result
    }
}
