//! Jobs with keys: those of one key run one after the other.
//!
//! A submitter needs room in two queues, the key's and the pool's, and waits for one of them at a
//! time. A notification tells it of one free slot; a submitter that cannot use the slot passes it
//! on, by waking the next submitter:
//!
//! ```text
//!              the key's queue is full: pass the pool's slot on
//!          ┌───────────────────────────────────────────────────┐
//! enter ─▶ waits for the pool                                   waits for the key ─▶ enter
//!          └───────────────────────────────────────────────────┘
//!              the pool is full: pass the key's slot on, but only when giving up
//! ```

mod serial_queue;
mod turn;

use core::{
    fmt,
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tidegate_core::{event::Waiter, primitive::Arc};

use self::{
    serial_queue::{KeyedQueue, QueueUser},
    turn::{NotEntered, enter},
};
use crate::{
    error::{ExecuteError, TrySubmitError},
    job::{
        handle::JobHandle,
        job_cell::{ResultReceiver, Runnable, runnable},
    },
    pool::WorkerPool,
};

/// Submits jobs with keys to a pool: those of one key run one after the other, in order; those of
/// different keys run in parallel.
///
/// Created by [`WorkerPool::keyed`]. A key is stored only as long as it has jobs or submitters, so
/// there is no method to forget one. Clones share their queues, and hold a clone of the pool.
///
/// Until it begins, each job takes a slot in its key's queue. It also takes one in the pool's
/// queue, until a worker comes for it. If another worker runs a job of the key then, the job waits
/// for that worker alone, and is not among the `waiting` of the pool's
/// [`stats`](WorkerPool::stats).
///
/// # Examples
///
/// ```
/// use core::num::NonZeroUsize;
/// use std::sync::{Arc, Mutex};
/// use tidegate_worker_pool::{JobGroup, Wait, WorkerPool};
///
/// let pool = WorkerPool::builder().threads(2).build()?;
/// let accounts = pool.keyed(NonZeroUsize::new(16).unwrap());
/// let book = Arc::new(Mutex::new(Vec::new()));
/// let entry = |account: &'static str, sum: i32| {
///     let book = book.clone();
///     let job = move || book.lock().unwrap().push((account, sum));
///     accounts.submit(account, job).wait()
/// };
/// let entries = [
///     entry("ann", 10),
///     entry("bob", 7),
///     entry("ann", -3),
///     entry("ann", 5),
/// ];
/// entries.into_iter().collect::<JobGroup<_>>().join().wait();
/// let of_ann = |book: &[(&str, i32)]| -> Vec<i32> {
///     let entries = book.iter().filter(|entry| entry.0 == "ann");
///     entries.map(|entry| entry.1).collect()
/// };
/// assert_eq!(of_ann(&book.lock().unwrap()), [10, -3, 5]);
/// assert_eq!(accounts.len(), 0);
/// # Ok::<(), tidegate_worker_pool::StartError>(())
/// ```
pub struct KeyedPool<K: Ord> {
    pool: WorkerPool,
    queues: Arc<KeyedQueue<K>>,
}

impl WorkerPool {
    /// Creates a view of the pool for jobs with keys; of each key, `per_key` jobs may wait.
    ///
    /// `KeyedPool`s from separate calls share no keys: jobs of equal keys may run at once.
    pub fn keyed<K: Ord + Send + Sync + 'static>(&self, per_key: NonZeroUsize) -> KeyedPool<K> {
        let queues = Arc::new(KeyedQueue::new(self.shared(), per_key.get()));
        KeyedPool { pool: self.clone(), queues }
    }
}

impl<K: Ord + Send + Sync + 'static> KeyedPool<K> {
    /// Waits for room in the key's queue and in the pool's, and submits a job.
    ///
    /// It waits for room whatever the pool's [`OnFull`](crate::OnFull) says. A job must not wait
    /// for a later job of its key, which begins only when the waiting one has ended.
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
        let (runnable, unsubmitted) = runnable(job, None);
        SubmitKeyed {
            keyed: self,
            key: Some(key),
            queue: None,
            job: Some((runnable, unsubmitted.into_receiver())),
            missing: NotEntered::PoolFull,
            waiter: Waiter::new(),
            closing: Waiter::new(),
            was_notified: false,
        }
    }

    /// Submits a job if there is room now in the key's queue and in the pool's.
    ///
    /// # Errors
    ///
    /// [`TrySubmitError`] gives the job back.
    pub fn try_submit<F, T>(&self, key: K, job: F) -> Result<JobHandle<T>, TrySubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (runnable, unsubmitted) = runnable(job, None);
        let user = self.queues.queue_of(key);
        let (why, refused) = match enter(&user.queue, self.pool.shared(), runnable) {
            Ok(()) => {
                let queue = Arc::downgrade(&user.queue) as _;
                return Ok(JobHandle::new(unsubmitted.into_receiver(), queue));
            }
            Err(not_entered) => not_entered,
        };
        let job = unsubmitted.into_closure();
        drop(refused);
        let (why, error) = match why {
            NotEntered::Closed => (ExecuteError::Closed, TrySubmitError::Closed(job)),
            NotEntered::KeyFull | NotEntered::PoolFull => {
                (ExecuteError::Full, TrySubmitError::Full(job))
            }
        };
        self.pool.shared().note_refused(why);
        Err(error)
    }

    /// Returns how many keys have jobs that wait or run. A snapshot. A key whose jobs were all
    /// cancelled is counted until a worker has dropped them.
    pub fn len(&self) -> usize {
        self.queues.busy()
    }

    /// Returns whether no key has a job. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Ord> Clone for KeyedPool<K> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), queues: self.queues.clone() }
    }
}

