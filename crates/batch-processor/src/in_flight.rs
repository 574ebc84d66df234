//! The batches that the driver has begun, and how their callers are told of the results.

use core::mem;

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use tidegate_core::{Timer, Timestamp, primitive::Arc};

use crate::{
    error::BatchError,
    gatherer::{Abandoned, Batch, BatchId},
    handler::Handler,
    outcome::Outcome,
    recovery::{Effort, Next, Recovery},
    shared::{Carried, Shared},
    unwind::{attempt, catch, drop_each, shielded},
};

/// The driver's part of the batcher. Its drop abandons the batcher, unless that is closed and every
/// item is over.
pub(crate) struct InFlight<T, R, E, C> {
    pub(crate) shared: Arc<Shared<T, R, E, C>>,
    /// What is done with a failed batch before its callers are told; `None` if nothing.
    recovery: Option<Recovery<T>>,
    /// The batch for which the handler is about to be called, or whose call has just ended.
    in_hand: Option<Job<T, R, E>>,
    // INVARIANT: the batches that the handler has, indexed by the slots of its futures.
    jobs: Vec<Option<Job<T, R, E>>>,
    // INVARIANT: the batches that wait for another call, sorted by the end of their pause, then in
    // the order in which they came. The gatherer counts them as in flight.
    paused: BTreeMap<(Timestamp, u64), Job<T, R, E>>,
    /// How many pauses there have been.
    pauses: u64,
    /// How often `finish` was called: once for each call of the handler that has ended, or that was
    /// not made because cloning its items panicked.
    pub(crate) ended: u64,
}

/// A batch that the driver has begun.
struct Job<T, R, E> {
    id: BatchId,
    /// The number of items in the running call, or else in the next one.
    sent: usize,
    /// How many items were dropped before the batch started.
    dropped: usize,
    results: Carried<R, E>,
    /// What the next calls need, until the batch is over; `None` without recovery.
    effort: Option<Box<Effort<T, R, E>>>,
}

impl<T, R, E, C> InFlight<T, R, E, C> {
    pub(crate) fn new(shared: Arc<Shared<T, R, E, C>>, recovery: Option<Recovery<T>>) -> Self {
        Self {
            shared,
            recovery,
            in_hand: None,
            jobs: Vec::new(),
            paused: BTreeMap::new(),
            pauses: 0,
            ended: 0,
        }
    }

    /// Returns when the first pause ends; `None` if no batch pauses.
    pub(crate) fn paused_until(&self) -> Option<Timestamp> {
        self.paused.first_key_value().map(|((until, _), _)| *until)
    }

    /// Moves the batch in hand to the slot in which its future runs.
    pub(crate) fn put(&mut self, slot: usize) {
        if self.jobs.len() <= slot {
            self.jobs.resize_with(slot + 1, || None);
        }
        self.jobs[slot] = self.in_hand.take();
    }

    /// Moves the batch that runs in a slot to `in_hand`.
    pub(crate) fn take(&mut self, slot: usize) {
        self.in_hand = self.jobs.get_mut(slot).and_then(Option::take);
    }
}

impl<T, R, E, C: Timer> InFlight<T, R, E, C> {
    /// Puts a batch that starts into `in_hand`. Returns the items of its first call, or, if cloning
    /// them panicked, the message of that panic.
    pub(crate) fn begin(
        &mut self,
        id: BatchId,
        batch: Batch<T, Carried<R, E>>,
    ) -> Result<Vec<T>, Arc<str>> {
        let mut batch = batch;
        let items = batch.take_items();
        let Batch { carried: results, dropped, .. } = batch;
        let sent = items.len();
        let job = self.in_hand.insert(Job { id, sent, dropped, results, effort: None });
        shielded(|| self.shared.make_room(sent));
        let Some(recovery) = &self.recovery else { return Ok(items) };
        recovery.begin();
        let effort = job.effort.insert(Box::new(Effort::new(items)));
        catch(|| effort.items(recovery))
    }

