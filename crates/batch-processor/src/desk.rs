//! What the driver knows of the batches that it has begun, and how their callers are told.

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{Timer, Timestamp, primitive::Arc};

use crate::{
    error::BatchError,
    gatherer::{Abandoned, Batch, BatchId},
    handler::Handler,
    outcome::Outcome,
    recovery::{Effort, Next, Recovery},
    shared::{Carried, Shared},
    unwind::{catch, shielded},
};

/// The driver's side of what is shared; dropping it abandons the batcher.
pub(crate) struct Desk<T, R, E, C> {
    pub(crate) shared: Arc<Shared<T, R, E, C>>,
    /// What is done with a batch that failed, if anything.
    recovery: Option<Recovery<T>>,
    // INVARIANT: those that the handler has.
    jobs: Vec<Job<T, R, E>>,
    // INVARIANT: those that wait to be called for again, and from when on. In flight, as the gatherer counts.
    paused: Vec<(Timestamp, Job<T, R, E>)>,
    /// How many calls have ended.
    pub(crate) ended: u64,
}

/// A batch that was begun.
struct Job<T, R, E> {
    id: BatchId,
    /// Items of the call that is under way.
    sent: usize,
    /// Items that were dropped before it started.
    dropped: usize,
    answers: Carried<R, E>,
    /// What it takes to call for it again; `None` if nobody wants that.
    effort: Option<Box<Effort<T, R, E>>>,
}

impl<T, R, E, C> Desk<T, R, E, C> {
    pub(crate) fn new(shared: Arc<Shared<T, R, E, C>>, recovery: Option<Recovery<T>>) -> Self {
        Self { shared, recovery, jobs: Vec::new(), paused: Vec::new(), ended: 0 }
    }

    /// Returns when the first pause ends.
    pub(crate) fn paused_until(&self) -> Option<Timestamp> {
        self.paused.iter().map(|(until, _)| *until).min()
    }
}

impl<T, R, E, C: Timer> Desk<T, R, E, C> {
    /// Notes that a batch runs; returns its items, or with what message a clone of them has panicked.
    pub(crate) fn begin(
        &mut self,
        id: BatchId,
        batch: Batch<T, Carried<R, E>>,
    ) -> Result<Vec<T>, Arc<str>> {
        let mut batch = batch;
        let items = batch.take_items();
        let Batch { carried: answers, dropped, .. } = batch;
        let sent = items.len();
        let mut job = Job { id, sent, dropped, answers, effort: None };
        shielded(|| self.shared.make_room(sent));
        let Some(recovery) = &self.recovery else {
            self.jobs.push(job);
            return Ok(items);
        };
        let mut effort = Box::new(Effort::new(items));
        let items = catch(|| effort.items(recovery));
        job.effort = Some(effort);
        self.jobs.push(job);
        items
    }

    /// Notes that the batch whose pause ends first runs again; returns the items to call for.
    pub(crate) fn begin_again(&mut self) -> Result<Vec<T>, Arc<str>> {
        let first = (0..self.paused.len()).min_by_key(|place| self.paused[*place].0);
        let (_, mut job) = self.paused.remove(first.expect("a pause is over"));
        let items = match (&mut job.effort, &self.recovery) {
            (Some(effort), Some(recovery)) => catch(|| effort.items(recovery)),
            _ => unreachable!("only who can be called for again pauses"),
        };
        self.jobs.push(job);
        items
    }

    /// Notes what came of the call for the batch at `place`: it is over, and its callers are told, or is called for
    /// again.
    pub(crate) fn finish<H>(
        &mut self,
        place: usize,
        result: Result<Vec<R>, BatchError<E>>,
        handler: &H,
    ) where
        H: Handler<T, Output = R, Error = E>,
    {
        let mut job = self.jobs.remove(place);
        self.ended += 1;
        let now = self.shared.clock.now();
        let result = result.and_then(|results| match results.len() {
            got if got == job.sent => Ok(results),
            got => Err(BatchError::WrongLength { sent: job.sent, got }),
        });
        let (Some(mut effort), Some(recovery)) = (job.effort.take(), &mut self.recovery) else {
            let (sent, failed) = (job.sent, result.is_err());
            return self.settle(job, failed, now, move || Outcome::of(sent, result));
        };
        let is_passing = match &result {
            Err(BatchError::Handler(error)) => catch(|| handler.is_passing(error)),
            _ => Ok(false),
        };
        let may_retry = is_passing.unwrap_or(false)
            && !self.shared.gatherer.with(|gatherer| gatherer.is_closed());
        match effort.on_result(result, may_retry, recovery) {
            Next::Over => {
                let outcome = effort.into_outcome();
                self.settle(job, outcome.has_failures(), now, move || outcome);
            }
            next => self.pause(job, effort, next, now),
        }
    }

    #[cold]
    fn pause(
        &mut self,
        mut job: Job<T, R, E>,
        effort: Box<Effort<T, R, E>>,
        next: Next,
        now: Timestamp,
    ) {
        let until = match next {
            Next::Retry(pause) => now + pause,
            // At once, but others want to run, too.
            _ => Timestamp::ORIGIN,
        };
        if next != Next::Part {
            self.shared.gatherer.with(|gatherer| gatherer.on_again(next == Next::Split));
        }
        job.sent = effort.sent();
        job.effort = Some(effort);
        self.paused.push((until, job));
    }

    /// Tells the callers of a batch that is over, if there are any.
    fn settle(
        &self,
        job: Job<T, R, E>,
        failed: bool,
        now: Timestamp,
        outcome: impl FnOnce() -> Outcome<R, E>,
    ) {
        let Job { id, dropped, answers, .. } = job;
        // Counted before anybody is told, so whoever has its result finds it in the statistics.
        self.shared.gatherer.with(|gatherer| gatherer.on_done(id, now, failed));
        shielded(|| match answers {
            Some(answers) => answers.settle(outcome().behind(dropped)),
            None => drop(outcome),
        });
        // The driver looks at the gatherer next, whatever there is to do.
        let _ = self.shared.gatherer.with(|gatherer| gatherer.on_told(id));
        shielded(|| self.shared.progress.notify_all());
    }
}

impl<T, R, E, C> Drop for Desk<T, R, E, C> {
    fn drop(&mut self) {
        let paused = self.paused.drain(..).map(|(_, job)| job);
        let jobs = self.jobs.drain(..).chain(paused);
        self.shared.abandon(
            jobs.map(|Job { answers: carried, dropped, .. }| Abandoned { carried, dropped }),
        );
    }
}
