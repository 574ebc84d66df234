//! The lanes of a pool, by their keys, and what is in one.

use core::{borrow::Borrow, cmp::Ordering, ptr};

use alloc::{
    boxed::Box,
    collections::{BTreeSet, VecDeque},
};

use tidegate_core::{
    Event,
    lock::Lock,
    primitive::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::Turn;
use crate::{
    cell::Errand,
    handle::Waiting,
    intake::Refused,
    panic::{DropEach, contain},
    shared::Shared,
    task::Job,
};

/// The lanes of a pool, by their keys.
pub(super) struct Hall<K> {
    // INVARIANT: a lane that is gone is not looked for; all others have jobs, or somebody who uses them.
    lanes: Lock<BTreeSet<Entry<K>>>,
    /// Lanes that have jobs, or run one.
    busy: AtomicUsize,
    /// Places of the pool's queue that were given back, of all lanes.
    given_back: AtomicUsize,
    per_key: usize,
    shared: Arc<Shared>,
}

impl<K> Hall<K> {
    pub(super) fn new(shared: &Arc<Shared>, per_key: usize) -> Self {
        let (lanes, shared) = (Lock::new(BTreeSet::new()), shared.clone());
        let (busy, given_back) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { lanes, busy, given_back, per_key, shared }
    }

    /// Returns how many lanes have jobs. A snapshot.
    pub(super) fn busy(&self) -> usize {
        // ORDERING: Relaxed: a snapshot.
        self.busy.load(Relaxed)
    }

    /// Notes that a place of the pool's queue is given back, unless that was so for as many as it has: the turns of those jobs lie
    /// there until a worker comes by, and not for ever more of them.
    fn may_give_back(&self) -> bool {
        // ORDERING: Relaxed: a bound, which publishes nothing.
        let one_more = |number| (number < self.shared.intake.places()).then(|| number + 1);
        self.given_back.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }
}

/// A lane, which is found by its key.
struct Entry<K>(Arc<Lane<K>>);

impl<K: Ord> Borrow<K> for Entry<K> {
    fn borrow(&self) -> &K {
        self.0.key()
    }
}

impl<K: Ord> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord> Eq for Entry<K> {}

impl<K: Ord> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> Ord for Entry<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(other.0.key())
    }
}

/// The jobs of a key. Turns have their lane itself, so a worker never compares keys to find one.
pub(super) struct Lane<K> {
    // INVARIANT: there until it is dropped, which may be by anybody, and takes nothing along.
    key: DropEach<Option<K>>,
    hall: Arc<Hall<K>>,
    state: Lock<LaneState>,
    /// A job has left its place. One notification for each.
    pub(super) room: Event,
}

/// Why the key of a lane can be compared.
const THERE: &str = "a lane has a key";

impl<K> Lane<K> {
    fn key(&self) -> &K {
        self.key.as_ref().expect(THERE)
    }
}

#[derive(Default)]
pub(super) struct LaneState {
    /// The oldest first. The first `owed` of them are for the worker that runs the lane.
    pub(super) jobs: VecDeque<Errand>,
    pub(super) owed: usize,
    pub(super) runs: bool,
    /// Jobs among them that were called off: they take no place. For an instant less than none, where a worker has seen one
    /// before it was counted.
    called_off: isize,
    /// Places of the pool's queue that were given back for them.
    // INVARIANT: no more than they are, and than there are turns in the queue.
    given_back: usize,
    /// Those who submit to it.
    users: usize,
    // INVARIANT: final; then it has neither jobs nor users, nor will it have any.
    is_gone: bool,
}

impl LaneState {
    fn is_busy(&self) -> bool {
        self.runs || !self.jobs.is_empty()
    }

    /// Returns how many turns the lane has in the pool's queue.
    fn turns(&self) -> usize {
        self.jobs.len() - self.owed
    }

    fn called_off(&self) -> usize {
        usize::try_from(self.called_off).unwrap_or(0)
    }

    /// Takes places of the pool's queue that were given back for turns which have left it, or jobs which have.
    fn take_places<K>(&mut self, hall: &Hall<K>) {
        while self.given_back > self.turns().min(self.called_off()) {
            self.given_back -= 1;
            hall.given_back.fetch_sub(1, Relaxed);
            hall.shared.intake.forget_called_off();
        }
    }

    /// Gives the lane up if nobody needs it; returns whether it is to be forgotten.
    fn is_over(&mut self) -> bool {
        self.is_gone = self.users == 0 && !self.is_busy();
        self.is_gone
    }
}

