//! The workers that wait for a job at a queue of capacity 0.

use tidegate_core::primitive::atomic::{AtomicUsize, Ordering};

pub(super) struct Rendezvous {
    /// [`ZERO`] plus the waiting workers that no job has claimed. Below [`ZERO`] by the jobs that
    /// still need a worker because the one that they claimed has left.
    workers: AtomicUsize,
}

const ZERO: usize = usize::MAX / 2;

// ORDERING: Relaxed throughout: the number admits jobs, but publishes nothing; the job goes through
// the ring. For a submitter that finds no worker and registers with `room_freed`, the fence of its
// registration pairs with the one in `notify`, which follows the increment.
impl Rendezvous {
    pub(super) fn new() -> Self {
        Self { workers: AtomicUsize::new(ZERO) }
    }

    /// Counts a worker that waits for a job.
    pub(super) fn add_worker(&self) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes from the count a worker that leaves, which a job may have claimed.
    pub(super) fn remove_worker(&self) {
        self.workers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Claims a waiting worker for a job; returns whether there was one.
    pub(super) fn claim_worker(&self) -> bool {
        let one_less = |workers| (workers > ZERO).then(|| workers - 1);
        self.workers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Rendezvous;

    #[test]
    fn each_claim_of_a_worker_that_has_left_takes_the_next_worker() {
        let rendezvous = Rendezvous::new();
        (0..3).for_each(|_| rendezvous.add_worker());
        assert!((0..3).all(|_| rendezvous.claim_worker()));
        (0..3).for_each(|_| rendezvous.remove_worker());
        assert!(!rendezvous.claim_worker());
        for _ in 0..3 {
            rendezvous.add_worker();
            assert!(!rendezvous.claim_worker(), "a job that has claimed before needs it");
        }
        rendezvous.add_worker();
        assert!(rendezvous.claim_worker());
    }
}
