//! Waiting for permits.
//!
//! ```text
//! fresh ──poll: take──▶ done                      (one CAS; no lock, no allocation)
//!   └───poll: refused──▶ in line ──poll…──▶ done  (`Turn`: until granted or sent away)
//! ```

use core::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{Timestamp, wait_list::Turn};

use crate::{error::AcquireError, permit::Permit, pool::Pool, word::Need};

/// One request for permits, whoever owns the pool. Dropping it in line is counted as a cancellation.
pub(crate) struct Request<P: Deref<Target = Pool>> {
    turn: Turn<P>,
    /// When it joined the line; `None` if nobody measures.
    since: Option<Timestamp>,
}

impl<P: Deref<Target = Pool>> Request<P> {
    #[inline]
    pub(crate) fn new(pool: P, need: Need) -> Self {
        Self { turn: Turn::new(pool, need), since: None }
    }

    /// Resolves to the pool, charged for the request, and the number of permits.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(P, usize), AcquireError>> {
        if self.turn.is_fresh() {
            if let Some(n) = self.turn.supply().take(self.turn.need()) {
                return Poll::Ready(Ok((self.turn.finish(), n)));
            }
        }
        self.poll_slow(cx)
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(P, usize), AcquireError>> {
        let was_waiting = self.turn.is_waiting();
        let Poll::Ready(answer) = Pin::new(&mut self.turn).poll(cx) else {
            if !was_waiting {
                self.since = self.turn.supply().now();
            }
            return Poll::Pending;
        };
        self.measure();
        let pool = self.turn.finish();
        if answer.is_err() {
            pool.counts().refuse();
        }
        Poll::Ready(answer.map(|granted| (pool, granted.max)))
    }

    /// Adds up how long it stood in line, once that is over.
    fn measure(&self) {
        let Some(since) = self.since else { return };
        let pool = self.turn.supply();
        if let Some(now) = pool.now() {
            pool.counts().wait_is_over(now.since(since));
        }
    }

    #[cold]
    fn cancel(&self) {
        self.turn.supply().counts().cancel();
        self.measure();
    }
}

impl<P: Deref<Target = Pool>> Drop for Request<P> {
    #[inline]
    fn drop(&mut self) {
        if self.turn.is_waiting() {
            self.cancel();
        }
    }
}

impl<P: Deref<Target = Pool>> fmt::Debug for Request<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.turn.fmt(f)
    }
}

/// Future of [`Semaphore::acquire`](crate::Semaphore::acquire) and
/// [`acquire_up_to`](crate::Semaphore::acquire_up_to).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Acquire<'a> {
    request: Request<&'a Pool>,
}

impl<'a> Acquire<'a> {
    #[inline]
    pub(crate) fn new(pool: &'a Pool, need: Need) -> Self {
        Self { request: Request::new(pool, need) }
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>, AcquireError>;

    // Always: a driver polls in two places, the first of which is the fast path.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|(pool, count)| Permit::new(pool, count))
    }
}
