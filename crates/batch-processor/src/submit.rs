//! The futures that hand an item in. `Submit` also waits for the item's result.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tidegate_core::Clock;

use crate::{
    error::{PushError, SubmitError},
    results::Reply,
    shared::{Offering, Shared},
};

/// Future of [`Batcher::push`](crate::Batcher::push).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Push<'a, T, R, E, C> {
    offering: Offering<'a, T, R, E, C, ()>,
}

impl<'a, T, R, E, C: Clock> Push<'a, T, R, E, C> {
    pub(crate) fn new(shared: &'a Shared<T, R, E, C>, item: T) -> Self {
        Self { offering: shared.offering(item) }
    }

    /// Withdraws the push and returns its item; `None` if the item was accepted or given back
    /// already.
    pub fn into_inner(mut self) -> Option<T> {
        self.offering.condition_mut().take_item()
    }
}

impl<T, R, E, C: Clock> Future for Push<'_, T, R, E, C> {
    type Output = Result<(), PushError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.offering.condition_mut().allow_spin(cx);
        Pin::new(&mut self.offering).poll(cx)
    }
}

impl<T, R, E, C> fmt::Debug for Push<'_, T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").finish_non_exhaustive()
    }
}

/// Future of [`Batcher::enqueue`](crate::Batcher::enqueue).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Enqueue<'a, T, R, E, C> {
    offering: Offering<'a, T, R, E, C, Reply<R, E>>,
}

impl<'a, T, R, E, C: Clock> Enqueue<'a, T, R, E, C> {
    pub(crate) fn new(shared: &'a Shared<T, R, E, C>, item: T) -> Self {
        Self { offering: shared.offering(item) }
    }

    /// Withdraws the item and returns it; `None` if it was accepted or given back already.
    pub fn into_inner(mut self) -> Option<T> {
        self.offering.condition_mut().take_item()
    }
}

impl<T, R, E, C: Clock> Future for Enqueue<'_, T, R, E, C> {
    type Output = Result<Reply<R, E>, PushError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.offering.condition_mut().allow_spin(cx);
        Pin::new(&mut self.offering).poll(cx)
    }
}

impl<T, R, E, C> fmt::Debug for Enqueue<'_, T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue").finish_non_exhaustive()
    }
}

/// Future of [`Batcher::submit`](crate::Batcher::submit).
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Submit<'a, T, R, E, C> {
    stage: Stage<'a, T, R, E, C>,
}

/// ```text
/// Outside ──let in──▶ Inside ──result──▶ (ready)
///    └──refused──▶ (ready)
/// ```
enum Stage<'a, T, R, E, C> {
    /// Waits for room. A refused submission stays here, and panics if it is polled again.
    Outside(Enqueue<'a, T, R, E, C>),
    /// Waits for the result.
    Inside(Reply<R, E>),
}

impl<'a, T, R, E, C: Clock> Submit<'a, T, R, E, C> {
    pub(crate) fn new(shared: &'a Shared<T, R, E, C>, item: T) -> Self {
        Self { stage: Stage::Outside(Enqueue::new(shared, item)) }
    }

    /// Withdraws the submission and returns its item; `None` if the item was accepted (then it is
    /// processed) or given back already.
    pub fn into_inner(mut self) -> Option<T> {
        match &mut self.stage {
            Stage::Outside(enqueue) => enqueue.offering.condition_mut().take_item(),
            Stage::Inside(_) => None,
        }
    }
}

impl<T, R, E, C: Clock> Future for Submit<'_, T, R, E, C> {
    type Output = Result<R, SubmitError<T, E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.stage {
                Stage::Outside(enqueue) => match Pin::new(enqueue).poll(cx)? {
                    Poll::Ready(reply) => self.stage = Stage::Inside(reply),
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Inside(reply) => {
                    return Pin::new(reply).poll(cx).map_err(SubmitError::Failed);
                }
            }
        }
    }
}

impl<T, R, E, C> fmt::Debug for Submit<'_, T, R, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = matches!(self.stage, Stage::Inside(_));
        f.debug_struct("Submit").field("accepted", &accepted).finish_non_exhaustive()
    }
}
