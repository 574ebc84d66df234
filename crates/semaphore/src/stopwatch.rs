//! What a semaphore with a clock measures its waits with.

use alloc::boxed::Box;

use tidegate_core::{Clock, Timestamp, report::WaitTimes};

/// Measures waits, and counts them.
pub(crate) struct Stopwatch<C: ?Sized = dyn Clock + Send + Sync> {
    /// The waits that are over.
    pub(crate) waits: WaitTimes,
    clock: C,
}

impl<C: Clock + Send + Sync + 'static> Stopwatch<C> {
    pub(crate) fn boxed(clock: C) -> Box<Stopwatch> {
        Box::new(Self { waits: WaitTimes::new(), clock })
    }
}

impl Stopwatch {
    /// Returns the time. The reading is fresh: a cached one would add time that passed before the
    /// wait.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.fresh_now()
    }
}
