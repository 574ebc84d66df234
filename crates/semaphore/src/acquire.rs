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

use tidegate_core::{Timestamp, wait_list::Turn};

use crate::{error::AcquireError, permit::Permit, pool::Pool, word::Need};

/// One request for permits, whoever owns the pool.
pub(crate) enum Request<P: Deref<Target = Pool>> {
    Fresh { pool: P, need: Need },
    Asking(Asking<P>),
    Done,
}

/// A request in line. Dropping it before it has an answer is counted as a cancellation.
pub(crate) struct Asking<P: Deref<Target = Pool>> {
    turn: Turn<P>,
    /// When it was polled first; `None` if nobody measures.
    since: Option<Timestamp>,
}

impl<P: Deref<Target = Pool>> Asking<P> {
    /// Adds up how long it took, once the wait is over.
    fn measure(&self) {
        let pool = self.turn.supply();
        if let (Some(since), Some(now)) = (self.since, pool.now()) {
            pool.counts().wait_is_over(now.since(since));
        }
    }
}

impl<P: Deref<Target = Pool>> Drop for Asking<P> {
    fn drop(&mut self) {
        if self.turn.is_waiting() {
            self.turn.supply().counts().cancel();
            self.measure();
        }
    }
}

impl<P: Deref<Target = Pool> + Clone> Request<P> {
    #[inline]
    pub(crate) fn new(pool: P, need: Need) -> Self {
        Self::Fresh { pool, need }
    }

    /// Resolves to the pool, charged for the request, and the number of permits.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(P, usize), AcquireError>> {
        if let Self::Fresh { pool, need } = self {
            if let Some(n) = pool.take(*need) {
                let Self::Fresh { pool, .. } = mem::replace(self, Self::Done) else {
                    unreachable!("it was fresh a line ago")
                };
                return Poll::Ready(Ok((pool, n)));
            }
        }
        self.poll_slow(cx)
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<(P, usize), AcquireError>> {
        if let Self::Fresh { pool, need } = self {
            let since = pool.now();
            *self = Self::Asking(Asking { turn: Turn::new(pool.clone(), *need), since });
        }
        let Self::Asking(asking) = self else { panic!("polled after it was ready") };
        let waits = asking.turn.is_waiting();
        let answer = ready!(Pin::new(&mut asking.turn).poll(cx));
        if waits {
            asking.measure();
        }
        let pool = asking.turn.supply().clone();
        *self = Self::Done;
        if answer.is_err() {
            pool.counts().refuse();
        }
        Poll::Ready(answer.map(|granted| (pool, granted.max)))
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

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|(pool, count)| Permit::new(pool, count))
    }
}
