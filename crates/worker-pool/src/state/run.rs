//! How a job runs: counted, measured, and with its panic contained.

use core::{
    any::Any,
    future::{Future, poll_fn},
    mem,
};

use alloc::boxed::Box;

use tidegate_core::Timestamp;

use super::{
    Shared,
    counters::{Counter, TimeSum, WorkerCounters},
};
use crate::{
    error::JoinError,
    job::{
        ErasedTurn, Job,
        future_job::{FutureEnd, FutureJob},
        job_cell::Runnable,
    },
    unwind::{Payload, bury, catch, contain},
};

impl Shared {
    /// Runs a job on the worker that writes `counters`. With std a panic of the job ends here.
    /// Returns what that worker must run next, if anything.
    #[inline]
    pub(crate) fn run(&self, job: Job, counters: &WorkerCounters) -> Option<Job> {
        self.run_counted(job, |counter, n| counters.add(counter, n))
    }

    /// Runs a job on the calling thread; if it is the turn of a key, also the jobs that the turn
    /// owes.
    pub(crate) fn run_on_caller(&self, job: Job) {
        let callers = self.counters.callers();
        let mut next = Some(job);
        while let Some(job) = next {
            next = self.run_counted(job, |counter, n| callers.add_shared(counter, n));
        }
    }

    /// Runs a closure on the calling thread and counts it as a job, without a [`Job`] around it.
    pub(crate) fn call_on_caller(&self, closure: impl FnOnce()) {
        let callers = self.counters.callers();
        self.begin(Timestamp::NEVER, |counter, n| callers.add_shared(counter, n)).call(closure);
    }

    #[inline]
    fn run_counted(&self, job: Job, add: impl Fn(Counter, u64)) -> Option<Job> {
        match job {
            Job::KeyTurn(turn) => return self.run_turn(turn, add),
            Job::Future(future) => drive(self.run_future_counted(*future, add)),
            closure => {
                if !self.run_one(closure, add) {
                    self.job_queue.note_removed();
                }
            }
        }
        None
    }

    /// Runs a closure, or drops it if it has waited too long; returns false if its handle had
    /// cancelled it before.
    #[inline]
    fn run_one(&self, mut job: Job, add: impl Fn(Counter, u64)) -> bool {
        let accepted = if self.measures() { job.accepted() } else { Timestamp::NEVER };
        if self.is_too_old(accepted) {
            return self.expire(job);
        }
        let mut run = self.begin(accepted, add);
        match job {
            Job::Plain(job) => {
                run.call(|| job.call());
                true
            }
            Job::Tracked(runnable) => run.settle(runnable) || run.undo_start(),
            Job::Future(_) | Job::KeyTurn(_) => unreachable!("neither is a closure"),
        }
    }

    /// Runs one job of a key; returns the turn if it owes another.
    #[cold]
    fn run_turn(&self, mut turn: Box<dyn ErasedTurn>, add: impl Fn(Counter, u64)) -> Option<Job> {
        if let Some(runnable) = turn.begin() {
            if !self.run_one(Job::Tracked(runnable), add) {
                turn.note_removed();
            }
        }
        if turn.owes() {
            return Some(Job::KeyTurn(turn));
        }
        // It may own the last reference to a key, which is foreign.
        contain(|| drop(turn));
        None
    }

    #[inline]
    fn is_too_old(&self, accepted: Timestamp) -> bool {
        self.settings
            .max_queue_age
            .is_some_and(|max| self.now().is_some_and(|now| now.since(accepted) > max))
    }

    /// Drops a job that has waited too long; returns false if its handle had cancelled it before.
    #[cold]
    fn expire(&self, job: Job) -> bool {
        let was_there = self.discard(job, JoinError::Expired);
        self.counters.add(Counter::Expired, u64::from(was_there));
        was_there
    }

    /// Runs a job's future on a worker that an executor polls; that worker writes `counters`.
    pub(crate) async fn run_future(&self, future: FutureJob, counters: &WorkerCounters) {
        self.run_future_counted(future, |counter, n| counters.add(counter, n)).await;
    }

    async fn run_future_counted(&self, future: FutureJob, add: impl Fn(Counter, u64)) {
        let accepted = future.runnable.accepted();
        let was_there = if self.is_too_old(accepted) {
            self.expire(Job::Future(Box::new(future)))
        } else if future.runnable.begin() {
            self.begin(accepted, add).poll_to_end(future).await;
            true
        } else {
            false
        };
        if !was_there {
            self.job_queue.note_removed();
        }
    }

    /// Counts the start of a job; `accepted` is [`Timestamp::NEVER`] if it was not noted.
    #[inline]
    fn begin<A: Fn(Counter, u64)>(&self, accepted: Timestamp, add: A) -> RunningJob<'_, A> {
        add(Counter::Started, 1);
        let started = self.now();
        if let Some(started) = started {
            let waited = started.since(accepted);
            TimeSum::Wait.count(waited, &add);
            add(Counter::of_wait(waited), 1);
        }
        RunningJob { shared: self, add, started, is_over: false, is_future: false }
    }

    fn report(&self, payload: &(dyn Any + Send)) {
        if let Some(on_panic) = &self.settings.on_panic {
            contain(|| on_panic(payload));
        }
    }
}

/// What stands in for the payload of a panic that is not caught, as without std.
const LOST_PAYLOAD: &str = "the payload went on to the worker's executor";

