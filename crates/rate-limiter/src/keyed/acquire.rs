//! Waiting for the tokens of one key.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tidegate_core::{Timer, primitive::Arc};

use super::{
    bucket::{KeyBucket, KeyState},
    refused::KeyRefused,
};
use crate::{
    acquire::Waiting,
    grant::{Grant, Request},
    state::StateRef,
};

/// A reference to a key's state that keeps the key in use.
pub(super) type KeyRef<'a, C> = StateRef<'a, KeyBucket, C, Arc<KeyState>>;

pin_project! {
    /// Future of [`KeyedLimiter::acquire`](crate::KeyedLimiter::acquire).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct AcquireKey<'a, C>
    where
        C: Timer,
    {
        #[pin]
        inner: Inner<Waiting<KeyRef<'a, C>>>,
    }
}

pin_project! {
    #[project = InnerNow]
    #[derive(Debug)]
    enum Inner<W> {
        Waiting { #[pin] waiting: W },
        // The request was refused when the future was created.
        Refused { refused: KeyRefused },
    }
}

impl<'a, C: Timer> AcquireKey<'a, C> {
    pub(super) fn new(key: Result<KeyRef<'a, C>, KeyRefused>, n: u32) -> Self {
        let inner = match key {
            Ok(key) => Inner::Waiting { waiting: Waiting::new(key, Request::exactly(n)) },
            Err(refused) => Inner::Refused { refused },
        };
        Self { inner }
    }

    /// Refuses the request as soon as it is clear that its tokens will not be available within
    /// `duration` from this call; see
    /// [`Acquire::or_refuse_after`](crate::future::Acquire::or_refuse_after).
    pub fn or_refuse_after(self, duration: Duration) -> Self {
        let inner = match self.inner {
            Inner::Waiting { waiting } => {
                Inner::Waiting { waiting: waiting.or_refuse_after(duration) }
            }
            refused => refused,
        };
        Self { inner }
    }
}

impl<C: Timer> Future for AcquireKey<'_, C> {
    type Output = Result<Grant, KeyRefused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.project() {
            InnerNow::Waiting { waiting } => waiting.poll(cx).map_err(KeyRefused::Refused),
            InnerNow::Refused { refused } => Poll::Ready(Err(*refused)),
        }
    }
}

impl<C: Timer> fmt::Debug for AcquireKey<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcquireKey").field(&self.inner).finish()
    }
}
