//! Waiting for permits.
//!
//! ```text
//! fresh ──poll: take──▶ done                      (one CAS; no lock, no allocation)
//!   │                                             (a thread that may overtake spins: `take_soon`)
//!   └───poll: refused──▶ in the queue ──poll…──▶ done  (`Turn`: until granted or rejected)
//! ```

use core::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::{Timestamp, unwind, wait::spin_polls, wait_list::Turn};

use crate::{
    error::AcquireError,
    permit::{Held, Permit},
    pool::PermitPool,
    word::Need,
};

/// One request for permits of the pool that `P` points to. If it is dropped after it has joined the
/// queue and before it is ready, it counts as cancelled.
pub(crate) struct Request<P: Deref<Target = PermitPool>> {
    turn: Turn<P>,
    /// When it joined the queue; [`Timestamp::NEVER`] before that, and without a clock.
    since: Timestamp,
}

impl<P: Deref<Target = PermitPool>> Request<P> {
    #[inline]
    pub(crate) fn new(pool: P, need: Need) -> Self {
        Self { turn: Turn::new(pool, need), since: Timestamp::NEVER }
    }

    /// Resolves to the permits, or to the reason why there are none.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Held<P>, AcquireError>> {
        if self.turn.is_fresh() {
            if let Some(n) = self.turn.supply().take(self.turn.need()) {
                return Poll::Ready(Ok(Held::new(self.turn.finish(), n)));
            }
        }
        self.poll_slow(cx)
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<Held<P>, AcquireError>> {
        if self.turn.is_fresh() && self.turn.supply().lets_overtake() {
            return self.poll_overtaking(cx);
        }
        self.queue(cx)
    }

    /// Spins for permits if a thread polls, not a task; joins the queue if it finds none.
    #[cold]
    #[inline(never)]
    fn poll_overtaking(&mut self, cx: &mut Context<'_>) -> Poll<Result<Held<P>, AcquireError>> {
        match self.turn.supply().take_soon(self.turn.need(), spin_polls(cx)) {
            Some(n) => Poll::Ready(Ok(Held::new(self.turn.finish(), n))),
            None => self.queue(cx),
        }
    }

    /// Joins the queue or, once in it, checks for a grant.
    #[inline]
    fn queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<Held<P>, AcquireError>> {
        let was_waiting = self.turn.is_waiting();
        // The clock is read before the request joins the queue: a caller that sees the request
        // there knows that its wait is measured already.
        let now = if was_waiting { None } else { self.turn.supply().now() };
        let Poll::Ready(answer) = Pin::new(&mut self.turn).poll(cx) else {
            if let Some(now) = now {
                self.since = now;
            }
            return Poll::Pending;
        };
        let pool = self.turn.finish();
        Poll::Ready(match answer {
            // The permits go into a guard before the clock is read: the clock is foreign code, and
            // if it panics, the guard releases them.
            Ok(granted) => {
                let held = Held::new(pool, granted.granted());
                measure(held.pool(), self.since);
                Ok(held)
            }
            Err(error) => {
                pool.counts().refused.add_one();
                measure(&pool, self.since);
                Err(error)
            }
        })
    }

    /// Counts the cancellation and the time of the wait. Afterwards the turn is dropped, and leaves
    /// the queue, even if the clock panics here.
    #[cold]
    fn cancel(&self) {
        let pool = self.turn.supply();
        pool.counts().cancelled.add_one();
        if self.since != Timestamp::NEVER {
            // This runs in a destructor, and the clock is foreign code.
            unwind::in_drop(|| add_up(pool, self.since));
        }
    }
}

/// Counts the time that a request has waited in the queue; nothing if that was not measured.
#[inline]
fn measure(pool: &PermitPool, since: Timestamp) {
    if since != Timestamp::NEVER {
        add_up(pool, since);
    }
}

#[cold]
fn add_up(pool: &PermitPool, since: Timestamp) {
    if let Some(stopwatch) = &pool.settings.stopwatch {
        stopwatch.waits.add(stopwatch.now().since(since));
    }
}

impl<P: Deref<Target = PermitPool>> Drop for Request<P> {
    #[inline]
    fn drop(&mut self) {
        if self.turn.is_waiting() {
            self.cancel();
        }
    }
}

impl<P: Deref<Target = PermitPool>> fmt::Debug for Request<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.turn.fmt(f)
    }
}

/// Future of [`Semaphore::acquire`](crate::Semaphore::acquire) and
/// [`acquire_up_to`](crate::Semaphore::acquire_up_to).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Acquire<'a> {
    request: Request<&'a PermitPool>,
}

impl<'a> Acquire<'a> {
    #[inline]
    pub(crate) fn new(pool: &'a PermitPool, need: Need) -> Self {
        Self { request: Request::new(pool, need) }
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>, AcquireError>;

    // Always inlined: the driver behind `wait` polls in two places, the first of which is the fast
    // path.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|held| Permit { held })
    }
}
