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

use core::{
    fmt,
    future::Future,
    mem,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, ready},
};

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
};

use tidegate_core::{Event, event::Waiter, lock::Lock, primitive::Arc};

use crate::{
    cell::{Errand, Reply, errand},
    error::{ExecuteError, TrySubmitError},
    handle::JobHandle,
    intake::Refused,
    panic::contain,
    pool::WorkerPool,
    shared::Shared,
    task::{Job, Turns},
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

/// What the lanes of a pool share with the turns in its queue.
struct Hall<K: Ord> {
    // INVARIANT: a lane has jobs, or one of its jobs runs.
    lanes: Lock<BTreeMap<Arc<K>, Lane>>,
    /// A lane that was full has room.
    room: Event,
    per_key: usize,
}

struct Lane {
    /// The oldest first. The first `owed` of them are for who runs the lane.
    jobs: VecDeque<Errand>,
    owed: usize,
    runs: bool,
}

impl Lane {
    fn of(errand: Errand) -> Self {
        Self { jobs: VecDeque::from([errand]), owed: 0, runs: false }
    }
}

/// Why a job was not let in.
enum NotIn {
    /// Its lane has no room.
    Lane(Errand),
    /// The pool has none.
    Pool(Errand),
    Closed(Errand),
}

impl<K> Hall<K>
where
    K: Ord + Send + Sync + 'static,
{
    /// Puts a job into its lane and a turn into the queue, or neither.
    fn enter(self: &Arc<Self>, shared: &Shared, key: &Arc<K>, errand: Errand) -> Result<(), NotIn> {
        shared.stamp(&errand);
        let turn = Turn { hall: self.clone(), key: key.clone(), stage: Stage::Unused };
        let turn = Job::Turn(Box::new(turn));
        let entered = self.lanes.with(|lanes| {
            let lane = lanes.get_mut(key);
            if lane.as_ref().is_some_and(|lane| lane.jobs.len() >= self.per_key) {
                return Err((NotIn::Lane(errand), turn));
            }
            // Whom it wakes is woken below, with no lock held.
            let is_awaited = match shared.intake.push_quietly(turn) {
                Err(Refused::Full(turn)) => return Err((NotIn::Pool(errand), turn)),
                Err(Refused::Closed(turn)) => return Err((NotIn::Closed(errand), turn)),
                Ok(is_awaited) => is_awaited,
            };
            match lane {
                Some(lane) => lane.jobs.push_back(errand),
                None => drop(lanes.insert(key.clone(), Lane::of(errand))),
            }
            Ok(is_awaited)
        });
        match entered {
            Ok(true) => shared.intake.wake_worker(),
            Ok(false) => {}
            Err((not_in, turn)) => {
                turn.forget();
                return Err(not_in);
            }
        }
        Ok(())
    }

    fn has_room(&self, key: &K) -> bool {
        self.lanes.with(|lanes| lanes.get(key).is_none_or(|lane| lane.jobs.len() < self.per_key))
    }

    /// Changes a lane that has jobs, or runs; frees it if it has none and does not.
    fn change<R>(&self, key: &K, change: impl FnOnce(&mut Lane) -> R) -> Option<R> {
        let (changed, freed) = self.lanes.with(|lanes| {
            let Some(lane) = lanes.get_mut(key) else { return (None, None) };
            let changed = change(lane);
            let is_over = lane.jobs.is_empty() && !lane.runs;
            (Some(changed), if is_over { lanes.remove_entry(key) } else { None })
        });
        drop(freed);
        changed
    }
}

/// A worker's turn at a lane, on its way through the queue.
struct Turn<K>
where
    K: Ord + Send + Sync + 'static,
{
    hall: Arc<Hall<K>>,
    key: Arc<K>,
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
    /// Notes whether there was a job.
    fn go_on(&mut self, job: Option<Errand>) -> Option<Errand> {
        if job.is_some() {
            self.stage = Stage::Running;
            contain(|| self.hall.room.notify_all());
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
        let first = self.hall.change(&self.key, |lane| {
            if lane.runs {
                lane.owed += 1;
                return None;
            }
            let job = lane.jobs.pop_front();
            lane.runs = job.is_some();
            job
        });
        self.go_on(first.flatten())
    }

    fn next(&mut self) -> Option<Errand> {
        let next = self.hall.change(&self.key, |lane| {
            if lane.owed == 0 {
                lane.runs = false;
                return None;
            }
            lane.owed -= 1;
            lane.jobs.pop_front()
        });
        self.go_on(next.flatten())
    }

    fn forget(&mut self) {
        self.stage = Stage::Used;
    }
}

impl<K> Drop for Turn<K>
where
    K: Ord + Send + Sync + 'static,
{
    /// Unused, it cancels a job; what is owed is not its. Running, it is left by a panic, as it is without std: then nobody
    /// else will see to what is owed.
    fn drop(&mut self) {
        let stage = self.stage;
        if stage == Stage::Used {
            return;
        }
        let cancelled = self.hall.change(&self.key, |lane| match stage {
            Stage::Running => {
                lane.runs = false;
                lane.jobs.drain(..mem::take(&mut lane.owed)).collect()
            }
            _ => lane.jobs.remove(lane.owed).into_iter().collect::<VecDeque<_>>(),
        });
        contain(|| self.hall.room.notify_all());
        drop(cancelled);
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
        let hall =
            Hall { lanes: Lock::new(BTreeMap::new()), room: Event::new(), per_key: per_key.get() };
        Lanes { pool: self.clone(), hall: Arc::new(hall) }
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
            key: Arc::new(key),
            job: Some((errand, draft.into_reply())),
            room: Waiter::new(),
            made_room: Waiter::new(),
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
        let (is_closed, refused) = match self.hall.enter(self.pool.shared(), &Arc::new(key), errand)
        {
            Ok(()) => return Ok(JobHandle::new(draft.into_reply())),
            Err(NotIn::Closed(errand)) => (true, errand),
            Err(NotIn::Lane(errand) | NotIn::Pool(errand)) => (false, errand),
        };
        self.pool.shared().counters.reject();
        let job = draft.take_back();
        drop(refused);
        Err(if is_closed { TrySubmitError::Closed(job) } else { TrySubmitError::Full(job) })
    }

    /// Returns how many keys have jobs. A snapshot.
    pub fn len(&self) -> usize {
        self.hall.lanes.with(|lanes| lanes.len())
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
        let len = self.hall.lanes.with(|lanes| lanes.len());
        f.debug_struct("Lanes").field("len", &len).finish_non_exhaustive()
    }
}

/// Future of [`Lanes::submit`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct SubmitKeyed<'a, K: Ord, T> {
    lanes: &'a Lanes<K>,
    key: Arc<K>,
    // `None` once it was given out.
    job: Option<(Errand, Reply<T>)>,
    // At most one of the two waits.
    room: Waiter,
    made_room: Waiter,
}

// Nothing in it is pinned.
impl<K: Ord, T> Unpin for SubmitKeyed<'_, K, T> {}

impl<K, T> Future for SubmitKeyed<'_, K, T>
where
    K: Ord + Send + Sync + 'static,
{
    type Output = JobHandle<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let Self { lanes, key, job, room, made_room } = &mut *self;
        let (hall, shared) = (&lanes.hall, lanes.pool.shared());
        let mut enter = || {
            let (errand, reply) = job.take().expect("polled after it was ready");
            let (is_lane, errand) = match hall.enter(shared, key, errand) {
                Ok(()) => return Ok(JobHandle::new(reply)),
                Err(NotIn::Closed(_)) => {
                    shared.counters.reject();
                    return Ok(JobHandle::refused(ExecuteError::Closed));
                }
                Err(NotIn::Lane(errand)) => (true, errand),
                Err(NotIn::Pool(errand)) => (false, errand),
            };
            *job = Some((errand, reply));
            Err(is_lane)
        };
        loop {
            // Waits as long as it is the pool that has no room.
            let entered = shared.intake.poll_room(made_room, cx, || match enter() {
                Err(false) => None,
                entered => Some(entered),
            });
            if let Ok(handle) = ready!(entered) {
                return Poll::Ready(handle);
            }
            let has_room = || hall.has_room(key) || shared.intake.is_closed();
            ready!(room.poll_until(&hall.room, cx, &mut || has_room().then_some(())));
        }
    }
}

impl<K: Ord, T> fmt::Debug for SubmitKeyed<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitKeyed").finish_non_exhaustive()
    }
}
