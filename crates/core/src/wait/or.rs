//! Futures that give up.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

use crate::{
    cancel::{CancelToken, UntilCancelled},
    error::{Cancelled, TimedOut},
    time::Timer,
};

pin_project! {
    /// Future of [`Wait::or_cancelled`](crate::Wait::or_cancelled).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct OrCancelled<'a, F> {
        #[pin]
        future: F,
        cancelled: UntilCancelled<'a>,
    }
}

impl<'a, F> OrCancelled<'a, F> {
    pub(super) fn new(future: F, token: &'a CancelToken) -> Self {
        Self { future, cancelled: token.cancelled() }
    }
}

impl<F: Future> Future for OrCancelled<'_, F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // First the token: a cancelled operation must not start, nor count a grant that came too late.
        if let Some(cancelled) = this.cancelled.token().check().err() {
            return Poll::Ready(Err(cancelled));
        }
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.cancelled).poll(cx).map(|reason| Err(Cancelled::new(reason)))
    }
}

impl<F> fmt::Debug for OrCancelled<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrCancelled").field("cancelled", &self.cancelled).finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Wait::or_timeout`](crate::Wait::or_timeout).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct OrTimeout<T: Timer, F> {
        #[pin]
        future: F,
        #[pin]
        sleep: T::Sleep,
    }
}

impl<T: Timer, F> OrTimeout<T, F> {
    pub(super) fn new(future: F, timer: &T, duration: Duration) -> Self {
        Self { future, sleep: timer.sleep(duration) }
    }
}

impl<T: Timer, F: Future> Future for OrTimeout<T, F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // First the future: what is ready in time counts, however late the task was polled.
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.sleep.poll(cx).map(|()| Err(TimedOut))
    }
}

impl<T: Timer, F> fmt::Debug for OrTimeout<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrTimeout").finish_non_exhaustive()
    }
}
