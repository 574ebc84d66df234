//! Futures that give up.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
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
        // `None` once the wrapper has given up: only dropping the future withdraws it, and the
        // wrapper may live on.
        #[pin]
        future: Option<F>,
        cancelled: UntilCancelled<'a>,
    }
}

impl<'a, F> OrCancelled<'a, F> {
    pub(super) fn new(future: F, token: &'a CancelToken) -> Self {
        Self { future: Some(future), cancelled: token.cancelled() }
    }
}

impl<F: Future> Future for OrCancelled<'_, F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // The token is checked first: a cancelled operation must not start, nor accept a grant that
        // came too late.
        let cancelled = match this.cancelled.token().check() {
            Err(cancelled) => cancelled,
            Ok(()) => {
                let future = this.future.as_mut().as_pin_mut().expect("polled after it was ready");
                if let Poll::Ready(output) = future.poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                Cancelled::new(ready!(Pin::new(this.cancelled).poll(cx)))
            }
        };
        this.future.set(None);
        Poll::Ready(Err(cancelled))
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
        // `None` once the wrapper has given up, as above.
        #[pin]
        future: Option<F>,
        #[pin]
        sleep: T::Sleep,
    }
}

impl<T: Timer, F> OrTimeout<T, F> {
    pub(super) fn new(future: F, timer: &T, duration: Duration) -> Self {
        Self { future: Some(future), sleep: timer.sleep(duration) }
    }
}

impl<T: Timer, F: Future> Future for OrTimeout<T, F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // The future is polled first: a result that is ready in time counts, however late the task
        // was polled.
        let future = this.future.as_mut().as_pin_mut().expect("polled after it was ready");
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        ready!(this.sleep.poll(cx));
        this.future.set(None);
        Poll::Ready(Err(TimedOut))
    }
}

impl<T: Timer, F> fmt::Debug for OrTimeout<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrTimeout").finish_non_exhaustive()
    }
}
