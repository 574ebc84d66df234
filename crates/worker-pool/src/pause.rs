//! A pause of a pool: `PauseGuard`.

use core::fmt;

use tidegate_core::primitive::Arc;

use crate::state::Shared;

/// Keeps the workers of a pool from beginning jobs: see
/// [`WorkerPool::pause`](crate::WorkerPool::pause).
///
/// Holding a guard does not keep the pool from being closed or dropped.
#[must_use = "dropping it ends the pause"]
pub struct PauseGuard {
    shared: Arc<Shared>,
}

impl PauseGuard {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.job_queue.pause();
        Self { shared: shared.clone() }
    }
}

impl Drop for PauseGuard {
    fn drop(&mut self) {
        self.shared.job_queue.resume();
    }
}

impl fmt::Debug for PauseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PauseGuard").finish_non_exhaustive()
    }
}
