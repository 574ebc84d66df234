//! The queue of each key's jobs, which run one after the other, and the set in which these queues
//! are found.

use core::{borrow::Borrow, cmp::Ordering, ptr};

use alloc::collections::{BTreeSet, VecDeque};

use tidegate_core::{
    Event,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    job::{handle::ReleaseSlot, job_cell::Runnable},
    state::{Shared, counters::Counter},
    unwind::{DropEach, contain},
};

/// The queues of a [`KeyedPool`](crate::KeyedPool), by their keys.
pub(super) struct KeyedQueue<K> {
    // INVARIANT: a queue that is marked as gone is never used again, and a submitter with its key
    // replaces it; all other queues have jobs or users.
    queues: Lock<BTreeSet<ByKey<K>>>,
    /// The number of queues that have jobs, or run one.
    busy: AtomicUsize,
    /// Slots of the pool's queue that were released for cancelled jobs, over all keys.
    released: AtomicUsize,
    per_key: usize,
    shared: Arc<Shared>,
}

impl<K> KeyedQueue<K> {
    pub(super) fn new(shared: &Arc<Shared>, per_key: usize) -> Self {
        let (queues, shared) = (Lock::new(BTreeSet::new()), shared.clone());
        let (busy, released) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { queues, busy, released, per_key, shared }
    }

    /// Returns how many keys have jobs. A snapshot.
    pub(super) fn busy(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        self.busy.load(Relaxed)
    }

    /// Counts a slot of the pool's queue as released; returns false if as many slots are released
    /// as the pool's queue has. The turn of a cancelled job stays in the queue until a worker takes
    /// it, so the number of such turns must be bounded.
    fn may_release(&self) -> bool {
        // ORDERING: Relaxed: a bound, which publishes nothing.
        let one_more = |number| (number < self.shared.job_queue.slots()).then(|| number + 1);
        self.released.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }
}

/// A queue that is found by its key.
struct ByKey<K>(Arc<SerialQueue<K>>);

impl<K: Ord> Borrow<K> for ByKey<K> {
    fn borrow(&self) -> &K {
        self.0.key()
    }
}

impl<K: Ord> PartialEq for ByKey<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord> Eq for ByKey<K> {}

impl<K: Ord> PartialOrd for ByKey<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> Ord for ByKey<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(other.0.key())
    }
}

/// The jobs of one key. Turns hold a reference to the queue, so a worker never compares keys to
/// find it.
pub(super) struct SerialQueue<K> {
    // INVARIANT: `Some` until the queue is dropped. Any thread may drop the key; a panic of its
    // destructor is contained.
    key: DropEach<Option<K>>,
    owner: Arc<KeyedQueue<K>>,
    state: Lock<QueueState>,
    /// Notified once for each job that has left its slot.
    pub(super) room_freed: Event,
}

/// The message of a panic that cannot happen.
const HAS_KEY: &str = "a queue has a key";

impl<K> SerialQueue<K> {
    fn key(&self) -> &K {
        self.key.as_ref().expect(HAS_KEY)
    }
}

#[derive(Default)]
pub(super) struct QueueState {
    /// The oldest first. The first `owed` of them are for the worker that runs the queue.
    pub(super) jobs: VecDeque<Runnable>,
    pub(super) owed: usize,
    pub(super) runs: bool,
    /// How many of the jobs were cancelled: they take no slot. For an instant it may be negative: a
    /// worker may remove a job before its cancel is counted.
    cancelled: isize,
    /// Slots of the pool's queue that were released for cancelled jobs of this key.
    // INVARIANT: at most the number of cancelled jobs here, and at most the number of this key's
    // turns in the pool's queue.
    released: usize,
    /// Submitters that use this queue.
    users: usize,
    // INVARIANT: final once true: the queue has neither jobs nor users, and never will.
    is_gone: bool,
}

impl QueueState {
    fn is_busy(&self) -> bool {
        self.runs || !self.jobs.is_empty()
    }

    /// Returns how many turns of this key are in the pool's queue.
    fn turns(&self) -> usize {
        self.jobs.len() - self.owed
    }

    fn cancelled(&self) -> usize {
        usize::try_from(self.cancelled).unwrap_or(0)
    }

    /// Stops counting those released slots whose turns, or whose cancelled jobs, have left the
    /// queues.
    fn settle_released<K>(&mut self, owner: &KeyedQueue<K>) {
        while self.released > self.turns().min(self.cancelled()) {
            self.released -= 1;
            owner.released.fetch_sub(1, Relaxed);
            owner.shared.job_queue.note_removed();
        }
    }

    /// Marks the queue as gone if it has neither users nor jobs; returns whether its owner must
    /// forget it.
    fn is_over(&mut self) -> bool {
        self.is_gone = self.users == 0 && !self.is_busy();
        self.is_gone
    }
}

