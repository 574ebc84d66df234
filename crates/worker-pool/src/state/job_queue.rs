//! Where jobs wait: a ring, and behind it a list for the jobs that the ring has no slot for.
//!
//! Only this module knows how jobs are stored.
//!
//! ```text
//! push ─▶ ring ──full──▶ capacity left? ──▶ the backlog (lock), and the ring is diverted:
//!          │                                 later pushes go into the backlog, too
//!          │ a worker sleeps? wake one, unless one spins
//! take ◀─ ring ◀──empty, diverted── refill it from the backlog (lock) until that is empty
//!          │ a submitter waits for room? wake one
//! ```
//!
//! Most pools never use the backlog. It is for capacities of more than [`RING`] jobs; for pushes
//! while cancelled jobs still fill the ring; and for jobs that are stored whether there is room or
//! not.

mod cancelled;
mod rendezvous;
mod waits;

use core::{mem, num::NonZeroUsize};

use alloc::collections::VecDeque;

use crossbeam_utils::CachePadded;
use tidegate_core::{
    Closed, Event,
    lock::Lock,
    primitive::{
        atomic::{AtomicUsize, Ordering, fence},
        tuned,
    },
    ring::{NotPopped, NotPushed, RingOrModel as Ring},
};

use self::{cancelled::CancelledJobs, rendezvous::Rendezvous};
use crate::{
    job::Job,
    unwind::{DropEach, contain},
};

/// The most jobs in the ring, which is allocated at once.
///
/// LOOM: one, so that models use the backlog.
const RING: usize = tuned(1024, 1) as usize;

/// The slots in the ring of a rendezvous, where jobs pass but do not stay.
const RENDEZVOUS_RING: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// The backlog is searched for cancelled jobs only if it is at least this long.
const SWEEP: usize = 64;

/// The most jobs that one refill moves from the backlog into the ring, with the lock held.
const AT_ONCE: usize = 256;

pub(crate) struct JobQueue {
    ring: Ring<Job>,
    // INVARIANT: empty unless the ring is diverted; its jobs are taken after those in the ring.
    backlog: CachePadded<Lock<DropEach<VecDeque<Job>>>>,
    capacity: usize,
    /// Counts the jobs that were cancelled and are still stored here, which take no slot.
    cancelled: CancelledJobs,
    /// The length of the backlog at which cancelled jobs are next taken out of it.
    sweep_at: AtomicUsize,
    // On cache lines of their own, apart from what every push and pop reads.
    job_arrived: CachePadded<Event>,
    room_freed: CachePadded<Event>,
    /// Notified when the queue is closed, for a submitter that waits for room in a key's queue.
    closing: Event,
    /// The number of workers that poll the ring in a loop, and will take the next job.
    spinning: CachePadded<AtomicUsize>,
    /// The number of pauses that have not ended.
    pauses: AtomicUsize,
    /// `Some` only for capacity 0: the workers that wait for a job.
    rendezvous: Option<Rendezvous>,
}

