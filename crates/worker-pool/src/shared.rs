//! What the pool, its workers and its pending submissions share.

use core::{any::Any, fmt};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{Clock, Timestamp, primitive::Arc};

use crate::{
    crew::Crew,
    intake::{Intake, NoRoom, Room},
    panic::{bury, contain},
    stats::{Count, Counters, Stats},
    task::Job,
};

pub(crate) type BoxedClock = Box<dyn Clock + Send + Sync>;
pub(crate) type OnPanic = Box<dyn Fn(&(dyn Any + Send)) + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) intake: Intake,
    pub(crate) crew: Crew,
    counters: Counters,
    clock: Option<BoxedClock>,
    on_panic: Option<OnPanic>,
}

impl Shared {
    pub(crate) fn new(
        capacity: usize,
        clock: Option<BoxedClock>,
        on_panic: Option<OnPanic>,
    ) -> Arc<Self> {
        Arc::new(Self {
            intake: Intake::new(capacity),
            crew: Crew::new(),
            counters: Counters::new(),
            clock,
            on_panic,
        })
    }

    /// Reserves a place for a job.
    pub(crate) fn reserve(&self) -> Result<Room<'_>, NoRoom> {
        self.intake.reserve()
    }

    /// Puts a job in its place; gives it back if the pool was closed meanwhile.
    pub(crate) fn accept(&self, room: Room<'_>, mut job: Job) -> Result<(), Job> {
        job.accepted = self.now();
        let accepted = room.fill(job);
        match &accepted {
            Ok(()) => self.counters.add(Count::Submitted, 1),
            // On its way out again the job was counted, and may have kept a shutdown waiting.
            Err(_) => self.crew.changed.notify_all(),
        }
        accepted
    }

    /// Counts a job that was not accepted.
    pub(crate) fn reject(&self) {
        self.counters.add(Count::Rejected, 1);
    }

    /// Runs a job here. Nothing of it unwinds out of here, with std.
    pub(crate) fn run(&self, job: Job) {
        let started = self.now();
        self.counters.add(Count::Started, 1);
        if let (Some(accepted), Some(started)) = (job.accepted, started) {
            self.counters.add_time(Count::QueueNanos, started.since(accepted));
        }
        let mut ended = |panic: Option<&(dyn Any + Send)>| {
            if let (Some(started), Some(now)) = (started, self.now()) {
                self.counters.add_time(Count::RunNanos, now.since(started));
            }
            match panic {
                None => self.counters.add(Count::Succeeded, 1),
                Some(payload) => {
                    self.counters.add(Count::Panicked, 1);
                    self.report(payload);
                }
            }
        };
        // What wakes the handle is foreign, too: a panicking waker must not take the worker with it.
        contain(|| {
            if let Err(payload) = job.run(&mut ended) {
                self.report(&*payload);
                bury(payload);
            }
        });
    }

    fn report(&self, payload: &(dyn Any + Send)) {
        if let Some(on_panic) = &self.on_panic {
            contain(|| on_panic(payload));
        }
    }

    /// Drops a job unrun.
    pub(crate) fn cancel(&self, job: Job) {
        self.counters.add(Count::Cancelled, 1);
        drop(job);
    }

    /// Closes, and takes out what no worker has taken, oldest first.
    pub(crate) fn take_all(&self) -> Vec<Job> {
        let jobs = self.intake.take_all().collect();
        // With nothing left to take, a shutdown may be over.
        self.crew.changed.notify_all();
        jobs
    }

    /// Drops every job that nobody will run.
    pub(crate) fn abandon(&self) {
        for job in self.take_all() {
            contain(|| self.cancel(job));
        }
    }

    /// Returns whether every accepted job has ended and every worker that started has left, for ever.
    pub(crate) fn is_at_rest(&self) -> bool {
        // In this order: a worker that takes the last job was counted before.
        self.intake.is_drained() && self.crew.started() == 0
    }

    /// Returns how many accepted jobs have not ended. A snapshot, exact for jobs whose submission has returned.
    pub(crate) fn unfinished(&self) -> usize {
        // Not queue length and running jobs: one that is being taken out is in neither.
        self.counters.unfinished()
    }

    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        let time = |count| self.clock.as_ref().map(|_| counters.time(count));
        let (running, workers) = (counters.running(), self.crew.members());
        Stats {
            submitted: counters.sum(Count::Submitted),
            queued: self.intake.len(),
            running,
            succeeded: counters.sum(Count::Succeeded),
            panicked: counters.sum(Count::Panicked),
            cancelled: counters.sum(Count::Cancelled),
            rejected: counters.sum(Count::Rejected),
            workers,
            idle: workers.saturating_sub(running),
            queue_time: time(Count::QueueNanos),
            run_time: time(Count::RunNanos),
        }
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("intake", &self.intake).finish_non_exhaustive()
    }
}
