//! Jobs with keys: those of one key run one after the other.
//!
//! ```text
//! submit ─▶ room in the key's lane, and in the pool's queue? ──no──▶ wait
//!             │ yes, both at once (lock)
//!             ▼
//!           the job into the lane, a turn into the queue
//! a worker has a turn ─▶ does the lane run? ──yes──▶ it owes one more, leave it
//!                          │ no: it does
//!                          ▼
//!                        the lane's oldest job ─▶ as long as it owes: the next ─▶ it runs no more
//! ```
//!
//! There is a turn in the queue, or one owed, for each job in a lane; which is whose does not matter. So workers may be late
//! with their turns, and the jobs keep the order of the lane.
//!
//! A submitter needs room in two places, and waits for one of them at a time. It is told of one place by one notification; what
//! it is told and cannot use, it passes on:
//!
//! ```text
//!            the lane is full: pass the pool's room on
//!          ┌──────────────────────────────────────────┐
//! enter ─▶ waits for the pool                          waits for the lane ─▶ enter
//!          └──────────────────────────────────────────┘
//!            the pool is full: pass the lane's room on, but only when giving up
//! ```

mod lane;

use core::{
    fmt,
    future::Future,
    mem,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::{boxed::Box, collections::VecDeque};

use tidegate_core::{event::Waiter, primitive::Arc};

use self::lane::{Hall, Lane, NotIn, Use};
use crate::{
    cell::{Errand, Reply, errand},
    error::{ExecuteError, TrySubmitError},
    handle::JobHandle,
    panic::contain,
    pool::WorkerPool,
    task::Turns,
};

/// Submits jobs with keys to a pool: those of one key run one after the other, in order; those of different keys in parallel.
///
/// Made by [`WorkerPool::lanes`]. A key is known as long as it has jobs. Clones share their lanes, and are a clone of the pool.
///
/// Each job takes a place in the pool's queue, and one of its key's, until it begins. What waits for its key alone is not
/// among the `queued` of the pool's [`stats`](WorkerPool::stats).
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use std::sync::{Arc, Mutex};
/// use tidegate_worker_pool::{JobGroup, Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().threads(2).build()?;
/// let accounts = pool.lanes(NonZeroUsize::new(16).unwrap());
/// let book = Arc::new(Mutex::new(Vec::new()));
/// let entry = |account: &'static str, sum: i32| {
///     let book = book.clone();
///     accounts.submit(account, move || book.lock().unwrap().push((account, sum))).wait()
/// };
/// let entries: JobGroup<_> =
///     [entry("ann", 10), entry("bob", 7), entry("ann", -3), entry("ann", 5)].into_iter().collect();
/// entries.join().wait();
/// let of_ann = |book: &[(&str, i32)]| -> Vec<i32> {
///     book.iter().filter(|entry| entry.0 == "ann").map(|entry| entry.1).collect()
/// };
/// assert_eq!(of_ann(&book.lock().unwrap()), [10, -3, 5]);
/// assert_eq!(accounts.len(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Lanes<K: Ord> {
    pool: WorkerPool,
    hall: Arc<Hall<K>>,
}

/// A worker's turn at a lane, on its way through the queue.
struct Turn<K>
where
    K: Ord + Send + Sync + 'static,
{
    lane: Arc<Lane<K>>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is a job for it.
    Unused,
    /// It runs its lane.
    Running,
    Used,
}

impl<K> Turn<K>
where
    K: Ord + Send + Sync + 'static,
{
    fn new(lane: Arc<Lane<K>>) -> Self {
        Self { lane, stage: Stage::Unused }
    }

    /// Notes whether there was a job.
    fn go_on(&mut self, job: Option<Errand>) -> Option<Errand> {
        if job.is_some() {
            self.stage = Stage::Running;
            contain(|| self.lane.room.notify(1));
        } else {
            self.stage = Stage::Used;
        }
        job
    }
}

