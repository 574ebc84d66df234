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
        // `None` if there is nothing to wait for.
        #[pin]
        waiting: Option<Waiting<Of<'a, KeyBucket, C, Arc<Bucket>>>>,
        refused: Option<KeyRefused>,
    }
}

impl<'a, C: Timer> AcquireKey<'a, C> {
    pub(super) fn new(
        shared: &'a Shared<KeyBucket, C>,
        bucket: Result<Arc<Bucket>, KeyRefused>,
        n: u32,
    ) -> Self {
        match bucket {
            Ok(bucket) => Self {
                waiting: Some(Waiting::new(Of { shared, cell: bucket }, Ask::exactly(n))),
                refused: None,
            },
            Err(refused) => Self { waiting: None, refused: Some(refused) },
        }
    }

    /// Refuses as soon as it is clear that the tokens cannot be had within `duration` from this call; see
    /// [`Acquire::or_refuse_after`](crate::Acquire::or_refuse_after).
    pub fn or_refuse_after(self, duration: Duration) -> Self {
        Self { waiting: self.waiting.map(|waiting| waiting.or_refuse_after(duration)), ..self }
    }
}

impl<C: Timer> Future for AcquireKey<'_, C> {
    type Output = Result<Grant, KeyRefused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.waiting.as_pin_mut(), *this.refused) {
            (Some(waiting), _) => waiting.poll(cx).map_err(KeyRefused::Refused),
            (None, Some(refused)) => Poll::Ready(Err(refused)),
            (None, None) => unreachable!("made with one of the two"),
        }
    }
}

impl<C: Timer> fmt::Debug for AcquireKey<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcquireKey").field(&self.waiting).finish()
    }
}
