//! What the pool, its workers and its pending submissions share.

use core::{any::Any, fmt, time::Duration};

use alloc::{boxed::Box, vec::Vec};

use tidegate_core::{Clock, Timestamp, primitive::Arc};

use crate::{
    crew::Crew,
    intake::{Intake, Refused},
    panic::{bury, catch, contain},
    stats::{Count, Counters, Record, Stats},
    task::Job,
};

pub(crate) type BoxedClock = Box<dyn Clock + Send + Sync>;
pub(crate) type OnPanic = Box<dyn Fn(&(dyn Any + Send)) + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) intake: Intake,
    pub(crate) crew: Crew,
    pub(crate) counters: Counters,
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

    /// Accepts a job if there is room.
    #[inline]
    pub(crate) fn accept(&self, mut job: Job) -> Result<(), Refused<Job>> {
        if let Some(now) = self.now() {
            job.accept(now);
        }
        self.intake.push(job)
    }

    /// Runs a job on a worker, whose record it is, whatever it does.
    #[inline]
    pub(crate) fn run(&self, mut job: Job, record: &Record) {
        record.add(Count::Started, 1);
        let started = self.now();
        if let Some(started) = started {
            let accepted = job.accepted().unwrap_or(started);
            record.add_time(Count::QueueNanos, started.since(accepted));
        }
        let mut ending = Ending { shared: self, record, started, is_over: false };
        match job {
            Job::Plain(chore) => {
                let panic = catch(|| chore.call()).err();
                ending.tell(panic.as_deref());
                if let Some(payload) = panic {
                    bury(payload);
                }
            }
            Job::Tracked(errand) => {
                let mut ended = |panic: Option<&(dyn Any + Send)>| ending.tell(panic);
                // What wakes the handle is foreign, too: a panicking waker must not take the worker with it.
                contain(|| {
                    if let Err(payload) = errand.run(&mut ended) {
                        self.report(&*payload);
                        bury(payload);
                    }
                });
                if !ending.is_over {
                    // It was cancelled, and counted, before it came to us.
                    ending.is_over = true;
                    record.take_back(Count::Started);
                }
            }
        }
    }

    /// Runs a job on whatever thread this is.
    pub(crate) fn run_here(&self, job: Job) {
        let record = self.counters.open();
        self.run(job, &record);
        self.counters.close(&record);
    }

    fn report(&self, payload: &(dyn Any + Send)) {
        if let Some(on_panic) = &self.on_panic {
            contain(|| on_panic(payload));
        }
    }

    /// Drops a job unrun. Its handle, if there is one, says so.
    pub(crate) fn cancel(&self, job: Job) {
        self.counters.cancel();
        drop(job);
    }

    /// Closes the pool and takes out the jobs that no worker has.
    pub(crate) fn take_all(&self) -> Vec<Job> {
        let jobs = self.intake.take_all().collect();
        // With nothing left to take, a shutdown may be over.
        self.crew.changed.notify_all();
        jobs
    }

    /// Cancels the jobs that nobody will ever take.
    pub(crate) fn abandon(&self) {
        for job in self.take_all() {
            contain(|| self.cancel(job));
        }
    }

    /// Returns whether the pool is closed, every job has ended, and no worker that had one is left.
    pub(crate) fn is_at_rest(&self) -> bool {
        // In this order: a worker that takes the last job was counted before.
        self.intake.is_drained() && self.crew.started() == 0
    }

    /// Returns how many accepted jobs have not ended. A snapshot.
    pub(crate) fn unfinished(&self) -> usize {
        let stats = self.stats();
        stats.queued + stats.running
    }

    pub(crate) fn stats(&self) -> Stats {
        // The queue first: a job that is taken meanwhile is counted twice rather than not at all.
        let queued = self.intake.len();
        let sums = self.counters.sums();
        let (succeeded, panicked) = (sums.get(Count::Succeeded), sums.get(Count::Panicked));
        let time = |time: Duration| self.clock.as_ref().map(|_| time);
        let (running, cancelled) = (sums.running(), self.counters.cancelled());
        let workers = self.crew.members();
        let busy = usize::try_from(running).unwrap_or(usize::MAX);
        Stats {
            submitted: queued as u64 + running + succeeded + panicked + cancelled,
            queued,
            running: busy,
            succeeded,
            panicked,
            cancelled,
            rejected: self.counters.rejected(),
            workers,
            idle: workers.saturating_sub(busy),
            queue_time: time(sums.time(Count::QueueNanos)),
            run_time: time(sums.time(Count::RunNanos)),
        }
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }
}

/// A job that runs. Dropped by a panic that unwinds past us, as it does without std, it has panicked.
struct Ending<'a> {
    shared: &'a Shared,
    record: &'a Record,
    started: Option<Timestamp>,
    is_over: bool,
}

impl Ending<'_> {
    /// Counts the end, and reports it if it was a panic.
    #[inline]
    fn tell(&mut self, panic: Option<&(dyn Any + Send)>) {
        self.is_over = true;
        if let (Some(started), Some(now)) = (self.started, self.shared.now()) {
            self.record.add_time(Count::RunNanos, now.since(started));
        }
        match panic {
            None => self.record.add(Count::Succeeded, 1),
            Some(payload) => {
                self.record.add(Count::Panicked, 1);
                self.shared.report(payload);
            }
        }
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.tell(Some(&"the payload went on to the worker's executor"));
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("intake", &self.intake).finish_non_exhaustive()
    }
}