impl<K> Turns for Turn<K>
where
    K: Ord + Send + Sync + 'static,
{
    fn begin(&mut self) -> Option<Errand> {
        if self.stage == Stage::Running {
            // The next of those that it owes.
            let next = self.lane.change(|state| {
                state.owed -= 1;
                state.jobs.pop_front()
            });
            return self.go_on(next);
        }
        let first = self.lane.change(|state| {
            if state.runs {
                state.owed += 1;
                return None;
            }
            let job = state.jobs.pop_front();
            state.runs = job.is_some();
            job
        });
        self.go_on(first)
    }

    fn owes(&mut self) -> bool {
        let owes = self.stage == Stage::Running
            && self.lane.change(|state| {
                state.runs = state.owed > 0;
                state.runs
            });
        if !owes {
            self.stage = Stage::Used;
        }
        owes
    }

    fn forget_called_off(&mut self) {
        self.lane.forget_called_off(1);
    }

    fn cancel(mut self: Box<Self>) -> u64 {
        self.cancel_jobs()
    }

    fn forget(&mut self) {
        self.stage = Stage::Used;
    }
}

impl<K> Turn<K>
where
    K: Ord + Send + Sync + 'static,
{
    /// Unused, it cancels a job; what is owed is not its. Running, it is left by a panic, as it is without std, or was taken out
    /// of the queue by a shutdown: then nobody else will see to what is owed. Returns how many that were that nobody had called
    /// off.
    fn cancel_jobs(&mut self) -> u64 {
        let stage = mem::replace(&mut self.stage, Stage::Used);
        if stage == Stage::Used {
            return 0;
        }
        let cancelled: VecDeque<_> = self.lane.change(|state| match stage {
            Stage::Running => {
                state.runs = false;
                state.jobs.drain(..mem::take(&mut state.owed)).collect()
            }
            _ => state.jobs.remove(state.owed).into_iter().collect(),
        });
        contain(|| self.lane.room.notify(cancelled.len()));
        let all = cancelled.len();
        let live = cancelled.into_iter().filter_map(|errand| errand.cancel().then_some(())).count();
        self.lane.forget_called_off(all - live);
        live as u64
    }
}

impl<K> Drop for Turn<K>
where
    K: Ord + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.cancel_jobs();
    }
}

impl WorkerPool {
    /// Creates lanes for jobs with keys, in each of which `per_key` jobs may wait.
    ///
    /// Keys that several `Lanes` of a pool have in common have nothing to do with each other.
    pub fn lanes<K>(&self, per_key: NonZeroUsize) -> Lanes<K>
    where
        K: Ord + Send + Sync + 'static,
    {
        Lanes { pool: self.clone(), hall: Arc::new(Hall::new(self.shared(), per_key.get())) }
    }
}

impl<K> Lanes<K>
where
    K: Ord + Send + Sync + 'static,
{
    /// Waits for room, of the key and in the pool, whatever else the pool does when it is [full](crate::OnFull), and submits a
    /// job.
    ///
    /// A job that waits for another one of its key waits for itself.
    ///
    /// # Cancel safety
    ///
    /// As [`WorkerPool::submit`].
    ///
    /// # Errors
    ///
    /// As [`WorkerPool::submit`]: they come from the handle.
    pub fn submit<F, T>(&self, key: K, job: F) -> SubmitKeyed<'_, K, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (errand, draft) = errand(job);
        SubmitKeyed {
            lanes: self,
            key: Some(key),
            lane: None,
            job: Some((errand, draft.into_reply())),
            waits_for: Room::OfPool,
            waiter: Waiter::new(),
            closing: Waiter::new(),
            was_told: false,
        }
    }

    /// Submits a job if there is room now, of the key and in the pool.
    ///
    /// # Errors
    ///
    /// [`TrySubmitError`] gives the job back.
    pub fn try_submit<F, T>(&self, key: K, job: F) -> Result<JobHandle<T>, TrySubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (errand, draft) = errand(job);
        let place = self.hall.lane(key);
        let (is_closed, refused) = match place.lane.enter(self.pool.shared(), errand) {
            Ok(()) => {
                return Ok(JobHandle::new(draft.into_reply(), Arc::downgrade(&place.lane) as _));
            }
            Err(NotIn::Closed(errand)) => (true, errand),
            Err(NotIn::Lane(errand) | NotIn::Pool(errand)) => (false, errand),
        };
        self.pool.shared().counters.reject();
        let job = draft.take_back();
        drop(refused);
        Err(if is_closed { TrySubmitError::Closed(job) } else { TrySubmitError::Full(job) })
    }

    /// Returns how many keys have jobs. A snapshot. A key whose jobs were all cancelled is among them until a worker has come by and
    /// thrown them away.
    pub fn len(&self) -> usize {
        self.hall.busy()
    }

    /// Returns whether no key has a job. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Ord> Clone for Lanes<K> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), hall: self.hall.clone() }
    }
}

