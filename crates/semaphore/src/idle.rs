//! Waiting until every permit is back.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::event::{Condition, Waiter};

use crate::pool::PermitPool;

/// The condition that every permit is back.
struct AllBack<'a> {
    pool: &'a PermitPool,
    /// Whether the pool has counted this waiter.
    is_noted: bool,
}

impl Condition for AllBack<'_> {
    type Output = ();

    fn check(&mut self) -> Option<()> {
        self.pool.is_idle_or_awaited(&mut self.is_noted).then_some(())
    }
}

impl Drop for AllBack<'_> {
    fn drop(&mut self) {
        if self.is_noted {
            self.pool.stop_awaiting();
        }
    }
}

/// Future of [`Semaphore::idle`](crate::Semaphore::idle).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Idle<'a> {
    // Declared before the condition, so dropped before it: the pool has to count the waiter for as
    // long as it is registered.
    waiter: Waiter,
    condition: AllBack<'a>,
}

impl<'a> Idle<'a> {
    pub(crate) fn new(pool: &'a PermitPool) -> Self {
        Self { waiter: Waiter::new(), condition: AllBack { pool, is_noted: false } }
    }
}

impl Future for Idle<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let event = &this.condition.pool.all_back;
        this.waiter.poll_until(event, cx, &mut this.condition)
    }
}

impl fmt::Debug for Idle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").finish_non_exhaustive()
    }
}