impl<K: Ord + Send + Sync + 'static> KeyedQueue<K> {
    /// Finds the queue of a key, or creates one.
    pub(super) fn queue_of(self: &Arc<Self>, key: K) -> QueueUser<K> {
        let key = DropEach::new(Some(key));
        let found = self.queues.with(|queues| {
            let key = key.as_ref().expect(HAS_KEY);
            queues.get(key).map(|entry| entry.0.clone())
        });
        if let Some(user) = found.and_then(QueueUser::of) {
            return user;
        }
        let state = Lock::new(QueueState::default());
        let new =
            Arc::new(SerialQueue { key, owner: self.clone(), state, room_freed: Event::new() });
        loop {
            // A key is foreign, so what was replaced is dropped after the lock is released.
            let (found, _replaced) = self.queues.with(|queues| match queues.get(new.key()) {
                Some(entry) if !entry.0.state.with(|state| state.is_gone) => {
                    (entry.0.clone(), None)
                }
                _ => (new.clone(), queues.replace(ByKey(new.clone()))),
            });
            if let Some(user) = QueueUser::of(found) {
                return user;
            }
        }
    }
}

impl<K: Ord + Send + Sync + 'static> SerialQueue<K> {
    /// Calls `admit` with a job and with whether this queue is full; adds the job if `admit`
    /// returns it. Returns what else `admit` has returned.
    pub(super) fn push_with<R, E>(
        &self,
        job: Runnable,
        admit: impl FnOnce(Runnable, bool) -> Result<(Runnable, R), E>,
    ) -> Result<R, E> {
        self.state.with(|state| {
            // Cancelled jobs stay here until a worker drops them. Their number must be bounded, so
            // only `per_key` of them take no slot.
            let per_key = self.owner.per_key;
            let taken = state.jobs.len().saturating_sub(state.cancelled().min(per_key));
            let (job, admitted) = admit(job, taken >= per_key)?;
            if !state.is_busy() {
                // ORDERING: Relaxed: a snapshot, which is changed under the queue's lock.
                self.owner.busy.fetch_add(1, Relaxed);
            }
            state.jobs.push_back(job);
            Ok(admitted)
        })
    }

    /// Changes the state of a queue that has jobs, or runs; forgets the queue if it then has
    /// neither jobs nor users.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut QueueState) -> R) -> R {
        let (changed, is_over) = self.state.with(|state| {
            let was_busy = state.is_busy();
            let changed = change(state);
            state.settle_released(&self.owner);
            if was_busy && !state.is_busy() {
                self.owner.busy.fetch_sub(1, Relaxed);
            }
            (changed, state.is_over())
        });
        if is_over {
            self.forget();
        }
        changed
    }

    /// Notes that so many cancelled jobs are no longer stored here.
    pub(super) fn note_removed(&self, jobs: usize) {
        if jobs > 0 {
            self.state.with(|state| {
                state.cancelled -= isize::try_from(jobs).unwrap_or(isize::MAX);
                state.settle_released(&self.owner);
            });
        }
    }

    /// Removes this queue from its owner, unless another queue has its key. If a comparison panics,
    /// this queue stays there: the next submitter with the key replaces it.
    #[cold]
    fn forget(&self) {
        let mut taken = None;
        contain(|| {
            taken = self.owner.queues.with(|queues| {
                let is_it = queues.get(self.key()).is_some_and(|entry| ptr::eq(&*entry.0, self));
                if is_it { queues.take(self.key()) } else { None }
            });
        });
        // The caller still has a reference to the queue, so this does not drop the key.
        drop(taken);
    }
}

impl<K: Ord + Send + Sync + 'static> ReleaseSlot for SerialQueue<K> {
    fn release_slot(&self) {
        let shared = &self.owner.shared;
        shared.counters.add(Counter::Cancelled, 1);
        let releases = self.state.with(|state| {
            state.cancelled += 1;
            let releases =
                state.released < state.turns().min(state.cancelled()) && self.owner.may_release();
            state.released += usize::from(releases);
            releases
        });
        contain(|| self.room_freed.notify(1));
        if releases {
            shared.job_queue.release_slot();
        }
        contain(|| shared.workers.changed.notify_all());
    }
}

/// A submitter's use of a queue. The drop of the last one forgets a queue without jobs.
pub(super) struct QueueUser<K: Ord + Send + Sync + 'static> {
    pub(super) queue: Arc<SerialQueue<K>>,
}

impl<K: Ord + Send + Sync + 'static> QueueUser<K> {
    /// Begins to use a queue; `None` if it is gone.
    fn of(queue: Arc<SerialQueue<K>>) -> Option<Self> {
        let is_there = queue.state.with(|state| {
            state.users += usize::from(!state.is_gone);
            !state.is_gone
        });
        is_there.then(|| Self { queue })
    }
}

impl<K: Ord + Send + Sync + 'static> Drop for QueueUser<K> {
    fn drop(&mut self) {
        let is_over = self.queue.state.with(|state| {
            state.users -= 1;
            state.is_over()
        });
        if is_over {
            self.queue.forget();
        }
    }
}
