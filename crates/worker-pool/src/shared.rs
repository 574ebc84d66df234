//! What the pool, its workers and its pending submissions share.

use core::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
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
};

#[cfg(feature = "std")]
use crate::scope::Scopes;
use crate::{
    cell::Errand,
    crew::Crew,
    driven::{Driven, End},
    handle::Waiting,
    intake::{Intake, Refused},
    overflow::OnFull,
    panic::{attempt, bury, catch, contain},
    stats::{Count, Counters, Record, Stats},
    task::{Job, Turns},
};

pub(crate) type BoxedClock = Box<dyn Clock + Send + Sync>;
pub(crate) type OnPanic = Box<dyn Fn(&(dyn Any + Send)) + Send + Sync>;
/// Makes the token that a job heeds, of the one that its handle cancels, when the job begins.
pub(crate) type Limit = Arc<dyn Fn(&CancelToken) -> CancelToken + Send + Sync>;

/// What the [`Builder`](crate::Builder) sets of a pool without threads.
pub(crate) struct Settings {
    pub(crate) queue: usize,
    pub(crate) on_full: OnFull,
    pub(crate) clock: Option<BoxedClock>,
    pub(crate) on_panic: Option<OnPanic>,
    pub(crate) cancel_token: Option<CancelToken>,
    pub(crate) limit: Option<Limit>,
    pub(crate) max_queue_age: Option<Duration>,
}