impl<K: Ord> fmt::Debug for Lanes<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.hall.busy();
        f.debug_struct("Lanes").field("len", &len).finish_non_exhaustive()
    }
}

/// Future of [`Lanes::submit`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct SubmitKeyed<'a, K, T>
where
    K: Ord + Send + Sync + 'static,
{
    lanes: &'a Lanes<K>,
    // Until the first poll, which finds its lane.
    key: Option<K>,
    // Until it has ended.
    lane: Option<Use<K>>,
    // `None` once it was given out.
    job: Option<(Errand, Reply<T>)>,
    waits_for: Room,
    waiter: Waiter,
    // Beside the wait for the lane, whose room nobody may ever make once the pool is closed.
    closing: Waiter,
    // INVARIANT: the lane has told it of a place that it has neither taken nor passed on.
    was_told: bool,
}

/// Whose room a submitter waits for. Where it finds that it needs the other's, it passes on what it was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    OfLane,
    OfPool,
}

impl<K, T> SubmitKeyed<'_, K, T>
where
    K: Ord + Send + Sync + 'static,
{
    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let Self { lanes, key, lane, job, waits_for, waiter, closing, was_told } = self;
        let shared = lanes.pool.shared();
        if let Some(key) = key.take() {
            *lane = Some(lanes.hall.lane(key));
        }
        let lane = &lane.as_ref().expect("polled after it was ready").lane;
        let mut enter = || {
            let (errand, reply) = job.take().expect("polled after it was ready");
            let (room, errand) = match lane.enter(shared, errand) {
                Ok(()) => return Ok(JobHandle::new(reply, Arc::downgrade(lane) as _)),
                Err(NotIn::Closed(errand)) => {
                    shared.counters.reject();
                    // What the job has captured goes with the future, not in the middle of its wait.
                    drop(errand);
                    return Ok(JobHandle::refused(ExecuteError::Closed));
                }
                Err(NotIn::Lane(errand)) => (Room::OfLane, errand),
                Err(NotIn::Pool(errand)) => (Room::OfPool, errand),
            };
            *job = Some((errand, reply));
            Err(room)
        };
        loop {
            let room = *waits_for;
            let has_waited = waiter.is_registered();
            // Waits as long as it is this room that there is none of.
            let mut try_enter = || match enter() {
                Err(missing) if missing == room => None,
                entered => Some(entered),
            };
            let entered = match room {
                Room::OfPool => shared.intake.poll_room(waiter, cx, try_enter),
                Room::OfLane => waiter.poll_until(&lane.room, cx, &mut try_enter),
            };
            match entered {
                Poll::Ready(Ok(handle)) => {
                    *was_told = false;
                    return Poll::Ready(handle);
                }
                Poll::Ready(Err(missing)) => {
                    if missing == Room::OfPool {
                        // The place in the lane is for whoever is in the lane's line, if this one gives up.
                        *was_told |= has_waited;
                    } else {
                        *was_told = false;
                        if has_waited {
                            shared.intake.pass_room_on();
                        }
                    }
                    *waits_for = missing;
                }
                Poll::Pending if room == Room::OfPool => return Poll::Pending,
                // Closed, it finds that when it tries to enter.
                Poll::Pending => ready!(shared.intake.poll_closed(closing, cx)),
            }
        }
    }
}

// Nothing in it is pinned.
impl<K, T> Unpin for SubmitKeyed<'_, K, T> where K: Ord + Send + Sync + 'static {}

impl<K, T> Future for SubmitKeyed<'_, K, T>
where
    K: Ord + Send + Sync + 'static,
{
    type Output = JobHandle<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let handle = ready!(self.poll_entry(cx));
        self.lane = None;
        Poll::Ready(handle)
    }
}

impl<K, T> Drop for SubmitKeyed<'_, K, T>
where
    K: Ord + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(place) = self.lane.as_ref().filter(|_| self.was_told) {
            place.lane.room.notify(1);
        }
    }
}

impl<K, T> fmt::Debug for SubmitKeyed<'_, K, T>
where
    K: Ord + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitKeyed").finish_non_exhaustive()
    }
}
