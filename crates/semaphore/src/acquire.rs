//! Waiting for permits.
//!
//! ```text
//! Fresh ──poll: take──▶ Done                          (one CAS; no lock, no allocation)
//!   └───poll: refused──▶ Asking ──poll…──▶ Done       (`Turn`: in line until granted or sent away)
//! ```

use core::{
    fmt,
    future::Future,
    mem,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tidegate_core::wait_list::Turn;

use crate::{error::AcquireError, permit::Permit, pool::Pool};

/// One request for permits, whoever owns the pool.
pub(crate) enum Request<P: Deref<Target = Pool>> {
    Fresh { pool: P, count: usize },
    Asking(Asking<P>),
    Done,
}

/// A request in line. Dropping it before it has an answer is counted as a cancellation.
pub(crate) struct Asking<P: Deref<Target = Pool>> {
    turn: Turn<P>,
}

impl<P: Deref<Target = Pool>> Drop for Asking<P> {
    fn drop(&mut self) {
        if self.turn.is_waiting() {
            self.turn.supply().counts().cancel();
        }
    }
}

impl<P: Deref<Target = Pool> + Clone> Request<P> {
    pub(crate) fn new(pool: P, count: usize) -> Self {
        Self::Fresh { pool, count }
    }

    /// Resolves to the pool, charged for the request, and the count.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(P, usize), AcquireError>> {
        match mem::replace(self, Self::Done) {
            Self::Fresh { pool, count } if pool.take(count) => Poll::Ready(Ok((pool, count))),
            refused => {
                *self = refused;
                self.poll_slow(cx)
            }
        }
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(P, usize), AcquireError>> {
        if let Self::Fresh { pool, count } = self {
            *self = Self::Asking(Asking { turn: Turn::new(pool.clone(), *count) });
        }
        let Self::Asking(Asking { turn }) = self else { panic!("polled after it was ready") };
        let answer = ready!(Pin::new(&mut *turn).poll(cx));
        let (pool, count) = (turn.supply().clone(), turn.need());
        *self = Self::Done;
        if answer.is_err() {
            pool.counts().refuse();
        }
        Poll::Ready(answer.map(|()| (pool, count)))
    }
}

impl<P: Deref<Target = Pool>> fmt::Debug for Request<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh { .. } => "Fresh",
            Self::Asking(_) => "Asking",
            Self::Done => "Done",
        })
    }
}

/// Future of [`Semaphore::acquire`](crate::Semaphore::acquire).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Acquire<'a> {
    request: Request<&'a Pool>,
}

impl<'a> Acquire<'a> {
    pub(crate) fn new(pool: &'a Pool, count: usize) -> Self {
        Self { request: Request::new(pool, count) }
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|(pool, count)| Permit::new(pool, count))
    }
}