pub(crate) struct Shared {
    pub(crate) intake: Intake,
    pub(crate) crew: Crew,
    pub(crate) counters: Counters,
    #[cfg(feature = "std")]
    pub(crate) scopes: Scopes,
    pub(crate) on_full: OnFull,
    clock: Option<BoxedClock>,
    on_panic: Option<OnPanic>,
    /// The parent of the tokens of all jobs that have one.
    cancel_token: Option<CancelToken>,
    limit: Option<Limit>,
    max_queue_age: Option<Duration>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let Settings { queue, on_full, clock, on_panic, cancel_token, limit, max_queue_age } =
            settings;
        Arc::new(Self {
            intake: Intake::new(queue),
            crew: Crew::new(),
            counters: Counters::new(),
            #[cfg(feature = "std")]
            scopes: Scopes::new(),
            on_full,
            clock,
            on_panic,
            cancel_token,
            limit,
            max_queue_age,
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

    /// Notes when a job is accepted that is about to be.
    pub(crate) fn stamp(&self, errand: &Errand) {
        if let Some(now) = self.now() {
            errand.accept(now);
        }
    }

    /// Runs a job on a worker, whose record it is, whatever it does. Returns what the worker has to do next, if anything.
    #[inline]
    pub(crate) fn run(&self, job: Job, record: &Record) -> Option<Job> {
        self.run_counted(job, |count, n| record.add(count, n))
    }

    /// Runs a job on whatever thread this is.
    pub(crate) fn run_here(&self, job: Job) {
        let guests = self.counters.guests();
        let mut next = Some(job);
        while let Some(job) = next {
            next = self.run_counted(job, |count, n| guests.share(count, n));
        }
    }

    /// Returns whether a job that comes now is run by who brings it. A snapshot.
    #[inline]
    pub(crate) fn is_left_to_callers(&self) -> bool {
        self.on_full == OnFull::CallerRuns && self.intake.is_full() && !self.intake.is_closed()
    }

    /// Runs a closure as a job, on whatever thread this is, without making a job of it.
    pub(crate) fn call_here(&self, closure: impl FnOnce()) {
        let guests = self.counters.guests();
        self.begin(None, |count, n| guests.share(count, n)).call(closure);
    }

    #[inline]
    fn run_counted(&self, job: Job, add: impl Fn(Count, u64)) -> Option<Job> {
        match job {
            Job::Turn(turn) => self.run_lane(turn, add),
            job => {
                if !self.run_one(job, add) {
                    self.intake.forget_called_off();
                }
                None
            }
        }
    }

    /// Runs a job that is no turn; returns false if it had been called off before.
    #[inline]
    fn run_one(&self, mut job: Job, add: impl Fn(Count, u64)) -> bool {
        let accepted = self.clock.as_ref().and_then(|_| job.accepted());
        if accepted.is_some_and(|accepted| self.is_too_old(accepted)) {
            return self.expire(job);
        }
        if let Job::Driven(driven) = &job {
            if !driven.begin() {
                contain(|| drop(job));
                return false;
            }
        }
        let mut run = self.begin(accepted, add);
        match job {
            Job::Plain(chore) => run.call(|| chore.call()),
            Job::Tracked(errand) => return run.settle(errand) || run.never_was(),
            Job::Driven(driven) => drive(run.see_through(*driven)),
            Job::Turn(_) => unreachable!("a turn is not a job"),
        }
        true
    }

    /// Runs one job of a lane; returns the turn if it owes another.
    #[cold]
    fn run_lane(&self, mut turn: Box<dyn Turns>, add: impl Fn(Count, u64)) -> Option<Job> {
        if let Some(errand) = turn.begin() {
            if !self.run_one(Job::Tracked(errand), add) {
                turn.forget_called_off();
            }
        }
        if turn.owes() {
            return Some(Job::Turn(turn));
        }
        // With it perhaps goes a key, which is foreign.
        contain(|| drop(turn));
        None
    }

    fn is_too_old(&self, accepted: Timestamp) -> bool {
        let (Some(max), Some(now)) = (self.max_queue_age, self.now()) else { return false };
        now.since(accepted) > max
    }

    /// Drops a job that has waited too long; returns false if it had been called off before.
    #[cold]
    fn expire(&self, job: Job) -> bool {
        let mut was_there = true;
        contain(|| was_there = job.expire());
        if was_there {
            self.counters.expire();
        }
        was_there
    }

    /// Runs a future on a worker that is a future, too, and whose record it is.
    pub(crate) async fn run_driven(&self, driven: Driven, record: &Record) {
        let accepted = self.clock.as_ref().and_then(|_| driven.accepted());
        if accepted.is_some_and(|accepted| self.is_too_old(accepted)) {
            if !self.expire(Job::Driven(Box::new(driven))) {
                self.intake.forget_called_off();
            }
        } else if driven.begin() {
            self.begin(accepted, |count, n| record.add(count, n)).see_through(driven).await;
        } else {
            self.intake.forget_called_off();
        }
    }

    #[inline]
    fn begin<A: Fn(Count, u64)>(&self, accepted: Option<Timestamp>, add: A) -> Run<'_, A> {
        add(Count::Started, 1);
        let started = self.now();
        if let Some(started) = started {
            let waited = started.since(accepted.unwrap_or(started));
            add(Count::QueueNanos, nanos(waited));
        }
        Run { shared: self, add, started, is_over: false, is_driven: false }
    }

    /// Cancels the oldest job in the queue; returns whether it had one.
    #[cold]
    pub(crate) fn drop_oldest(&self) -> bool {
        // What is in a hand-off is promised to a worker.
        let oldest =
            if self.intake.capacity() == 0 { None } else { self.intake.pop().ok().flatten() };
        let had_one = oldest.is_some();
        if let Some(job) = oldest {
            contain(|| self.cancel(job));
        }
        had_one
    }

    fn report(&self, payload: &(dyn Any + Send)) {
        if let Some(on_panic) = &self.on_panic {
            contain(|| on_panic(payload));
        }
    }

    /// Drops a job unrun. Its handle, if there is one, says so.
    pub(crate) fn cancel(&self, job: Job) {
        let mut was_there = true;
        let mut cancelled = 1;
        contain(|| match job {
            Job::Plain(chore) => drop(chore),
            Job::Tracked(errand) => was_there = errand.cancel(),
            Job::Driven(driven) => was_there = driven.into_errand().cancel(),
            Job::Turn(turn) => cancelled = turn.cancel(),
        });
        if was_there {
            self.counters.cancel(cancelled);
        } else {
            self.intake.forget_called_off();
        }
    }

    /// Closes the pool and takes out the jobs that no worker has.
    pub(crate) fn take_all(&self) -> Vec<Job> {
        let jobs = self.intake.take_all().collect();
        // With nothing left to take, a shutdown may be over.
        contain(|| self.crew.changed.notify_all());
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
        // In this order: a worker that takes the last job was counted before; and one that has put its next job back went after.
        self.intake.is_drained() && self.crew.started() == 0 && self.intake.is_drained()
    }

    /// Returns whether at some moment of the call no job waited, and every worker rested.
    pub(crate) fn is_idle(&self) -> bool {
        let Some(turns) = self.counters.turns_at_rest() else { return false };
        let is_empty = self.intake.len() == 0;
        // ORDERING: pairs with the one in `Record::rise`. And a worker that has changed its turn twice in between has counted that.
        fence(Ordering::SeqCst);
        is_empty && self.counters.turns_at_rest() == Some(turns)
    }

    /// Returns how many accepted jobs have not ended. A snapshot.
    pub(crate) fn unfinished(&self) -> usize {
        let stats = self.stats();
        stats.queued + stats.running
    }

    pub(crate) fn stats(&self) -> Stats {
        // The queue first: a job that is taken meanwhile is counted twice rather than not at all.
        let queued = self.intake.len();
        let (sums, guests) = self.counters.sums();
        let (succeeded, panicked) = (sums.get(Count::Succeeded), sums.get(Count::Panicked));
        let time = |time: Duration| self.clock.as_ref().map(|_| time);
        let (running, cancelled) = (sums.running(), self.counters.cancelled());
        let workers = self.crew.members();
        let as_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let busy = as_usize(running.saturating_sub(guests.running()));
        Stats {
            submitted: queued as u64 + running + succeeded + panicked + cancelled,
            queued,
            running: as_usize(running),
            succeeded,
            panicked,
            cancelled,
            expired: self.counters.expired(),
            rejected: self.counters.rejected(),
            run_by_callers: guests.get(Count::Started),
            workers,
            idle: workers.saturating_sub(busy),
            threads_refused: self.counters.threads_refused(),
            queue_time: time(sums.time(Count::QueueNanos)),
            run_time: time(sums.time(Count::RunNanos)),
        }
    }

    /// Makes the token that a job's handle cancels.
    pub(crate) fn token(&self) -> CancelToken {
        self.cancel_token.as_ref().map_or_else(CancelToken::new, CancelToken::child)
    }

    /// Makes what makes the token that a job heeds.
    pub(crate) fn limit(&self) -> impl FnOnce(CancelToken) -> CancelToken + Send + 'static {
        let limit = self.limit.clone();
        move |token| match limit {
            Some(limit) => limit(&token),
            None => token,
        }
    }

