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

use super::{Bucket, KeyBucket, KeyRefused};
use crate::{
    acquire::Waiting,
    algorithm::Ask,
    cell::{Of, Shared},
    grant::Grant,
};

pin_project! {
    /// Future of [`KeyedLimiter::acquire`](crate::KeyedLimiter::acquire).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct AcquireKey<'a, C>
    where
        C: Timer,
    {
        #[pin]
        inner: Inner<Waiting<Of<'a, KeyBucket, C, Arc<Bucket>>>>,
    }
}

pin_project! {
    #[project = InnerNow]
    #[derive(Debug)]
    enum Inner<W> {
        Waiting { #[pin] waiting: W },
        // There is nothing to wait for.
        Refused { refused: KeyRefused },
    }
}

impl<'a, C: Timer> AcquireKey<'a, C> {
    pub(super) fn new(
        shared: &'a Shared<KeyBucket, C>,
        bucket: Result<Arc<Bucket>, KeyRefused>,
        n: u32,
    ) -> Self {
        let inner = match bucket {
            Ok(bucket) => {
                let waiting = Waiting::new(Of { shared, cell: bucket }, Ask::exactly(n));
                Inner::Waiting { waiting }
            }
            Err(refused) => Inner::Refused { refused },
        };
        Self { inner }
    }

    /// Refuses as soon as it is clear that the tokens cannot be had within `duration` from this call; see
    /// [`Acquire::or_refuse_after`](crate::Acquire::or_refuse_after).
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
