//! Where jobs wait: a ring, and behind it a list for what the ring has no place for.
//!
//! The one place that knows how jobs are stored.
//!
//! ```text
//! push ─▶ ring ──full──▶ capacity left? ──▶ behind it (lock) ─▶ the ring is diverted: later pushes go behind it, too
//!          │ a worker sleeps? wake one, unless one is looking
//! take ◀─ ring ◀──empty, diverted── refill it from behind (lock), until nothing is left there
//!          │ somebody waits for room? wake one
//! ```
//!
//! Most pools never see what is behind the ring: it is for capacities of more than [`RING`] jobs.

use core::{
    fmt, mem,
    num::NonZeroUsize,
    task::{Context, Poll},
};

use alloc::collections::VecDeque;

use crossbeam_utils::CachePadded;
#[cfg(feature = "std")]
use tidegate_core::primitive::relax;
use tidegate_core::{
    Closed, Event,
    event::{Condition, Waiter},
    lock::Lock,
    primitive::{
        atomic::{AtomicUsize, Ordering, fence},
        tuned,
    },
    ring::{NotPopped, NotPushed, RingOrModel as Ring},
};

use crate::{
    panic::{DropEach, contain},
    task::Job,
};

/// The most jobs in the ring, which is allocated at once.
///
/// LOOM: one, so that models go behind it.
const RING: usize = tuned(1024, 1) as usize;

/// The places in the ring of a hand-off, where jobs pass but do not stay.
const HAND_OFF_RING: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// How long the list behind the ring is at least when it is searched for jobs that were called off.
const SWEEP: usize = 64;

/// The most jobs that go from behind the ring into it while the lock is held.
const AT_ONCE: usize = 256;

/// How often a submitter looks for room before it sleeps: most often after it has let other threads run.
#[cfg(feature = "std")]
const LINGER: u32 = 20;

pub(crate) struct Intake {
    ring: Ring<Job>,
    // INVARIANT: empty unless the ring is diverted, and younger than what is in the ring.
    behind: CachePadded<Lock<DropEach<VecDeque<Job>>>>,
    capacity: usize,
    /// Jobs that were called off while they lay here, in all: they take no place.
    called_off: AtomicUsize,
    /// Those of them that do not lie here any more. For an instant more than they are, where a worker has seen one before it
    /// was counted.
    forgotten: AtomicUsize,
    /// How long the list behind the ring is when those are taken out of it.
    sweep_at: AtomicUsize,
    // Apart from what every push and pop reads.
    job_came: CachePadded<Event>,
    made_room: CachePadded<Event>,
    /// It was closed: for a submitter that waits for something else than room.
    closing: Event,
    /// The number of workers that look at the ring all the time, and will take what comes.
    watchers: CachePadded<AtomicUsize>,
    /// The number of pauses.
    pauses: AtomicUsize,
    /// Only of a hand-off: workers that wait for a job nobody has promised them. Below zero, so many jobs have been promised
    /// to workers that have left.
    askers: Option<Askers>,
}

/// Why a job was not taken; gives it back.
#[derive(Debug)]
pub(crate) enum Refused<J> {
    Full(J),
    Closed(J),
}

impl Intake {
    pub(crate) fn new(capacity: usize) -> Self {
        let ring = NonZeroUsize::new(capacity.min(RING)).unwrap_or(HAND_OFF_RING);
        Self {
            ring: Ring::new(ring),
            behind: CachePadded::new(Lock::default()),
            // A hand-off is bounded by its workers.
            capacity: if capacity == 0 { usize::MAX } else { capacity },
            called_off: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
            sweep_at: AtomicUsize::new(SWEEP),
            job_came: CachePadded::new(Event::new()),
            made_room: CachePadded::new(Event::new()),
            closing: Event::new(),
            watchers: CachePadded::new(AtomicUsize::new(0)),
            pauses: AtomicUsize::new(0),
            askers: (capacity == 0).then(Askers::new),
        }
    }