    fn now(&self) -> Option<Timestamp> {
        // A clock that panics measures nothing.
        attempt(|| self.clock.as_ref().map(|clock| clock.now())).flatten()
    }
}

/// A job that runs. Dropped by a panic that unwinds past us, as it does without std, it has panicked.
struct Run<'a, A: Fn(Count, u64)> {
    shared: &'a Shared,
    add: A,
    started: Option<Timestamp>,
    is_over: bool,
    /// It may be dropped between two polls, and is cancelled then.
    is_driven: bool,
}

impl<A: Fn(Count, u64)> Run<'_, A> {
    /// Calls a closure whose result nobody wants.
    #[inline]
    fn call(mut self, closure: impl FnOnce()) {
        let panic = catch(closure).err();
        self.end(panic.as_deref());
        if let Some(payload) = panic {
            bury(payload);
        }
    }

    /// Runs what has a handle; returns false if that has called it off before.
    fn settle(&mut self, errand: Errand) -> bool {
        // What wakes the handle is foreign, too: a panicking waker must not take the worker with it.
        contain(|| {
            if let Err(payload) = errand.run(&mut |panic| self.end(panic)) {
                self.shared.report(&*payload);
                bury(payload);
            }
        });
        self.is_over
    }

    /// Takes a job out of the counts that was called off, and counted when it was. Returns false.
    fn never_was(&mut self) -> bool {
        self.is_over = true;
        (self.add)(Count::Started, u64::MAX);
        false
    }

    /// Polls a future until it has ended. Dropped before, the job is cancelled.
    async fn see_through(mut self, mut driven: Driven) {
        self.is_driven = true;
        let end = poll_fn(|cx| driven.poll_end(cx)).await;
        let errand = driven.into_errand();
        match end {
            End::Output => {
                if !self.settle(errand) {
                    self.take_back();
                }
            }
            End::Cancelled => contain(|| drop(errand)),
            End::Panicked(payload) => {
                contain(|| errand.fail(payload, &mut |panic| self.end(panic)));
            }
        }
    }

    /// Counts a job that has not ended as one that was cancelled.
    fn take_back(&mut self) {
        if !self.is_over {
            self.never_was();
            self.shared.counters.cancel(1);
        }
    }

    /// Counts the end, and reports it if it was a panic.
    #[inline]
    fn end(&mut self, panic: Option<&(dyn Any + Send)>) {
        self.is_over = true;
        if let (Some(started), Some(now)) = (self.started, self.shared.now()) {
            (self.add)(Count::RunNanos, nanos(now.since(started)));
        }
        match panic {
            None => (self.add)(Count::Succeeded, 1),
            Some(payload) => {
                (self.add)(Count::Panicked, 1);
                self.shared.report(payload);
            }
        }
    }
}

impl<A: Fn(Count, u64)> Drop for Run<'_, A> {
    fn drop(&mut self) {
        if self.is_driven {
            self.take_back();
        }
        if !self.is_over {
            self.end(Some(&"the payload went on to the worker's executor"));
        }
    }
}

/// Polls a future on this thread until it is ready.
#[cfg(feature = "std")]
fn drive(future: impl Future<Output = ()>) {
    tidegate_core::Wait::wait(future);
}

/// Polls a future on this thread until it is ready. Without std nothing wakes a thread, so it asks again and again.
#[cfg(not(feature = "std"))]
fn drive(future: impl Future<Output = ()>) {
    let mut future = core::pin::pin!(future);
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    while future.as_mut().poll(&mut cx).is_pending() {
        core::hint::spin_loop();
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

// What a job leaves half done when it panics is the job's. What is the pool's is changed with no foreign code on the way.
impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

impl Waiting for Shared {
    fn vacate(&self) {
        self.counters.cancel(1);
        // What is in a hand-off is promised to a worker, and takes no place.
        self.intake.vacate();
        // With nothing left to run, the pool may be idle.
        contain(|| self.crew.changed.notify_all());
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("intake", &self.intake).finish_non_exhaustive()
    }
}