    /// Moves the batch whose pause ends first to `in_hand`. Returns the items of its next call, or,
    /// if cloning them panicked, the message of that panic.
    pub(crate) fn begin_again(&mut self) -> Result<Vec<T>, Arc<str>> {
        self.in_hand = self.paused.pop_first().map(|(_, job)| job);
        let effort = self.in_hand.as_mut().and_then(|job| job.effort.as_mut());
        match (effort, &self.recovery) {
            (Some(effort), Some(recovery)) => catch(|| effort.items(recovery)),
            _ => unreachable!("only a batch whose handler can be called again is paused"),
        }
    }

    /// Records the result of the call for the batch in hand. Either the batch is over, and its
    /// callers are told, or it pauses until its next call.
    pub(crate) fn finish<H>(&mut self, result: Result<Vec<R>, BatchError<E>>, handler: &H)
    where
        H: Handler<T, Output = R, Error = E>,
    {
        let Some(mut job) = self.in_hand.take() else { return };
        self.ended += 1;
        // A panic of the clock must not lose the results.
        let now = attempt(|| self.shared.clock.now()).unwrap_or(Timestamp::ORIGIN);
        let result = result.and_then(|results| match results.len() {
            got if got == job.sent => Ok(results),
            got => {
                drop_each(results);
                Err(BatchError::WrongLength { sent: job.sent, got })
            }
        });
        let (Some(mut effort), Some(recovery)) = (job.effort.take(), &mut self.recovery) else {
            let sent = job.sent;
            let failed = if result.is_err() { sent } else { 0 };
            return self.settle(job, failed, now, move |is_wanted| {
                if is_wanted {
                    return Some(Outcome::of(sent, result));
                }
                // Results without a caller are dropped one by one.
                drop_each(result.into_iter().flatten());
                None
            });
        };
        let is_transient = match &result {
            Err(BatchError::Handler(error)) => catch(|| handler.is_transient(error)),
            _ => Ok(false),
        };
        let may_retry = is_transient.unwrap_or(false)
            && !self.shared.with(|gatherer| gatherer.state().is_closed());
        match effort.on_result(result, may_retry, recovery) {
            Next::Over => {
                let outcome = effort.into_outcome();
                self.settle(job, outcome.failures(), now, move |_| Some(outcome));
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
            // At once, but other tasks get their turn first.
            _ => Timestamp::ORIGIN,
        };
        if next != Next::Part {
            self.shared.with(|gatherer| gatherer.state_mut().on_again(next == Next::Split));
        }
        job.sent = effort.sent();
        job.effort = Some(effort);
        self.pauses += 1;
        self.paused.insert((until, self.pauses), job);
    }

    /// Ends a batch: counts it, tells its callers, if there are any, and notifies flushes.
    /// `failed` of its items have no result. `outcome` is called with whether a caller waits for a
    /// result.
    fn settle(
        &self,
        job: Job<T, R, E>,
        failed: usize,
        now: Timestamp,
        outcome: impl FnOnce(bool) -> Option<Outcome<R, E>>,
    ) {
        let Job { id, dropped, results, .. } = job;
        // The batch is counted before its callers are told, so a caller that has its result finds
        // the batch in the statistics.
        self.shared.with(|gatherer| gatherer.on_done(id, now, failed));
        shielded(|| {
            let outcome = outcome(results.is_some());
            if let (Some(results), Some(outcome)) = (results, outcome) {
                results.settle(outcome.behind(dropped));
            }
        });
        let unused = self.shared.with(|gatherer| gatherer.on_told(id));
        self.shared.release(unused);
        shielded(|| self.shared.progress.notify_all());
    }
}

impl<T, R, E, C> Drop for InFlight<T, R, E, C> {
    fn drop(&mut self) {
        let paused = mem::take(&mut self.paused).into_values();
        let jobs = self.jobs.drain(..).flatten().chain(self.in_hand.take()).chain(paused);
        self.shared.abandon(
            jobs.map(|Job { results: carried, dropped, .. }| Abandoned { carried, dropped }),
        );
    }
}
