//! What the pool, its workers and its submitters share: the queue, the counts, the settings.

pub(crate) mod counters;
pub(crate) mod job_queue;
mod run;
#[cfg(feature = "std")]
pub(crate) mod scopes;
mod worker_count;

use core::{
    any::Any,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{
    CancelToken, Clock, Timestamp,
    primitive::{
        Arc,
        atomic::{Ordering, fence},
    },
    ring::NotPushed,
};

#[cfg(feature = "std")]
use self::scopes::Scopes;
use self::{
    counters::{Counter, PoolCounters},
    job_queue::JobQueue,
    worker_count::WorkerCount,
};
use crate::{
    error::{ExecuteError, JoinError},
    job::{Job, handle::ReleaseSlot},
    on_full::OnFull,
    unwind::{attempt, contain},
};

pub(crate) type BoxedClock = Box<dyn Clock + Send + Sync>;
pub(crate) type OnPanic = Box<dyn Fn(&(dyn Any + Send)) + Send + Sync>;
pub(crate) type OnRefuse = Box<dyn Fn(ExecuteError) + Send + Sync>;
/// Derives, from a job's token, a child that is cancelled when the job's time is up. Called when
/// the job starts.
pub(crate) type JobTimeout = Arc<dyn Fn(&CancelToken) -> CancelToken + Send + Sync>;

/// What the [`Builder`](crate::Builder) sets, except for what concerns threads.
#[derive(Default)]
pub(crate) struct JobSettings {
    pub(crate) queue: usize,
    pub(crate) on_full: OnFull,
    pub(crate) clock: Option<BoxedClock>,
    pub(crate) on_panic: Option<OnPanic>,
    pub(crate) on_refuse: Option<OnRefuse>,
    /// The parent of all jobs' tokens.
    pub(crate) cancel_token: Option<CancelToken>,
    pub(crate) job_timeout: Option<JobTimeout>,
    pub(crate) max_queue_age: Option<Duration>,
}

pub(crate) struct Shared {
    pub(crate) job_queue: JobQueue,
    pub(crate) workers: WorkerCount,
    pub(crate) counters: PoolCounters,
    #[cfg(feature = "std")]
    pub(crate) scopes: Scopes,
    pub(crate) settings: JobSettings,
}

impl Shared {
    pub(crate) fn new(settings: JobSettings) -> Arc<Self> {
        Arc::new(Self {
            job_queue: JobQueue::new(settings.queue),
            workers: WorkerCount::default(),
            counters: PoolCounters::new(),
            #[cfg(feature = "std")]
            scopes: Scopes::default(),
            settings,
        })
    }

    /// Accepts a job if there is room.
    #[inline]
    pub(crate) fn accept(&self, mut job: Job) -> Result<(), NotPushed<Job>> {
        if let Some(now) = self.now() {
            job.accept(now);
        }
        self.job_queue.push(job)
    }

    /// Returns whether a closure that is submitted now would certainly be run by its submitter;
    /// false if only a push can tell ([`JobQueue::is_full`]). A snapshot.
    #[inline]
    pub(crate) fn caller_runs(&self) -> bool {
        self.settings.on_full == OnFull::CallerRuns
            && self.job_queue.is_full()
            && !self.job_queue.is_closed()
    }

    /// Counts a job that was not accepted, and calls the hook for it.
    #[cold]
    pub(crate) fn note_refused(&self, why: ExecuteError) {
        self.counters.add(Counter::Refused, 1);
        if let Some(on_refuse) = &self.settings.on_refuse {
            contain(|| on_refuse(why));
        }
    }

    /// Cancels the oldest job in the queue; returns whether there was one. A rendezvous has none to
    /// cancel.
    #[cold]
    pub(crate) fn drop_oldest(&self) -> bool {
        // A job in a rendezvous has claimed a worker, which must find it.
        let oldest =
            if self.job_queue.capacity() == 0 { None } else { self.job_queue.pop().ok().flatten() };
        let had_one = oldest.is_some();
        if let Some(job) = oldest {
            contain(|| self.cancel(job));
        }
        had_one
    }

    /// Drops a job before it runs. Its handle, if it has one, resolves to `Cancelled`.
    pub(crate) fn cancel(&self, job: Job) {
        if !self.discard(job, JoinError::Cancelled) {
            self.job_queue.note_removed();
        }
    }

    /// Drops a job before it runs. Its handle, if it has one, resolves to `why`. Returns false if
    /// that handle had cancelled it before.
    fn discard(&self, job: Job, why: JoinError) -> bool {
        let (mut was_there, mut cancelled) = (true, 1);
        contain(|| match job {
            Job::Plain(job) => drop(job),
            Job::Tracked(runnable) => was_there = runnable.discard(why),
            Job::Future(future) => was_there = future.into_runnable().discard(why),
            Job::KeyTurn(turn) => cancelled = turn.cancel(),
        });
        if was_there {
            self.counters.add(Counter::Cancelled, cancelled);
        }
        was_there
    }

    /// Closes the pool and takes out the jobs that no worker has taken.
    pub(crate) fn take_all(&self) -> Vec<Job> {
        let jobs = self.job_queue.take_all().collect();
        // With nothing left to take, a shutdown may be over.
        contain(|| self.workers.changed.notify_all());
        jobs
    }

    /// Cancels all jobs in the queue, because no worker is left and none will come.
    pub(crate) fn abandon(&self) {
        for job in self.take_all() {
            contain(|| self.cancel(job));
        }
    }

    /// Returns whether the pool is closed, no job is queued, and no started worker is left.
    pub(crate) fn is_terminated(&self) -> bool {
        // The queue is checked before the workers, because a worker was counted as started before
        // it takes the last job; and after them, because a worker that leaves returns its next job
        // to the queue first.
        self.job_queue.is_drained() && self.workers.started() == 0 && self.job_queue.is_drained()
    }

    /// Returns whether at some moment of the call no job waited, and every worker was idle.
    pub(crate) fn is_idle(&self) -> bool {
        let Some(transitions) = self.counters.transitions_if_idle() else { return false };
        let is_empty = self.job_queue.len() == 0;
        // ORDERING: pairs with the fence in `WorkerCounters::leave_idle`. A worker that took a job
        // and became idle again between the two readings has counted two transitions.
        fence(Ordering::SeqCst);
        is_empty && self.counters.transitions_if_idle() == Some(transitions)
    }

    /// Creates the token that a job's handle cancels.
    pub(crate) fn token(&self) -> CancelToken {
        self.settings.cancel_token.as_ref().map_or_else(CancelToken::new, CancelToken::child)
    }

    /// Returns a closure that is called when a job starts: from the token that the job's handle
    /// cancels, it derives the token that the job observes.
    pub(crate) fn start_token(&self) -> impl FnOnce(CancelToken) -> CancelToken + Send + 'static {
        let timeout = self.settings.job_timeout.clone();
        move |token| match timeout {
            Some(timeout) => timeout(&token),
            None => token,
        }
    }

    /// Returns whether the pool has a clock.
    #[inline]
    pub(crate) fn measures(&self) -> bool {
        self.settings.clock.is_some()
    }

    /// Returns the time by the pool's clock, if it has one.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        // A clock that panics measures nothing.
        attempt(|| self.settings.clock.as_ref().map(|clock| clock.now())).flatten()
    }
}

// A job that panics can leave only its own data half changed: the pool's state is changed with no
// foreign code in between.
impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

impl ReleaseSlot for Shared {
    fn release_slot(&self) {
        self.counters.add(Counter::Cancelled, 1);
        // A job in a rendezvous takes no slot, having claimed a worker; there this only counts the
        // job as cancelled.
        self.job_queue.release_slot();
        // With nothing left to run, the pool may be idle.
        contain(|| self.workers.changed.notify_all());
    }
}