impl<K: Ord> fmt::Debug for KeyedPool<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPool").field("len", &self.queues.busy()).finish_non_exhaustive()
    }
}

/// Future of [`KeyedPool::submit`].
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct SubmitKeyed<'a, K: Ord + Send + Sync + 'static, T> {
    keyed: &'a KeyedPool<K>,
    // `None` from the first poll on, which finds the key's queue.
    key: Option<K>,
    // `None` before the first poll, and once this is ready.
    queue: Option<QueueUser<K>>,
    // `None` once the job was accepted or refused.
    job: Option<(Runnable, ResultReceiver<T>)>,
    /// What the submitter waits for: room in the pool's queue or in the key's.
    missing: NotEntered,
    waiter: Waiter,
    // Registered while it waits for the key: once the pool is closed, perhaps no job frees a slot
    // in the key's queue any more.
    closing: Waiter,
    // INVARIANT: true while the key's queue has notified it of a slot that it has neither taken nor
    // passed on.
    was_notified: bool,
}

impl<K: Ord + Send + Sync + 'static, T> SubmitKeyed<'_, K, T> {
    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let shared = self.keyed.pool.shared();
        if let Some(key) = self.key.take() {
            self.queue = Some(self.keyed.queues.queue_of(key));
        }
        let queue = &self.queue.as_ref().expect("polled after it was ready").queue;
        let job = &mut self.job;
        let mut try_enter = || {
            let (runnable, receiver) = job.take().expect("polled after it was ready");
            match enter(queue, shared, runnable) {
                Ok(()) => Ok(JobHandle::new(receiver, Arc::downgrade(queue) as _)),
                Err((NotEntered::Closed, runnable)) => {
                    shared.note_refused(ExecuteError::Closed);
                    // Drops what the job has captured, which is foreign; this contains a panic.
                    drop(runnable);
                    Ok(JobHandle::refused(ExecuteError::Closed))
                }
                Err((missing, runnable)) => {
                    *job = Some((runnable, receiver));
                    Err(missing)
                }
            }
        };
        loop {
            let awaited = self.missing;
            let has_waited = self.waiter.is_registered();
            // Waits only as long as `awaited` is the room that is missing.
            let mut entry = || match try_enter() {
                Err(missing) if missing == awaited => None,
                entered => Some(entered),
            };
            let is_for_pool = awaited == NotEntered::PoolFull;
            let entered = if is_for_pool {
                shared.job_queue.poll_room(&mut self.waiter, cx, entry)
            } else {
                self.waiter.poll_until(&queue.room_freed, cx, &mut entry)
            };
            match entered {
                Poll::Ready(Ok(handle)) => {
                    self.was_notified = false;
                    return Poll::Ready(handle);
                }
                Poll::Ready(Err(missing)) => {
                    // If only the pool's room is missing now, there was room in the key's queue: if
                    // this submitter gives up, that slot goes to the key's next submitter.
                    let has_key_slot = missing == NotEntered::PoolFull;
                    if has_waited && !has_key_slot {
                        shared.job_queue.wake_submitter();
                    }
                    self.was_notified = has_key_slot && (self.was_notified || has_waited);
                    self.missing = missing;
                }
                Poll::Pending if is_for_pool => return Poll::Pending,
                // If the pool is closed, the next attempt to enter finds that.
                Poll::Pending => ready!(shared.job_queue.poll_closed(&mut self.closing, cx)),
            }
        }
    }
}

// Nothing in it is pinned.
impl<K: Ord + Send + Sync + 'static, T> Unpin for SubmitKeyed<'_, K, T> {}

impl<K: Ord + Send + Sync + 'static, T> Future for SubmitKeyed<'_, K, T> {
    type Output = JobHandle<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobHandle<T>> {
        let handle = ready!(self.poll_entry(cx));
        self.queue = None;
        Poll::Ready(handle)
    }
}

impl<K: Ord + Send + Sync + 'static, T> Drop for SubmitKeyed<'_, K, T> {
    fn drop(&mut self) {
        if let Some(user) = self.queue.as_ref().filter(|_| self.was_notified) {
            user.queue.room_freed.notify(1);
        }
    }
}

impl<K: Ord + Send + Sync + 'static, T> fmt::Debug for SubmitKeyed<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitKeyed").finish_non_exhaustive()
    }
}