    /// Adds a job if there is room.
    #[inline]
    pub(crate) fn push(&self, job: Job) -> Result<(), Refused<Job>> {
        if self.push_quietly(job)? {
            self.wake_worker();
        }
        Ok(())
    }

    /// Adds a job if there is room; returns whether that is to be followed by [`wake_worker`](Self::wake_worker).
    #[inline(always)]
    pub(crate) fn push_quietly(&self, job: Job) -> Result<bool, Refused<Job>> {
        if let Some(askers) = &self.askers {
            return self.hand_over(askers, job);
        }
        self.store(job)
    }

    #[inline(always)]
    fn store(&self, job: Job) -> Result<bool, Refused<Job>> {
        match self.ring.push(job) {
            Ok(pushed) => Ok(pushed.is_awaited),
            Err(NotPushed::Closed(job)) => Err(Refused::Closed(job)),
            Err(NotPushed::Full(job))
                if self.capacity > self.ring.capacity()
                    || self.ring.is_diverted()
                    || self.called_off() > 0 =>
            {
                self.store_behind(job)
            }
            Err(NotPushed::Full(job)) => Err(Refused::Full(job)),
        }
    }

    #[cold]
    fn store_behind(&self, job: Job) -> Result<bool, Refused<Job>> {
        let mut swept = VecDeque::new();
        let stored = self.behind.with(|behind| {
            // From here on nobody gets past us into the ring.
            if !self.ring.is_diverted() {
                self.ring.divert();
            }
            let refuse = if self.ring.is_closed() {
                Refused::Closed
            } else if self.capacity != usize::MAX
                && (self.ring.len() + behind.len()).saturating_sub(self.called_off())
                    >= self.capacity
            {
                Refused::Full
            } else {
                self.sweep(behind, &mut swept);
                behind.push_back(job);
                return Ok(());
            };
            if behind.is_empty() {
                self.ring.resume();
            }
            Err(refuse(job))
        });
        // Called off before, they have nothing foreign left; but to drop them takes its time.
        drop(swept);
        stored?;
        // A worker that goes to sleep finds the ring diverted, and does not.
        Ok(self.ring.is_item_awaited())
    }

    /// Takes out what was called off, when the list is twice as long as it was then: so it is never much longer than what waits
    /// in it, and no job is looked at often.
    fn sweep(&self, behind: &mut VecDeque<Job>, swept: &mut VecDeque<Job>) {
        // ORDERING: Relaxed: under the list's lock.
        if behind.len() < self.sweep_at.load(Ordering::Relaxed) {
            return;
        }
        if self.called_off() > 0 {
            let all = mem::take(behind).into_iter();
            (*swept, *behind) = all.partition(Job::is_called_off);
            self.forgotten.fetch_add(swept.len(), Ordering::Relaxed);
        }
        self.sweep_at.store(2 * behind.len().max(SWEEP), Ordering::Relaxed);
    }

    /// Frees the place of a job that was called off, and lies here.
    #[cold]
    pub(crate) fn vacate(&self) {
        // ORDERING: Release: pairs with the Acquire in `len`. The fence in `notify`, behind it, pairs with that of a submitter that
        // registers.
        self.called_off.fetch_add(1, Ordering::Release);
        contain(|| self.made_room.notify(1));
    }