/// A job that runs. If a panic unwinds through this frame, as it does without std, the drop counts
/// a closure as panicked; a future is counted by [`Unwinding`].
struct RunningJob<'a, A: Fn(Counter, u64)> {
    shared: &'a Shared,
    add: A,
    started: Option<Timestamp>,
    is_over: bool,
    /// A future may be dropped between two polls, and is cancelled then.
    is_future: bool,
}

impl<A: Fn(Counter, u64)> RunningJob<'_, A> {
    /// Calls a closure without a handle.
    #[inline]
    fn call(mut self, closure: impl FnOnce()) {
        let panic = catch(closure).err();
        self.end(panic.as_deref());
        if let Some(payload) = panic {
            bury(payload);
        }
    }

    /// Runs the closure of a job with a handle; a future's closure only hands the output over.
    /// Returns false if the handle had cancelled the job before.
    fn settle(&mut self, runnable: Runnable) -> bool {
        // The handle's waker is foreign, too: its panic must not end the worker.
        contain(|| {
            if let Err(payload) = runnable.run(&mut |panic| self.end(panic)) {
                self.shared.report(&*payload);
                bury(payload);
            }
        });
        self.is_over
    }

    /// Takes back the count of the start: the job was cancelled, and is counted as cancelled
    /// elsewhere. Returns false.
    fn undo_start(&mut self) -> bool {
        self.is_over = true;
        (self.add)(Counter::Undone, 1);
        false
    }

    /// Polls a future until it has ended. If this is dropped before, the job is cancelled.
    async fn poll_to_end(mut self, mut future: FutureJob) {
        self.is_future = true;
        let end = poll_fn(|cx| {
            let unwinding = Unwinding { run: &mut self, future: &mut future };
            let polled = unwinding.future.poll_end(cx);
            mem::forget(unwinding);
            polled
        });
        match end.await {
            // If it was cancelled meanwhile, the drop counts that.
            FutureEnd::Output => _ = self.settle(future.into_runnable()),
            FutureEnd::Cancelled => contain(|| drop(future.into_runnable())),
            FutureEnd::Panicked(payload) => self.fail(&mut future, payload),
        }
    }

    /// Settles a future that has panicked, and counts that.
    fn fail(&mut self, future: &mut FutureJob, payload: Payload) {
        contain(|| future.fail(payload, &mut |panic| self.end(panic)));
    }

    /// Counts the job as cancelled, unless it has ended.
    fn count_cancelled(&mut self) {
        if !self.is_over {
            self.undo_start();
            self.shared.counters.add(Counter::Cancelled, 1);
        }
    }

    /// Counts the end, and reports it if it was a panic.
    #[inline]
    fn end(&mut self, panic: Option<&(dyn Any + Send)>) {
        self.is_over = true;
        if let (Some(started), Some(now)) = (self.started, self.shared.now()) {
            TimeSum::Run.count(now.since(started), &self.add);
        }
        match panic {
            None => (self.add)(Counter::Succeeded, 1),
            Some(payload) => {
                (self.add)(Counter::Panicked, 1);
                self.shared.report(payload);
            }
        }
    }
}

impl<A: Fn(Counter, u64)> Drop for RunningJob<'_, A> {
    fn drop(&mut self) {
        if self.is_future {
            self.count_cancelled();
        }
        if !self.is_over {
            self.end(Some(&LOST_PAYLOAD));
        }
    }
}

/// Settles a future whose panic unwinds through its poll, as a panic does without std. Forgotten if
/// the poll returns.
struct Unwinding<'a, 'b, A: Fn(Counter, u64)> {
    run: &'a mut RunningJob<'b, A>,
    future: &'a mut FutureJob,
}

impl<A: Fn(Counter, u64)> Drop for Unwinding<'_, '_, A> {
    fn drop(&mut self) {
        self.run.fail(self.future, Box::new(LOST_PAYLOAD));
    }
}

/// Polls a future on this thread until it is ready.
#[cfg(feature = "std")]
fn drive(future: impl Future<Output = ()>) {
    tidegate_core::Wait::wait(future);
}

/// Polls a future on this thread until it is ready. Without std nothing wakes a thread, so it polls
/// in a loop.
#[cfg(not(feature = "std"))]
fn drive(future: impl Future<Output = ()>) {
    let mut future = core::pin::pin!(future);
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    while future.as_mut().poll(&mut cx).is_pending() {
        core::hint::spin_loop();
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use core::task::{Context, Poll, Waker};

    use tidegate_core::CancelToken;

    use super::*;
    use crate::{WorkerPool, job::future_job::future_job};

    #[test]
    fn a_future_that_unwinds_past_its_worker_counts_as_panicked() {
        let pool = WorkerPool::detached(1);
        let shared = pool.shared();
        let (mut future, unsubmitted) = future_job(async { 7 }, CancelToken::new(), |token| token);
        let mut handle = unsubmitted.into_receiver();
        let mut run = shared.begin(Timestamp::NEVER, |counter, n| shared.counters.add(counter, n));
        run.is_future = true;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _unwinding = Unwinding { run: &mut run, future: &mut future };
            resume_unwind(Box::new("quiet"));
        }));
        assert!(unwound.is_err());
        drop(run);
        let Poll::Ready(Err(error)) = handle.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the handle hangs");
        };
        assert!(error.is_panic());
        let stats = pool.stats();
        assert_eq!((stats.panicked, stats.cancelled, stats.in_flight), (1, 0, 0));
    }
}
