//! The futures that wait until items are done.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::event::Waiter;

use crate::{
    error::{DriverDropped, Unprocessed},
    gatherer::Mark,
    shared::Shared,
};

/// Future of [`Batcher::flush`](crate::Batcher::flush).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Flush<'a, T, R, E, C> {
    shared: &'a Shared<T, R, E, C>,
    // Set by the first poll: the flush waits for all items before the mark.
    mark: Option<Mark>,
    waiter: Waiter,
}

impl<'a, T, R, E, C> Flush<'a, T, R, E, C> {
    pub(crate) fn new(shared: &'a Shared<T, R, E, C>) -> Self {
        Self { shared, mark: None, waiter: Waiter::new() }
    }
}

impl<T, R, E, C> Future for Flush<'_, T, R, E, C> {
    type Output = Result<(), DriverDropped>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, mark, waiter } = self.get_mut();
        let mark = *mark.get_or_insert_with(|| shared.flush());
        waiter.poll_until(&shared.progress, cx, &mut || {
            shared.with(|gatherer| gatherer.is_done(mark))
        })
    }
}

impl<T, R, E, C> fmt::Debug for Flush<'_, T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// Future of [`Batcher::shutdown`](crate::Batcher::shutdown).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Shutdown<'a, T, R, E, C> {
    // The batcher is closed before the first poll of this flush, so its mark is behind all items.
    flush: Flush<'a, T, R, E, C>,
}

impl<'a, T, R, E, C> Shutdown<'a, T, R, E, C> {
    pub(crate) fn new(shared: &'a Shared<T, R, E, C>) -> Self {
        Self { flush: Flush::new(shared) }
    }
}

impl<T, R, E, C> Future for Shutdown<'_, T, R, E, C> {
    type Output = Result<(), Unprocessed<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = self.flush.shared;
        if self.flush.mark.is_none() {
            shared.close();
        }
        Pin::new(&mut self.flush)
            .poll(cx)
            .map_err(|DriverDropped| shared.with(|gatherer| gatherer.state_mut().leftovers()))
    }
}

impl<T, R, E, C> fmt::Debug for Shutdown<'_, T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("flush", &self.flush).finish()
    }
}
