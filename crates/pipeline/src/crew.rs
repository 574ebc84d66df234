//! The threads of a run, and the calls for them.

#[cfg(feature = "std")]
use tidegate_core::Wait;
use tidegate_core::{Queue, primitive::Arc};

/// Where workers are wanted.
pub trait Workplace: Send + Sync {
    /// Works on a chunk; returns whether there is more to do. A worker that was called goes on until there is not.
    fn work_one(&self) -> bool;
}

/// The threads that a run may have beside the one that drives it.
pub(crate) struct Crew<'h> {
    calls: Queue<Arc<dyn Workplace + 'h>>,
}

impl<'h> Crew<'h> {
    pub(crate) fn new() -> Self {
        Self { calls: Queue::unbounded() }
    }

    /// Calls a worker to a place.
    pub(crate) fn call(&self, place: Arc<dyn Workplace + 'h>) {
        // Closed, the run is over, and nobody wants to know.
        let _ = self.calls.try_push(place);
    }

    /// Answers a call for a short while: works on one chunk. Returns whether there was a call.
    #[cfg(feature = "std")]
    pub(crate) fn help(&self) -> bool {
        let Ok(place) = self.calls.try_pop() else { return false };
        if place.work_one() {
            self.call(place);
        }
        true
    }

    /// Answers calls until the crew is dismissed.
    #[cfg(feature = "std")]
    pub(crate) fn serve(&self) {
        while let Ok(place) = self.calls.pop().wait() {
            while place.work_one() {}
        }
    }

    /// Sends everybody home, once they have answered the calls.
    #[cfg(feature = "std")]
    pub(crate) fn dismiss(&self) {
        self.calls.close();
    }
}
