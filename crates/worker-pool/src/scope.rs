//! Jobs that borrow.
//!
//! ```text
//! execute ─▶ the scope's own line ─▶ the line into the pool's list ─▶ a call into the pool's queue, unless there are enough
//! a worker answers a call:  the first line of the list ─▶ its oldest job: run, contain its panic ─▶ more? another call
//! the end of the scope:     run what is left in the line ─▶ wait until none is pending
//! ```
//!
//! What is in the pool's queue is a call, not a job, and not of any scope: a call that comes late finds no line and does
//! nothing. So the end of a scope needs no worker, and a scope on a worker of its own pool ends also if every other worker
//! waits, too. There are no more calls than workers at any time, and none that a scope leaves behind is in another one's way.
//!
//! Nobody runs a job within another one, unless that one waits for the end of a scope of its own. So what the jobs need of the
//! stack does not depend on how many there are.
#![allow(unsafe_code, reason = "what borrows is kept as if it lived for ever")]

use core::{fmt, marker::PhantomData, mem};
use std::panic::resume_unwind;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
};

use tidegate_core::{
    Event, Wait,
    lock::Lock,
    primitive::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{
    intake::Refused,
    panic::{DropEach, Payload, bury, catch, contain},
    pool::WorkerPool,
    shared::Shared,
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

pub(crate) struct Line {
    /// Its number in the list, 0 if it is not there. Changed under the list's lock.
    number: AtomicU64,
    jobs: Lock<VecDeque<Erased>>,
    /// Jobs that were put in and have not ended.
    pending: AtomicUsize,
    changed: Event,
    /// The first panic of a job.
    panic: Lock<DropEach<Option<Payload>>>,
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
                first.replace(payload)
            });
            is_first.into_iter().for_each(bury);
        }
        // ORDERING: Release: what the job did, its drop included, is seen by the caller that finds none
        // pending (Acquire in `run`).
        if self.pending.fetch_sub(1, Ordering::Release) == 1 {
            contain(|| self.changed.notify_all());
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
struct End<'a>(&'a Line, &'a Scopes);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.run();
        self.1.strike(self.0);
    }
}

/// The scopes of a pool that have jobs which nobody has begun.
pub(crate) struct Scopes {
    list: Lock<List>,
    /// Calls in the pool's queue.
    calls: AtomicUsize,
}

struct List {
    /// In the order in which they were added, each once at most.
    lines: BTreeMap<u64, Arc<Line>>,
    last: u64,
}

impl Scopes {
    pub(crate) fn new() -> Self {
        let list = Lock::new(List { lines: BTreeMap::new(), last: 0 });
        Self { list, calls: AtomicUsize::new(0) }
    }

    /// Puts a line at the end of the list, unless it is there.
    fn enlist(&self, line: &Arc<Line>) {
        // ORDERING: Relaxed throughout: under the list's lock.
        self.list.with(|list| {
            if line.number.load(Ordering::Relaxed) == 0 {
                list.last += 1;
                line.number.store(list.last, Ordering::Relaxed);
                list.lines.insert(list.last, line.clone());
            }
        });
    }

    /// Takes a line out of the list.
    fn strike(&self, line: &Line) {
        let number = &line.number;
        drop(self.list.with(|list| list.lines.remove(&number.swap(0, Ordering::Relaxed))));
    }

    /// Runs a job of the first line of the list that has one; returns whether there may be more.
    fn serve(&self) -> bool {
        while let Some((_, line)) = self.list.with(|list| {
            let first = list.lines.pop_first();
            first.inspect(|(_, line)| line.number.store(0, Ordering::Relaxed))
        }) {
            if line.run_one() {
                if line.has_jobs() {
                    self.enlist(&line);
                }
                break;
            }
        }
        self.list.with(|list| !list.lines.is_empty())
    }
}

/// A call that is in the queue. Dropped, it is not any more.
struct Call(Weak<Shared>);

impl Call {
    fn answer(self) {
        let Some(shared) = self.0.upgrade() else { return };
        // Before it looks at the list: who has put a line there and finds enough calls relies on one that has not looked.
        drop(self);
        if shared.scopes.serve() {
            call(&shared);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            // ORDERING: Relaxed: see `call`.
            shared.scopes.calls.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Calls a worker to help with the scopes, unless as many are called as there are.
fn call(shared: &Arc<Shared>) {
    let most = shared.crew.members().max(1);
    // ORDERING: Relaxed: the list's lock orders it. If a call has looked there before our line was added, it was taken out of the
    // count before that.
    let one_more = |calls| (calls < most).then_some(calls + 1);
    let calls = &shared.scopes.calls;
    if calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
        return;
    }
    let call = Call(Arc::downgrade(shared));
    match shared.accept(Job::plain(move || call.answer())) {
        // There are few of them, and nobody else will call when there is room.
        Err(Refused::Full(call)) if shared.intake.capacity() > 0 => shared.intake.put_behind(call),
        // What nobody answers is left to the ends of the scopes.
        Ok(()) | Err(Refused::Full(_) | Refused::Closed(_)) => {}
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Has a job run that may borrow what outlives the scope.
    ///
    /// It never waits, and never runs a job: those that no worker takes are run by the end of the scope, oldest first, all of
    /// them where the pool is closed. So there is no bound to how many wait, but memory. A job may use the scope, too. It has no
    /// handle; results go where the job borrows. What counts in the pool's statistics is each time that a worker came to help,
    /// also if there was nothing left to do.
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
        self.pool.shared().scopes.enlist(line);
        call(self.pool.shared());
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
                number: AtomicU64::new(0),
                jobs: Lock::new(VecDeque::new()),
                pending: AtomicUsize::new(0),
                changed: Event::new(),
                panic: Lock::default(),
            }),
            scope: PhantomData,
            env: PhantomData,
        };
        let result = {
            let _end = End(&scope.line, &self.shared().scopes);
            jobs(&scope)
        };
        if let Some(payload) = scope.line.panic.with(|first| first.take()) {
            contain(|| drop(result));
            resume_unwind(payload);
        }
        result
    }
}