/// Why a job was not let in.
pub(super) enum NotIn {
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
    /// Finds the lane of a key, or makes one.
    pub(super) fn lane(self: &Arc<Self>, key: K) -> Use<K> {
        let key = DropEach::new(Some(key));
        let found = self.lanes.with(|lanes| {
            let key = key.as_ref().expect(THERE);
            lanes.get(key).map(|entry| entry.0.clone())
        });
        if let Some(lane) = found.and_then(Use::of) {
            return lane;
        }
        let state = Lock::new(LaneState::default());
        let new = Arc::new(Lane { key, hall: self.clone(), state, room: Event::new() });
        loop {
            // What is left over is dropped with the lock open: a key is foreign.
            let (found, _replaced) = self.lanes.with(|lanes| match lanes.get(new.key()) {
                Some(entry) if !entry.0.state.with(|state| state.is_gone) => {
                    (entry.0.clone(), None)
                }
                _ => (new.clone(), lanes.replace(Entry(new.clone()))),
            });
            if let Some(lane) = Use::of(found) {
                return lane;
            }
        }
    }
}

impl<K> Lane<K>
where
    K: Ord + Send + Sync + 'static,
{
    /// Puts a job in and a turn into the queue, or neither.
    pub(super) fn enter(self: &Arc<Self>, shared: &Shared, errand: Errand) -> Result<(), NotIn> {
        shared.stamp(&errand);
        let turn = Job::Turn(Box::new(Turn::new(self.clone())));
        let entered = self.state.with(|state| {
            // Those that were called off lie there until a worker comes by: not for ever more of them.
            let per_key = self.hall.per_key;
            if state.jobs.len().saturating_sub(state.called_off().min(per_key)) >= per_key {
                return Err((NotIn::Lane(errand), turn));
            }
            // Whom it wakes is woken below, with no lock held.
            let is_awaited = match shared.intake.push_quietly(turn) {
                Err(Refused::Full(turn)) => return Err((NotIn::Pool(errand), turn)),
                Err(Refused::Closed(turn)) => return Err((NotIn::Closed(errand), turn)),
                Ok(is_awaited) => is_awaited,
            };
            if !state.is_busy() {
                // ORDERING: Relaxed: a snapshot; changed under the lane's lock.
                self.hall.busy.fetch_add(1, Relaxed);
            }
            state.jobs.push_back(errand);
            Ok(is_awaited)
        });
        match entered {
            Ok(true) => shared.intake.wake_worker(),
            Ok(false) => {}
            Err((not_in, turn)) => {
                turn.forget();
                return Err(match not_in {
                    NotIn::Lane(errand) if shared.intake.is_closed() => NotIn::Closed(errand),
                    not_in => not_in,
                });
            }
        }
        Ok(())
    }

    /// Changes the state of a lane that has jobs, or runs; forgets it when it is over.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut LaneState) -> R) -> R {
        let (changed, is_over) = self.state.with(|state| {
            let was_busy = state.is_busy();
            let changed = change(state);
            state.take_places(&self.hall);
            if was_busy && !state.is_busy() {
                self.hall.busy.fetch_sub(1, Relaxed);
            }
            (changed, state.is_over())
        });
        if is_over {
            self.forget();
        }
        changed
    }

    /// Takes jobs out of the count that had been called off, and do not lie here any more.
    pub(super) fn forget_called_off(&self, jobs: usize) {
        if jobs > 0 {
            self.state.with(|state| {
                state.called_off -= isize::try_from(jobs).unwrap_or(isize::MAX);
                state.take_places(&self.hall);
            });
        }
    }

    /// Takes the lane out of the hall, unless another one has its key. A comparison that panics leaves it there: who comes next
    /// with the key puts a new one in its place.
    #[cold]
    fn forget(&self) {
        let mut taken = None;
        contain(|| {
            taken = self.hall.lanes.with(|lanes| {
                let is_it = lanes.get(self.key()).is_some_and(|entry| ptr::eq(&*entry.0, self));
                if is_it { lanes.take(self.key()) } else { None }
            });
        });
        // The last reference is somebody else's, who drops the key.
        drop(taken);
    }
}

impl<K> Waiting for Lane<K>
where
    K: Ord + Send + Sync + 'static,
{
    fn vacate(&self) {
        let shared = &self.hall.shared;
        shared.counters.cancel(1);
        let gives_back = self.state.with(|state| {
            state.called_off += 1;
            let gives_back = state.given_back < state.turns().min(state.called_off())
                && self.hall.may_give_back();
            state.given_back += usize::from(gives_back);
            gives_back
        });
        contain(|| self.room.notify(1));
        if gives_back {
            shared.intake.vacate();
        }
        contain(|| shared.crew.changed.notify_all());
    }
}

/// A lane that somebody submits to. Dropped, the lane is forgotten if nobody needs it.
pub(super) struct Use<K>
where
    K: Ord + Send + Sync + 'static,
{
    pub(super) lane: Arc<Lane<K>>,
}

impl<K> Use<K>
where
    K: Ord + Send + Sync + 'static,
{
    /// Begins to use a lane, unless it is gone.
    fn of(lane: Arc<Lane<K>>) -> Option<Self> {
        let is_there = lane.state.with(|state| {
            state.users += usize::from(!state.is_gone);
            !state.is_gone
        });
        is_there.then(|| Self { lane })
    }
}

impl<K> Drop for Use<K>
where
    K: Ord + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let is_over = self.lane.state.with(|state| {
            state.users -= 1;
            state.is_over()
        });
        if is_over {
            self.lane.forget();
        }
    }
}
