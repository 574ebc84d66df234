//! Where jobs wait: the queue, and who may add to it.
//!
//! The one place that knows how jobs are stored. [`Room`] is a reserved place, so that a job that is refused need not be
//! made first.

use core::{fmt, mem};

use tidegate_core::{
    Event, Queue,
    primitive::{
        atomic::{AtomicUsize, Ordering, fence},
        spin_loop,
    },
    queue::{Pop, TryPopError},
};

use crate::task::Job;

/// No room; the numbers below say how many jobs there are too many.
const FULL: usize = usize::MAX / 2;
/// The largest capacity, which leaves as many numbers for the workers.
const MAX_CAPACITY: usize = FULL / 2;

pub(crate) struct Intake {
    // Unbounded: it is bounded by `room`.
    jobs: Queue<Job>,
    /// `FULL` + capacity + workers that came for a job − jobs that nobody has taken.
    ///
    /// | changed by | how |
    /// | --- | --- |
    /// | `ask`, a worker coming for a job | + 1 |
    /// | `withdraw`, one that leaves without | − 1; ends below `FULL` if a job was promised to it |
    /// | `reserve` | − 1, if it is above `FULL` |
    /// | `Room::drop`, a reservation that was not used | + 1 |
    room: AtomicUsize,
    made_room: Event,
    capacity: usize,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Closed,
}

impl Intake {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(MAX_CAPACITY);
        Self {
            jobs: Queue::unbounded(),
            room: AtomicUsize::new(FULL + capacity),
            made_room: Event::new(),
            capacity,
        }
    }

    /// Reserves a place for a job.
    pub(crate) fn reserve(&self) -> Result<Room<'_>, NoRoom> {
        if self.jobs.is_closed() {
            return Err(NoRoom::Closed);
        }
        // ORDERING: Relaxed throughout: the number lets in, but publishes nothing; the job goes through the queue. Who
        // finds no room and registers with `made_room` meets the fence in `notify`, behind the increment.
        let mut room = self.room.load(Ordering::Relaxed);
        loop {
            if room <= FULL {
                return Err(NoRoom::Full);
            }
            let taken = self.room.compare_exchange_weak(
                room,
                room - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => return Ok(Room { intake: self }),
                Err(found) => room = found,
            }
        }
    }

    /// Returns the event of somebody finding room, or finding the intake closed.
    pub(crate) fn made_room(&self) -> &Event {
        &self.made_room
    }

    /// Makes room for one job more, on behalf of a worker that comes for one.
    pub(crate) fn ask(&self) {
        // ORDERING: Relaxed: as in `reserve`.
        let before = self.room.fetch_add(1, Ordering::Relaxed);
        if before >= FULL {
            self.made_room.notify(1);
        }
    }

    /// Takes an `ask` back.
    pub(crate) fn withdraw(&self) {
        // ORDERING: Relaxed: as in `reserve`.
        self.room.fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits for a job, on behalf of a worker that has asked. `Closed` when there will be none.
    pub(crate) fn next(&self) -> Pop<'_, Job> {
        self.jobs.pop()
    }

    /// Accepts no more; returns false if that was so already.
    pub(crate) fn close(&self) -> bool {
        let first = self.jobs.close();
        self.made_room.notify_all();
        first
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Closes, and takes out the jobs that no worker has taken, oldest first. The last item is the last for ever.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = Job> + '_ {
        self.close();
        core::iter::from_fn(|| {
            loop {
                match self.jobs.try_pop() {
                    Ok(job) => return Some(job),
                    Err(TryPopError::Closed) => return None,
                    // A job on its way in, or about to be refused: a few instructions of another thread.
                    Err(TryPopError::Empty) => spin_loop(),
                }
            }
        })
    }

    /// Returns whether every accepted job was taken and none will come. What their takers did before is seen.
    pub(crate) fn is_drained(&self) -> bool {
        let drained = self.jobs.is_closed() && self.jobs.is_empty();
        // ORDERING: Acquire: `is_empty` is a Relaxed load of the word that a pop has changed with Release. So who finds
        // the last job gone also finds its taker among the crew.
        fence(Ordering::Acquire);
        drained
    }

    /// Returns how many jobs wait. A snapshot.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// A place for one job. Dropped, it is free again.
#[must_use]
pub(crate) struct Room<'a> {
    intake: &'a Intake,
}

impl Room<'_> {
    /// Puts the job in its place; gives it back if the intake was closed meanwhile.
    pub(crate) fn fill(self, job: Job) -> Result<(), Job> {
        match self.intake.jobs.try_push(job) {
            Ok(()) => {
                mem::forget(self);
                Ok(())
            }
            Err(refused) => Err(refused.into_inner()),
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.intake.ask();
    }
}