    /// Takes a job out of the count that was called off, and does not lie here any more.
    pub(crate) fn forget_called_off(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many of the jobs here take no place. A snapshot.
    #[inline]
    fn called_off(&self) -> usize {
        // ORDERING: Relaxed: see `vacate`.
        self.still_here(self.called_off.load(Ordering::Relaxed))
    }

    /// Returns how many lie here of the first so many jobs that were called off, or fewer.
    #[inline]
    fn still_here(&self, called_off: usize) -> usize {
        // ORDERING: Relaxed: a snapshot.
        let number = called_off.wrapping_sub(self.forgotten.load(Ordering::Relaxed));
        if number > usize::MAX / 2 { 0 } else { number }
    }

    #[cold]
    fn hand_over(&self, askers: &Askers, job: Job) -> Result<bool, Refused<Job>> {
        if self.is_closed() {
            return Err(Refused::Closed(job));
        }
        if !askers.promise() {
            return Err(Refused::Full(job));
        }
        let stored = self.store(job);
        if stored.is_err() {
            // It was closed meanwhile, which has woken everybody.
            askers.ask();
        }
        stored
    }

    /// Wakes a worker for a job that came, unless one is looking.
    #[cold]
    pub(crate) fn wake_worker(&self) {
        // ORDERING: the fence pairs with the one in `watch`. If ours comes first, the watcher's look before it sleeps sees the
        // job; if theirs does, the load sees that it does not watch any more.
        fence(Ordering::SeqCst);
        // The same holds for a pause and its end.
        if self.watchers.load(Ordering::Relaxed) == 0 && !self.is_paused() {
            self.job_came.notify_flagged(1, || self.ring.item_is_not_awaited());
        }
    }

    /// Takes the oldest job for a worker, if there is one and no pause: `None` if there is none now.
    #[inline]
    pub(crate) fn take(&self) -> Result<Option<Job>, Closed> {
        if self.is_paused() && !self.is_closed() {
            return Ok(None);
        }
        self.pop()
    }

    /// Takes the oldest job if there is one: `None` if there is none now.
    pub(crate) fn pop(&self) -> Result<Option<Job>, Closed> {
        loop {
            match self.ring.pop() {
                Ok(popped) => {
                    if popped.is_awaited {
                        self.wake_submitter();
                    }
                    return Ok(Some(popped.item));
                }
                Err(NotPopped::Empty) => return Ok(None),
                Err(NotPopped::Closed) => return Err(Closed),
                Err(NotPopped::Diverted) => self.refill(),
            }
        }
    }

    /// Wakes a submitter for the room that a job has left. Its waker is foreign, and that job in our hands.
    #[cold]
    fn wake_submitter(&self) {
        contain(|| self.made_room.notify_flagged(1, || self.ring.room_is_not_awaited()));
    }

    #[cold]
    fn refill(&self) {
        self.behind.with(|behind| {
            for _ in 0..AT_ONCE {
                let Some(job) = behind.pop_front() else {
                    self.ring.resume();
                    return;
                };
                match self.ring.push_diverted(job) {
                    Ok(_) => {}
                    Err(NotPushed::Full(job) | NotPushed::Closed(job)) => {
                        behind.push_front(job);
                        return;
                    }
                }
            }
        });
    }

    /// Looks for a job up to `looks` times, in the place of workers that sleep: as long as one looks, nobody is woken for a
    /// job that comes.
    #[cfg(feature = "std")]
    pub(crate) fn watch(&self, looks: u32) -> Option<Job> {
        if looks == 0 {
            return None;
        }
        // ORDERING: Relaxed: it only says that somebody is there.
        self.watchers.fetch_add(1, Ordering::Relaxed);
        let (mut found, mut tries) = (None, 0);
        while tries < looks && !self.is_closed() {
            relax(&mut tries);
            found = self.take().ok().flatten();
            if found.is_some() {
                break;
            }
        }
        self.watchers.fetch_sub(1, Ordering::Relaxed);
        // ORDERING: pairs with the fence in `wake_worker`, as said there. A watcher that has found nothing looks once more before it
        // sleeps, in `poll_take`.
        fence(Ordering::SeqCst);
        // Who pushed meanwhile has relied on us, but we have hands for one job only.
        if found.is_some() {
            self.pass_wake_on();
        }
        found
    }

    /// Wakes another worker if there are more jobs: for a worker that has one, and was woken for it, or has watched in the place
    /// of those that sleep. Whoever pushed meanwhile may have woken nobody else.
    pub(crate) fn pass_wake_on(&self) {
        let has_more = !self.ring.is_empty() || self.ring.is_diverted();
        if has_more && self.ring.is_item_awaited() {
            contain(|| self.wake_worker());
        }
    }

    /// Lets the workers make room for a while.
    ///
    /// A submitter that is faster than they are would be woken for each single place; so it comes back to many.
    #[cfg(feature = "std")]
    pub(crate) fn linger(&self) {
        let mut rounds = 0;
        while rounds < LINGER && !self.has_much_room() && !self.is_closed() {
            relax(&mut rounds);
        }
    }

    /// Waits for a job, or until `leaves` returns true: then it is as if there would come no more.
    pub(crate) fn poll_take(
        &self,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
        leaves: &mut impl FnMut() -> bool,
    ) -> Poll<Result<Job, Closed>> {
        waiter.poll_until(&self.job_came, cx, &mut Taking { intake: self, leaves })
    }

    /// Has every worker that waits for a job look at what it waits for.
    #[cfg(feature = "std")]
    pub(crate) fn notify_workers(&self) {
        self.job_came.notify_all();
    }

    /// Returns whether a worker looks for a job all the time.
    #[cfg(feature = "std")]
    pub(crate) fn is_watched(&self) -> bool {
        // ORDERING: Relaxed: the caller's fence pairs with the one in `watch`.
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Waits until `push`, which tries to push, gives a value.
    pub(crate) fn poll_room<R>(
        &self,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
        push: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        waiter.poll_until(&self.made_room, cx, &mut Pushing { intake: self, push })
    }

    /// Waits until it is closed.
    pub(crate) fn poll_closed(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<()> {
        waiter.poll_until(&self.closing, cx, &mut || self.is_closed().then_some(()))
    }

    /// Wakes another submitter for the room that one was woken for, and cannot use.
    pub(crate) fn pass_room_on(&self) {
        self.wake_submitter();
    }

    /// Puts back what a worker was about to do: the next one does it first.
    #[cold]
    pub(crate) fn put_back(&self, job: Job) {
        self.put_aside(|behind| behind.push_front(job));
    }

    /// Adds a job although there may be no room.
    #[cfg(feature = "std")]
    #[cold]
    pub(crate) fn put_behind(&self, job: Job) {
        self.put_aside(|behind| behind.push_back(job));
    }

    fn put_aside(&self, put: impl FnOnce(&mut VecDeque<Job>)) {
        self.behind.with(|behind| {
            if !self.ring.is_diverted() {
                self.ring.divert();
            }
            put(behind);
        });
        contain(|| self.job_came.notify(1));
    }

    /// Waits until there is no pause, or it is closed.
    pub(crate) fn poll_resumed(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<()> {
        let may_begin = || (!self.is_paused() || self.is_closed()).then_some(());
        waiter.poll_until(&self.job_came, cx, &mut { may_begin })
    }

    /// Counts a worker of a hand-off that waits for a job.
    pub(crate) fn ask(&self) {
        if let Some(askers) = &self.askers {
            askers.ask();
            contain(|| self.made_room.notify(1));
        }
    }

    /// Takes back that a worker waits for a job. If one was promised already, it is the next worker's.
    pub(crate) fn withdraw(&self) {
        if let Some(askers) = &self.askers {
            askers.withdraw();
        }
    }

    /// Keeps workers from taking jobs until as many [`resume`](Self::resume)s.
    pub(crate) fn pause(&self) {
        // ORDERING: Relaxed: a worker that sees it late has begun before.
        self.pauses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        // ORDERING: Relaxed: the fence in `notify_all`, behind it, pairs with those of
        // a worker that registers and of `wake_worker`.
        if self.pauses.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.job_came.notify_all();
        }
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        // ORDERING: Relaxed: see `pause` and `resume`.
        self.pauses.load(Ordering::Relaxed) > 0
    }

    /// Refuses every job from now on; returns false if it did already.
    pub(crate) fn close(&self) -> bool {
        let first = self.ring.close();
        // Both wake everybody, also if a waker panics on the way.
        tidegate_core::wake_list::each(
            [&*self.job_came, &*self.made_room, &self.closing].into_iter(),
            Event::notify_all,
        );
        first
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Closes it and takes out what is left.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = Job> + '_ {
        contain(|| _ = self.close());
        // Closed, it is never empty for now only.
        core::iter::from_fn(|| self.pop().ok().flatten())
    }

    /// Returns whether it is closed and every job was taken. Who finds that also finds the last one's taker among the crew.
    pub(crate) fn is_drained(&self) -> bool {
        // Diverted, it may be by a pusher that finds it closed and will go again.
        self.ring.is_drained()
            || (self.ring.is_closed()
                && self.ring.is_empty()
                && self.behind.with(|behind| self.ring.is_empty() && behind.is_empty()))
    }

    /// Returns whether a push would find no room now. A snapshot.
    pub(crate) fn is_full(&self) -> bool {
        // Places that are being emptied seem to be taken.
        self.capacity <= self.ring.capacity()
            && !self.ring.seems_to_have_room()
            && self.ring.is_full()
            && self.called_off() == 0
    }

    /// Returns whether at least a quarter of the room is free. A snapshot.
    #[cfg(feature = "std")]
    fn has_much_room(&self) -> bool {
        self.askers.is_none() && self.len() <= self.capacity - self.capacity.div_ceil(4)
    }

    /// Returns the number of jobs that nobody has taken or called off. A snapshot: never none while one lies here, unless a worker
    /// takes another out.
    pub(crate) fn len(&self) -> usize {
        // ORDERING: Acquire: pairs with the Release in `vacate`: what was called off by then is among those that are counted next.
        // What is called off later is not subtracted; what is swept meanwhile is not, either, as that is seen behind the lock.
        let called_off = self.called_off.load(Ordering::Acquire);
        let behind = if self.ring.is_diverted() { self.behind.with(|jobs| jobs.len()) } else { 0 };
        (self.ring.len() + behind).saturating_sub(self.still_here(called_off))
    }

    /// Returns the most jobs that have places here.
    pub(crate) fn places(&self) -> usize {
        self.capacity
    }

    pub(crate) fn capacity(&self) -> usize {
        if self.askers.is_some() { 0 } else { self.capacity }
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("ring", &self.ring).finish_non_exhaustive()
    }
}

struct Taking<'a, L> {
    intake: &'a Intake,
    leaves: &'a mut L,
}

impl<L: FnMut() -> bool> Condition for Taking<'_, L> {
    type Output = Result<Job, Closed>;

    fn check(&mut self) -> Option<Self::Output> {
        self.intake.take().transpose().or_else(|| (self.leaves)().then_some(Err(Closed)))
    }

    fn begin_to_wait(&mut self) {
        self.intake.ring.await_item();
    }
}

struct Pushing<'a, P> {
    intake: &'a Intake,
    push: P,
}

impl<R, P: FnMut() -> Option<R>> Condition for Pushing<'_, P> {
    type Output = R;

    fn check(&mut self) -> Option<R> {
        (self.push)()
    }

    fn begin_to_wait(&mut self) {
        // The room of a hand-off is a worker that waits, which says so itself.
        if self.intake.askers.is_none() {
            self.intake.ring.await_room();
        }
    }
}

/// The workers that wait at a hand-off.
struct Askers {
    /// [`NOBODY`] and the workers that wait, less the jobs that were promised to workers that have left.
    number: AtomicUsize,
}

const NOBODY: usize = usize::MAX / 2;

impl Askers {
    fn new() -> Self {
        Self { number: AtomicUsize::new(NOBODY) }
    }

    fn ask(&self) {
        // ORDERING: Relaxed throughout: the number lets in, but publishes nothing; the job goes through the ring. Who finds
        // nobody and registers with `made_room` meets the fence in `notify`, behind the increment.
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    fn withdraw(&self) {
        self.number.fetch_sub(1, Ordering::Relaxed);
    }

    /// Promises a job to a worker that waits, if one does.
    fn promise(&self) -> bool {
        let one_less = |number| (number > NOBODY).then(|| number - 1);
        self.number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}