impl JobQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        let ring = NonZeroUsize::new(capacity.min(RING)).unwrap_or(RENDEZVOUS_RING);
        Self {
            ring: Ring::new(ring),
            backlog: CachePadded::default(),
            // A rendezvous is bounded by its workers.
            capacity: if capacity == 0 { usize::MAX } else { capacity },
            cancelled: CancelledJobs::default(),
            sweep_at: AtomicUsize::new(SWEEP),
            job_arrived: CachePadded::default(),
            room_freed: CachePadded::default(),
            closing: Event::new(),
            spinning: CachePadded::default(),
            pauses: AtomicUsize::new(0),
            rendezvous: (capacity == 0).then(Rendezvous::new),
        }
    }

    /// Adds a job if there is room.
    #[inline]
    pub(crate) fn push(&self, job: Job) -> Result<(), NotPushed<Job>> {
        if self.push_quietly(job)? {
            self.wake_worker();
        }
        Ok(())
    }

    /// Adds a job if there is room; returns whether the caller must then call
    /// [`wake_worker`](Self::wake_worker).
    #[inline(always)]
    pub(crate) fn push_quietly(&self, job: Job) -> Result<bool, NotPushed<Job>> {
        if let Some(rendezvous) = &self.rendezvous {
            return self.push_to_worker(rendezvous, job);
        }
        self.store(job)
    }

    #[inline(always)]
    fn store(&self, job: Job) -> Result<bool, NotPushed<Job>> {
        match self.ring.push(job) {
            Ok(pushed) => Ok(pushed.is_awaited),
            Err(NotPushed::Full(job))
                if self.capacity > self.ring.capacity()
                    || self.ring.is_diverted()
                    || self.cancelled.count() > 0 =>
            {
                self.store_in_backlog(job, self.capacity)
            }
            Err(not_pushed) => Err(not_pushed),
        }
    }

    #[cold]
    fn store_in_backlog(&self, job: Job, capacity: usize) -> Result<bool, NotPushed<Job>> {
        let mut swept = VecDeque::new();
        let stored = self.backlog.with(|backlog| {
            // From here on no push gets past this one into the ring.
            if !self.ring.is_diverted() {
                self.ring.divert();
            }
            let refuse = if self.ring.is_closed() {
                NotPushed::Closed
            } else if capacity != usize::MAX
                && (self.ring.len() + backlog.len()).saturating_sub(self.cancelled.count())
                    >= capacity
            {
                NotPushed::Full
            } else {
                self.sweep(backlog, &mut swept);
                backlog.push_back(job);
                return Ok(());
            };
            if backlog.is_empty() {
                self.ring.resume();
            }
            Err(refuse(job))
        });
        // The cancelled jobs are dropped with the lock released: that takes time, and a future
        // among them is foreign.
        drop(swept);
        stored?;
        // A worker that begins to wait after this finds the ring diverted when it polls once more.
        Ok(self.ring.is_consumer_waiting())
    }

    /// Takes the cancelled jobs out of the backlog if it has doubled since this was last done. So
    /// cancelled jobs do not pile up there, and each job is checked only a few times.
    fn sweep(&self, backlog: &mut VecDeque<Job>, swept: &mut VecDeque<Job>) {
        // ORDERING: Relaxed: under the backlog's lock.
        if backlog.len() < self.sweep_at.load(Ordering::Relaxed) {
            return;
        }
        if self.cancelled.count() > 0 {
            let all = mem::take(backlog).into_iter();
            (*swept, *backlog) = all.partition(Job::is_cancelled);
            self.cancelled.remove(swept.len());
        }
        self.sweep_at.store(2 * backlog.len().max(SWEEP), Ordering::Relaxed);
    }

    /// Frees the slot of a job that was cancelled and is still stored here.
    #[cold]
    pub(crate) fn release_slot(&self) {
        self.cancelled.add();
        contain(|| self.room_freed.notify(1));
    }

    /// Notes that a cancelled job is not stored here any more.
    pub(crate) fn note_removed(&self) {
        self.cancelled.remove(1);
    }

    #[cold]
    fn push_to_worker(&self, rendezvous: &Rendezvous, job: Job) -> Result<bool, NotPushed<Job>> {
        if self.is_closed() {
            return Err(NotPushed::Closed(job));
        }
        if !rendezvous.claim_worker() {
            return Err(NotPushed::Full(job));
        }
        let stored = self.store(job);
        if stored.is_err() {
            // The queue was closed meanwhile, which has woken every waiter.
            rendezvous.add_worker();
        }
        stored
    }

    /// Wakes a worker for a job that was added, unless a worker spins, or the pool is paused.
    #[cold]
    pub(crate) fn wake_worker(&self) {
        // ORDERING: the fence pairs with the one in `spin_for_job`. If ours comes first, the worker
        // that spun sees the job when it polls before it sleeps; otherwise this load sees that the
        // worker does not spin any more.
        fence(Ordering::SeqCst);
        // The same holds for a pause and its end.
        if self.spinning.load(Ordering::Relaxed) == 0 && !self.is_paused() {
            self.job_arrived.notify_flagged(1, || self.ring.clear_consumer_waiting());
        }
    }

    /// Takes the oldest job for a worker; `None` if there is none now, or if the pool is paused;
    /// `Closed` if there will never be one.
    #[inline]
    pub(crate) fn take(&self) -> Result<Option<Job>, Closed> {
        if self.is_paused() && !self.is_closed() {
            return Ok(None);
        }
        self.pop()
    }

    /// Takes the oldest job; `None` if there is none now, `Closed` if there will never be one.
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

    /// Wakes a submitter for a slot that was freed, or that a woken submitter cannot use.
    #[cold]
    pub(crate) fn wake_submitter(&self) {
        // The submitter's waker is foreign, and the caller of this may hold a job, which must not
        // be lost.
        contain(|| self.room_freed.notify_flagged(1, || self.ring.clear_producer_waiting()));
    }

    #[cold]
    fn refill(&self) {
        self.backlog.with(|backlog| {
            for _ in 0..AT_ONCE {
                let Some(job) = backlog.pop_front() else {
                    self.ring.resume();
                    return;
                };
                match self.ring.push_diverted(job) {
                    Ok(_) => {}
                    Err(NotPushed::Full(job) | NotPushed::Closed(job)) => {
                        backlog.push_front(job);
                        return;
                    }
                }
            }
        });
    }

    /// Wakes another worker if there are more jobs. Called by a worker that was woken for a job, or
    /// has found one while it spun: submitters may have relied on it alone.
    pub(crate) fn wake_next_worker(&self) {
        let has_more = !self.ring.is_empty() || self.ring.is_diverted();
        if has_more && self.ring.is_consumer_waiting() {
            contain(|| self.wake_worker());
        }
    }

    /// Puts back, at the head of the backlog, a job that a worker was about to run: only the jobs
    /// in the ring are taken before it.
    #[cold]
    pub(crate) fn push_front(&self, job: Job) {
        self.backlog.with(|backlog| {
            if !self.ring.is_diverted() {
                self.ring.divert();
            }
            backlog.push_front(job);
        });
        contain(|| self.job_arrived.notify(1));
    }

    /// Adds a job although there may be no room, unless the queue is closed.
    #[cfg(feature = "std")]
    #[cold]
    pub(crate) fn push_unbounded(&self, job: Job) {
        if let Ok(true) = self.store_in_backlog(job, usize::MAX) {
            contain(|| self.wake_worker());
        }
    }

    /// Counts a worker that waits for a job, if this is a rendezvous.
    pub(crate) fn add_waiting_worker(&self) {
        if let Some(rendezvous) = &self.rendezvous {
            rendezvous.add_worker();
            contain(|| self.room_freed.notify(1));
        }
    }

    /// Removes a waiting worker from the count. A job that has claimed that worker goes to the next
    /// one.
    pub(crate) fn remove_waiting_worker(&self) {
        if let Some(rendezvous) = &self.rendezvous {
            rendezvous.remove_worker();
        }
    }

    /// Refuses every job from now on; returns false if it did already.
    pub(crate) fn close(&self) -> bool {
        let first = self.ring.close();
        // Each event wakes all its waiters, even if a waker of another event panics.
        tidegate_core::wake_list::each(
            [&*self.job_arrived, &*self.room_freed, &self.closing].into_iter(),
            Event::notify_all,
        );
        first
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Closes the queue and takes out all its jobs.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = Job> + '_ {
        contain(|| _ = self.close());
        // Submitters add nothing to a closed queue, so this ends.
        core::iter::from_fn(|| self.pop().ok().flatten())
    }

    /// Returns whether the queue is closed and every job was taken. A caller that finds this also
    /// finds the worker that took the last job counted as started, unless it has left since.
    pub(crate) fn is_drained(&self) -> bool {
        // The ring may be diverted by a push that finds it closed and will undo that.
        self.ring.is_drained()
            || (self.ring.is_closed()
                && self.ring.is_empty()
                && self.backlog.with(|backlog| self.ring.is_empty() && backlog.is_empty()))
    }

    /// Returns whether a push would certainly find no room now; false for a rendezvous, and for a
    /// capacity above that of the ring, where only a push can tell. A snapshot.
    pub(crate) fn is_full(&self) -> bool {
        // `seems_to_have_room` is cheap, but counts a slot that a pop is just emptying as taken.
        self.capacity <= self.ring.capacity()
            && !self.ring.seems_to_have_room()
            && self.ring.is_full()
            && self.cancelled.count() == 0
    }

    /// Returns the number of jobs that were neither taken nor cancelled. A snapshot: it is never 0
    /// while a job is stored here, unless a worker takes another one at that moment.
    pub(crate) fn len(&self) -> usize {
        // Read first: every job that is subtracted is among those that are counted next. A job that
        // is cancelled later is not subtracted; neither is one that is swept meanwhile, because the
        // backlog's lock makes its removal visible.
        let cancelled = self.cancelled.total();
        let backlog =
            if self.ring.is_diverted() { self.backlog.with(|jobs| jobs.len()) } else { 0 };
        (self.ring.len() + backlog).saturating_sub(self.cancelled.count_of(cancelled))
    }

    /// Returns the number of slots: `usize::MAX` for a rendezvous, which is bounded by its workers.
    pub(crate) fn slots(&self) -> usize {
        self.capacity
    }

    pub(crate) fn capacity(&self) -> usize {
        if self.rendezvous.is_some() { 0 } else { self.capacity }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    /// Returns a queue with `jobs` jobs.
    pub(super) fn filled(capacity: usize, jobs: usize) -> JobQueue {
        let queue = JobQueue::new(capacity);
        (0..jobs).for_each(|_| assert!(queue.push(Job::plain(|| ())).is_ok()));
        queue
    }

    #[test]
    fn a_queue_is_drained_once_it_is_closed_and_empty() {
        let queue = filled(2, 0);
        assert!(!queue.is_drained(), "it is open");
        let queue = filled(2, 1);
        queue.close();
        assert!(!queue.is_drained(), "it has a job");
        assert!(queue.pop().is_ok_and(|job| job.is_some()) && queue.is_drained());
    }

    #[test]
    fn a_closed_queue_stores_no_job_above_its_capacity() {
        let queue = JobQueue::new(1);
        assert!(queue.push(Job::plain(|| ())).is_ok());
        queue.push_unbounded(Job::plain(|| ()));
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.take_all().count(), 2);
        queue.push_unbounded(Job::plain(|| ()));
        assert!(queue.is_drained() && queue.len() == 0, "no worker would take it");
    }
}
